"""Small curves, all of a sheet at once."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.scale import Scale

LINE = 2
"""Pixels of a line's thickness, and of a curve's column: it survives being shown at half size."""


def curve_columns(width: int) -> int:
    """How many columns of pixels a curve has in a panel of so many pixels."""
    return max(1, width // LINE)


def envelope(values: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value that a curve has in each pixel column.

    Where there are more samples than columns, a column holds its samples and the first of the next
    column, so that the line is unbroken. Where there are fewer, the samples are joined by straight lines.

    Args:
        values: `(..., time)`; NaN are left out.
        columns: how many pixel columns.

    Returns:
        Two arrays `(..., columns)`; NaN where a column holds nothing.

    Example:
        >>> low, high = envelope(np.array([0.0, 4.0, 1.0, 2.0]), 2)
        >>> low.tolist(), high.tolist()
        ([0.0, 1.0], [4.0, 2.0])
    """
    length = values.shape[-1]
    if length > columns:
        starts = np.arange(columns) * length // columns
        low = np.fmin.reduceat(values, starts, axis=-1)
        high = np.fmax.reduceat(values, starts, axis=-1)
        following = values[..., starts[1:]]
        low[..., :-1] = np.fmin(low[..., :-1], following)
        high[..., :-1] = np.fmax(high[..., :-1], following)
        return low, high
    pitch = (length - 1) / max(columns - 1, 1)
    centres = np.arange(columns) * pitch
    left = _between(values, np.clip(centres - pitch / 2, 0, length - 1))
    right = _between(values, np.clip(centres + pitch / 2, 0, length - 1))
    low, high = np.fmin(left, right), np.fmax(left, right)
    if length > 1:
        peaks = np.rint(np.arange(length) / pitch).astype(int)
        low[..., peaks] = np.fmin(low[..., peaks], values)
        high[..., peaks] = np.fmax(high[..., peaks], values)
    return low, high


def _between(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    before = np.floor(positions).astype(int)
    after = np.minimum(before + 1, values.shape[-1] - 1)
    share = (positions - before).astype(values.dtype)
    return np.asarray(values[..., before] * (1 - share) + values[..., after] * share)


def panels(height: int, width: int, *, leading: tuple[int, ...], scale: Scale) -> np.ndarray:
    """Empty panels `(*leading, height, width)` with the line of zero."""
    ground = np.full((*leading, height, width), palette.PANEL, np.uint8)
    zero = _rows(np.zeros(1, np.float32), Scale(1.0, scale.signed), height)[0]
    ground[..., zero : zero + LINE, :] = palette.ZERO_LINE
    return ground


def draw_curves(
    ground: np.ndarray, values: np.ndarray, scale: Scale, *, colour: int | np.ndarray = palette.CURVES[0]
) -> np.ndarray:
    """Draw one curve into each panel, in lines of 2 pixels.

    Args:
        ground: the panels `(..., height, width)`, for example those of `panels`; they are not changed.
        values: `(..., time)`, floats. NaN leave a gap with a mark at the bottom, infinities one at their end.
        scale: the range; its limit broadcasts against `values`.
        colour: the line's index, or one a panel.

    Returns:
        A copy of the panels with the curves.
    """
    height, width = ground.shape[-2:]
    columns = curve_columns(width)
    finite = np.isfinite(values)
    strange = not finite.all()
    with np.errstate(invalid="ignore"):
        low, high = envelope(np.where(finite, values, np.nan) if strange else values, columns)
    top, bottom = _rows(high, scale, height), _rows(low, scale, height) + LINE - 1
    rows = np.arange(height, dtype=top.dtype)[:, None]
    drawn = (rows >= top[..., None, :]) & (rows <= bottom[..., None, :])
    if strange:
        drawn &= ~np.isnan(low)[..., None, :]
    result = ground.copy()
    part = result[..., : columns * LINE].reshape(*ground.shape[:-1], columns, LINE)
    index = np.asarray(colour, np.uint8)
    np.copyto(part, index.reshape(*index.shape, 1, 1, 1), where=drawn[..., None])
    if strange:
        for mark, found, rows_marked in (
            (palette.NOT_A_NUMBER, np.isnan(values), slice(-3 * LINE, None)),
            (palette.MINUS_INFINITY, values == -np.inf, slice(-3 * LINE, None)),
            (palette.PLUS_INFINITY, values == np.inf, slice(0, 3 * LINE)),
        ):
            held = envelope(found.astype(np.float32), columns)[1] > 0
            target = part[..., rows_marked, :, :]
            np.copyto(target, np.uint8(mark), where=held[..., None, :, None])
    result[..., : columns * LINE] = part.reshape(*ground.shape[:-1], columns * LINE)
    return result


def _rows(values: np.ndarray, scale: Scale, height: int) -> np.ndarray:
    """The upper row of a line of 2 pixels at each value; the largest value is row 0."""
    limit = np.where(np.asarray(scale.limit) == 0, 1, scale.limit).astype(values.dtype)
    share = np.clip(values / limit, -1 if scale.signed else 0, 1)
    from_top = (1 - share) / 2 if scale.signed else 1 - share
    return np.asarray(np.rint(np.nan_to_num(from_top) * (height - LINE)), np.int16)
