"""Snapshots of a training, opened for reading."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from layerviz_callbacks.errors import SelectionError, SnapshotFileError, check_choice, did_you_mean
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.store.layers import FOLDERS
from layerviz_callbacks.store.library import xarray_library
from layerviz_callbacks.store.names import escaped
from layerviz_callbacks.store.opened import OpenedFile
from layerviz_callbacks.store.places import file_path
from layerviz_callbacks.store.series import stacked
from layerviz_callbacks.store.step_reader import StepReader, steps_in
from layerviz_callbacks.store.steps import read_facts, read_metrics
from layerviz_callbacks.store.stored_layer import read_whole
from layerviz_callbacks.store.xarrays import dataset


class SnapshotFile:
    """A file of snapshots; arrays are read when they are looked at. It may still be written meanwhile.

    Args:
        path: what `SnapshotWriter` or `Snapshot.save` wrote.

    Raises:
        ArgumentError: `path` is none.
        MissingLibraryError: h5py is not installed.
        SnapshotFileError: the file is not there, is damaged, or holds something else.

    Example:
        >>> with SnapshotFile("run.h5") as file:                         # doctest: +SKIP
        ...     print(file.steps, file.layers, file.best_step)
        ...     pictures = file[5].pictures(views.Filters())
        ...     change = file.kernels("conv2")[-1] - file.kernels("conv2")[0]
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._opened = OpenedFile(file_path(path))
        self._reader = StepReader(self._opened)

    @property
    def path(self) -> Path:
        """The file."""
        return self._opened.path

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps that the file holds by now, in ascending order."""
        return self._opened.look(steps_in)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all layers that any step has, in the model's order."""
        return self._reader.names()

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """What training reported, by name `(step,)`; NaN at steps that lack it."""
        each = self._opened.look(
            lambda file: [read_metrics(file["steps"][str(step)]) for step in steps_in(file)]
        )
        names = sorted({name for metrics in each for name in metrics})
        return {name: np.array([metrics.get(name, np.nan) for metrics in each]) for name in names}

    @property
    def best_step(self) -> int | None:
        """The step that was last marked as the best; None where none was."""
        best = self._opened.look(lambda file: file.attrs.get("best_step"))
        return None if best is None else int(best)

    def when(self, step: int) -> str:
        """A step in words, such as "epoch 3/12".

        Raises:
            ArgumentError: the file does not hold that step.
        """
        return str(self._reader.look_at(step, read_facts)["when"])

    def snapshot(self, step: int) -> Snapshot:
        """One step; each array of its layers is read when it is first looked at, while the file is open.

        Raises:
            ArgumentError: the file does not hold that step.
        """
        return self._reader.snapshot(step)

    def layer(self, name: str, *, step: int) -> Layer:
        """One layer at one step; each of its arrays is read when it is first looked at.

        Raises:
            ArgumentError: the file does not hold that step.
            SelectionError: no layer has that name; the nearest name is told.

        Example:
            >>> file.layer("conv2", step=5).output                       # doctest: +SKIP
        """
        layers = self._reader.layers(step)
        if name not in layers:
            raise _no_layer(name, list(layers))
        return layers[name]

    def steps_with(self, name: str, attribute: str) -> tuple[int, ...]:
        """The steps at which an array of a layer is there.

        Args:
            name: of the layer.
            attribute: "kernel", "output" or "attention".
        """
        check_choice("attribute", attribute, FOLDERS)
        place = f"{FOLDERS[attribute]}/{escaped(name)}"
        return self._opened.look(
            lambda file: tuple(step for step in steps_in(file) if f"{step}/{place}" in file["steps"])
        )

    def kernels(self, name: str, *, steps: Sequence[int] | None = None) -> np.ndarray:
        """The kernel of a layer over steps: `(step, out, in, *space)`.

        Its steps are `steps_with(name, "kernel")`, its channels `channels(name, "kernel")`: where other
        channels were taken at each step, all of these, with NaN where one was not taken.

        Args:
            name: of the layer.
            steps: these; None: all that hold it.

        Raises:
            SelectionError: no layer has that name.
            ArgumentError: no step holds it, or the steps differ in more than their channels.
        """
        return self._over_steps(name, "kernel", steps)[0]

    def outputs(self, name: str, *, steps: Sequence[int] | None = None) -> np.ndarray:
        """The output of a layer over steps: `(step, sample, *space, channel)`; see `kernels`."""
        return self._over_steps(name, "output", steps)[0]

    def attention(self, name: str, *, steps: Sequence[int] | None = None) -> np.ndarray:
        """The attention of a layer over steps: `(step, sample, head, query, key)`; see `kernels`."""
        return self._over_steps(name, "attention", steps)[0]

    def channels(self, name: str, attribute: str, *, steps: Sequence[int] | None = None) -> tuple[int, ...]:
        """The numbers of the channels that `kernels` or `outputs` gives.

        Args:
            name: of the layer.
            attribute: "kernel" or "output".
            steps: see `kernels`.
        """
        check_choice("attribute", attribute, ["kernel", "output"])
        return self._over_steps(name, attribute, steps)[1]

    def to_xarray(self, layers: Sequence[str] | None = None) -> dict[str, Any]:
        """By layer, an `xarray.Dataset` of its kernel, output and attention over steps, with named axes.

        The axes are step, sample, space, channel, out, in, kernel_space, head, query and key; several axes of
        space are `space_1`, `space_2` ... Steps, samples and channels are labelled.

        Args:
            layers: of these; None: of all that hold anything.

        Raises:
            MissingLibraryError: xarray is not installed.
            SelectionError: no layer has one of the names.
            ArgumentError: see `kernels`.

        Example:
            >>> file.to_xarray()["conv2"].output.sel(step=5, channel=3)  # doctest: +SKIP
        """
        xarray_library()
        steps = self.steps
        samples = self.snapshot(steps[-1]).probe.names if steps else ()
        found = {}
        for name in self.layers if layers is None else layers:
            held = {attribute: self.steps_with(name, attribute) for attribute in FOLDERS}
            held = {attribute: those for attribute, those in held.items() if those}
            over = {attribute: self._over_steps(name, attribute, those) for attribute, those in held.items()}
            if over:
                arrays = {attribute: array for attribute, (array, _) in over.items()}
                channels = {attribute: numbers for attribute, (_, numbers) in over.items()}
                found[name] = dataset(arrays, held, channels, samples)
            elif name not in self.layers:
                raise _no_layer(name, self.layers)
        return found

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._opened.close()

    def _over_steps(
        self, name: str, attribute: str, steps: Sequence[int] | None
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        if name not in self.layers:
            raise _no_layer(name, self.layers)
        layers = {
            step: self.layer(name, step=step)
            for step in (self.steps_with(name, attribute) if steps is None else steps)
        }
        arrays = {step: getattr(layer, attribute) for step, layer in layers.items()}
        taken = {step: getattr(layer, f"{attribute}_taken", None) for step, layer in layers.items()}
        return stacked(name, attribute, arrays, taken)

    def __getitem__(self, step: int) -> Snapshot:
        """One step, see `snapshot`."""
        return self.snapshot(step)

    def __iter__(self) -> Iterator[Snapshot]:
        return (self.snapshot(step) for step in self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __enter__(self) -> SnapshotFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SnapshotFile({str(self._opened.path)!r})"


def load_snapshot(path: str | os.PathLike[str], *, step: int | None = None) -> Snapshot:
    """Read one step whole, see `Snapshot.load`."""
    with SnapshotFile(path) as file:
        steps = file.steps
        if not steps:
            raise SnapshotFileError(f"{os.fspath(path)!r} holds no step yet.")
        return in_memory(file[steps[-1] if step is None else step])


def in_memory(snapshot: Snapshot) -> Snapshot:
    """The same with every array read."""
    initial = snapshot.initial
    if initial is not None:
        initial = replace(initial, layers={name: read_whole(layer) for name, layer in initial.layers.items()})
    layers = {name: read_whole(layer) for name, layer in snapshot.layers.items()}
    return replace(snapshot, layers=layers, initial=initial)


def _no_layer(name: str, known: Sequence[str]) -> SelectionError:
    listed = ", ".join(repr(one) for one in known)
    return SelectionError(f"There is no layer {name!r}. The file has [{listed}].{did_you_mean(name, known)}")
