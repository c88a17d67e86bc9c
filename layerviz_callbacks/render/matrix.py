"""A matrix of weights: rows out, columns in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.grid import enlarge
from layerviz_callbacks.render.layout import CONTENT_WIDTH
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line, measure

_LABEL_GAP = 6
GREATEST_HEIGHT = 560
LARGEST_CELL = 48
SMALLEST_CELL = 2
"""Pixels of a cell, so that none is lost where the sheet is shown at half its size."""
GROUP_GAP = 8
"""Pixels between groups of rows."""


@dataclass(frozen=True)
class MatrixFit:
    """How a matrix is brought to size: whole factors, a pair of them in each direction.

    Attributes:
        reduce_rows: rows that are joined into one.
        reduce_columns: columns that are joined into one.
        cell_height: pixels of a cell.
        cell_width: pixels of a cell.
    """

    reduce_rows: int
    reduce_columns: int
    cell_height: int
    cell_width: int


def fit_matrix(rows: int, columns: int, *, groups: int = 1, beside: Sequence[str] = ("out",)) -> MatrixFit:
    """The factors for a matrix of `rows` x `columns`: as large as fits, cells not much longer than wide.

    Args:
        rows: of one group.
        columns: of the matrix.
        groups: how many groups of rows, one under the other.
        beside: the words at the left of the groups.

    Example:
        >>> fit_matrix(128, 3136)
        MatrixFit(reduce_rows=1, reduce_columns=10, cell_height=4, cell_width=2)
    """
    reduce_rows, cell_height = _fit_axis(rows, (GREATEST_HEIGHT + GROUP_GAP) // groups - GROUP_GAP)
    reduce_columns, cell_width = _fit_axis(columns, greatest_width(beside))
    cell_height = min(cell_height, max(cell_width, 16))
    cell_width = min(cell_width, max(cell_height, 16))
    return MatrixFit(reduce_rows, reduce_columns, cell_height, cell_width)


def greatest_width(beside: Sequence[str]) -> int:
    """The pixels that a matrix may be wide, with these words at its left."""
    return CONTENT_WIDTH - max(measure(word) for word in beside) - _LABEL_GAP


def _fit_axis(length: int, room: int) -> tuple[int, int]:
    reduce = -(-length * SMALLEST_CELL // room)
    return reduce, min(LARGEST_CELL, room // -(-length // reduce))


def draw_matrix(
    levels: np.ndarray, fitted: MatrixFit, *, above: str = "in", beside: Sequence[str] = ("out",)
) -> np.ndarray:
    """Enlarge the levels and write words along their columns and rows.

    ```text
            in
    input   cells of the first group
    forget  cells of the second group
    ```

    Args:
        levels: `(group, row, column)`.
        fitted: the factors.
        above: what the columns are.
        beside: what each group of rows is.
    """
    cells = enlarge(levels, (fitted.cell_height, fitted.cell_width))
    head = draw_line(above, faded=True)
    left = max(measure(word) for word in beside) + _LABEL_GAP
    pitch = max(cells.shape[1], LINE_HEIGHT) + GROUP_GAP
    height = LINE_HEIGHT + len(cells) * pitch - GROUP_GAP
    drawn = np.full((height, left + max(cells.shape[2], head.shape[1])), palette.PAPER, np.uint8)
    drawn[:LINE_HEIGHT, left : left + head.shape[1]] = head
    for place, (group, word) in enumerate(zip(cells, beside, strict=True)):
        top = LINE_HEIGHT + place * pitch
        label = draw_line(word, faded=True)
        drawn[top : top + LINE_HEIGHT, : label.shape[1]] = label
        drawn[top : top + group.shape[0], left : left + group.shape[1]] = group
    return drawn
