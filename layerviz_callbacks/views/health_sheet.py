"""One sheet that says where to look first: verdicts in words, and below them the layers in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from layerviz_callbacks.health import Thresholds, Verdict, spread
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.layout import CONTENT_WIDTH
from layerviz_callbacks.render.text import ELLIPSIS, LINE_HEIGHT, draw_line, drawable, measure
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views.health_columns import COLUMNS, USUAL, Column, Numbers, never
from layerviz_callbacks.views.sheets import make_sheet
from layerviz_callbacks.views.words import count_of

MOST_ROWS = 20
MOST_VERDICTS = 6
_MOST_OTHERS = 6
"""So many rows are kept for layers that are well."""
_MOST_COLUMNS = 5
_NARROWEST_CELL = 76
_PADDING = 6
"""Of a cell, on both sides of its letters."""
_GAP = 4
_TINTS = palette.LEVELS // palette.GREYS
"""So many grounds, each with all greys of letters on it."""
_WORST = _TINTS - 1
_GROUNDS = ((0, (240, 241, 246)), (1, (255, 247, 214)), (5, (255, 224, 130)), (10, (255, 164, 77)),
            (13, (240, 96, 62)))  # fmt: skip
"""Tints between these are mixed of their neighbours: light grey, cream, yellow, orange, vermillion."""


def draw_health(tag: str, snapshot: Snapshot, thresholds: Thresholds) -> Picture:
    """Draw the sheet of a snapshot with `health` and `verdicts`."""
    rows = _rows(snapshot, thresholds)
    columns = _columns(snapshot, rows)
    sick = _sick(snapshot.verdicts)
    health = snapshot.health
    table = _Table(columns, [health[name].numbers for name in rows])
    band = [table.heading()]
    labels = _labels(rows, snapshot, table.width_of_names)
    band += [
        table.row(labels[name], health[name].numbers, sick.get(name, frozenset()), thresholds)
        for name in rows
    ]
    told, total = len(snapshot.verdicts), len(health)
    facts = f"{count_of(total, total, 'layer')}, " + (
        f"{count_of(told, told, 'verdict')}, the worst first"
        if told
        else "nothing wrong, as far as was looked"
    )
    shown = f"{len(rows)} of {total} layers: those nearest to a verdict, and others spread evenly"
    meanings = [f"{column.title}: {column.words}" for column in columns]
    samples = len(snapshot.probe)
    return make_sheet(
        tag,
        [*_verdict_lines(snapshot.verdicts), *_stacked(band), *_faded("; ".join(meanings))],
        name="look here first",
        when=snapshot.when,
        facts=f"{facts}; {count_of(samples, samples, 'sample')}",
        key=[(_tint_key(), "the nearer a number is to a verdict, the redder")],
        notes=[shown] if len(rows) < total else [],
        details="; ".join(meanings),
        colours=_colours(),
    )


def _rows(snapshot: Snapshot, thresholds: Thresholds) -> list[str]:
    """The layers of the table in the model's order; of many those nearest to a verdict, and a few others."""
    severity: dict[str, float] = {}
    for verdict in snapshot.verdicts:
        severity[verdict.layer] = max(severity.get(verdict.layer, 0.0), 1 + verdict.severity)
    names = [layer.name for layer in snapshot if layer.name in snapshot.health]
    if len(names) <= MOST_ROWS:
        return names

    def concern(name: str) -> float:
        numbers = snapshot.health[name].numbers
        worries = [
            column.worry(numbers[column.name], thresholds) for column in COLUMNS if column.name in numbers
        ]
        return severity.get(name, min(1.0, max(worries, default=0.0)))

    near = sorted((name for name in names if concern(name) > 0), key=lambda name: -concern(name))
    others = [name for name in names if concern(name) <= 0]
    kept = set(near[: MOST_ROWS - min(_MOST_OTHERS, len(others))])
    kept |= {others[place] for place in spread(len(others), MOST_ROWS - len(kept))}
    return [name for name in names if name in kept]


def _columns(snapshot: Snapshot, rows: Sequence[str]) -> list[Column]:
    """Those of verdicts first of all, then the usual ones; in the order of `COLUMNS`."""
    ill = {verdict.illness for verdict in snapshot.verdicts}
    known = [
        column for column in COLUMNS if any(column.name in snapshot.health[name].numbers for name in rows)
    ]
    first = [column for column in known if ill & set(column.illnesses)]
    usual = [column for column in known if column.name in USUAL and column not in first]
    chosen = [*first, *usual][:_MOST_COLUMNS]
    return [column for column in COLUMNS if column in chosen]


def _sick(verdicts: Sequence[Verdict]) -> dict[str, frozenset[str]]:
    """By layer, the illnesses it has."""
    found: dict[str, frozenset[str]] = {}
    for verdict in verdicts:
        found[verdict.layer] = found.get(verdict.layer, frozenset()) | {verdict.illness}
    return found


def _verdict_lines(verdicts: Sequence[Verdict]) -> list[np.ndarray]:
    lines = []
    for place, verdict in enumerate(verdicts[:MOST_VERDICTS], start=1):
        number = draw_line(f"{place}", bold=True)
        since = f"since {verdict.when or f'step {verdict.since}'}"
        words = f"{verdict.layer or 'model'}: {verdict.words}, {since}"
        for line in sheet.wrap(words, width=CONTENT_WIDTH - 30):
            lines.append(sheet.row([number, draw_line(line)], gap=30 - number.shape[1]))
            number = draw_line(" ")
    if len(verdicts) > MOST_VERDICTS:
        more = len(verdicts) - MOST_VERDICTS
        lines.append(sheet.row([draw_line(f"and {count_of(more, more, 'verdict')} more: see the text page")]))
    return lines


