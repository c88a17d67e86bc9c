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
        indices: np.ndarray = shown.astype(np.uint8)
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
    low, high = reduce_over(np.minimum, values, axes), reduce_over(np.maximum, values, axes)
    if np.isfinite(low).all() and np.isfinite(high).all():
        return low, high
    finite = np.isfinite(values)
    none = ~reduce_over(np.logical_or, finite, axes)
    low = np.where(none, 0, reduce_over(np.minimum, np.where(finite, values, np.inf), axes))
    high = np.where(none, 0, reduce_over(np.maximum, np.where(finite, values, -np.inf), axes))
    return low, high


def reduce_over(function: np.ufunc, values: np.ndarray, axes: Sequence[int] | None) -> np.ndarray:
    """Reduce by a ufunc such as `np.minimum` over `axes` (kept with length 1), or over all of them.

    One axis after the other, the first first: on channels-last maps many times faster than all at once.
    """
    if axes is None and values.flags.c_contiguous:
        return np.asarray(function.reduce(values.reshape(-1)))
    reduced = values
    for axis in range(values.ndim) if axes is None else sorted(axes):
        reduced = function.reduce(reduced, axis=axis, keepdims=True)
    return reduced.reshape(()) if axes is None else reduced


def constant_channels(values: np.ndarray, *, axes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Which channels are zero over `axes`, and which are one other number (of two values at least).

    Returns:
        Two masks over the axes that are left.

    Example:
        >>> zero, constant = constant_channels(np.array([[0.0, 0.0], [3.0, 3.0], [0.0, 1.0]]), axes=[1])
        >>> zero.tolist(), constant.tolist()
        ([True, False, False], [False, True, False])
    """
    low, high = (reduce_over(bound, values, axes).squeeze(tuple(axes)) for bound in (np.minimum, np.maximum))
    zero = (low == 0) & (high == 0)
    several = int(np.prod([values.shape[axis] for axis in axes])) > 1
    return zero, (low == high) & np.isfinite(low) & ~zero & several
