"""The sheets of two special kinds of kernels: those that see colours, and those without space."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.colour import cross_out_colours, grid_colours, signed_colours
from layerviz_callbacks.render.grid import mean_blocks
from layerviz_callbacks.render.layout import Tiles, fit_count, fit_tiles
from layerviz_callbacks.render.matrix import draw_matrix, fit_matrix
from layerviz_callbacks.render.scale import CENTRE, Scale, as_floats, constant_channels
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.sheets import colour_key, make_sheet, mark_key
from layerviz_callbacks.views.words import count_of, size_of


def total(layer: Layer, axis: int) -> int:
    """How many output (axis 0) or input channels (axis 1) the layer's kernel has in the model."""
    if layer.kernel_shape is not None:
        return layer.kernel_shape[axis]
    return int(np.asarray(layer.kernel).shape[axis])


def notes_of(contrast: str, tiles: Tiles | None = None) -> list[str]:
    """What must be known of the contrast and of a reduction."""
    notes = ["contrast per output channel: each has its own range"] if contrast == "channel" else []
    if tiles is not None and tiles.reduce > 1:
        notes.append(f"1 pixel = mean of {tiles.reduce}x{tiles.reduce}")
    return notes


def colour_sheet(layer: Layer, snapshot: Snapshot, *, tag: str, count: int, contrast: str) -> Picture:
    """Tiles in red, green and blue, for 2-D kernels whose three inputs are these."""
    kernel = as_floats(np.asarray(layer.kernel))
    space = kernel.shape[2:]
    rows, columns = space
    count, tiles = fit_count(lambda *room: fit_tiles(rows, columns, *room), count)
    drawn = kernel[:count]
    zero, constant = constant_channels(drawn, axes=(1, 2, 3))
    shown = mean_blocks(drawn, tiles.reduce)
    scale = Scale.of(shown, signed=True, axes=(1, 2, 3) if contrast == "channel" else None)
    colours = signed_colours(shown, scale, factor=tiles.enlarge)
    crossed = cross_out_colours(colours, zero | constant)
    low, high = sheet.range_words(scale)
    words = f"red, green, blue from {low} to {high}, grey = 0"
    return make_sheet(
        tag,
        [grid_colours(crossed, tiles.columns)],
        name=layer.name,
        when=snapshot.when,
        facts=f"{layer.kind} {size_of(space)}, {count_of(count, total(layer, 0), 'channel')}",
        key=[(draw_line(words), words), *mark_key(zero, constant, drawn, ground=CENTRE)],
        notes=notes_of(contrast, tiles),
        details="Kernels over the three colours of the input. Channels in reading order, from channel 0 on.",
        colours=palette.diverging(),
    )


def matrix_sheet(layer: Layer, snapshot: Snapshot, *, tag: str, contrast: str) -> Picture:
    """Dense and 1x1 kernels: rows are output channels, columns input channels."""
    kernel = as_floats(np.asarray(layer.kernel))
    space = kernel.shape[2:]
    size = size_of(space)
    kernel = kernel.reshape(kernel.shape[0], kernel.shape[1])
    fitted = fit_matrix(kernel.shape[0], kernel.shape[1])
    shown = mean_blocks(kernel, (fitted.reduce_rows, fitted.reduce_columns))
    scale = Scale.of(shown, signed=True, axes=(1,) if contrast == "channel" else None)
    notes = notes_of(contrast)
    if (fitted.reduce_rows, fitted.reduce_columns) != (1, 1):
        notes.append(f"1 cell = mean of {fitted.reduce_rows} out x {fitted.reduce_columns} in")
    none = np.zeros(1, bool)
    return make_sheet(
        tag,
        [draw_matrix(scale.levels(shown), fitted)],
        name=layer.name,
        when=snapshot.when,
        facts=f"{f'{layer.kind} {size}'.strip()}, {kernel.shape[1]} in, {kernel.shape[0]} out",
        key=[colour_key(scale), *mark_key(none, none, kernel, ground=CENTRE)],
        notes=notes,
        details="Weights: rows are outputs, from above; columns are inputs, from the left.",
        colours=palette.diverging(),
    )