def _faded(words: str) -> list[np.ndarray]:
    return [sheet.row([draw_line(line, faded=True)]) for line in sheet.wrap(words)]


class _Table:
    """Where the cells of a table stand: each column is as wide as its title and its widest number.

    Args:
        columns: from left to right; the last ends at the right margin.
        rows: the numbers of each.

    Attributes:
        width_of_names: there is so much room for the layers' names.
    """

    def __init__(self, columns: Sequence[Column], rows: Sequence[Numbers]) -> None:
        self._columns = columns
        self._widths = [_width_of(column, rows) for column in columns]
        taken = [width + _GAP for width in self._widths]
        first = CONTENT_WIDTH - sum(taken) + _GAP
        self._lefts = [first + sum(taken[:place]) for place in range(len(columns))]
        self.width_of_names = first - 3 * _GAP

    def heading(self) -> np.ndarray:
        """The titles of the columns."""
        line = np.full((LINE_HEIGHT, CONTENT_WIDTH), palette.PAPER, np.uint8)
        _write(line, draw_line("layer", bold=True), 0)
        for column, left, width in self._places():
            title = draw_line(column.title, bold=True)
            _write(line, title, left + (width - title.shape[1]) // 2)
        return line

    def row(
        self, label: str, numbers: Numbers, illnesses: frozenset[str], thresholds: Thresholds
    ) -> np.ndarray:
        """What the layer is called, and its numbers on tinted grounds."""
        line = np.full((LINE_HEIGHT, CONTENT_WIDTH), palette.PAPER, np.uint8)
        _write(line, draw_line(label, bold=bool(illnesses)), 0)
        for column, left, width in self._places():
            value = numbers.get(column.name)
            if value is None:
                continue
            told = bool(illnesses & set(column.illnesses))
            tint = _tint(column.worry(value, thresholds), told=told, by_itself=column.worry is not never)
            line[:, left : left + width] = _cell(column.text(value), width, tint)
        return line

    def _places(self) -> Iterator[tuple[Column, int, int]]:
        return zip(self._columns, self._lefts, self._widths, strict=True)


def _labels(names: Sequence[str], snapshot: Snapshot, width: int) -> dict[str, str]:
    """Names as they stand in the table; where one is too long, their ends behind their places, as in tags."""
    whole = {name: drawable(name) for name in names}
    if all(measure(text, bold=True) <= width for text in whole.values()):
        return whole
    digits = max(2, len(str(max(layer.place for layer in snapshot))))
    return {name: _end_of(text, f"{snapshot[name].place:0{digits}d} ", width) for name, text in whole.items()}


def _end_of(text: str, before: str, width: int) -> str:
    """As much of the end of a text as fits behind `before`; the end tells layers of one block apart."""
    if measure(before + text, bold=True) <= width:
        return before + text
    ends = (f"{before}{ELLIPSIS}{text[start:].lstrip('.')}" for start in range(1, len(text)))
    return next((end for end in ends if measure(end, bold=True) <= width), before)


def _width_of(column: Column, rows: Sequence[Numbers]) -> int:
    texts = {column.text(row[column.name]) for row in rows if column.name in row}
    widest = max([measure(column.title, bold=True), *map(measure, texts)])
    return max(_NARROWEST_CELL, widest + 2 * _PADDING)


def _tint(worry: float, *, told: bool, by_itself: bool) -> int:
    """The worst where a verdict tells the number, if the number by itself does not contradict."""
    worry = float(np.nan_to_num(worry, nan=1.0, posinf=1.0, neginf=0.0))
    if told and (worry >= 1 or not by_itself):
        return _WORST
    return min(_WORST - 2, max(0, round(worry * (_WORST - 2))))


def _cell(text: str, width: int, tint: int) -> np.ndarray:
    """Letters on a ground."""
    cell = np.zeros((LINE_HEIGHT, width), np.uint8)
    letters = palette.PAPER - draw_line(text)
    left = (width - letters.shape[1]) // 2
    cell[:, left : left + letters.shape[1]] = letters
    return np.asarray(cell + np.uint8(tint * palette.GREYS))


def _tint_key() -> np.ndarray:
    bar = np.repeat(np.arange(_TINTS, dtype=np.uint8) * palette.GREYS, 12)
    ramp = np.broadcast_to(bar, (22, len(bar)))
    return sheet.row([draw_line("well"), ramp, draw_line("a verdict")], width=None)


def _write(line: np.ndarray, letters: np.ndarray, left: int) -> None:
    part = line[:, max(0, left) : left + letters.shape[1]]
    part[:] = letters[:, : part.shape[1]]


def _stacked(rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Rows with the gap of cells between them, as one band."""
    gap = np.full((_GAP, CONTENT_WIDTH), palette.PAPER, np.uint8)
    return [np.concatenate([part for row in rows for part in (gap, row)])] if len(rows) > 1 else []


@lru_cache(maxsize=1)
def _colours() -> np.ndarray:
    """A palette of `_TINTS` grounds with 16 greys from ground to ink each, and of what all palettes have."""
    colours = palette.grey().copy()
    places = [place for place, _ in _GROUNDS]
    tints = np.stack(
        [np.interp(np.arange(_TINTS), places, [ground[band] for _, ground in _GROUNDS]) for band in range(3)],
        axis=1,
    )
    share = (np.arange(palette.GREYS) / (palette.GREYS - 1))[None, :, None]
    ink = colours[palette.INK].astype(float)
    mixed = tints[:, None] * (1 - share) + ink * share
    colours[: palette.LEVELS] = np.rint(mixed.reshape(palette.LEVELS, 3))
    colours.setflags(write=False)
    return colours
