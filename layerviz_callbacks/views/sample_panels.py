"""A few large panels a sample, on one another's axes: input, map, answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.curve import draw_curves, panels
from layerviz_callbacks.render.grid import GAP, STRIP_GAP, strips
from layerviz_callbacks.render.layout import (
    BODY_HEIGHT,
    BODY_HEIGHTS,
    CONTENT_WIDTH,
    FLAT_BODY_HEIGHT,
)
from layerviz_callbacks.render.resize import resized
from layerviz_callbacks.render.scale import Scale, as_floats, finite_range
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line
from layerviz_callbacks.views.slices import evenly_spaced
from layerviz_callbacks.views.thumbnails import sees_colours

BLOCK_GAP = 14
MOST_SLICES = 5
SMALLEST_PANEL = 40
"""Pixels an image or slice has at least on its longer side."""
SMALLEST_SIDE = 16
FLAT_SHARE = 0.75
"""A sheet is laid out flat where its panels keep this share of the side they would have on a high sheet."""
LARGEST_PANEL = 320
TALLEST_CURVE = 110
SHORTEST_CURVE = 40
MOST_COMPONENTS = 3
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class PanelSheet:
    """A block a sample: its name, and under it panels of one size.

    Images stand side by side or under each other, as they are larger; volumes, as strips of slices, and
    curves always under each other.

    Attributes:
        samples: how many blocks.
        columns: blocks in a row.
        block: width of a block.
        panels: how many panels a block has.
        height: of a panel.
        width: of a panel; of one slice of a volume.
        slices: how many slices a panel has; 1 where it is no volume.
        across: the panels of a block stand side by side.
        lines: lines of text above the panels of a block, the first of them its name.
    """

    samples: int
    columns: int
    block: int
    panels: int
    height: int
    width: int
    slices: int
    across: bool
    lines: int = 1

    @property
    def order(self) -> str:
        """How panels stand, in words."""
        return "left to right" if self.across else "from above"

    @property
    def block_height(self) -> int:
        """Of a block with its name, without the gap below."""
        rows = 1 if self.across else self.panels
        return self.lines * LINE_HEIGHT + rows * (self.height + GAP) - GAP

    @property
    def total_height(self) -> int:
        """Of all blocks."""
        return -(-self.samples // self.columns) * (self.block_height + BLOCK_GAP) - BLOCK_GAP


@lru_cache(maxsize=1024)
def fit_panel_sheet(space: tuple[int, ...], *, samples: int, panels: int, lines: int = 1) -> PanelSheet:
    """The largest panels for maps of this space (of the input, where there is one); or fewer samples.

    Args:
        space: of the maps.
        samples: how many blocks.
        panels: how many a block.
        lines: of text above the panels of a block.

    Example:
        >>> fit_panel_sheet((64, 64), samples=4, panels=4).width
        160
    """
    while True:
        found = [
            max(fitting, key=lambda sheet: sheet.width * sheet.height * sheet.slices)
            for limit in (FLAT_BODY_HEIGHT, BODY_HEIGHT, *BODY_HEIGHTS[1:4])
            if (fitting := _fitting(space, samples, panels, limit, lines))
        ]
        if found:  # flat, unless a higher sheet has far larger panels
            return (
                found[0] if len(found) == 1 or _side(found[0]) >= FLAT_SHARE * _side(found[1]) else found[1]
            )
        samples = -(-samples // 2)


def draw_panel_sheet(
    sheet: PanelSheet,
    drawn: Sequence[np.ndarray],
    names: Sequence[str],
    beside: Sequence[str] = (),
    *,
    below: Sequence[Sequence[str]] = (),
    colours: np.ndarray | None = None,
) -> np.ndarray:
    """The body `(height, width)`; RGB `(height, width, 3)` where `colours` are given.

    Args:
        sheet: as `fit_panel_sheet` found it.
        drawn: by panel, palette indices `(sample, height, width)`; RGB `(sample, height, width, 3)` where
            `colours` are given.
        names: of the samples.
        beside: what stands at the right end of the line of each name; or nothing.
        below: the further lines of text of each sample; as many are drawn as the sheet has room for. A row of
            blocks is as much lower as its samples have fewer.
        colours: the palette that letters have in an RGB body.
    """
    lines = _lines_of_rows(sheet, below)
    tops = _tops_of_rows(sheet, lines)
    body = np.full((tops[-1] - BLOCK_GAP, CONTENT_WIDTH), palette.PAPER, np.uint8)
    body = body if colours is None else colours[body]

    def line(text: str, width: int, *, faded: bool = False) -> np.ndarray:
        drawn_line = draw_line(text, width=width, faded=faded)
        return drawn_line if colours is None else colours[drawn_line]

    for place in range(sheet.samples):
        row = place // sheet.columns
        top, left = tops[row], place % sheet.columns * (sheet.block + BLOCK_GAP)
        right = line(beside[place], sheet.block // 2) if beside else None
        kept = 0 if right is None else right.shape[1] + 8
        _paste(body, line(names[place], sheet.block - kept), top, left)
        if right is not None:
            _paste(body, right, top, left + sheet.block - right.shape[1])
        for number, text in enumerate(below[place][: lines[row] - 1] if below else (), start=1):
            _paste(body, line(text, sheet.block, faded=True), top + number * LINE_HEIGHT, left)
        top += lines[row] * LINE_HEIGHT
        for panel in drawn:
            _paste(body, panel[place], top, left)
            if sheet.across:
                left += panel.shape[2] + GAP
            else:
                top += sheet.height + GAP
    return body


def places_of_panels(
    sheet: PanelSheet, below: Sequence[Sequence[str]] = ()
) -> list[tuple[int, int, int, int]]:
    """Where `draw_panel_sheet` puts each sample: left, top, width, height."""
    tops = _tops_of_rows(sheet, _lines_of_rows(sheet, below))
    places = []
    for place in range(sheet.samples):
        row, column = divmod(place, sheet.columns)
        height = tops[row + 1] - tops[row] - BLOCK_GAP
        places.append((column * (sheet.block + BLOCK_GAP), tops[row], sheet.block, height))
    return places


def _tops_of_rows(sheet: PanelSheet, lines: Sequence[int]) -> list[int]:
    """Where each row of blocks begins, and where one more would."""
    heights = (sheet.block_height + (row - sheet.lines) * LINE_HEIGHT + BLOCK_GAP for row in lines)
    return [0, *(int(top) for top in np.cumsum([*heights]))]


def _lines_of_rows(sheet: PanelSheet, below: Sequence[Sequence[str]]) -> list[int]:
    """How many lines of text stand above the panels of each row of blocks."""
    rows = -(-sheet.samples // sheet.columns)
    if not below:
        return [sheet.lines] * rows
    needed = [1 + len(text) for text in below[: sheet.samples]]
    return [
        min(sheet.lines, max(needed[row * sheet.columns : (row + 1) * sheet.columns])) for row in range(rows)
    ]


def shown_slices(depth: int, count: int) -> tuple[int, ...]:
    """Which slices of a volume a strip of `count` shows.

    Example:
        >>> shown_slices(16, 3), shown_slices(2, 3)
        ((2, 8, 13), (0, 0, 1))
    """
    places = evenly_spaced(depth, count)
    return tuple((np.arange(count) * depth // count).tolist()) if places is None else places


def map_panels(indices: np.ndarray, sheet: PanelSheet) -> np.ndarray:
    """Maps `(sample, height, width)`, or slices `(sample, slice, height, width)`, as panels.

    Args:
        indices: palette indices, not larger than a panel; or larger, then every so many is taken.
        sheet: the sheet.
    """
    large = resized(indices, sheet.height, sheet.width)
    return strips(large) if large.ndim == 4 else large


def input_of(inputs: Mapping[str, np.ndarray], rank: int) -> np.ndarray | None:
    """The first of the inputs `(sample, *space, channel)` that has so many axes of space; None: none has."""
    for array in inputs.values():
        if array.ndim == rank + 2 and array.dtype.kind in "biuf" and 0 not in array.shape:
            return array
    return None


def input_panels(array: np.ndarray, sheet: PanelSheet) -> np.ndarray:
    """Inputs in the 16 greys `(sample, height, width)`: images, slices, or curves of up to 3 components."""
    if array.ndim == 3:
        return _input_curves(as_floats(array[: sheet.samples]), sheet)
    shown = array
    if array.ndim == 5:
        shown = array[:, list(shown_slices(array.shape[1], sheet.slices))]
    values = as_floats(shown)
    coloured = sees_colours(array)
    low, high = (0.0, 255.0) if array.dtype == np.uint8 else map(float, finite_range(values[..., :3]))
    values = values[: sheet.samples]
    grey = values[..., :3] @ _LUMINANCE.astype(values.dtype) if coloured else values[..., 0]
    grey = resized((grey - low) / ((high - low) or 1.0), sheet.height, sheet.width)
    return map_panels(greys(grey), sheet)


def greys(share: np.ndarray) -> np.ndarray:
    """Numbers from 0 (ink) to 1 (paper) as the 16 greys; NaN and infinities in their colours."""
    levels: np.ndarray = np.rint(np.clip(np.nan_to_num(share), 0, 1) * (palette.GREYS - 1)).astype(np.uint8)
    levels += np.uint8(palette.INK)
    levels[np.isnan(share)] = palette.NOT_A_NUMBER
    return levels


def curve_panels(values: np.ndarray, sheet: PanelSheet, scale: Scale, colours: Sequence[int]) -> np.ndarray:
    """Curves `(sample, time, curve)` over each other, each in its colour, the first on top."""
    drawn = panels(sheet.height, sheet.width, leading=(len(values),), scale=scale)
    for place in range(len(colours) - 1, -1, -1):
        drawn = draw_curves(drawn, values[..., place], scale, colour=colours[place])
    return drawn


def _input_curves(values: np.ndarray, sheet: PanelSheet) -> np.ndarray:
    components = min(MOST_COMPONENTS, values.shape[-1])
    shown = np.ascontiguousarray(values[..., :components])
    return curve_panels(
        shown, sheet, Scale.of(shown), [palette.INK + 4 * place for place in range(components)]
    )


def _side(sheet: PanelSheet) -> float:
    return float((sheet.width * sheet.height) ** 0.5)


def _fitting(space: tuple[int, ...], samples: int, panels: int, limit: int, lines: int) -> list[PanelSheet]:
    most = samples if len(space) == 2 else min(samples, 2)
    ways = (True, False) if len(space) == 2 else (False,)
    found = [
        _sheet(space, samples, columns, panels, limit, lines, across=across)
        for across in ways
        for columns in range(1, most + 1)
    ]
    if samples == 1 and limit == BODY_HEIGHTS[3]:  # however high
        found.append(_sheet(space, 1, 1, panels, 100 * limit, lines, across=ways[0]))
    return [sheet for sheet in found if sheet is not None]


def _sheet(
    space: tuple[int, ...], samples: int, columns: int, panels: int, limit: int, lines: int, *, across: bool
) -> PanelSheet | None:
    block = (CONTENT_WIDTH + BLOCK_GAP) // columns - BLOCK_GAP
    room = (limit + BLOCK_GAP) // -(-samples // columns) - BLOCK_GAP - lines * LINE_HEIGHT
    if not across:
        room = (room + GAP) // panels - GAP
    if len(space) == 2:
        width = (block + GAP) // panels - GAP if across else block
        height, width = _inside(space, min(room, LARGEST_PANEL), width)
        fits = SMALLEST_SIDE <= height <= room and max(height, width) >= SMALLEST_PANEL and block >= 100
        return PanelSheet(samples, columns, block, panels, height, width, 1, across, lines) if fits else None
    if len(space) == 1:
        height = min(room, TALLEST_CURVE) // 2 * 2
        fits = height >= SHORTEST_CURVE
        sheet = PanelSheet(samples, columns, block, panels, height, block // 2 * 2, 1, False, lines)
        return sheet if fits else None
    for slices in range(min(MOST_SLICES, space[0]), 0, -2):
        height, width = _inside(space[1:], room, (block + STRIP_GAP) // slices - STRIP_GAP)
        if SMALLEST_SIDE <= height <= room and max(height, width) >= SMALLEST_PANEL:
            return PanelSheet(samples, columns, block, panels, height, width, slices, False, lines)
    return None


def _inside(space: tuple[int, ...], height: int, width: int) -> tuple[int, int]:
    """The largest height and width of that shape that fit; odd shapes are made wider, or higher."""
    factor = min(height / space[0], width / space[1])
    rows, columns = round(space[0] * factor), round(space[1] * factor)
    return max(SMALLEST_SIDE, rows), min(width, max(SMALLEST_SIDE, columns))


def _paste(body: np.ndarray, part: np.ndarray, top: int, left: int) -> None:
    body[top : top + part.shape[0], left : left + part.shape[1]] = part[:, : body.shape[1] - left]
