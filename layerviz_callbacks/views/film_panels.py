"""The small picture of one channel at one step, by what it is."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.colour import signed_colours
from layerviz_callbacks.render.curve import draw_curves, panels
from layerviz_callbacks.render.grid import enlarge
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line
from layerviz_callbacks.views.film_palette import (
    FIRST_UNSIGNED,
    SIGNED_CENTRE,
    film_indices,
    in_film_palette,
)

CURVE_HEIGHT = 48
LARGEST_CELL = 24
TALLEST_CELLS = 320
"""Pixels that all units of a vector are high together."""
SMALLEST_CELL = 2
NARROWEST = 8
"""Pixels that a tile is wide and high at least."""
_START = palette.INK + 9
"""The grey of the curve of the first step."""


class Panels(Protocol):
    """How the channels of one kind are drawn.

    Attributes:
        row_gap: pixels between rows.
        coloured: panels are in red, green and blue.
        crossed: what is the same everywhere is crossed out.
    """

    row_gap: int
    coloured: bool
    crossed: bool

    def draw(self, values: np.ndarray, scale: Scale, start: np.ndarray | None = None) -> np.ndarray:
        """Panels `(count, height, width)` in `film_palette`, or `(count, height, width, 3)` in colours.

        Args:
            values: `(count, *shape)`.
            scale: the range.
            start: the same at the first step, which is drawn behind where panels can show both.
        """

    def size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of the panel of one channel of this shape."""

    def key(self, scale: Scale) -> np.ndarray:
        """How to read the values."""

    def ground(self, scale: Scale) -> int:
        """What a cross stands on."""

    def change(self) -> Panels:
        """How the magnitude of a change is drawn."""


