"""Tiles of one size under a word each, in a block a sample: the heads of an attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.blocks import BLOCK_GAP, Blocks, draw_blocks
from layerviz_callbacks.render.grid import GAP, STRIP_GAP, enlarge, grid
from layerviz_callbacks.render.layout import CONTENT_WIDTH, FULL_WIDTH_FROM, Tiles
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line, measure

BODY_HEIGHTS = (400, 780, 1000)
FLAT_SHARE = 0.7
"""A body is laid out flat where its tiles keep this share of the side they have on the next higher one that
leaves no more of the sheet's width unused, or little."""
LARGEST_TILE = 320
LEGIBLE_SIDE = 80
"""Pixels a tile has on its longer side, at least; one of few cells has `LEGIBLE_CELL` a cell."""
LEGIBLE_CELL = 5
SMALLEST_CELL = 2
"""Pixels of a cell, so that none is lost where the sheet is shown at half its size."""
LARGEST_CELL = 48
LOWEST_TILE = 16


@dataclass(frozen=True)
class HeadTiles:
    """Where tiles stand, and how maps are brought to their size: by whole factors.

    Attributes:
        blocks: a block a sample; a tile of it has its word above.
        reduce: how many rows, and columns, of a map are joined into one.
        cell: pixels of a cell, down and across.
        slices: how many maps stand side by side in one tile.
    """

    blocks: Blocks
    reduce: tuple[int, int]
    cell: tuple[int, int]
    slices: int = 1

    @property
    def height(self) -> int:
        """Of a map, in pixels."""
        return self.blocks.tiles.height - LINE_HEIGHT

    @property
    def width(self) -> int:
        """Of a map, in pixels."""
        return (self.blocks.tiles.width + STRIP_GAP) // self.slices - STRIP_GAP

    @property
    def side(self) -> float:
        """Of a square as large as a map, in pixels."""
        return float((self.height * self.width) ** 0.5)


