"""Feature maps: what each channel of a layer answers to each sample of the probe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from layerviz_callbacks.errors import check_choice, check_count
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.bars import draw_bars, fit_bars
from layerviz_callbacks.render.curve import draw_curves, panels
from layerviz_callbacks.render.grid import cross_out, enlarge, grid, mean_blocks
from layerviz_callbacks.render.layout import (
    BLOCK_GAP,
    CONTENT_WIDTH,
    Blocks,
    Tiles,
    fit_blocks,
    fit_panels,
    fit_tiles,
)
from layerviz_callbacks.render.scale import CENTRE, Scale, as_floats, constant_channels
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.base import View
from layerviz_callbacks.views.sheets import colour_key, height_key, make_sheet, mark_key
from layerviz_callbacks.views.thumbnails import can_be_small, thumbnails
from layerviz_callbacks.views.words import count_of, size_of

DEFAULT_CHANNELS = {0: 64, 1: 16, 2: 32}
"""How many channels are drawn by default, by the number of the maps' dimensions."""

NARROWEST_TRACE = 100
"""Pixels a trace over time is wide at least, so that its onset can be told from its end."""


class FeatureMaps(View):
    """Each sample's channels: tiles for 2-D, small curves for 1-D, bars for vectors.

    | tag | what is drawn |
    |---|---|
    | `feature maps/NN_layer` | a block a sample with its name and its input; the same channel at the same place in each block |

    One range holds for the whole sheet: from 0 to the largest value that is drawn, or symmetric about zero
    where there are negative values. A channel that is zero, or another constant, over all drawn samples is
    crossed out.

    Args:
        layers: which layers; None: those of the callback, or every layer with a kernel.
        every_n_epochs: how often; None: as often as the callback records.
        max_channels: at most so many channels are drawn, the first ones; None: 32 tiles, 16 curves or
            64 bars.
        max_samples: at most so many samples are drawn, the first ones.
        contrast: "layer": one range a sheet; "channel": each channel has its own, and the sheet says so.

    Raises:
        ArgumentError: an argument is not one of these.

    Example:
        >>> FeatureMaps(max_channels=64, max_samples=2).family
        'feature maps'
    """  # noqa: E501

    family: ClassVar[str] = "feature maps"
    needs: ClassVar[frozenset[str]] = frozenset({"outputs"})

    def __init__(
        self,
        *,
        layers: Selector | None = None,
        every_n_epochs: int | None = None,
        max_channels: int | None = None,
        max_samples: int = 8,
        contrast: str = "layer",
    ) -> None:
        super().__init__(layers=layers, every_n_epochs=every_n_epochs)
        check_count("max_channels", max_channels, optional=True)
        check_count("max_samples", max_samples)
        check_choice("contrast", contrast, ["layer", "channel"])
        self.max_channels = max_channels
        self.max_samples = max_samples
        self.contrast = contrast

    def refusal(self, layer: Layer) -> str:
        """Why this layer's output cannot be drawn, in words; empty where it can."""
        if layer.refusal:
            return layer.refusal
        shape = layer.output_shape if layer.output is None else layer.output.shape
        if shape is None:
            return "was not called in the forward pass"
        if 0 in shape:
            return f"its output is empty: shape {tuple(shape)}"
        if layer.output is not None and layer.output.dtype.kind not in "biuf":
            return f"{layer.output.dtype} outputs are not drawn yet"
        if len(shape) < 2:
            return f"outputs of shape {tuple(shape)} are not drawn yet"
        dimensions = len(shape) - 2
        return "" if dimensions in DEFAULT_CHANNELS else f"{dimensions}-D maps are not drawn yet"

    def draw_layer(self, layer: Layer, snapshot: Snapshot) -> Iterable[Picture]:
        """One sheet; none where the output was not read."""
        if layer.output is None:
            return []
        output = layer.output
        space = output.shape[1:-1]
        samples = min(len(output), self.max_samples)
        channels = min(output.shape[-1], self.max_channels or DEFAULT_CHANNELS[len(space)])
        named = len(output) == len(snapshot.probe)
        side = named and can_be_small(snapshot.inputs, samples)
        blocks = fit_blocks(
            lambda count, width, height: _fit(space, count, width, height),
            samples=samples,
            count=channels,
            label=LINE_HEIGHT,
            side=side,
        )
        values = as_floats(output[: blocks.samples, ..., : blocks.count])
        zero, constant = constant_channels(values, axes=tuple(range(values.ndim - 1)))
        drawing, scale, key = self._draw(values, blocks, zero | constant)
        names = snapshot.probe.names if named else [f"row {place}" for place in range(1, samples + 1)]
        small = thumbnails(snapshot.inputs, blocks.samples, blocks.side) if blocks.side else []
        ground = {0: None, 1: palette.PANEL, 2: CENTRE if scale.signed else 0}[len(space)]
        total = output.shape if layer.output_shape is None else layer.output_shape
        facts = [layer.kind]
        facts += [f"maps {size_of(space)}"] if len(space) == 2 else [size_of(space)] if space else []
        facts += [count_of(blocks.count, total[-1], "channel"), count_of(blocks.samples, total[0], "sample")]
        return [
            make_sheet(
                self.tag(layer, snapshot),
                [_lay_out(drawing, blocks, names, small)],
                name=layer.name,
                when=snapshot.when,
                facts=", ".join(facts),
                key=[key, *mark_key(zero, constant, values, ground=ground)],
                notes=self._notes(blocks.tiles),
                details="Outputs. Channels in reading order, each at the same place for every sample.",
                colours=scale.palette,
            )
        ]

    def _draw(
        self, values: np.ndarray, blocks: Blocks, crossed: np.ndarray
    ) -> tuple[np.ndarray, Scale, tuple[np.ndarray, str]]:
        """The channels of all samples at once: indices `(sample, height, width)`, their scale and its key."""
        tiles = blocks.tiles
        own = self.contrast == "channel"
        if values.ndim == 4:
            maps = np.moveaxis(mean_blocks(values, tiles.reduce, axes=(1, 2)), -1, 1)
            maps = np.ascontiguousarray(maps)
            scale = Scale.of(maps, axes=(0, 2, 3) if own else None)
            pictures = cross_out(enlarge(scale.levels(maps), tiles.enlarge), crossed)
            return grid(pictures, tiles.columns), scale, colour_key(scale)
        if values.ndim == 3:
            curves = np.ascontiguousarray(np.moveaxis(values, -1, 1))
            scale = Scale.of(curves, axes=(0, 2) if own else None)
            empty = panels(tiles.height, tiles.width, leading=curves.shape[:2], scale=scale)
            pictures = cross_out(draw_curves(empty, curves, scale), crossed)
            return grid(pictures, tiles.columns), scale, height_key(scale, "curves")
        scale = Scale.of(values, axes=(0,) if own else None)
        drawn = draw_bars(values, scale, tiles=tiles, dead=crossed)
        return drawn, scale, height_key(scale, "bars")

    def _notes(self, tiles: Tiles) -> list[str]:
        notes = ["contrast per channel: each has its own range"] if self.contrast == "channel" else []
        if tiles.reduce > 1:
            notes.append(f"1 pixel = mean of {tiles.reduce}x{tiles.reduce}")
        return notes


