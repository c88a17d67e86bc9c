"""Small curves, all of a sheet at once."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.scale import Scale

_FEW = 8
_AT_ONCE = 1 << 16
"""So many values of a mask at once: what is made on the way stays in the processor's cache."""
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
        low, high = _extremes(values, starts)
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


def _extremes(values: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value from each start to the next; NaN are left out."""
    pitch, rest = divmod(values.shape[-1], len(starts))
    if rest or pitch > _FEW:
        return np.fmin.reduceat(values, starts, axis=-1), np.fmax.reduceat(values, starts, axis=-1)
    low = high = values[..., ::pitch]
    for place in range(1, pitch):  # a few additions of strided views: several times faster than reduceat
        part = values[..., place::pitch]
        low, high = np.fmin(low, part), np.fmax(high, part)
    return low, high


def _between(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    before = np.floor(positions).astype(int)
    after = np.minimum(before + 1, values.shape[-1] - 1)
    share = (positions - before).astype(values.dtype)
    return np.asarray(values[..., before] * (1 - share) + values[..., after] * share)


def panels(height: int, width: int, *, leading: tuple[int, ...], scale: Scale) -> np.ndarray:
    """Empty panels `(*leading, height, width)` with the line of zero; all are the same memory, read-only."""
    ground = np.full((height, width), palette.PANEL, np.uint8)
    zero = int(_rows(np.zeros(1, np.float32), Scale(1.0, scale.signed), height)[0])
    ground[zero : zero + LINE] = palette.ZERO_LINE
    return np.broadcast_to(ground, (*leading, height, width))


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
    with np.errstate(invalid="ignore", over="ignore"):
        finite = None if np.isfinite(values.sum()) else np.isfinite(values)
    strange = finite is not None and not finite.all()
    shown = values if finite is None else np.where(finite, values, np.nan)
    with np.errstate(invalid="ignore"):
        low, high = envelope(shown, columns)
    top = _rows(high, scale, height)
    reach = _rows(low, scale, height) + (LINE - 1) - top
    result = _lines(ground, top, reach, np.isnan(low) if strange else None, np.asarray(colour, np.uint8))
    if strange:
        _mark_strange(result, values, columns)
    return result


def fill_to_zero(
    ground: np.ndarray, values: np.ndarray, scale: Scale, *, colour: int, edge: int
) -> np.ndarray:
    """Fill what lies between one curve in each panel and the line of zero.

    Args:
        ground: the panels `(..., height, width)`; they are not changed.
        values: `(..., time)`, floats; nothing is filled where they are not finite.
        scale: the range; its limit broadcasts against `values`.
        colour: the index of the area.
        edge: the index of the curve itself, where it is away from zero.

    Returns:
        A copy of the panels.
    """
    height, width = ground.shape[-2:]
    columns = curve_columns(width)
    shown = np.where(np.isfinite(values), values, np.nan)
    with np.errstate(invalid="ignore"):
        low, high = envelope(shown, columns)
    zero = int(_rows(np.zeros(1, np.float32), Scale(1.0, scale.signed), height)[0])
    top = np.minimum(_rows(high, scale, height), zero)
    bottom = np.maximum(_rows(low, scale, height), zero)
    flat = np.isnan(low) | (top == bottom)
    under = np.where(bottom == zero, zero - 1, bottom + LINE - 1)  # the line of zero stays
    over = np.where(top == zero, zero + LINE, top)
    filled = _lines(ground, over, under - over, flat, np.asarray(colour, np.uint8))
    lined = draw_curves(filled, shown, scale, colour=edge)
    away = np.zeros((*flat.shape[:-1], width), bool)
    away[..., : columns * LINE] = np.repeat(~flat, LINE, axis=-1)
    return np.where(away[..., None, :] & (lined == edge), lined, filled)


def _lines(
    ground: np.ndarray, top: np.ndarray, reach: np.ndarray, without: np.ndarray | None, colour: np.ndarray
) -> np.ndarray:
    """A copy of the panels with, in each column of pixels, a line from `top` on, `reach` rows further down.

    Args:
        ground: `(..., height, width)`, uint8.
        top: `(..., column)`, rows.
        reach: `(..., column)`, rows.
        without: `(..., column)`: where there is no line; None: nowhere.
        colour: the index, or one a panel.
    """
    *leading, height, width = ground.shape
    columns, unsigned = top.shape[-1], np.uint8 if height <= 256 else np.uint16
    count = int(np.prod(leading))

    def each_panel(values: np.ndarray, *shape: int) -> np.ndarray:
        return np.broadcast_to(values, (*leading, *shape)).reshape(count, *shape)

    top, reach = (each_panel(rows.astype(unsigned), columns)[:, None] for rows in (top, reach))
    gaps = None if without is None else each_panel(without, columns)[:, None]
    pair = each_panel(colour)[:, None, None] * np.uint16(257)
    result = np.empty((count, height, width), np.uint8)
    standing = ground.reshape(count, height, width)
    result[..., columns * LINE :] = standing[..., columns * LINE :]
    # a column is two pixels wide: one number of 16 bits
    under, over = (array[..., : columns * LINE].view(np.uint16) for array in (standing, result))
    rows = np.arange(height, dtype=unsigned)[:, None]
    step = max(1, _AT_ONCE // (height * columns))
    for first in range(0, count, step):
        some = slice(first, first + step)
        drawn = rows - top[some] <= reach[some]  # rows above the line wrap round to great numbers
        if gaps is not None:
            drawn &= ~gaps[some]
        np.bitwise_xor(under[some], pair[some], out=over[some])
        over[some] *= drawn
        over[some] ^= under[some]
    return result.reshape(ground.shape)


def _mark_strange(panels: np.ndarray, values: np.ndarray, columns: int) -> None:
    """Mark NaN at the bottom, infinities at their end."""
    for mark, found, rows in (
        (palette.NOT_A_NUMBER, np.isnan(values), slice(-3 * LINE, None)),
        (palette.MINUS_INFINITY, values == -np.inf, slice(-3 * LINE, None)),
        (palette.PLUS_INFINITY, values == np.inf, slice(0, 3 * LINE)),
    ):
        held = np.repeat(envelope(found.astype(np.float32), columns)[1] > 0, LINE, axis=-1)
        np.copyto(panels[..., rows, : columns * LINE], np.uint8(mark), where=held[..., None, :])


def _rows(values: np.ndarray, scale: Scale, height: int) -> np.ndarray:
    """The upper row of a line of 2 pixels at each value; the largest value is row 0, NaN too."""
    limit = np.where(np.asarray(scale.limit) == 0, 1, scale.limit).astype(values.dtype)
    share = values / limit
    np.clip(share, -1 if scale.signed else 0, 1, out=share)
    np.subtract(1, share, out=share)
    if scale.signed:
        share /= 2
    share *= height - LINE
    np.rint(share, out=share)
    np.copyto(share, 0, where=np.isnan(share))
    return np.asarray(share, np.int16)