@lru_cache(maxsize=256)
def fit_head_tiles(
    size: tuple[int, int],
    *,
    samples: int,
    heads: int,
    further: int = 0,
    aspect: float | None = None,
    slices: int = 1,
) -> HeadTiles:
    """The largest tiles for these maps; where they could not be read, fewer heads, then fewer samples.

    Args:
        size: rows and columns of a map.
        samples: how many blocks.
        heads: how many heads a block.
        further: how many further tiles a block.
        aspect: how high a map is, relative to its width; None: its cells are square, as far as that serves.
        slices: how many maps stand side by side in one tile.

    Example:
        >>> fitted = fit_head_tiles((197, 197), samples=4, heads=12)
        >>> fitted.blocks.count, fitted.reduce
        (12, (5, 5))
    """
    wanted = _wanted(size, aspect, slices)
    while True:
        fitted = _fitted(wanted, samples, heads + further)
        if fitted is not None:
            return fitted
        if heads > 1:
            heads = -(-heads // 2)
        elif samples > 1:
            samples = -(-samples // 2)
        else:  # a map of an odd shape: as large as it may be
            return _fitted(replace(wanted, least=0), 1, 1 + further) or _smallest(wanted, 1 + further)


def draw_head_tiles(
    levels: np.ndarray, fitted: HeadTiles, words: Sequence[str], names: Sequence[str]
) -> np.ndarray:
    """The body `(height, width)`.

    Args:
        levels: palette indices `(sample, tile, height, width)`, in pixels of the tiles.
        fitted: as `fit_head_tiles` found it.
        words: above each tile; "head 3" is "h3" where there is no room.
        names: of the samples.
    """
    tiles = fitted.blocks.tiles
    samples, count = levels.shape[:2]
    if max(measure(word) for word in words) > tiles.width:
        words = [_short(word) for word in words]
    labelled = np.full((samples, count, tiles.height, tiles.width), palette.PAPER, np.uint8)
    for place, word in enumerate(words):
        line = draw_line(word, faded=True, width=tiles.width)
        labelled[:, place, :LINE_HEIGHT, : line.shape[1]] = line
    labelled[:, :, LINE_HEIGHT : LINE_HEIGHT + levels.shape[2], : levels.shape[3]] = levels
    return draw_blocks(grid(labelled, tiles.columns), fitted.blocks, names)


def _short(word: str) -> str:
    first, _, last = word.rpartition(" ")
    return f"{first[:1]}{last}" if first else word


def enlarged(levels: np.ndarray, fitted: HeadTiles) -> np.ndarray:
    """Maps of as many cells as fit, in pixels."""
    return enlarge(levels, fitted.cell)


def largest_of_blocks(values: np.ndarray, factors: tuple[int, int]) -> np.ndarray:
    """Reduce the last two axes: each cell is the value of largest magnitude of a block; NaN is kept.

    A line one value wide keeps its height, which in a block's mean it would lose.

    Example:
        >>> largest_of_blocks(np.array([[0.0, 0.9, 0.1], [-1.0, 0.0, 0.2]]), (2, 2))
        array([[-1. ,  0.2]])
    """
    for axis, factor in zip((-2, -1), factors, strict=True):
        if factor > 1:
            starts = np.arange(0, values.shape[axis], factor)
            high = np.maximum.reduceat(values, starts, axis=axis)
            low = np.minimum.reduceat(values, starts, axis=axis)
            values = np.where(-low > high, low, high)
    return values


@dataclass(frozen=True)
class _Wanted:
    """Rows and columns of a map, its height relative to its width, maps a tile, and the least longer side."""

    size: tuple[int, int]
    aspect: float
    slices: int
    least: int = LEGIBLE_SIDE


def _wanted(size: tuple[int, int], aspect: float | None = None, slices: int = 1) -> _Wanted:
    return _Wanted(size, min(3.0, max(0.125, aspect or size[0] / size[1])), slices)


def _fitted(wanted: _Wanted, samples: int, count: int) -> HeadTiles | None:
    tried = [_largest(wanted, samples, count, greatest) for greatest in BODY_HEIGHTS]
    found = [tiles for tiles in tried if tiles is not None]
    if not found:
        return None
    flat, *others = found
    enough = min(FULL_WIDTH_FROM, flat.blocks.used)
    higher = [tiles for tiles in others if tiles.blocks.used >= enough]
    return flat if not higher or flat.side >= FLAT_SHARE * higher[0].side else higher[0]


def _largest(wanted: _Wanted, samples: int, count: int, greatest: int) -> HeadTiles | None:
    """The largest tiles in a body of at most this height."""
    tried = [
        _tiles(wanted, samples, count, columns=columns, across=across, greatest=greatest)
        for columns in range(1, samples + 1)
        for across in range(1, count + 1)
    ]
    return max((tiles for tiles in tried if tiles is not None), key=lambda tiles: tiles.side, default=None)


def _tiles(
    wanted: _Wanted, samples: int, count: int, *, columns: int, across: int, greatest: int
) -> HeadTiles | None:
    """Tiles in rows of `across`, blocks in rows of `columns`; None where they could not be read."""
    block = (CONTENT_WIDTH + BLOCK_GAP) // columns - BLOCK_GAP
    room_across = ((block + GAP) // across - GAP + STRIP_GAP) // wanted.slices - STRIP_GAP
    room = (greatest + BLOCK_GAP) // -(-samples // columns) - BLOCK_GAP - LINE_HEIGHT
    room_down = (room + GAP) // -(-count // across) - GAP - LINE_HEIGHT
    widest = LARGEST_TILE * min(1.0, 1 / wanted.aspect) if wanted.aspect > 0.5 else 2 * LARGEST_TILE
    width = int(min(room_across, room_down / wanted.aspect, widest))
    height = max(LOWEST_TILE, round(width * wanted.aspect))
    if width < LOWEST_TILE or height > room_down:
        return None
    fitted = _snapped(
        wanted, (height, width), Blocks(columns, block, 0, Tiles(across, 0, 0, 0), samples, count)
    )
    legible = min(wanted.least, max(2 * LOWEST_TILE, LEGIBLE_CELL * max(wanted.size)))
    return fitted if max(fitted.height, wanted.slices * fitted.width) >= legible else None


def _snapped(wanted: _Wanted, pixels: tuple[int, int], blocks: Blocks) -> HeadTiles:
    """Tiles of at most so many pixels, by whole factors."""
    reduce, cell, side = [], [], []
    for length, room in zip(wanted.size, pixels, strict=True):
        reduce.append(-(-length // (room // SMALLEST_CELL)))
        cells = -(-length // reduce[-1])
        cell.append(min(LARGEST_CELL, room // cells))
        side.append(cells * cell[-1])
    across, count = blocks.tiles.columns, blocks.count
    width = wanted.slices * (side[1] + STRIP_GAP) - STRIP_GAP
    tiles = Tiles(across, -(-count // across), side[0] + LINE_HEIGHT, width)
    return HeadTiles(replace(blocks, tiles=tiles), (reduce[0], reduce[1]), (cell[0], cell[1]), wanted.slices)


def _smallest(wanted: _Wanted, count: int) -> HeadTiles:
    blocks = Blocks(1, CONTENT_WIDTH, 0, Tiles(1, 0, 0, 0), 1, count)
    return _snapped(wanted, (LOWEST_TILE, LOWEST_TILE), blocks)
