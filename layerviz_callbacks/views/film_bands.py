"""The bands of a film strip: steps as columns, channels as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.curve import LINE, draw_curves, panels
from layerviz_callbacks.render.held_range import round_up
from layerviz_callbacks.render.layout import CONTENT_WIDTH
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line, measure
from layerviz_callbacks.views.film_columns import Column, step_words
from layerviz_callbacks.views.film_marks import Marks, crossed_panels
from layerviz_callbacks.views.film_palette import film_palette
from layerviz_callbacks.views.film_panels import Panels
from layerviz_callbacks.views.film_sections import Section

COLUMN_GAP = 4
DISTANCE_HEIGHT = 64
BEST = palette.CURVES[1]
_POINT = 6
_LINE_SPARE = 8


@dataclass(frozen=True)
class Columns:
    """Where the columns stand.

    Attributes:
        left: pixels for the numbers of the rows.
        pitch: pixels from a column to the next.
    """

    left: int
    pitch: int

    @classmethod
    def fit(cls, rows: Sequence[int], widest: int) -> Columns:
        """The columns for panels of this width, with these row numbers beside them."""
        left = max((measure(str(row)) for row in rows), default=0) + 6
        return cls(left, max(widest, measure("0.00")) + COLUMN_GAP)

    @property
    def most(self) -> int:
        """How many there is room for."""
        return max(1, (CONTENT_WIDTH - self.left + COLUMN_GAP) // self.pitch)

    def centre(self, place: int) -> int:
        """The middle of a column."""
        return self.left + place * self.pitch + (self.pitch - COLUMN_GAP) // 2

    def words(self, each: Sequence[str], *, faded: bool = False, bold: Sequence[bool] = ()) -> np.ndarray:
        """A line with a word over each column."""
        line = np.full((LINE_HEIGHT, CONTENT_WIDTH), palette.PAPER, np.uint8)
        for place, word in enumerate(each):
            thick = bool(bold) and bold[place]
            drawn = draw_line(word, faded=faded, bold=thick, width=self.pitch - COLUMN_GAP + 2)
            left = min(CONTENT_WIDTH - drawn.shape[1], max(0, self.centre(place) - drawn.shape[1] // 2))
            line[:, left : left + drawn.shape[1]] = drawn
        return line

    def steps(self, columns: Sequence[Column]) -> np.ndarray:
        """The line above the columns: the number of each step, the best one underlined."""
        words = step_words([column.step for column in columns], self.pitch - COLUMN_GAP + 2)
        line = self.words(words, bold=[column.best for column in columns])
        for place, column in enumerate(columns):
            if column.best:
                left = self.left + place * self.pitch
                line[-4:, left : left + self.pitch - COLUMN_GAP] = BEST
        return line

    def table(self, drawn: np.ndarray, there: np.ndarray, rows: Sequence[int], *, gap: int) -> np.ndarray:
        """Panels `(column, row, height, width[, 3])` in their places, the rows with their numbers."""
        number, height, width = drawn.shape[1:4]
        paper = film_palette()[palette.PAPER] if drawn.ndim == 5 else np.uint8(palette.PAPER)
        if not there.all():
            drawn = np.where(there.reshape(*there.shape, *(1,) * (drawn.ndim - 2)), drawn, paper)
        places = np.empty((number, height + gap, CONTENT_WIDTH, *drawn.shape[4:]), np.uint8)
        places[:] = paper
        for place, column in enumerate(drawn):  # all rows at once
            left = self.left + place * self.pitch + max(0, (self.pitch - COLUMN_GAP - width) // 2)
            places[:, :height, left : left + width] = column
        table = places.reshape(-1, *places.shape[2:])[: number * (height + gap) - gap]
        below, pitch = 0, height + gap
        for row in range(0, len(rows), -(-LINE_HEIGHT // pitch) if number > 1 else 1):
            top = min(max(0, row * pitch + (height - LINE_HEIGHT) // 2), max(0, len(table) - LINE_HEIGHT))
            if top < below:
                continue
            below = top + LINE_HEIGHT - _LINE_SPARE
            name = draw_line(str(rows[row]), faded=True)
            part = table[top : top + LINE_HEIGHT, : name.shape[1]]
            name = name[(LINE_HEIGHT - len(part)) // 2 :][: len(part)]
            np.minimum(part, film_palette()[name] if drawn.ndim == 5 else name, out=part)
        return table


def values_band(
    section: Section, drawing: Panels, columns: Columns, scale: Scale, marks: Marks
) -> np.ndarray:
    """The panels of every channel at every step, in their places."""
    drawn = crossed_panels(section, drawing, scale, marks)
    return columns.table(drawn, section.there, section.rows, gap=drawing.row_gap)


def change_band(section: Section, drawing: Panels, columns: Columns) -> tuple[np.ndarray, Scale]:
    """The panels of |now - before|, and their range."""
    values, there = section.change
    limit = float(Scale.of(values, signed=False).limit)
    scale = Scale(round_up(limit), signed=False)
    drawing = drawing.change()
    drawn = drawing.draw(values.reshape(-1, *values.shape[2:]), scale)
    drawn = drawn.reshape(*there.shape, *drawn.shape[1:])
    rows = section.rows if values.shape[1] == len(section.rows) > 1 else ()
    return columns.table(drawn, there, rows, gap=drawing.row_gap), scale


def distance_band(distances: Sequence[float | None], columns: Columns) -> list[np.ndarray]:
    """A curve over the columns, and its numbers; None where there is none, NaN is marked."""
    known = [(columns.centre(place), value) for place, value in enumerate(distances) if value is not None]
    values = np.array([value for _, value in known], np.float32)
    scale = Scale(round_up(float(Scale.of(values, signed=False).limit)), signed=False)
    ground = np.array(panels(DISTANCE_HEIGHT, CONTENT_WIDTH, leading=(), scale=scale))
    ground[:, : columns.left] = palette.PAPER
    ground[:, columns.left + columns.pitch * columns.most - COLUMN_GAP :] = palette.PAPER
    left, right = known[0][0], known[-1][0]
    if right > left:
        where = np.arange(left, right, LINE)
        curve = np.interp(where, [centre for centre, _ in known], values).astype(np.float32)
        width = len(where) * LINE
        ground[:, left : left + width] = draw_curves(ground[:, left : left + width], curve, scale)
    limit = float(scale.limit) or 1.0
    for centre, value in known:
        if np.isfinite(value):
            top = round((1 - min(1.0, value / limit)) * (DISTANCE_HEIGHT - _POINT))
            ground[top : top + _POINT, centre - _POINT // 2 : centre + _POINT // 2] = palette.CURVES[0]
    words = ["" if value is None else _short(value) for value in distances]
    return [ground, columns.words(words, faded=True)]


def heading(words: str, details: str = "", *, key: np.ndarray | None = None) -> np.ndarray:
    """The line above a part: what it is, and how to read its values; details that do not fit stand below."""
    pieces = [draw_line(words, bold=True)]
    if key is not None:
        pieces.append(key)
    used = sum(piece.shape[1] + 10 for piece in pieces)
    if details and measure(details) > CONTENT_WIDTH - used:
        below = sheet.row([draw_line(details, faded=True, width=CONTENT_WIDTH)])
        return np.concatenate([sheet.row(pieces), below])
    if details:
        pieces.append(draw_line(details, faded=True))
    return sheet.row(pieces)


def _short(value: float) -> str:
    """A number in at most four letters.

    Example:
        >>> [_short(value) for value in (0.123, 12.34, 1234.5, float("nan"))]
        ['0.12', '12', '1234', 'NaN']
    """
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Inf"
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.0f}" if value < 9999.5 else f"{value / 1000:.0f}k"
