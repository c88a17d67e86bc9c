"""Even parts of kernels, taken where they lie; equal to `health.weight_sample`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.health import WeightSample, spread
from layerviz_callbacks.health.statistics import MOST_ROWS
from layerviz_callbacks.keras.hosted import view_of
from layerviz_callbacks.keras.kernels import StoredKernel, copied
from layerviz_callbacks.keras.layout import Layout
from layerviz_callbacks.keras.recent import Recent
from layerviz_callbacks.keras.updates import LastStep, VariableStep

_VALUES = "values"


@dataclass(frozen=True)
class Places:
    """Where an even part of a kernel stands.

    Attributes:
        rows: the numbers of the output channels that are taken.
        row_starts: for each, where its first value stands among all stored values.
        columns: for each column that is taken, how far behind its row's first value it stands.
        shape: that of the matrix `(out, in * space)` in full.
    """

    rows: tuple[int, ...]
    row_starts: tuple[int, ...]
    columns: tuple[int, ...]
    shape: tuple[int, int]

    @classmethod
    def of(cls, layout: Layout, stored: Sequence[int]) -> Places:
        """The places in a kernel that is stored with this shape."""
        across = layout.into + layout.space
        shape = tuple(math.prod(stored[axis] for axis in axes) for axes in (layout.out, across))
        rows, columns = spread(shape[0], MOST_ROWS), spread(shape[1], MOST_ROWS)
        return cls(
            tuple(rows.tolist()),
            tuple(_starts(rows, layout.out, stored).tolist()),
            tuple(_starts(columns, across, stored).tolist()),
            (shape[0], shape[1]),
        )

    @property
    def is_far(self) -> bool:
        """Whether some are too far behind for the numbers of 32 bits with which JAX counts."""
        return self.shape[0] * self.shape[1] >= 1 << 31

    def of_view(self, view: np.ndarray) -> np.ndarray:
        """The part `(row, column)` of an array, float32."""
        along = np.add.outer(np.array(self.columns, int), np.array(self.row_starts, int))
        return np.ascontiguousarray(np.take(view.reshape(-1), along).T, np.float32)

    def of_tensor(self, tensor: Any) -> Any:
        """The part `(column, row)` of a tensor, float32, taken on its device."""
        ops = keras.ops
        columns = ops.convert_to_tensor(np.array(self.columns, "int32").reshape(-1, 1))
        along = columns + ops.convert_to_tensor(np.array(self.row_starts, "int32"))
        return ops.cast(ops.take(ops.reshape(tensor, (-1,)), along, axis=0), "float32")


class WeightSampler:
    """Takes even parts of kernels; on JAX those of one request are taken by one program."""

    def __init__(self) -> None:
        self._programs: Recent[Any] = Recent()

    def read(
        self, kernels: Mapping[str, tuple[StoredKernel, bool]], last: LastStep
    ) -> dict[str, WeightSample]:
        """The parts by name, with the same parts of the gradient and of the update where these are known.

        Args:
            kernels: what to read, by `Layer.name`, and whether it may be trained though its variable may not.
            last: what the optimizers left.
        """
        places = {name: Places.of(kernel.layout, kernel.stored) for name, (kernel, _) in kernels.items()}
        steps = {name: _step_of(kernel, last) for name, (kernel, _) in kernels.items()}
        tensors = {
            name: {_VALUES: kernel.read(), **steps[name].tensors} for name, (kernel, _) in kernels.items()
        }
        taken = self._taken(tensors, places)
        samples = {}
        for name, (kernel, otherwise) in kernels.items():
            arrays = dict(taken[name])
            values, step = np.ascontiguousarray(arrays.pop(_VALUES)), steps[name]
            gradient, update = step.found(values, arrays)
            samples[name] = WeightSample(
                values=values,
                rows=places[name].rows,
                shape=places[name].shape,
                gradient=None if gradient is None else gradient.astype(np.float32),
                update=None if update is None else update.astype(np.float32),
                trainable=otherwise or any(one.trainable for one in kernel.variables if one is not None),
            )
        return samples

    def _taken(
        self, tensors: Mapping[str, Mapping[str, Any]], places: Mapping[str, Places]
    ) -> dict[str, dict[str, np.ndarray]]:
        near = {name: parts for name, parts in tensors.items() if not places[name].is_far}
        found: dict[str, dict[str, Any]] = {}
        if keras.backend.backend() == "jax" and near:
            import jax

            def take_all(given: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
                return {
                    name: {part: places[name].of_tensor(tensor) for part, tensor in parts.items()}
                    for name, parts in given.items()
                }

            program = self._programs.get(frozenset(places.items()), lambda: jax.jit(take_all))
            found = program({name: dict(parts) for name, parts in near.items()})
        return {
            name: {part: copied(tensor).T for part, tensor in found[name].items()}
            if name in found
            else {part: _taken_now(tensor, places[name]) for part, tensor in parts.items()}
            for name, parts in tensors.items()
        }


def _taken_now(tensor: Any, places: Places) -> np.ndarray:
    view = copied(tensor) if places.is_far else view_of(tensor)
    return copied(places.of_tensor(tensor)).T if view is None else places.of_view(view)


def _step_of(kernel: StoredKernel, last: LastStep) -> VariableStep:
    """What is left of a kernel's last step; nothing where it is made of more than one variable."""
    return last.of(kernel.variables[0]) if len(kernel.variables) == 1 else VariableStep()


def _starts(numbers: np.ndarray, axes: Sequence[int], stored: Sequence[int]) -> np.ndarray:
    """How far behind the first stored value those with these numbers along some axes stand."""
    starts = np.zeros(len(numbers), np.int64)
    if axes:
        at = np.unravel_index(numbers, [stored[axis] for axis in axes])
        for axis, places in zip(axes, at, strict=True):
            starts += places * math.prod(stored[axis + 1 :])
    return starts
