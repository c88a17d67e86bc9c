"""A layer over the steps as an animation: a frame a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.picture import Animation
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.grid import GAP, enlarge, grid
from layerviz_callbacks.render.layout import CONTENT_WIDTH
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.views.film_bands import BEST, heading
from layerviz_callbacks.views.film_columns import Column
from layerviz_callbacks.views.film_marks import Marks, crossed_panels
from layerviz_callbacks.views.film_palette import film_indices, film_palette
from layerviz_callbacks.views.film_panels import (
    CellPanels,
    ColourPanels,
    CurvePanels,
    MatrixPanels,
    Panels,
    TilePanels,
)
from layerviz_callbacks.views.film_sections import Section
from layerviz_callbacks.views.film_sheet import Film, kind_of, rows_of
from layerviz_callbacks.views.words import count_of, escape_markdown, listed

SECONDS = 0.5
LAST_SECONDS = 2.0
"""How long a frame is shown, and how long the last one."""
TILE_SIDE = 104
CURVE_WIDTH, CURVE_HEIGHT = 224, 96
MATRIX_HEIGHT = 288
CELL_HEIGHT = 64
_PROGRESS_HEIGHT = 8


def draw_animation(film: Film, tag: str) -> Animation:
    """Filters above, feature maps below, each channel at its place, in the ranges of the strip."""
    columns = film.columns()
    moments = [
        np.concatenate([sheet.title(film.layer.name, _when(column)), _progress(place, columns)])
        for place, column in enumerate(columns)
    ]
    marks = Marks()
    facts = f"{kind_of(film.layer)}, {_numbers(*rows_of(film))}".removesuffix(", ")
    parts: list[np.ndarray | list[np.ndarray]] = []  # bands that stand still, and bands a frame
    parts += [sheet.row([draw_line(line, faded=True)]) for line in sheet.wrap(facts)]
    for name, section, drawing in film.sections(columns):
        scale = section.held.scale
        parts += [heading(name, key=drawing.key(scale)), _frames(section, drawing, scale, marks)]
    parts += sheet.flow([piece for piece, _ in marks.key()])
    for note in marks.notes():
        parts += [sheet.row([draw_line(line, faded=True)]) for line in sheet.wrap(note)]
    frames = []
    for place, moment in enumerate(moments):
        bands = [part[place] if isinstance(part, list) else part for part in parts]
        frames.append(sheet.stack([moment, *bands], film_palette()))
    seconds = [SECONDS] * (len(frames) - 1) + [LAST_SECONDS]
    steps = f"{count_of(len(columns), len(columns), 'step')}: {listed([column.step for column in columns])}"
    name = film.layer.name
    return Animation(
        tag,
        frames[-1],
        film_palette() if frames[-1].ndim == 2 else None,
        caption=f"{' '.join(name.split())}: an animation of {steps}.",
        description=f"**{escape_markdown(name)}**  \n{escape_markdown(steps)}",
        frames=frames,
        seconds=seconds,
    )


def _progress(place: int, columns: Sequence[Column]) -> np.ndarray:
    """A line that fills from frame to frame, the best step in another colour."""
    line = np.full((_PROGRESS_HEIGHT, CONTENT_WIDTH), palette.PANEL, np.uint8)
    ends = np.arange(len(columns) + 1) * CONTENT_WIDTH // len(columns)
    line[:, : ends[place + 1]] = palette.CURVES[0]
    for number, column in enumerate(columns):
        if column.best:
            line[:, ends[number] : ends[number + 1]] = BEST
    if place + 1 < len(columns):
        line[: _PROGRESS_HEIGHT // 2, ends[place + 1] :] = palette.PAPER  # what is to come is thinner
    return line


def _numbers(rows: Sequence[int], total: int) -> str:
    """Which channels stand side by side; empty where a panel shows all of them.

    Example:
        >>> _numbers([0, 1, 2], 8), _numbers([3, 1], 8), _numbers([], 8)
        ('channels 0 to 2 of 8', 'channels 3, 1 of 8', '')
    """
    if len(rows) > 1 and list(rows) == list(range(rows[0], rows[0] + len(rows))):
        return f"channels {rows[0]} to {rows[-1]} of {total}"
    return f"channels {listed(rows, most=9)} of {total}" if rows else ""


def _when(column: Column) -> str:
    when = column.frame.when or f"step {column.step}"
    return f"{when} (best)" if column.best else when


def _frames(section: Section, small: Panels, scale: Scale, marks: Marks) -> list[np.ndarray]:
    """The band of a part at each step."""
    drawing = _large(small)
    if drawing is None:
        return _cells(section, scale, marks)
    panels = crossed_panels(section, drawing, scale, marks)
    width = panels.shape[3]
    across = max(1, (CONTENT_WIDTH + GAP) // (width + GAP))
    paper = film_palette()[palette.PAPER] if panels.ndim == 5 else np.array([palette.PAPER])
    panels[~section.there] = paper if panels.ndim == 5 else palette.PAPER
    planes = np.moveaxis(panels, -1, 0) if panels.ndim == 5 else panels[None]
    laid = np.stack(
        [grid(plane, across, ground=int(ground)) for plane, ground in zip(planes, paper, strict=True)],
        axis=-1,
    )
    return [frame if panels.ndim == 5 else frame[..., 0] for frame in laid[..., :CONTENT_WIDTH, :]]


def _large(small: Panels) -> Panels | None:
    """The same panels for a sheet of one step; None where they are cells."""
    if isinstance(small, CellPanels):
        return None
    if isinstance(small, ColourPanels):
        return ColourPanels(TILE_SIDE)
    if isinstance(small, TilePanels):
        return TilePanels(TILE_SIDE)
    if isinstance(small, MatrixPanels):
        return MatrixPanels(CONTENT_WIDTH, MATRIX_HEIGHT)
    return CurvePanels(CURVE_WIDTH, CURVE_HEIGHT)


def _cells(section: Section, scale: Scale, marks: Marks) -> list[np.ndarray]:
    """A vector as a row of cells, its units from left to right."""
    marks.note(section.values[section.there])
    indices = film_indices(section.values, scale)
    indices[~section.there] = palette.PAPER
    pitch = max(2, min(64, CONTENT_WIDTH // indices.shape[1]))
    gap = 2 if pitch > 8 else 0
    cells = grid(enlarge(indices[..., None, None], (CELL_HEIGHT, pitch - gap)), indices.shape[1], gap=gap)
    if pitch < 40:
        return list(cells)
    names = np.full((draw_line("0").shape[0], cells.shape[2]), palette.PAPER, np.uint8)
    for place, row in enumerate(section.rows):
        word = draw_line(str(row), faded=True, width=pitch - 4)
        left = place * pitch + (pitch - gap - word.shape[1]) // 2
        names[:, left : left + word.shape[1]] = word
    return [np.concatenate([frame, names]) for frame in cells]
