"""Blocks of rows, each a name, a bar and a value: for classes and for numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.layout import BODY_HEIGHT, BODY_HEIGHTS, CONTENT_WIDTH, FLAT_BODY_HEIGHT
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line

BLOCK_GAP = 14
GAP = 8
BAR = 22
"""Pixels a bar is high."""
SHORTEST_BAR = 46
SIDE = 88
"""Pixels a picture of the input is wide and high at most."""
PLAIN = 254
MARKED = palette.CURVES[0]


@dataclass(frozen=True)
class Row:
    """One line of a block.

    Attributes:
        name: at the left.
        value: at the right, in words.
        begin: where the bar begins, from 0 to 1; NaN: there is none.
        end: where it ends.
        tick: where a mark stands across the bar; None: there is none.
        marked: name and value are bold, and the bar is in colour.
        coloured: its bar alone is in colour.
        strange: the bar is all of this colour, for NaN and infinities; 0: it is not.
    """

    name: str
    value: str
    begin: float
    end: float
    tick: float | None = None
    marked: bool = False
    coloured: bool = False
    strange: int = 0


@dataclass(frozen=True)
class RowSheet:
    """How many blocks of how many rows fit."""

    samples: int
    columns: int
    block: int
    rows: int
    side: int

    @property
    def block_height(self) -> int:
        """With the name, without the gap below."""
        return LINE_HEIGHT + max(self.rows * LINE_HEIGHT, self.side)


def fit_row_sheet(*, samples: int, rows: int, side: bool, wide: bool = False) -> RowSheet:
    """One column of blocks where all is flat, else two; of many samples, the first that fit.

    Args:
        samples: how many blocks.
        rows: of each block.
        side: whether there is a picture of the input at their left.
        wide: one column even where that is high, for long names and values.

    Example:
        >>> fit_row_sheet(samples=8, rows=3, side=True).columns
        2
    """
    for columns, limit in (
        (1, BODY_HEIGHT if wide else FLAT_BODY_HEIGHT),
        (2, BODY_HEIGHTS[1]),
        (2, BODY_HEIGHTS[-1]),
    ):
        fitted = _fitted(samples, columns, rows, side=side)
        if _height(fitted) <= limit:
            return fitted
    while _height(fitted) > BODY_HEIGHTS[-1] and samples > 1:
        samples = -(-samples // 2)
        fitted = _fitted(samples, min(2, samples), rows, side=side)
    return fitted


def draw_row_sheet(
    fitted: RowSheet,
    blocks: Sequence[Sequence[Row]],
    names: Sequence[str],
    said: Sequence[tuple[str, bool]] = (),
    beside: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """The body `(height, 684)`.

    Args:
        fitted: as `fit_row_sheet` found it.
        blocks: the rows of each block.
        names: of the samples.
        said: what stands at the right end of the line of each name, and whether in bold; or nothing.
        beside: a small picture a block; or none.
    """
    body = np.full((_height(fitted), CONTENT_WIDTH), palette.PAPER, np.uint8)
    every = [row for rows in blocks for row in rows]
    widest = max(draw_line(row.value, bold=row.marked).shape[1] for row in every)
    named = max(draw_line(row.name, bold=row.marked).shape[1] for row in every)
    for place, rows in enumerate(blocks):
        top = place // fitted.columns * (fitted.block_height + BLOCK_GAP)
        left = place % fitted.columns * (fitted.block + BLOCK_GAP)
        kept = 0
        if said:
            words, bold = said[place]
            right = draw_line(words, bold=bold, width=fitted.block * 2 // 3)
            kept = right.shape[1] + GAP
            _paste(body, right, top, left + fitted.block - right.shape[1])
        _paste(body, draw_line(names[place], width=fitted.block - kept), top, left)
        if beside:
            _paste(body, beside[place], top + LINE_HEIGHT, left)
        indent = fitted.side + GAP if fitted.side else 0
        for number, row in enumerate(rows):
            line = _row(row, fitted.block - indent, name_width=named, value_width=widest)
            _paste(body, line, top + LINE_HEIGHT * (number + 1), left + indent)
    return body


def _row(row: Row, width: int, *, name_width: int, value_width: int) -> np.ndarray:
    line = np.full((LINE_HEIGHT, width), palette.PAPER, np.uint8)
    name_width = min(name_width, width - value_width - 2 * GAP - SHORTEST_BAR)
    _paste(line, draw_line(row.name, bold=row.marked, width=name_width), 0, 0)
    value = draw_line(row.value, bold=row.marked, width=value_width)
    _paste(line, value, 0, width - value.shape[1])
    left, right = name_width + GAP, width - value_width - GAP
    top = (LINE_HEIGHT - BAR) // 2
    room = right - left
    bar = line[top : top + BAR, left:right]
    bar[:] = row.strange or palette.PANEL
    if not row.strange and np.isfinite(row.begin) and np.isfinite(row.end):
        ends = sorted(round(float(np.clip(end, 0, 1)) * room) for end in (row.begin, row.end))
        bar[:, ends[0] : max(ends[1], ends[0] + 2)] = MARKED if row.marked or row.coloured else PLAIN
    if row.tick is not None and np.isfinite(row.tick):
        middle = min(max(2, round(row.tick * room)), room - 2)
        line[top - 4 : top + BAR + 4, left + middle - 2 : left + middle + 2] = palette.INK
    return line


def _fitted(samples: int, columns: int, rows: int, *, side: bool) -> RowSheet:
    block = (CONTENT_WIDTH + BLOCK_GAP) // columns - BLOCK_GAP
    return RowSheet(samples, columns, block, rows, SIDE if side else 0)


def _height(fitted: RowSheet) -> int:
    return -(-fitted.samples // fitted.columns) * (fitted.block_height + BLOCK_GAP) - BLOCK_GAP


def _paste(body: np.ndarray, part: np.ndarray, top: int, left: int) -> None:
    body[top : top + part.shape[0], left : left + part.shape[1]] = part[:, : body.shape[1] - left]
