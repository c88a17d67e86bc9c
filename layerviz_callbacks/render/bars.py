"""Vectors as bars, all of a sheet at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.layout import Tiles
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line, measure

LINE = 2


SMALLEST_PITCH = 5
LARGEST_PITCH = 48


def fit_bars(count: int, width: int, height: int) -> Tiles | None:
    """The widest bars that fit; None where none do. A tile is a bar with the gap at its right."""
    pitch = min(LARGEST_PITCH, (width + LINE) // count)
    if pitch < SMALLEST_PITCH or height < 40 + LINE_HEIGHT:
        return None
    return Tiles(count, 1, min(height, 130), pitch)


def draw_bars(
    values: np.ndarray,
    scale: Scale,
    *,
    tiles: Tiles,
    dead: np.ndarray | None = None,
    saturated: np.ndarray | None = None,
    numbers: Sequence[int] | None = None,
) -> np.ndarray:
    """The bars of `plain_bars`, as `fit_bars` laid them out, with `numbers` under them where they fit.

    Returns:
        `(..., tiles.height, width)`, uint8
    """
    gap = 2 if tiles.width < 12 else 4
    names = [str(number) for number in (range(values.shape[-1]) if numbers is None else numbers)]
    numbered = tiles.width >= max(measure(name) for name in names) + 4
    height = tiles.height - (LINE_HEIGHT if numbered else 0)
    bars = plain_bars(
        values, scale, height=height, bar=tiles.width - gap, gap=gap, dead=dead, saturated=saturated
    )
    if not numbered:
        return bars
    line = np.full((LINE_HEIGHT, bars.shape[-1]), palette.PAPER, np.uint8)
    for place, name in enumerate(names):
        number = draw_line(name, faded=True, width=tiles.width)
        left = place * tiles.width + max(0, (tiles.width - gap - number.shape[1]) // 2)
        number = number[:, : line.shape[1] - left]
        line[:, left : left + number.shape[1]] = number
    below = np.broadcast_to(line, (*bars.shape[:-2], *line.shape))
    return np.concatenate([bars, below], axis=-2)


def plain_bars(
    values: np.ndarray,
    scale: Scale,
    *,
    height: int,
    bar: int,
    gap: int,
    dead: np.ndarray | None = None,
    saturated: np.ndarray | None = None,
) -> np.ndarray:
    """Draw each vector as a row of bars that stand on the line of zero.

    Args:
        values: `(..., count)`, floats. NaN and infinities are bars over the full height in their own colour.
        scale: the range; its limit broadcasts against `values`.
        height: pixels.
        bar: width of a bar in pixels.
        gap: pixels between bars.
        dead: `(count,)`: these are marked on the line of zero.
        saturated: `(count,)`: these have a cap at the top.

    Returns:
        `(..., height, count * (bar + gap) - gap)`, uint8

    Example:
        >>> plain_bars(np.array([1.0, 0.0]), Scale(1.0, signed=False), height=4, bar=1, gap=1)
        array([[246, 245, 245],
               [246, 245, 245],
               [244, 244, 244],
               [244, 244, 244]], dtype=uint8)
    """
    limit = np.where(np.asarray(scale.limit) == 0, 1, scale.limit).astype(values.dtype)
    with np.errstate(invalid="ignore"):
        share = np.nan_to_num(np.clip(values / limit, -1 if scale.signed else 0, 1))
    room = height - LINE
    zero = room // 2 if scale.signed else room
    span = room // 2 if scale.signed else room
    rows = np.arange(height)[:, None]
    ends = zero - np.rint(share * span).astype(int)[..., None, :]
    above = (rows >= ends) & (rows < zero)
    below = (rows < ends + LINE) & (rows >= zero + LINE)
    cells = np.full((*values.shape[:-1], height, values.shape[-1]), palette.PANEL, np.uint8)
    cells[above] = palette.CURVES[0]
    cells[below] = palette.CURVES[1]
    for mark, found in (
        (palette.NOT_A_NUMBER, np.isnan(values)),
        (palette.PLUS_INFINITY, values == np.inf),
        (palette.MINUS_INFINITY, values == -np.inf),
    ):
        np.copyto(cells, np.uint8(mark), where=found[..., None, :])
    if dead is not None:
        cells[..., max(0, zero - 2 * LINE) : zero + LINE, dead] = palette.DEAD
    if saturated is not None:
        cells[..., : 3 * LINE, saturated] = palette.DEAD
    wide = np.full((*cells.shape, bar + gap), palette.PANEL, np.uint8)
    wide[..., :bar] = cells[..., None]
    drawn = wide.reshape(*cells.shape[:-1], -1)
    if gap:
        drawn = drawn[..., :-gap]
    line = drawn[..., zero : zero + LINE, :]
    line[line == palette.PANEL] = palette.ZERO_LINE
    return drawn
