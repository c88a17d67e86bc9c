"""How large the parts of a sheet may be, so that all of them fit and are as large as possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from layerviz_callbacks.render.grid import GAP, GAP_OF_STRIPS, STRIP_GAP

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
FULLER_HEIGHTS = (500, 600, 700, BODY_HEIGHT)
"""The heights tried for a body that would leave much of its width unused."""
FULL_WIDTH_FROM = 2 / 3
"""A layout that uses less of the sheet's width gives way to a higher one with larger tiles."""
SMALLEST_TILE = 8
LARGEST_TILE = 200
FULL_ROWS_FROM = 0.85
"""Tiles may be smaller than the largest that fit by this factor, where no row then stays half empty."""
SMALLEST_PANEL = 26


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
        gap: pixels between tiles.
        slices: how many slices side by side a tile holds.
    """

    columns: int
    rows: int
    height: int
    width: int
    enlarge: int = 1
    reduce: int = 1
    gap: int = GAP
    slices: int = 1

    @property
    def total_height(self) -> int:
        """Of all rows with the gaps between them."""
        return self.rows * (self.height + self.gap) - self.gap

    @property
    def total_width(self) -> int:
        """Of all columns with the gaps between them."""
        return self.columns * (self.width + self.gap) - self.gap

    @property
    def slice_width(self) -> int:
        """Of one slice."""
        return (self.width + STRIP_GAP) // self.slices - STRIP_GAP


Found = TypeVar("Found")
Fitter = Callable[..., "Tiles | None"]
"""`(count, width, height)`, or with a number of columns: the tiles that fit; None where none do."""


@lru_cache(maxsize=1024)
def fit_tiles(
    map_height: int,
    map_width: int,
    count: int,
    width: int,
    height: int,
    columns: int | None = None,
    *,
    slices: int = 1,
) -> Tiles | None:
    """The largest tiles for `count` maps that fit into `width` x `height` pixels; None where none do.

    Maps are enlarged by a whole factor, or reduced by one where they are larger than their tile. Tiles may be
    a little smaller than the largest that fit where they then fill all rows, and most of the width.

    Args:
        map_height: values of a map, top to bottom.
        map_width: values of a map, left to right.
        count: how many maps.
        width: pixels there are.
        height: pixels there are.
        columns: tiles in a row; None: as many as fit.
        slices: maps side by side in one tile, with 2 pixels between them.

    Example:
        >>> fit_tiles(3, 3, 4, 100, 100)
        Tiles(columns=2, rows=2, height=48, width=48, enlarge=16, reduce=1, gap=4, slices=1)
    """
    largest = None
    gap = GAP if slices == 1 else GAP_OF_STRIPS
    for enlarge, reduce in _factors(max(map_height, map_width)):
        tile_height = -(-map_height // reduce) * enlarge
        tile_width = slices * (-(-map_width // reduce) * enlarge + STRIP_GAP) - STRIP_GAP
        fitting = (width + gap) // (tile_width + gap)
        for tried in [columns] if columns else _columns(count, fitting):
            tiles = Tiles(tried, -(-count // tried), tile_height, tile_width, enlarge, reduce, gap, slices)
            if tried > fitting or tiles.total_height > height:
                continue
            largest = largest or tiles
            if reduce > largest.reduce or tile_width < FULL_ROWS_FROM * largest.width:
                return largest
            if count % tried == 0 and (tiles is largest or tiles.total_width >= FULL_WIDTH_FROM * width):
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


def flat_or_higher(found: Sequence[Found], tiles: Sequence[Tiles]) -> Found:
    """The first of the layouts, from flat to high, unless the second has far larger tiles."""
    keeps = len(found) == 1 or _side(tiles[0]) >= FLAT_TILE_SHARE * _side(tiles[1])
    return found[0 if keeps else 1]


def fuller(
    found: Found, higher: Iterable[Found | None], measure: Callable[[Found], tuple[Tiles, float]]
) -> Found:
    """A layout that uses its width; else the next one with larger tiles that does, or comes nearer to it.

    Args:
        found: the layout that is flat enough.
        higher: others, those that read better first; None where nothing fits.
        measure: the tiles of a layout, and the share of the sheet's width that it uses.
    """
    for other in higher:
        tiles, used = measure(found)
        if used >= FULL_WIDTH_FROM:
            break
        if other is not None and measure(other)[0].width > tiles.width:
            found = other
    return found


def _side(tiles: Tiles) -> float:
    return float((tiles.height * tiles.width) ** 0.5)


def however_high(fit: Fitter) -> Tiles:
    """A tile as high as it must be, where its shape is odd, such as 10000 x 1."""
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
            higher = (fit(count, CONTENT_WIDTH, height) for height in FULLER_HEIGHTS)
            return count, fuller(flat_or_higher(found, found), higher, _used)
        if count == 1:
            return 1, however_high(fit)
        count = -(-count // 2)


def _used(tiles: Tiles) -> tuple[Tiles, float]:
    return tiles, tiles.total_width / CONTENT_WIDTH


def fit_pairs(fit: Fitter, *, rows: int, columns: int) -> tuple[int, int, Tiles]:
    """The largest tiles for a table on a sheet, and how many of its `rows` and `columns` fit."""
    while True:
        for height in BODY_HEIGHTS:
            tiles = fit(rows * columns, CONTENT_WIDTH, height, columns)
            if tiles is not None:
                return rows, columns, tiles
        if rows == columns == 1:
            return 1, 1, however_high(fit)
        if rows > 2 * columns:
            rows = -(-rows // 2)
        else:
            columns = -(-columns // 2)
