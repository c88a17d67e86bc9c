"""The sheet of kernels without space: a matrix of weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.cut import KernelCut, Taken, shape_of_kernel
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.grid import mean_blocks
from layerviz_callbacks.render.matrix import MatrixFit, draw_matrix, fit_matrix
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.snapshot import Layer
from layerviz_callbacks.views.channels import drawn_count, numbers_of
from layerviz_callbacks.views.kernel_sheets import KernelOptions, KernelSubject, parts_words
from layerviz_callbacks.views.marks import Marks
from layerviz_callbacks.views.sheets import colour_key, make_sheet
from layerviz_callbacks.views.steady import steady
from layerviz_callbacks.views.words import size_of


@dataclass(frozen=True)
class _Axis:
    """What the rows or columns of a matrix are called, and how many are drawn at most (None: all)."""

    one: str
    several: str
    most: int | None = None

    def count(self, shown: int, total: int) -> str:
        words = self.several if total > 1 else self.one
        return f"{total} {words}" if shown == total else f"{shown} of {total} {words}"


_OUT, _IN = _Axis("out", "out"), _Axis("in", "in")
_DIMENSION, _TOKEN = _Axis("dimension", "dimensions", 256), _Axis("token", "tokens", 128)
_CHANNEL, _POSITION = _Axis("channel", "channels"), _Axis("position", "positions")


def _axes_of(layer: Layer) -> tuple[_Axis, _Axis]:
    """Rows and columns. Neighbouring tokens have nothing in common: they are not averaged, but the first drawn."""  # noqa: E501
    if layer.kind == "Parameter":
        return _CHANNEL, _POSITION
    return (_DIMENSION, _TOKEN) if "Embedding" in layer.kind else (_OUT, _IN)


def is_matrix(space: tuple[int, ...]) -> bool:
    """Whether a kernel has no extent in space."""
    return all(length == 1 for length in space)


@dataclass(frozen=True)
class MatrixSheet:
    """Dense and 1x1 kernels, embeddings, parameters: rows are output channels, columns input channels.

    Attributes:
        shape: of the part that is drawn.
        cut: what leads to it.
        fitted: the factors that bring it to size.
        gates: a group of rows each; empty where there are none.
    """

    shape: tuple[int, ...]
    cut: KernelCut
    fitted: MatrixFit
    gates: tuple[str, ...]

    @classmethod
    def fit(
        cls, shape: tuple[int, ...], layer: Layer, gates: tuple[str, ...], options: KernelOptions
    ) -> MatrixSheet:
        """Fit a sheet to a kernel of this shape. It is drawn whole, unless channels are chosen."""
        parts = max(1, len(gates))
        row, column = _axes_of(layer)
        units = shape[0] // parts
        limit = max(1, options.max_channels // parts)
        count = drawn_count(
            options.channels, units, (row.most or units) if options.channels == "first" else limit
        )
        inputs = min(shape[1], column.most or shape[1])
        fitted = fit_matrix(count, inputs, groups=parts, beside=gates or (row.one,))
        channels, strongest = numbers_of(options.channels, units, count, parts=parts)
        whole_blocks = parts == 1 or count % fitted.reduce_rows == 0  # none of them reaches into two gates
        cut = KernelCut(
            channels=channels,
            strongest=strongest,
            inputs=None if inputs == shape[1] else inputs,
            blocks=(fitted.reduce_rows if whole_blocks else 1, fitted.reduce_columns),
            parts=parts,
        )
        return cls(shape_of_kernel(shape, cut), cut, fitted, gates)

    def draw(self, part: np.ndarray, taken: Taken, subject: KernelSubject) -> Picture:
        """See `KernelSheet`."""
        parts = max(1, len(self.gates))
        row, column = _axes_of(subject.layer)
        cells = part.reshape(parts, -1, part.shape[1])
        if self.cut.blocks[0] != self.fitted.reduce_rows:
            cells = mean_blocks(cells, (self.fitted.reduce_rows, 1))
        axes = (2,) if subject.options.contrast == "channel" else None
        fixed = steady(Scale.of(cells, signed=True, axes=axes), subject.tag, subject.snapshot)
        scale = fixed.scale
        beside = self.gates or (row.one,)
        marks = Marks.of(taken, values=1)
        return make_sheet(
            subject.tag,
            [draw_matrix(scale.levels(cells), self.fitted, above=column.one, beside=beside)],
            name=subject.layer.name,
            when=subject.snapshot.when,
            facts=self._facts(taken, subject, row, column),
            key=[colour_key(scale), *marks.strange_key(noun="output" if row is _OUT else row.one)],
            held=fixed.held,
            notes=[*fixed.notes, *subject.notes(taken, parts), *self._cell_words(taken, row, column)],
            details=f"Weights: rows, from above: {row.several}; columns, from the left: {column.several}.",
            colours=palette.diverging(),
        )

    def _facts(self, taken: Taken, subject: KernelSubject, row: _Axis, column: _Axis) -> str:
        parts = max(1, len(self.gates))
        out, inputs, *space = subject.full
        held = taken.cut.inputs if isinstance(taken.cut, KernelCut) else None
        rows = row.count(len(taken.channels) // parts, out // parts)
        kind = f"{subject.layer.kind} {size_of(tuple(space))}".strip()
        return f"{kind}, {column.count(min(held or inputs, inputs), inputs)}, {parts_words(self.gates, rows)}"

    def _cell_words(self, taken: Taken, row: _Axis, column: _Axis) -> list[str]:
        rows, columns = self.fitted.reduce_rows, self.fitted.reduce_columns
        had = taken.cut.blocks if isinstance(taken.cut, KernelCut) else (1, 1)
        rows, columns = max(rows, had[0]), max(columns, had[1])
        if (rows, columns) == (1, 1):
            return []
        names = [axis.several if count > 1 else axis.one for axis, count in ((row, rows), (column, columns))]
        return [f"1 cell = mean of {rows} {names[0]} x {columns} {names[1]}"]
