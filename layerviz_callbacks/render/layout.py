"""How large the parts of a sheet may be, so that all of them fit and are as large as possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from layerviz_callbacks.render.grid import GAP

WIDTH = 700
"""A sheet's width: TensorBoard's card of 350 CSS pixels, twice."""
MARGIN = 8
CONTENT_WIDTH = WIDTH - 2 * MARGIN
FLAT_BODY_HEIGHT = 400
"""The height at which a sheet can still be read on a Time Series card, which is 215 CSS pixels high."""
FLAT_TILE_SHARE = 0.49
"""A sheet is laid out flat where its tiles keep this share of the side they would have on a high sheet."""
BODY_HEIGHT = 780
"""The height that a body is laid out for; with its header about 900."""
BODY_HEIGHTS = (BODY_HEIGHT, 900, 1050, 1250, 1500, 1800)
"""Where the parts cannot be made smaller, a body grows in these steps; beyond them, fewer are drawn."""
SMALLEST_TILE = 8
LARGEST_TILE = 200
FULL_ROWS_FROM = 0.85
"""Tiles may be smaller than the largest that fit by this factor, where no row then stays half empty."""
SMALLEST_PANEL = 26
BLOCK_GAP = 14


@dataclass(frozen=True)
class Tiles:
    """A grid of equal tiles.

    Attributes:
        columns: tiles in a row.
        rows: how many rows.
        height: of a tile, in pixels of the sheet.
        width: of a tile, in pixels of the sheet.
        enlarge: how many pixels of the sheet a value has in each direction.
        reduce: how many values are joined into one, in each direction.
    """

    columns: int
    rows: int
    height: int
    width: int
    enlarge: int = 1
    reduce: int = 1

    @property
    def total_height(self) -> int:
        """Of all rows with the gaps between them."""
        return self.rows * (self.height + GAP) - GAP

    @property
    def total_width(self) -> int:
        """Of all columns with the gaps between them."""
        return self.columns * (self.width + GAP) - GAP


Found = TypeVar("Found")
Fitter = Callable[..., "Tiles | None"]
"""`(count, width, height)`, or with a number of columns: the tiles that fit; None where none do."""


@lru_cache(maxsize=1024)
def fit_tiles(
    map_height: int, map_width: int, count: int, width: int, height: int, columns: int | None = None
) -> Tiles | None:
    """The largest tiles for `count` maps that fit into `width` x `height` pixels; None where none do.

    Maps are enlarged by a whole factor, or reduced by one where they are larger than their tile. Tiles may be
    a little smaller than the largest that fit where they then fill all rows.

    Args:
        map_height: values of a map, top to bottom.
        map_width: values of a map, left to right.
        count: how many maps.
        width: pixels there are.
        height: pixels there are.
        columns: tiles in a row; None: as many as fit.

    Example:
        >>> fit_tiles(3, 3, 4, 100, 100)
        Tiles(columns=2, rows=2, height=48, width=48, enlarge=16, reduce=1)
    """
    largest = None
    for enlarge, reduce in _factors(max(map_height, map_width)):
        tile_height = -(-map_height // reduce) * enlarge
        tile_width = -(-map_width // reduce) * enlarge
        fitting = (width + GAP) // (tile_width + GAP)
        for tried in [columns] if columns else _columns(count, fitting):
            tiles = Tiles(tried, -(-count // tried), tile_height, tile_width, enlarge, reduce)
            if tried > fitting or tiles.total_height > height:
                continue
            largest = largest or tiles
            if reduce > largest.reduce or tile_width < FULL_ROWS_FROM * largest.width:
                return largest
            if count % tried == 0:
                return tiles
            break
    return largest


def _columns(count: int, fitting: int) -> list[int]:
    """Numbers of columns to try: one that fills all rows, then the one with the fewest rows."""
    if fitting < 1:
        return []
    rows = -(-count // fitting)
    full = [columns for columns in range(min(fitting, count), fitting // 2, -1) if count % columns == 0]
    return [*full[:1], -(-count // rows)]


def _factors(longest: int) -> list[tuple[int, int]]:
    larger = [(factor, 1) for factor in range(max(1, LARGEST_TILE // longest), 0, -1)]
    smaller = [(1, factor) for factor in range(2, longest + 1) if -(-longest // factor) >= SMALLEST_TILE]
    if longest * larger[-1][0] < SMALLEST_TILE:  # never smaller than can be seen
        larger = [pair for pair in larger if longest * pair[0] >= SMALLEST_TILE]
    return larger + smaller


@lru_cache(maxsize=1024)
def fit_panels(
    count: int,
    width: int,
    height: int,
    *,
    aspect: float = 3.0,
    columns: int | None = None,
    narrowest: int = SMALLEST_PANEL,
) -> Tiles | None:
    """The largest panels for `count` curves that fit into `width` x `height` pixels; None where none do.

    Args:
        count: how many panels.
        width: pixels there are.
        height: pixels there are.
        aspect: how much wider than high a panel should be.
        columns: panels in a row; None: as many as serve best.
        narrowest: a panel's least width; a trace over time needs more than a kernel.
    """
    best = None
    best_score = 0.0
    for tried in [columns] if columns else range(1, count + 1):
        rows = -(-count // tried)
        panel_width = ((width + GAP) // tried - GAP) // 2 * 2
        tallest = min(150, max(SMALLEST_PANEL, int(panel_width / aspect * 1.6)))
        panel_height = min((height + GAP) // rows - GAP, tallest)
        if panel_width < narrowest or panel_height < SMALLEST_PANEL:
            continue
        score = min(panel_width / aspect, panel_height)
        if score > best_score:
            best, best_score = Tiles(tried, rows, panel_height // 2 * 2, panel_width), score
    return best


@dataclass(frozen=True)
class Blocks:
    """A block of tiles a sample, with the same place for each channel in each block.

    ```text
    sample 1               sample 2
    [input] tile tile tile [input] tile tile tile
            tile tile tile         tile tile tile
    ```

    Attributes:
        columns: blocks in a row.
        width: of a block, in pixels.
        side: width kept for the picture of the input, without the gap; 0 where there is none.
        tiles: the grid in each block.
        samples: how many samples fit.
        count: how many tiles a block has.
    """

    columns: int
    width: int
    side: int
    tiles: Tiles
    samples: int
    count: int


def fit_blocks(fit: Fitter, *, samples: int, count: int, label: int, side: bool) -> Blocks:
    """The blocks with the largest tiles; where too many would be needed, fewer channels, then fewer samples.

    Args:
        fit: `(count, width, height) -> Tiles | None`, for example `fit_tiles` of one map's size.
        samples: how many blocks are wanted.
        count: how many tiles a block are wanted.
        label: the height of the line above each block.
        side: whether each block shows the sample's input.
    """
    while True:
        found = [
            max(fitting, key=_worth)
            for greatest in (FLAT_BODY_HEIGHT, *BODY_HEIGHTS)
            if (fitting := _fitting_blocks(fit, samples, count, label, greatest, side=side))
        ]
        if found:
            return _flat_or_higher(found, [blocks.tiles for blocks in found])
        if count > 1:
            count = -(-count // 2)
        elif samples > 1:
            samples = -(-samples // 2)
        else:  # a single map of an odd shape, such as 10000 x 1
            return Blocks(1, CONTENT_WIDTH, 0, _however_high(fit), 1, 1)


def _fitting_blocks(
    fit: Fitter, samples: int, count: int, label: int, greatest: int, *, side: bool
) -> list[Blocks]:
    tried = [
        _blocks(fit, columns, samples, count, label, greatest, side=side) for columns in range(1, samples + 1)
    ]
    return [blocks for blocks in tried if blocks is not None]


def _blocks(
    fit: Fitter, columns: int, samples: int, count: int, label: int, greatest: int, *, side: bool
) -> Blocks | None:
    width = (CONTENT_WIDTH + BLOCK_GAP) // columns - BLOCK_GAP
    rows = -(-samples // columns)
    side_width = min(112, max(40, width // 6)) if side else 0
    room = (greatest + BLOCK_GAP) // rows - BLOCK_GAP - label
    if width < 60 or room < max(side_width, SMALLEST_TILE):
        return None
    tiles = fit(count, width - (side_width + BLOCK_GAP if side else 0), room)
    return None if tiles is None else Blocks(columns, width, side_width, tiles, samples, count)


def _worth(blocks: Blocks) -> tuple[float, float]:
    """Large tiles first; a block as wide as the sheet reads better than narrow ones side by side."""
    tiles, wide = blocks.tiles, 0.9 ** (blocks.columns - 1)
    return wide * tiles.enlarge / tiles.reduce, wide * min(tiles.height * 3, tiles.width)


def _flat_or_higher(found: Sequence[Found], tiles: Sequence[Tiles]) -> Found:
    """The first of the layouts, from flat to high, unless the second has far larger tiles."""
    keeps = len(found) == 1 or _side(tiles[0]) >= FLAT_TILE_SHARE * _side(tiles[1])
    return found[0 if keeps else 1]


def _side(tiles: Tiles) -> float:
    return float((tiles.height * tiles.width) ** 0.5)


def _however_high(fit: Fitter) -> Tiles:
    for height in range(BODY_HEIGHTS[-1], 100 * BODY_HEIGHTS[-1], BODY_HEIGHTS[-1]):
        tiles = fit(1, CONTENT_WIDTH, height)
        if tiles is not None:
            return tiles
    return Tiles(1, 1, SMALLEST_TILE, SMALLEST_TILE)


def fit_count(fit: Fitter, count: int) -> tuple[int, Tiles]:
    """The largest tiles for one grid on a sheet, and how many of `count` fit."""
    while True:
        heights = (FLAT_BODY_HEIGHT, BODY_HEIGHT * 3 // 4, *BODY_HEIGHTS)
        found = [tiles for height in heights if (tiles := fit(count, CONTENT_WIDTH, height)) is not None]
        if found:
            return count, _flat_or_higher(found, found)
        if count == 1:
            return 1, _however_high(fit)
        count = -(-count // 2)


def fit_pairs(fit: Fitter, *, rows: int, columns: int) -> tuple[int, int, Tiles]:
    """The largest tiles for a table on a sheet, and how many of its `rows` and `columns` fit."""
    while True:
        for height in BODY_HEIGHTS:
            tiles = fit(rows * columns, CONTENT_WIDTH, height, columns)
            if tiles is not None:
                return rows, columns, tiles
        if rows == columns == 1:
            return 1, 1, _however_high(fit)
        if rows > 2 * columns:
            rows = -(-rows // 2)
        else:
            columns = -(-columns // 2)
