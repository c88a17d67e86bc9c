"""A kernel, or a feature map, over the steps, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from layerviz_callbacks.render.held_range import HeldRange
from layerviz_callbacks.render.resize import resized
from layerviz_callbacks.views.film_kept import KeptPart


@dataclass(frozen=True, eq=False)
class Section:
    """What a part of a layer was at each column's step.

    Attributes:
        rows: the numbers of the channels; empty where a panel shows all of them.
        values: `(column, row, *shape)`, float32; anything where it is not `there`.
        there: `(column, row)`: read at that step.
        alike: `(column,)`: read as finely as in the column before.
        held: the range of values.
        saturated: `(column, row)`: at the bounds of a bounded activation almost everywhere.
        joins: the first axis of `shape` are components, or colours, of one panel.
    """

    rows: tuple[int, ...]
    values: np.ndarray
    there: np.ndarray
    alike: np.ndarray
    held: HeldRange
    saturated: np.ndarray
    joins: bool = False

    @classmethod
    def of(cls, parts: Sequence[KeptPart], *, joins: bool = False) -> Section | None:
        """The section of what was kept at each column's step; None where nothing was."""
        last = next((part for part in reversed(parts) if part.values is not None), None)
        if last is None or last.values is None or last.held is None:
            return None
        shape = last.values.shape
        values = np.zeros((len(parts), *shape), np.float32)
        there = np.zeros((len(parts), shape[0]), bool)
        saturated = np.zeros_like(there)
        sizes = [None if part.values is None else part.values.shape[1:] for part in parts]
        alike = np.array([now == before for now, before in zip(sizes, [None, *sizes], strict=False)])
        for place, part in enumerate(parts):
            if part.values is None or part.values.ndim != len(shape):
                continue
            fitting = part.values if sizes[place] == shape[1:] else _as_large(part.values, shape[1:])
            if part.rows == last.rows:
                values[place], there[place] = fitting, True
                saturated[place] = part.saturated or False
                continue
            marked = dict(zip(part.rows, part.saturated, strict=False))
            known = {row: fitting[number] for number, row in enumerate(part.rows)}
            for number, row in enumerate(last.rows):
                if row in known:
                    values[place, number], there[place, number] = known[row], True
                    saturated[place, number] = marked.get(row, False)
        return cls(last.rows, values, there, alike, last.held, saturated, joins)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row at one step."""
        return self.values.shape[2:]

    @cached_property
    def change(self) -> tuple[np.ndarray, np.ndarray]:
        """The magnitude of the difference of each column from the one before, and where there is any.

        The mean over rows (and over components, or colours), but for single numbers: `(column, row, *shape)`
        with one row; the first column has none.
        """
        there = np.zeros_like(self.there)
        there[1:] = self.there[1:] & self.there[:-1] & self.alike[1:, None]
        magnitude = np.zeros_like(self.values)
        with np.errstate(invalid="ignore", over="ignore"):
            magnitude[1:] = np.abs(self.values[1:] - self.values[:-1])
            magnitude[~there] = 0
            if self.joins:
                magnitude = magnitude.mean(axis=2)
            if not self.shape:
                return magnitude, there
            count = np.maximum(1, there.sum(axis=1)).reshape(-1, 1, *(1,) * (magnitude.ndim - 2))
            any_row = np.asarray(there.any(axis=1, keepdims=True))
            return magnitude.sum(axis=1, keepdims=True) / count, any_row

    @property
    def start(self) -> np.ndarray | None:
        """The values of each row at the first column that has them all `(row, *shape)`; None: none has."""
        place = int(self.there.all(axis=1).argmax())
        return self.values[place] if self.there[place].all() else None


def _as_large(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`(row, *shape)` at another resolution, for a column that was read more or less finely."""
    if len(shape) > 1:
        return resized(values, *shape[-2:])
    if shape:
        return values[:, np.arange(shape[0]) * values.shape[1] // shape[0]]
    return values
