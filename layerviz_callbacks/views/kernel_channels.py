"""The sheet of kernels with space: a picture a channel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from layerviz_callbacks.cut import KernelCut, Taken, shape_of_kernel
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.blocks import Blocks, draw_blocks, fit_blocks
from layerviz_callbacks.render.colour import crossed_grid_colours
from layerviz_callbacks.render.grid import cross_out, crossed_grid, enlarge, grid
from layerviz_callbacks.render.layout import Tiles, fit_count, fit_pairs
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line
from layerviz_callbacks.views.channels import drawn_count, numbers_of
from layerviz_callbacks.views.kernel_drawings import KernelDrawing
from layerviz_callbacks.views.kernel_sheets import KernelOptions, KernelSubject, parts_words
from layerviz_callbacks.views.marks import Marks
from layerviz_callbacks.views.sheets import make_sheet
from layerviz_callbacks.views.steady import steady
from layerviz_callbacks.views.words import count_of, size_of


@dataclass(frozen=True)
class ChannelSheet:
    """Output channels in rows; a table of output and input channels; or a block a gate.

    Attributes:
        shape: of the part that is drawn.
        cut: what leads to it.
        drawing: how a channel is drawn.
        tiles: the grid.
        table: rows are output channels, columns input channels.
        gates: their names; empty where there are none.
        blocks: a block a gate; None where there are none.
    """

    shape: tuple[int, ...]
    cut: KernelCut
    drawing: KernelDrawing
    tiles: Tiles
    table: bool
    gates: tuple[str, ...]
    blocks: Blocks | None

    @classmethod
    def fit(
        cls, shape: tuple[int, ...], drawing: KernelDrawing, gates: tuple[str, ...], options: KernelOptions
    ) -> ChannelSheet:
        """Fit a sheet to a kernel of this shape; found once for layers that are alike."""
        return _fitted(shape, drawing, gates, options)

    def draw(self, part: np.ndarray, taken: Taken, subject: KernelSubject) -> Picture:
        """See `KernelSheet`."""
        drawing, tiles = self.drawing, self.tiles
        space = subject.full[2:]
        cut = taken.cut if isinstance(taken.cut, KernelCut) else self.cut
        shown = drawing.prepare(part, tiles)
        own = subject.options.contrast == "channel"
        needed = Scale.of(shown, signed=True, axes=range(1, shown.ndim) if own else None)
        fixed = steady(needed, subject.tag, subject.snapshot)
        scale = fixed.scale
        marks = Marks.of(taken, values=int(np.prod(part.shape[1:])))
        pictures = drawing.draw(shown, scale, tiles)
        return make_sheet(
            subject.tag,
            self._body(pictures, marks.crossed),
            name=subject.layer.name,
            when=subject.snapshot.when,
            facts=", ".join(self._facts(part, taken, cut, subject)),
            key=[*drawing.key(scale, part.shape[1]), *marks.key(ground=drawing.ground)],
            held=fixed.held,
            notes=[
                *fixed.notes,
                *subject.notes(taken, max(1, len(self.gates))),
                *drawing.notes(tiles, cut, space),
            ],
            details="Kernels. Channels in reading order.",
            colours=palette.diverging(),
        )

    def _body(self, pictures: np.ndarray, crossed: np.ndarray) -> list[np.ndarray]:
        tiles = self.tiles
        factor = tiles.height // pictures.shape[-2]
        if pictures.ndim == 4:
            return [crossed_grid_colours(pictures, crossed, tiles.columns, factor=factor)]
        crossed = np.repeat(crossed, len(pictures) // len(crossed))
        bands = [draw_line("rows: out, columns: in", faded=True)] if self.table else []
        if self.blocks is None:
            drawn = crossed_grid(pictures, crossed, tiles.columns, gap=tiles.gap, factor=factor)
            return [*bands, drawn]
        if crossed.any():  # each gate has crosses of its own
            pictures, factor = cross_out(enlarge(pictures, factor), crossed), 1
        in_parts = pictures.reshape(len(self.gates), -1, *pictures.shape[1:])
        drawn = grid(in_parts, tiles.columns, gap=tiles.gap, factor=factor)
        return [*bands, draw_blocks(drawn, self.blocks, self.gates)]

    def _facts(self, part: np.ndarray, taken: Taken, cut: KernelCut, subject: KernelSubject) -> list[str]:
        out, inputs, *space = subject.full
        if subject.layer.kind == "Parameter" and (out, inputs, len(space)) == (1, 1, 1):
            return [subject.layer.kind, count_of(space[0], space[0], "value")]
        parts = max(1, len(self.gates))
        channels = count_of(len(taken.channels) // parts, out // parts, "output" if self.table else "channel")
        facts = [f"{subject.layer.kind} {size_of(tuple(space))}"]
        facts += [parts_words(self.gates, channels)]
        held = min(cut.inputs or inputs, inputs)
        if self.table:
            facts += [count_of(part.shape[1], inputs, "input")]
        elif inputs > 1 and part.shape[1] == 1:
            facts += [f"mean of {count_of(held, inputs, 'input')}"]
        elif inputs > 1 and subject.layer.kernel_shape is not None and len(space) == 1:
            facts += [count_of(held, inputs, "input")]
        return facts


@lru_cache(maxsize=1024)
def _fitted(
    shape: tuple[int, ...], drawing: KernelDrawing, gates: tuple[str, ...], options: KernelOptions
) -> ChannelSheet:
    parts = max(1, len(gates))
    out, inputs, *space = shape
    fitter = drawing.fitter(tuple(space))
    table = options.inputs == "each" and inputs > 1
    count = drawn_count(options.channels, out // parts, max(1, options.max_channels // parts))
    columns = 1
    if table:
        rows, columns, tiles = fit_pairs(fitter, rows=count, columns=min(inputs, options.max_channels))
    else:
        rows, tiles = fit_count(fitter, count)
    blocks = None
    if gates:

        def fit_gate(places: int, width: int, height: int) -> Tiles | None:
            return fitter(places * columns, width, height, columns if table else None)

        blocks = fit_blocks(fit_gate, samples=parts, count=rows, label=LINE_HEIGHT, side=False)
        rows, tiles = blocks.count, blocks.tiles
    count = rows
    channels, strongest = numbers_of(options.channels, out // parts, count, parts=parts)
    cut = KernelCut(
        channels=channels,
        strongest=strongest,
        inputs=columns if table and columns < inputs else None,
        mean_inputs=inputs > 1 and not table and not drawing.joins_inputs,
        slices=drawing.slices(tuple(space)),
        parts=parts,
    )
    return ChannelSheet(shape_of_kernel(shape, cut), cut, drawing, tiles, table, gates, blocks)