class TilePanels:
    """Maps `(height, width)`: tiles.

    Args:
        side: pixels that the longer side has, about.
    """

    row_gap = 4
    coloured = False
    crossed = True

    def __init__(self, side: int) -> None:
        self._side = side

    def size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """See `Panels`."""
        rows, columns = self._factors(shape)
        return shape[-2] * rows, shape[-1] * columns

    def draw(self, values: np.ndarray, scale: Scale, start: np.ndarray | None = None) -> np.ndarray:
        """See `Panels`."""
        return enlarge(film_indices(values, scale), self._factors(values.shape))

    def key(self, scale: Scale) -> np.ndarray:
        """See `Panels`."""
        return colour_bar(scale)

    def ground(self, scale: Scale) -> int:
        """See `Panels`."""
        return _ground_of(scale)

    def change(self) -> Panels:
        """See `Panels`."""
        return TilePanels(self._side)

    def _factors(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """By how much a map is enlarged: the same in both directions, unless it is a narrow strip."""
        factor = max(1, round(self._side / max(shape[-2:])))
        rows, columns = (max(factor, -(-NARROWEST // length)) for length in shape[-2:])
        return rows, columns


class ColourPanels(TilePanels):
    """Maps `(3, height, width)` of weights for red, green and blue: coloured tiles."""

    coloured = True

    def draw(self, values: np.ndarray, scale: Scale, start: np.ndarray | None = None) -> np.ndarray:
        """See `Panels`."""
        colours = signed_colours(values, scale)
        return np.moveaxis(enlarge(colours, self._factors(values.shape)), 1, -1)

    def key(self, scale: Scale) -> np.ndarray:
        """See `Panels`."""
        return draw_line("from {} to {}, grey = 0".format(*sheet.range_words(scale)))


class CurvePanels:
    """Curves `(component, time)` or `(time,)`: the curve, and behind it in grey that of the first step.

    Args:
        width: pixels of a panel.
        height: pixels of a panel.
    """

    row_gap = 4
    coloured = False
    crossed = True

    def __init__(self, width: int, height: int = CURVE_HEIGHT) -> None:
        self._width = width
        self._height = height

    def size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """See `Panels`."""
        return self._height, self._width

    def draw(self, values: np.ndarray, scale: Scale, start: np.ndarray | None = None) -> np.ndarray:
        """See `Panels`."""
        curves = values[:, None] if values.ndim == 2 else values
        drawn = panels(self._height, self._width, leading=(len(values),), scale=scale)
        if start is not None and curves.shape[1] == 1:
            grey = np.nan_to_num(start.reshape(len(start), -1), posinf=0, neginf=0)
            drawn = draw_curves(drawn, grey, scale, colour=_START)
        for place in range(curves.shape[1] - 1, -1, -1):
            drawn = draw_curves(drawn, curves[:, place], scale, colour=palette.CURVES[place])
        return drawn

    def key(self, scale: Scale) -> np.ndarray:
        """See `Panels`."""
        return draw_line("from {} to {}".format(*sheet.range_words(scale)))

    def ground(self, scale: Scale) -> int:
        """See `Panels`."""
        return palette.PANEL

    def change(self) -> Panels:
        """See `Panels`."""
        return CurvePanels(self._width, self._height)


class CellPanels:
    """Single numbers, the units of a vector: cells.

    Args:
        units: how many there are.
        width: pixels of a cell.
        height: pixels that all cells are high together, at most.
    """

    coloured = False
    crossed = False

    def __init__(self, units: int, width: int, height: int = TALLEST_CELLS) -> None:
        self._units = units
        self._width = width
        self._room = height
        self._height = max(SMALLEST_CELL, min(LARGEST_CELL, height // units))
        self.row_gap = 2 if self._height >= LARGEST_CELL // 2 else 0

    def size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """See `Panels`."""
        return self._height - self.row_gap, self._width

    def draw(self, values: np.ndarray, scale: Scale, start: np.ndarray | None = None) -> np.ndarray:
        """See `Panels`."""
        height, width = self.size(())
        return enlarge(film_indices(values, scale)[:, None, None], (height, width))

    def key(self, scale: Scale) -> np.ndarray:
        """See `Panels`."""
        return colour_bar(scale)

    def ground(self, scale: Scale) -> int:
        """See `Panels`."""
        return _ground_of(scale)

    def change(self) -> Panels:
        """See `Panels`."""
        return CellPanels(self._units, self._width, self._room // 2)


class MatrixPanels:
    """Matrices `(row, column)`: small pictures of all weights.

    Args:
        width: pixels at most.
        height: pixels at most.
    """

    row_gap = 4
    coloured = False
    crossed = True

    def __init__(self, width: int, height: int = 144) -> None:
        self._room = height, width

    def size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """See `Panels`."""
        rows, columns = self._cell(shape)
        return shape[-2] * rows, shape[-1] * columns

    def draw(self, values: np.ndarray, scale: Scale, start: np.ndarray | None = None) -> np.ndarray:
        """See `Panels`."""
        return enlarge(film_indices(values, scale), self._cell(values.shape))

    def key(self, scale: Scale) -> np.ndarray:
        """See `Panels`."""
        return colour_bar(scale)

    def ground(self, scale: Scale) -> int:
        """See `Panels`."""
        return _ground_of(scale)

    def change(self) -> Panels:
        """See `Panels`."""
        return self

    def _cell(self, shape: tuple[int, ...]) -> tuple[int, int]:
        height, width = (
            max(SMALLEST_CELL, min(LARGEST_CELL, room // length))
            for room, length in zip(self._room, shape[-2:], strict=True)
        )
        return min(height, max(width, 16)), min(width, max(height, 16))


def _ground_of(scale: Scale) -> int:
    return SIGNED_CENTRE if scale.signed else FIRST_UNSIGNED


def colour_bar(scale: Scale) -> np.ndarray:
    """The range with a bar of every level in `film_palette`, one column of pixels each."""
    low, high = sheet.range_words(scale)
    return sheet.row([draw_line(low), _bar(signed=scale.signed), draw_line(high)], gap=6, width=None)


@lru_cache(maxsize=2)
def _bar(*, signed: bool) -> np.ndarray:
    bar = np.full((LINE_HEIGHT, palette.LEVELS // 2), palette.PAPER, np.uint8)
    bar[8:26] = in_film_palette(np.arange(0, palette.LEVELS, 2, dtype=np.uint8), signed=signed)
    bar.setflags(write=False)
    return bar
