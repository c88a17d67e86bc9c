"""The arrays of a Snapshot as `.npy` files, for whoever goes on with NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from layerviz_callbacks.errors import SinkError
from layerviz_callbacks.safe_names import file_name

if TYPE_CHECKING:
    from layerviz_callbacks.snapshot import Snapshot


def export_arrays(snapshot: Snapshot, folder: str | Path) -> list[Path]:
    """Write every array that a snapshot holds, see `Snapshot.export`.

    Raises:
        SinkError: the folder cannot be written.
    """
    written: list[Path] = []
    taken: set[str] = set()
    for parts, array in _arrays(snapshot):
        path = _free_path(Path(folder), [file_name(part) for part in parts], taken)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, array, allow_pickle=False)
        except OSError as error:
            raise SinkError(
                f"snapshot.export({str(folder)!r}): {path} cannot be written ({error}). "
                "Pass a folder that you may write to, for example snapshot.export('arrays')."
            ) from error
        written.append(path)
    return written


def _arrays(snapshot: Snapshot) -> Iterator[tuple[list[str], np.ndarray]]:
    names = snapshot.probe.names
    for name, array in snapshot.inputs.items():
        yield from _samples(["inputs", name], array, names)
    if snapshot.probe.targets is not None:
        yield ["targets"], snapshot.probe.targets
    for name, array in snapshot.outputs.items():
        yield from _samples(["outputs", name], array, names)
    digits = max(2, len(str(max((layer.place for layer in snapshot), default=0))))
    for layer in snapshot:
        folder = f"{layer.place:0{digits}d}_{layer.name}"
        if layer.kernel is not None:
            yield [folder, "kernel"], layer.kernel
        for name, array in layer.weights.items():
            yield [folder, f"weight {name}"], array
        if layer.output is not None:
            yield from _samples([folder, "output"], layer.output, names)


def _samples(
    parts: list[str], array: np.ndarray, names: tuple[str, ...]
) -> Iterator[tuple[list[str], np.ndarray]]:
    """A file a sample where the first axis is the probe's samples; else one file."""
    if array.ndim == 0 or len(array) != len(names):
        yield parts, array
        return
    for name, sample in zip(names, array, strict=True):
        yield [*parts, name], sample


def _free_path(folder: Path, parts: list[str], taken: set[str]) -> Path:
    """Samples of the same name, and names that differ in letters a file name cannot hold, get a number."""
    *above, last = parts
    stem, number = last, 1
    while (key := "/".join([*above, stem]).casefold()) in taken:
        number += 1
        stem = f"{last} ({number})"
    taken.add(key)
    return folder.joinpath(*above, f"{stem}.npy")
