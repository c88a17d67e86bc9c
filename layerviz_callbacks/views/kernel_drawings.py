"""How the channels of one kernel are fitted, cut and drawn, by what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from layerviz_callbacks.cut import KernelCut
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.colour import signed_colours
from layerviz_callbacks.render.curve import draw_curves, panels
from layerviz_callbacks.render.grid import enlarge, mean_blocks, strips
from layerviz_callbacks.render.layout import Fitter, Tiles, fit_panels, fit_tiles
from layerviz_callbacks.render.scale import CENTRE, Scale
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.views.sheets import colour_key, height_key
from layerviz_callbacks.views.slices import evenly_spaced
from layerviz_callbacks.views.words import slices_words

MOST_WHOLE_DEPTH = 9
"""3-D kernels of up to so many slices are drawn with all of them."""
SLICES_OF_DEEPER = 5
"""Of deeper ones so many slices are drawn."""

Key = list[tuple[np.ndarray, str]]


class KernelDrawing(Protocol):
    """The drawing of kernels of one kind.

    Attributes:
        joins_inputs: one picture shows all input channels; else there is one an output and input channel.
        ground: what the cross of a dead channel stands on.
    """

    joins_inputs: bool
    ground: int

    def __hash__(self) -> int:
        """Layouts are kept by it."""

    def fitter(self, space: tuple[int, ...]) -> Fitter:
        """What fits tiles to these kernels."""

    def slices(self, space: tuple[int, ...]) -> tuple[int, ...] | None:
        """Which places of the first of three axes of space are drawn; None: all."""

    def prepare(self, kernel: np.ndarray, tiles: Tiles) -> np.ndarray:
        """The values that are shown, of which the range is found."""

    def draw(self, shown: np.ndarray, scale: Scale, tiles: Tiles) -> np.ndarray:
        """Pictures `(out * in, height, width)`; of joined inputs `(out, height, width)`.

        In colours: `(out, 3, height, width)`. They may be smaller than the tiles, by the whole factor
        `tiles.enlarge`.
        """

    def key(self, scale: Scale, inputs: int) -> Key:
        """How to read the values."""

    def notes(self, tiles: Tiles, cut: KernelCut, space: tuple[int, ...]) -> list[str]:
        """What must be known of what was left out."""


class TileKernels:
    """2-D kernels: a tile each."""

    joins_inputs = False
    ground = CENTRE

    def fitter(self, space: tuple[int, ...]) -> Fitter:
        """See `KernelDrawing`."""
        height, width = space[-2:]
        slices = self._shown_slices(space)
        return lambda count, room_width, room_height, columns=None: fit_tiles(
            height, width, count, room_width, room_height, columns, slices=slices
        )

    def slices(self, space: tuple[int, ...]) -> tuple[int, ...] | None:
        """See `KernelDrawing`."""
        return None

    def prepare(self, kernel: np.ndarray, tiles: Tiles) -> np.ndarray:
        """See `KernelDrawing`."""
        return mean_blocks(kernel, tiles.reduce)

    def draw(self, shown: np.ndarray, scale: Scale, tiles: Tiles) -> np.ndarray:
        """See `KernelDrawing`."""
        levels = scale.levels(shown)
        return levels.reshape(-1, *levels.shape[2:])

    def key(self, scale: Scale, inputs: int) -> Key:
        """See `KernelDrawing`."""
        return [colour_key(scale)]

    def notes(self, tiles: Tiles, cut: KernelCut, space: tuple[int, ...]) -> list[str]:
        """See `KernelDrawing`."""
        return [f"1 pixel = mean of {tiles.reduce}x{tiles.reduce}"] if tiles.reduce > 1 else []

    def _shown_slices(self, space: tuple[int, ...]) -> int:
        return 1


class StripKernels(TileKernels):
    """3-D kernels: a row of slices each."""

    def slices(self, space: tuple[int, ...]) -> tuple[int, ...] | None:
        """See `KernelDrawing`."""
        return None if space[0] <= MOST_WHOLE_DEPTH else evenly_spaced(space[0], SLICES_OF_DEEPER)

    def draw(self, shown: np.ndarray, scale: Scale, tiles: Tiles) -> np.ndarray:
        """See `KernelDrawing`."""
        return strips(enlarge(super().draw(shown, scale, tiles), tiles.enlarge))

    def notes(self, tiles: Tiles, cut: KernelCut, space: tuple[int, ...]) -> list[str]:
        """See `KernelDrawing`."""
        words = slices_words(cut.slices, space[0])
        return [*([words] if words else []), *super().notes(tiles, cut, space)]

    def _shown_slices(self, space: tuple[int, ...]) -> int:
        return len(self.slices(space) or range(space[0]))


class CurveKernels:
    """1-D kernels: a small curve each."""

    joins_inputs = False
    ground = palette.PANEL

    def fitter(self, space: tuple[int, ...]) -> Fitter:
        """See `KernelDrawing`."""
        return lambda count, width, height, columns=None: fit_panels(
            count, width, height, aspect=1.5, columns=columns
        )

    def slices(self, space: tuple[int, ...]) -> tuple[int, ...] | None:
        """See `KernelDrawing`."""
        return None

    def prepare(self, kernel: np.ndarray, tiles: Tiles) -> np.ndarray:
        """See `KernelDrawing`."""
        return kernel

    def draw(self, shown: np.ndarray, scale: Scale, tiles: Tiles) -> np.ndarray:
        """See `KernelDrawing`."""
        empty = panels(tiles.height, tiles.width, leading=shown.shape[:2], scale=scale)
        return draw_curves(empty, shown, scale).reshape(-1, tiles.height, tiles.width)

    def key(self, scale: Scale, inputs: int) -> Key:
        """See `KernelDrawing`."""
        return [height_key(scale, "curves")]

    def notes(self, tiles: Tiles, cut: KernelCut, space: tuple[int, ...]) -> list[str]:
        """See `KernelDrawing`."""
        return []


class OverlaidCurves(CurveKernels):
    """1-D kernels over a few inputs: a panel an output channel, a curve an input channel."""

    joins_inputs = True

    def draw(self, shown: np.ndarray, scale: Scale, tiles: Tiles) -> np.ndarray:
        """See `KernelDrawing`."""
        limit = np.asarray(scale.limit)
        single = scale if limit.ndim == 0 else Scale(limit[:, 0], scale.signed)
        pictures = panels(tiles.height, tiles.width, leading=shown.shape[:1], scale=scale)
        for component in range(shown.shape[1]):
            colour = palette.CURVES[component]
            pictures = draw_curves(pictures, shown[:, component], single, colour=colour)
        return pictures

    def key(self, scale: Scale, inputs: int) -> Key:
        """See `KernelDrawing`."""
        colours = palette.CURVES[:inputs] if inputs > 1 else ()
        named = [(sheet.legend_entry(sheet.swatch(c), f"in {place}"), "") for place, c in enumerate(colours)]
        return [*super().key(scale, inputs), *named]


class ColourTiles(TileKernels):
    """2-D kernels over red, green and blue: a coloured tile an output channel."""

    joins_inputs = True

    def draw(self, shown: np.ndarray, scale: Scale, tiles: Tiles) -> np.ndarray:
        """See `KernelDrawing`."""
        return signed_colours(shown, scale)

    def key(self, scale: Scale, inputs: int) -> Key:
        """See `KernelDrawing`."""
        low, high = sheet.range_words(scale)
        words = f"red, green, blue from {low} to {high}, grey = 0"
        return [(draw_line(words), words)]


KERNEL_DRAWINGS: Mapping[int, KernelDrawing] = {1: CurveKernels(), 2: TileKernels(), 3: StripKernels()}
"""By the number of axes of space."""
OVERLAID_CURVES = OverlaidCurves()
COLOUR_TILES = ColourTiles()
