"""The panels of a film, and what is marked on them: the same everywhere, NaN, infinities."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.grid import cross
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.views.film_palette import film_palette
from layerviz_callbacks.views.film_panels import Panels
from layerviz_callbacks.views.film_sections import Section


@dataclass
class Marks:
    """What was marked on a sheet."""

    zero: bool = False
    constant: bool = False
    grounds: set[int] = field(default_factory=set)
    strange: set[int] = field(default_factory=set)

    def note(self, values: np.ndarray) -> None:
        """Take down NaN and infinities."""
        found = (np.isnan(values), values == np.inf, values == -np.inf)
        marks = (palette.NOT_A_NUMBER, palette.PLUS_INFINITY, palette.MINUS_INFINITY)
        self.strange |= {mark for mark, where in zip(marks, found, strict=True) if where.any()}

    def key(self) -> list[tuple[np.ndarray, str]]:
        """What the marks mean, as far as there are any."""
        ground = min(self.grounds, default=palette.PANEL)
        entries = [
            (sheet.legend_entry(sheet.cross_swatch(ground), what), f"crossed out: {what}")
            for found, what in ((self.zero, "all zero"), (self.constant, "constant"))
            if found
        ]
        names = {palette.NOT_A_NUMBER: "NaN", palette.PLUS_INFINITY: "+Inf", palette.MINUS_INFINITY: "-Inf"}
        return entries + [
            (sheet.legend_entry(sheet.swatch(mark), names[mark]), f"marked: {names[mark]}")
            for mark in sorted(self.strange)
        ]


def crossed_panels(section: Section, drawing: Panels, scale: Scale, marks: Marks) -> np.ndarray:
    """The panels `(column, row, height, width[, 3])` of every channel at every step, marked where need be."""
    count, rows = section.there.shape
    flat = section.values.reshape(-1, *section.shape)
    start = None
    if section.start is not None:
        start = np.broadcast_to(section.start, section.values.shape).reshape(flat.shape)
    drawn = drawing.draw(flat, scale, start)
    there = section.there.reshape(-1)
    marks.note(flat[there])
    if drawing.crossed:
        drawn[there], zero, constant = _cross_out(drawn[there], flat[there])
        marks.zero, marks.constant = marks.zero or zero, marks.constant or constant
        if zero or constant:
            marks.grounds.add(drawing.ground(scale))
    return drawn.reshape(count, rows, *drawn.shape[1:])


def _cross_out(drawn: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, bool, bool]:
    """Cross out panels `(count, height, width[, 3])` whose values `(count, *shape)` are the same everywhere.

    Returns:
        The panels, whether any is all zero, and whether any is another constant.
    """
    flat = values.reshape(len(values), -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    zero = (low == 0) & (high == 0)
    constant = (low == high) & np.isfinite(low) & ~zero & (flat.shape[1] > 1)
    chosen = zero | constant
    if chosen.any():
        mark = film_palette()[palette.DEAD] if drawn.ndim == 4 else np.uint8(palette.DEAD)
        mask = cross(*drawn.shape[1:3])
        drawn = drawn.copy()
        drawn[chosen] = np.where(mask[..., None] if drawn.ndim == 4 else mask, mark, drawn[chosen])
    return drawn, bool(zero.any()), bool(constant.any())
