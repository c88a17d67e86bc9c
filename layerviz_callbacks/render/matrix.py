"""A matrix of weights: rows out, columns in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.grid import enlarge
from layerviz_callbacks.render.layout import CONTENT_WIDTH
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line, measure

_LABEL_GAP = 6
GREATEST_HEIGHT = 560
GREATEST_WIDTH = CONTENT_WIDTH - measure("out") - _LABEL_GAP
LARGEST_CELL = 48
SMALLEST_CELL = 2
"""Pixels of a cell, so that none is lost where the sheet is shown at half its size."""


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


def fit_matrix(rows: int, columns: int) -> MatrixFit:
    """The factors for a matrix of `rows` x `columns`: as large as fits, cells not much longer than wide.

    Example:
        >>> fit_matrix(128, 3136)
        MatrixFit(reduce_rows=1, reduce_columns=10, cell_height=4, cell_width=2)
    """
    reduce_rows, cell_height = _fit_axis(rows, GREATEST_HEIGHT)
    reduce_columns, cell_width = _fit_axis(columns, GREATEST_WIDTH)
    cell_height = min(cell_height, max(cell_width, 16))
    cell_width = min(cell_width, max(cell_height, 16))
    return MatrixFit(reduce_rows, reduce_columns, cell_height, cell_width)


def _fit_axis(length: int, room: int) -> tuple[int, int]:
    reduce = -(-length * SMALLEST_CELL // room)
    return reduce, min(LARGEST_CELL, room // -(-length // reduce))


def draw_matrix(levels: np.ndarray, fitted: MatrixFit) -> np.ndarray:
    """Enlarge the levels `(rows, columns)` and write "in" along the columns and "out" along the rows."""
    cells = enlarge(levels, (fitted.cell_height, fitted.cell_width))
    beside = draw_line("out", faded=True)
    above = draw_line("in", faded=True)
    left = beside.shape[1] + _LABEL_GAP
    height = LINE_HEIGHT + max(cells.shape[0], LINE_HEIGHT)
    drawn = np.full((height, left + max(cells.shape[1], above.shape[1])), palette.PAPER, np.uint8)
    drawn[:LINE_HEIGHT, left : left + above.shape[1]] = above
    drawn[LINE_HEIGHT : 2 * LINE_HEIGHT, : beside.shape[1]] = beside
    drawn[LINE_HEIGHT : LINE_HEIGHT + cells.shape[0], left : left + cells.shape[1]] = cells
    return drawn
