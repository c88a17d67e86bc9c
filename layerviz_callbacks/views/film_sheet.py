"""The sheet of one layer over the steps, put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.film_bands import (
    BEST,
    Columns,
    change_band,
    distance_band,
    heading,
    values_band,
)
from layerviz_callbacks.views.film_columns import Column, columns_of
from layerviz_callbacks.views.film_kept import MATRIX_COLUMNS, KeptLayer, KeptPart
from layerviz_callbacks.views.film_marks import Marks
from layerviz_callbacks.views.film_palette import film_palette
from layerviz_callbacks.views.film_panels import (
    CellPanels,
    ColourPanels,
    CurvePanels,
    MatrixPanels,
    Panels,
    TilePanels,
)
from layerviz_callbacks.views.film_sections import Section
from layerviz_callbacks.views.kernel_matrix import is_matrix
from layerviz_callbacks.views.sheets import make_sheet
from layerviz_callbacks.views.words import count_of, listed, size_of

KERNEL_SIDE, MAP_SIDE = 42, 56
CURVE_WIDTH = 100
CELL_WIDTH = 56


@dataclass(frozen=True, eq=False)
class Film:
    """A layer at all the steps that are remembered.

    Attributes:
        layer: the layer, as it is at the last step.
        snapshot: the last step.
        now: what is kept of it.
        sample: the name of the sample whose answer is shown.
        compared: of which part of the kernel the distance is, in words; empty: of all.
        slices: which slice is shown of a kernel, and of an answer, where they are volumes.
    """

    layer: Layer
    snapshot: Snapshot
    now: KeptLayer
    sample: str
    compared: str
    slices: tuple[int, int]

    @cached_property
    def kernel_panels(self) -> Panels | None:
        """How a channel of the kernel is drawn; None before one was read."""
        shape, space = self._shape("kernels"), (self.layer.kernel_shape or ())[2:]
        if shape is None:
            return None
        if is_matrix(space):
            return MatrixPanels(2 * MATRIX_COLUMNS)
        if len(space) == 1:
            return CurvePanels(CURVE_WIDTH)
        return ColourPanels(KERNEL_SIDE) if len(shape) == 4 else TilePanels(KERNEL_SIDE)

    @cached_property
    def map_panels(self) -> Panels | None:
        """How a channel of the answer is drawn; None before one was read."""
        shape = self._shape("maps")
        if shape is None:
            return None
        if len(shape) == 1:
            return CellPanels(shape[0], CELL_WIDTH)
        return CurvePanels(CURVE_WIDTH) if len(shape) == 2 else TilePanels(MAP_SIDE)

    @property
    def answers(self) -> str:
        """What the layer's answers are called."""
        return "outputs" if isinstance(self.map_panels, CellPanels) else "feature maps"

    @property
    def places(self) -> Columns:
        """Where the columns of a strip stand."""
        panels = (("kernels", self.kernel_panels), ("maps", self.map_panels))
        widths = [
            drawing.size(shape[1:])[1]
            for what, drawing in panels
            if drawing is not None and (shape := self._shape(what)) is not None
        ]
        return Columns.fit([*self.now.kernels.rows, *self.now.maps.rows], max(widths))

    def columns(self, most: int | None = None) -> list[Column]:
        """See `columns_of`."""
        return columns_of(self.layer.name, self.snapshot, self.now, most=most)

    def sections(self, columns: Sequence[Column]) -> Iterator[tuple[str, Section, Panels]]:
        """Filters and feature maps at these columns, as far as there are any: name, values, drawing."""
        filters = "weights" if is_matrix((self.layer.kernel_shape or ())[2:]) else "filters"
        for what, name, drawing in (
            ("kernels", filters, self.kernel_panels),
            ("maps", f"{self.answers} of {self.sample}", self.map_panels),
        ):
            joins = what == "kernels" and isinstance(drawing, (CurvePanels, ColourPanels))
            section = Section.of([getattr(column.kept, what) for column in columns], joins=joins)
            if section is not None and drawing is not None:
                yield name, section, drawing

    def _shape(self, what: str) -> tuple[int, ...] | None:
        """Of what was kept last of a part, `(row, *shape)`; None: nothing, ever."""
        now: KeptPart = getattr(self.now, what)
        if now.values is not None:
            return now.values.shape
        earlier: list[KeptPart] = [getattr(column.kept, what) for column in reversed(self.columns())]
        return next((part.values.shape for part in earlier if part.values is not None), None)


def draw_strip(film: Film, tag: str) -> Picture:
    """The sheet: steps as columns, channels as rows, what changed, the distance from the start."""
    places = film.places
    columns = film.columns(places.most)
    marks = Marks()
    bands, ranges, notes = [places.steps(columns)], [], []
    for name, section, drawing in film.sections(columns):
        scale = section.held.scale
        ranges.append(f"{name}: {' to '.join(sheet.range_words(scale))}")
        short = name.removesuffix(f" of {film.sample}")
        if section.held.since == film.snapshot.step and section.held.before is not None:
            notes.append(f"{short}: {section.held.words(film.snapshot.step)}")
        notes += [f"{short}: {words}" for words in _left_out(film, section, drawing)]
        details = ", ".join(_details(film, section, drawing))
        bands.append(heading(name, details, key=drawing.key(scale)))
        bands.append(values_band(section, drawing, places, scale, marks))
        if section.change[1].any():
            band, change = change_band(section, drawing, places)
            mean = "mean " if section.joins or (section.shape and len(section.values[0]) > 1) else ""
            bands += [heading("changed", f"{mean}|now - before|", key=drawing.change().key(change)), band]
            ranges.append(f"changed: up to {change.limit:g}")
    bands += _distances(film, columns, places, ranges)
    return make_sheet(
        tag,
        bands,
        name=film.layer.name,
        when=film.snapshot.when,
        facts=", ".join(facts_of(film, columns)),
        key=[*_best_key(columns), *_component_key(film), *marks.key()],
        notes=[*notes, *marks.notes()],
        details=f"Columns: steps {listed([column.step for column in columns])}. {'; '.join(ranges)}.",
        colours=film_palette(),
    )


