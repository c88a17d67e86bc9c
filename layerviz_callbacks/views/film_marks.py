"""The panels of a film, and what is marked on them: the same everywhere, saturated, NaN, infinities."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.grid import cross, mark_corners
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.views.film_palette import film_palette
from layerviz_callbacks.views.film_panels import Panels
from layerviz_callbacks.views.film_sections import Section
from layerviz_callbacks.views.saturation import saturation_words


@dataclass
class Marks:
    """What was marked on a sheet.

    Attributes:
        zero: something that is zero everywhere.
        constant: something that is another number everywhere.
        saturated: the bounds of what is saturated; None: nothing is.
        grounds: the indices that the marks stand on.
        strange: the indices of NaN and infinities.
    """

    zero: bool = False
    constant: bool = False
    saturated: tuple[int, int] | None = None
    grounds: set[int] = field(default_factory=set)
    strange: set[int] = field(default_factory=set)

    def note(self, values: np.ndarray) -> None:
        """Take down NaN and infinities."""
        with np.errstate(invalid="ignore", over="ignore"):
            if np.isfinite(values.sum()):
                return
        found = (np.isnan(values), values == np.inf, values == -np.inf)
        marks = (palette.NOT_A_NUMBER, palette.PLUS_INFINITY, palette.MINUS_INFINITY)
        self.strange |= {mark for mark, where in zip(marks, found, strict=True) if where.any()}

    def notes(self) -> list[str]:
        """What must be said of the marks beside the key."""
        return [] if self.saturated is None else [saturation_words(self.saturated)]

    def key(self) -> list[tuple[np.ndarray, str]]:
        """What the marks mean, as far as there are any."""
        ground = min(self.grounds, default=palette.PANEL)
        entries = [
            (sheet.legend_entry(sheet.cross_swatch(ground), what), f"crossed out: {what}")
            for found, what in ((self.zero, "all zero"), (self.constant, "constant"))
            if found
        ]
        if self.saturated is not None:
            mark = sheet.corner_swatch(ground)
            entries.append((sheet.legend_entry(mark, "saturated"), "with a corner: saturated"))
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
    marks.note(flat if there.all() else flat[there])
    if drawing.crossed:
        zero, constant = (found & there for found in _same_everywhere(flat))
        crossed, saturated = zero | constant, section.saturated.reshape(-1) & ~(zero | constant)
        drawn = _cross_out(mark_corners(drawn, saturated), crossed)
        marks.zero |= bool(zero.any())
        marks.constant |= bool(constant.any())
        if saturated.any():
            marks.saturated = (-1 if scale.signed else 0), 1
        if crossed.any() or saturated.any():
            marks.grounds.add(drawing.ground(scale))
    return drawn.reshape(count, rows, *drawn.shape[1:])


def _same_everywhere(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of `(count, *shape)` are zero everywhere, and which another number: two masks `(count,)`."""
    flat = values.reshape(len(values), -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    zero = (low == 0) & (high == 0)
    return zero, (low == high) & np.isfinite(low) & ~zero & (flat.shape[1] > 1)


def _cross_out(drawn: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Cross out the `chosen` ones `(count,)` of panels `(count, height, width[, 3])`."""
    if not chosen.any():
        return drawn
    mark = film_palette()[palette.DEAD] if drawn.ndim == 4 else np.uint8(palette.DEAD)
    mask = cross(*drawn.shape[1:3])
    drawn = drawn.copy()
    drawn[chosen] = np.where(mask[..., None] if drawn.ndim == 4 else mask, mark, drawn[chosen])
    return drawn
