"""Values to level indices, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.render import palette

TOP = palette.LEVELS - 1
"""The level of the largest value of an unsigned scale; zero is level 0."""
CENTRE = 111
"""The level of zero of a signed scale; the largest value is level 222, its negative level 0."""


@dataclass(frozen=True, eq=False)
class Scale:
    """A range of values that is shown: from 0 to `limit`, or from `-limit` to `limit` where signed.

    Attributes:
        limit: the largest value that is shown, as a number; or an array that broadcasts against the
            values, where each channel has its own.
        signed: whether the range is symmetric about zero.

    Example:
        >>> Scale(2.0, signed=True).levels(np.array([-2.0, 0.0, 2.0, np.nan]))
        array([  0, 111, 222, 240], dtype=uint8)
    """

    limit: float | np.ndarray
    signed: bool

    @classmethod
    def of(
        cls, values: np.ndarray, *, signed: bool | None = None, axes: Sequence[int] | None = None
    ) -> Scale:
        """The scale that holds every finite value.

        Args:
            values: what will be drawn with it; NaN and infinities do not count.
            signed: whether it is symmetric; None: where a finite value is negative.
            axes: the axes over which one range is taken; None: one range for all of it.
        """
        low, high = finite_range(values, axes=axes)
        if signed is None:
            signed = bool((low < 0).any())
        limit = np.maximum(np.abs(low), np.abs(high)) if signed else np.maximum(high, 0)
        return cls(float(limit) if limit.ndim == 0 else limit, signed)

    @property
    def low(self) -> float | np.ndarray:
        """The smallest value that is shown."""
        return -self.limit if self.signed else 0.0 * self.limit

    @property
    def palette(self) -> np.ndarray:
        """The colours of the levels `(256, 3)`."""
        return palette.diverging() if self.signed else palette.sequential()

    def levels(self, values: np.ndarray) -> np.ndarray:
        """Palette indices of `values`, uint8: levels, or the indices of NaN and the infinities.

        What lies beyond the range is shown as its end. A range of zero width shows the level of zero.
        """
        limit = np.where(np.asarray(self.limit) == 0, 1, self.limit).astype(values.dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            shown = values / limit
            shown *= CENTRE if self.signed else TOP
            strange = None if np.isfinite(values.sum()) else ~np.isfinite(values)
        if self.signed:
            shown += CENTRE
        if strange is not None:
            shown[strange] = 0
        np.rint(shown, out=shown)
        np.clip(shown, 0, 2 * CENTRE if self.signed else TOP, out=shown)
        indices = shown.astype(np.uint8)
        if strange is not None:
            indices[np.isnan(values)] = palette.NOT_A_NUMBER
            indices[values == np.inf] = palette.PLUS_INFINITY
            indices[values == -np.inf] = palette.MINUS_INFINITY
        return indices

    def values(self, levels: np.ndarray) -> np.ndarray:
        """The values that `levels` stand for, to half a level; NaN where an index is no level.

        Example:
            >>> Scale(223.0, signed=False).values(np.array([7, 240], np.uint8))
            array([ 7., nan])
        """
        if self.signed:
            values = (levels.astype(np.float64) - CENTRE) / CENTRE * self.limit
            return np.where(levels <= 2 * CENTRE, values, np.nan)
        return np.where(levels <= TOP, levels.astype(np.float64) / TOP * self.limit, np.nan)


def as_floats(values: np.ndarray) -> np.ndarray:
    """`values` as float32, or float64 where they are; the same array where nothing is to be changed."""
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)


def finite_range(values: np.ndarray, *, axes: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest finite value, over `axes` (kept with length 1) or over all; 0 where there is none.

    Example:
        >>> low, high = finite_range(np.array([[1.0, np.inf], [np.nan, np.nan]]), axes=[1])
        >>> low.tolist(), high.tolist()
        ([[1.0], [0.0]], [[1.0], [0.0]])
    """
    over = None if axes is None else tuple(axes)
    keep = axes is not None
    low = np.asarray(values.min(axis=over, keepdims=keep))
    high = np.asarray(values.max(axis=over, keepdims=keep))
    if np.isfinite(low).all() and np.isfinite(high).all():
        return low, high
    finite = np.isfinite(values)
    none = ~finite.any(axis=over, keepdims=keep)
    low = np.where(none, 0, np.where(finite, values, np.inf).min(axis=over, keepdims=keep))
    high = np.where(none, 0, np.where(finite, values, -np.inf).max(axis=over, keepdims=keep))
    return low, high


def is_constant(values: np.ndarray, *, axes: Sequence[int]) -> np.ndarray:
    """Where all values over `axes` (two at least) are one and the same number."""
    low, high = values.min(axis=tuple(axes)), values.max(axis=tuple(axes))
    count = int(np.prod([values.shape[axis] for axis in axes]))
    return np.asarray((low == high) & np.isfinite(low) & (count > 1))


def is_zero(values: np.ndarray, *, axes: Sequence[int]) -> np.ndarray:
    """Where all values over `axes` are zero."""
    return np.asarray(~values.any(axis=tuple(axes)))