def _distances(film: Film, columns: Sequence[Column], places: Columns, ranges: list[str]) -> list[np.ndarray]:
    """The curve of the distance from the start, where there is one."""
    last = columns[-1].kept.distance
    if last is None:
        return []
    norm = last.norm
    values = [
        None if kept is None or kept.distance is None else kept.distance / (norm or 1.0)
        for column in columns
        for kept in [column.kept.distance]
    ]
    known = [(value, column.step) for value, column in zip(values, columns, strict=True) if value is not None]
    if not known:
        return []
    value, step = known[-1]
    when = "now" if step == columns[-1].step else f"at step {step}"
    kind = "relative L2 distance" if norm else "L2 distance"
    part = f" of {film.compared}" if film.compared else ""
    words = f"{kind} from step {last.since}"
    ranges.append(f"{words}{part}{'' if when == 'now' else f' {when}'}: {value:.3g}")
    bands = [heading("distance", f"{when} {value:.3g} ({words})")]
    bands += [sheet.row([draw_line(part.strip(), faded=True)])] if part else []
    return bands + distance_band(values, places)


def kind_of(layer: Layer) -> str:
    """The layer's class, with the size of its kernels."""
    space = (layer.kernel_shape or ())[2:]
    return f"{layer.kind} {size_of(tuple(space))}" if space else layer.kind


def rows_of(film: Film) -> tuple[tuple[int, ...], int]:
    """Which channels are the rows, and of how many."""
    layer, maps = film.layer, film.now.maps.rows
    shape = layer.output_shape
    total = shape[-1] if maps and shape else (layer.kernel_shape or (0,))[0]
    return maps or film.now.kernels.rows, total


def facts_of(film: Film, columns: Sequence[Column]) -> list[str]:
    """What the layer is, what is drawn of it, and over what."""
    rows, total = rows_of(film)
    facts = [kind_of(film.layer), *([count_of(len(rows), total, "channel")] if rows else [])]
    if len(columns) == 1:
        return [*facts, "one step so far"]
    what = "epochs" if film.snapshot.when.startswith("epoch") else "steps"
    return [*facts[:-1], f"{facts[-1]} over {what}"]


def _details(film: Film, section: Section, drawing: Panels) -> list[str]:
    """What must be known of the panels of a part."""
    words = []
    kernel = film.layer.kernel_shape
    if drawing is film.kernel_panels and kernel is not None and kernel[1] > 1 and not is_matrix(kernel[2:]):
        one = section.shape[0] == 1 if section.joins else True
        words += [f"mean of {kernel[1]} inputs"] if one else []
    if (
        isinstance(drawing, CurvePanels)
        and len(section.there) > 1
        and not (section.joins and section.shape[0] > 1)
    ):
        words.append("grey: first step")
    return words


def _left_out(film: Film, section: Section, drawing: Panels) -> list[str]:
    """What must be known of what was left out of each panel."""
    of_kernel = drawing is film.kernel_panels
    full = (film.layer.kernel_shape if of_kernel else film.layer.output_shape) or ()
    space, words = full[2:] if of_kernel else full[1:-1], []
    if isinstance(drawing, MatrixPanels):
        cell = tuple(-(-one // part) for one, part in zip(full, section.shape, strict=False))
        words += [f"from the top {', '.join(film.layer.gates)}"] if film.layer.gates else []
        return [*words, f"1 cell = mean of {size_of(cell)}"] if max(cell) > 1 else words
    if len(space) == 3:
        words.append(f"slice {film.slices[0 if of_kernel else 1]} of {space[0]}")
    if isinstance(drawing, TilePanels):
        factor = -(-space[-1] // section.shape[-1])
        words += [f"1 pixel = mean of {factor}x{factor}"] if factor > 1 else []
    return words


def _best_key(columns: Sequence[Column]) -> list[tuple[np.ndarray, str]]:
    best = next((column for column in columns if column.best), None)
    if best is None:
        return []
    words = f"best: {best.step}"
    return [(sheet.legend_entry(sheet.swatch(BEST), words), f"best step: {best.step}")]


def _component_key(film: Film) -> list[tuple[np.ndarray, str]]:
    """The colours of the curves, where a kernel has one an input."""
    values = film.now.kernels.values
    if not isinstance(film.kernel_panels, CurvePanels) or values is None or values.shape[1] == 1:
        return []
    return [
        (sheet.legend_entry(sheet.swatch(palette.CURVES[place]), f"in {place}"), "")
        for place in range(values.shape[1])
    ]
