"""How the maps of one sheet are fitted, cut and drawn, by the number of their axes of space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from layerviz_callbacks.cut import OutputCut
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.bars import draw_bars, fit_bars
from layerviz_callbacks.render.blocks import Blocks, fit_blocks
from layerviz_callbacks.render.curve import curve_columns, draw_curves, panels
from layerviz_callbacks.render.grid import crossed_grid, enlarge, strips
from layerviz_callbacks.render.layout import Fitter, Tiles, fit_panels, fit_tiles
from layerviz_callbacks.render.scale import CENTRE, Scale
from layerviz_callbacks.render.text import LINE_HEIGHT
from layerviz_callbacks.views.marks import Marks
from layerviz_callbacks.views.sheets import colour_key, height_key
from layerviz_callbacks.views.slices import evenly_spaced
from layerviz_callbacks.views.words import size_of, slices_words

NARROWEST_TRACE = 100
"""Pixels a trace over time is wide at least, so that its onset can be told from its end."""
MOST_SLICES = 5
"""So many slices of a volume are drawn of each channel, fewer where they would be smaller than the next."""
SMALLEST_SLICE = 24
"""Pixels a slice is wide and high at least, where several are drawn of a channel."""


class MapDrawing(Protocol):
    """The drawing of maps with one number of axes of space.

    Attributes:
        default_channels: how many channels are drawn where nothing is said.
    """

    default_channels: int

    def fit(self, space: tuple[int, ...], *, samples: int, channels: int, side: bool) -> Blocks:
        """The largest blocks for so many samples and channels; fewer of them where there is no room."""

    def cut(self, space: tuple[int, ...], tiles: Tiles) -> OutputCut:
        """What is drawn of the space of each map."""

    def draw(
        self, values: np.ndarray, scale: Scale, tiles: Tiles, *, marks: Marks, numbers: Sequence[int]
    ) -> np.ndarray:
        """Palette indices `(sample, height, width)` of `values (sample, channel, *space)`."""

    def key(self, scale: Scale) -> tuple[np.ndarray, str]:
        """How to read the values."""

    def ground(self, scale: Scale) -> int | None:
        """What the cross of a dead channel stands on; None where the mark is no cross."""

    def size(self, space: tuple[int, ...]) -> str:
        """The size of a map in words; may be empty."""

    def notes(self, space: tuple[int, ...], cut: OutputCut) -> list[str]:
        """What must be known of what was left out of each map."""


class BarMaps:
    """Vectors: a bar a channel."""

    default_channels = 64

    def fit(self, space: tuple[int, ...], *, samples: int, channels: int, side: bool) -> Blocks:
        """See `MapDrawing`."""
        return fit_blocks(fit_bars, samples=samples, count=channels, label=LINE_HEIGHT, side=side)

    def cut(self, space: tuple[int, ...], tiles: Tiles) -> OutputCut:
        """See `MapDrawing`."""
        return OutputCut()

    def draw(
        self, values: np.ndarray, scale: Scale, tiles: Tiles, *, marks: Marks, numbers: Sequence[int]
    ) -> np.ndarray:
        """See `MapDrawing`."""
        return draw_bars(
            values, scale, tiles=tiles, dead=marks.crossed, saturated=marks.saturated, numbers=numbers
        )

    def key(self, scale: Scale) -> tuple[np.ndarray, str]:
        """See `MapDrawing`."""
        return height_key(scale, "bars")

    def ground(self, scale: Scale) -> int | None:
        """See `MapDrawing`."""
        return None

    def size(self, space: tuple[int, ...]) -> str:
        """See `MapDrawing`."""
        return ""

    def notes(self, space: tuple[int, ...], cut: OutputCut) -> list[str]:
        """See `MapDrawing`."""
        return []


class CurveMaps:
    """Maps over time: a small curve a channel."""

    default_channels = 16

    def fit(self, space: tuple[int, ...], *, samples: int, channels: int, side: bool) -> Blocks:
        """See `MapDrawing`."""

        def fitter(count: int, width: int, height: int) -> Tiles | None:
            return fit_panels(count, width, height, narrowest=NARROWEST_TRACE)

        return fit_blocks(fitter, samples=samples, count=channels, label=LINE_HEIGHT, side=side)

    def cut(self, space: tuple[int, ...], tiles: Tiles) -> OutputCut:
        """See `MapDrawing`."""
        return OutputCut(stretches=curve_columns(tiles.width))

    def draw(
        self, values: np.ndarray, scale: Scale, tiles: Tiles, *, marks: Marks, numbers: Sequence[int]
    ) -> np.ndarray:
        """See `MapDrawing`."""
        empty = panels(tiles.height, tiles.width, leading=values.shape[:2], scale=scale)
        drawn = draw_curves(empty, values, scale)
        return crossed_grid(drawn, marks.crossed, tiles.columns, cornered=marks.saturated)

    def key(self, scale: Scale) -> tuple[np.ndarray, str]:
        """See `MapDrawing`."""
        return height_key(scale, "curves")

    def ground(self, scale: Scale) -> int | None:
        """See `MapDrawing`."""
        return palette.PANEL

    def size(self, space: tuple[int, ...]) -> str:
        """See `MapDrawing`."""
        return size_of(space)

    def notes(self, space: tuple[int, ...], cut: OutputCut) -> list[str]:
        """See `MapDrawing`."""
        return []


class TileMaps:
    """Maps of two axes: a tile a channel."""

    default_channels = 32

    def fit(self, space: tuple[int, ...], *, samples: int, channels: int, side: bool) -> Blocks:
        """See `MapDrawing`."""
        return fit_blocks(_tiles(space), samples=samples, count=channels, label=LINE_HEIGHT, side=side)

    def cut(self, space: tuple[int, ...], tiles: Tiles) -> OutputCut:
        """See `MapDrawing`."""
        return OutputCut(block=tiles.reduce)

    def draw(
        self, values: np.ndarray, scale: Scale, tiles: Tiles, *, marks: Marks, numbers: Sequence[int]
    ) -> np.ndarray:
        """See `MapDrawing`."""
        pictures, factor = scale.levels(values), tiles.enlarge
        if values.ndim == 5:
            pictures, factor = strips(enlarge(pictures, factor)), 1
        return crossed_grid(
            pictures, marks.crossed, tiles.columns, cornered=marks.saturated, gap=tiles.gap, factor=factor
        )

    def key(self, scale: Scale) -> tuple[np.ndarray, str]:
        """See `MapDrawing`."""
        return colour_key(scale)

    def ground(self, scale: Scale) -> int | None:
        """See `MapDrawing`."""
        return CENTRE if scale.signed else 0

    def size(self, space: tuple[int, ...]) -> str:
        """See `MapDrawing`."""
        return f"maps {size_of(space)}"

    def notes(self, space: tuple[int, ...], cut: OutputCut) -> list[str]:
        """See `MapDrawing`."""
        return [f"1 pixel = mean of {cut.block}x{cut.block}"] if cut.block > 1 else []


class StripMaps(TileMaps):
    """Maps of three axes: a strip of a few slices a channel."""

    default_channels = 16

    def fit(self, space: tuple[int, ...], *, samples: int, channels: int, side: bool) -> Blocks:
        """See `MapDrawing`."""
        for slices in range(min(MOST_SLICES, space[0]), 0, -2):
            fitter = _tiles(space[1:], slices=slices)
            blocks = fit_blocks(fitter, samples=samples, count=channels, label=LINE_HEIGHT, side=side)
            smallest = min(blocks.tiles.slice_width, blocks.tiles.height)
            if (blocks.samples, blocks.count) == (samples, channels) and smallest >= SMALLEST_SLICE:
                return blocks
        fitter = _tiles(space[1:])
        return fit_blocks(fitter, samples=samples, count=channels, label=LINE_HEIGHT, side=side)

    def cut(self, space: tuple[int, ...], tiles: Tiles) -> OutputCut:
        """See `MapDrawing`."""
        return OutputCut(slices=evenly_spaced(space[0], tiles.slices), block=tiles.reduce)

    def notes(self, space: tuple[int, ...], cut: OutputCut) -> list[str]:
        """See `MapDrawing`."""
        words = slices_words(cut.slices, space[0])
        return [*([words] if words else []), *super().notes(space, cut)]


def _tiles(space: Sequence[int], *, slices: int = 1) -> Fitter:
    height, width = space
    return lambda count, room_width, room_height: fit_tiles(
        height, width, count, room_width, room_height, slices=slices
    )


MAP_DRAWINGS: Mapping[int, MapDrawing] = {0: BarMaps(), 1: CurveMaps(), 2: TileMaps(), 3: StripMaps()}
"""By the number of axes of space."""


@lru_cache(maxsize=1024)
def fitted_blocks(space: tuple[int, ...], *, samples: int, channels: int, side: bool) -> Blocks:
    """What the `fit` of this drawing finds; a network's layers have few shapes, and keep them."""
    return MAP_DRAWINGS[len(space)].fit(space, samples=samples, channels=channels, side=side)