def _fit(space: tuple[int, ...], count: int, width: int, height: int) -> Tiles | None:
    if len(space) == 2:
        return fit_tiles(*space, count, width, height)
    if len(space) == 1:
        return fit_panels(count, width, height, narrowest=NARROWEST_TRACE)
    return fit_bars(count, width, height)


def _lay_out(
    drawing: np.ndarray, blocks: Blocks, names: Sequence[str], small: Sequence[np.ndarray]
) -> np.ndarray:
    """Blocks in rows: the name above, the input at the left, the channels at its right."""
    inner = max([drawing.shape[1], *(picture.shape[0] for picture in small)])
    pitch = LINE_HEIGHT + inner + BLOCK_GAP
    rows = -(-blocks.samples // blocks.columns)
    body = np.full((rows * pitch - BLOCK_GAP, CONTENT_WIDTH), palette.PAPER, np.uint8)
    for place in range(blocks.samples):
        top = place // blocks.columns * pitch
        left = place % blocks.columns * (blocks.width + BLOCK_GAP)
        label = draw_line(names[place], width=blocks.width)
        _paste(body, label, top, left)
        if small:
            _paste(body, small[place], top + LINE_HEIGHT, left)
        offset = blocks.side + BLOCK_GAP if blocks.side else 0
        _paste(body, drawing[place], top + LINE_HEIGHT, left + offset)
    return body


def _paste(body: np.ndarray, part: np.ndarray, top: int, left: int) -> None:
    body[top : top + part.shape[0], left : left + part.shape[1]] = part[:, : body.shape[1] - left]
