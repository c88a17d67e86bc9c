"""The overview: a row a layer, with bars of distance, cosine, correlation and CKA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.comparing.cka import ENOUGH_ROWS
from layerviz_callbacks.comparing.comparison import Comparison, LayerComparison
from layerviz_callbacks.comparing.words import prediction_words, two_digits, verdict_of
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.layout import CONTENT_WIDTH
from layerviz_callbacks.render.sheet import number
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line, drawable, measure
from layerviz_callbacks.views.sheets import make_sheet
from layerviz_callbacks.views.words import count_of

MOST_ROWS = 48
_LONGEST_NAME = 190
_ROW = 40
_GAP = 12
_BOLD = CONTENT_WIDTH - 40
"""Thicker letters need more room than is measured for thin ones."""
_THICK, _THIN = 18, 8
_MATCHED, _STANDING, _PARTED = palette.CURVES[0], palette.CURVES[5], palette.CURVES[1]


@dataclass(frozen=True)
class _Column:
    """One number of each layer: matched (or the only one), and as it stands."""

    title: str
    matched: Callable[[LayerComparison], float | None]
    standing: Callable[[LayerComparison], float | None] | None


_COLUMNS = (
    _Column("distance", lambda layer: layer.matched_distance, lambda layer: layer.distance),
    _Column("cosine", lambda layer: layer.matched_cosine, lambda layer: layer.cosine),
    _Column("corr.", lambda layer: layer.matched_correlation, lambda layer: layer.correlation),
    _Column("CKA", lambda layer: layer.cka, None),
)


def draw_overview(comparison: Comparison) -> Picture:
    """The sheet that tells at a glance which layers are alike, and where the two part."""
    layers = comparison.layers[:MOST_ROWS]
    columns = [column for column in _COLUMNS if any(_values(column, layer) for layer in layers)]
    body = [
        sheet.row([draw_line(line, bold=True)]) for line in sheet.wrap(verdict_of(comparison), width=_BOLD)
    ]
    spans = {}
    if columns:
        names = min(_LONGEST_NAME, max(measure(drawable(layer.title), bold=True) for layer in layers)) + _GAP
        width = (CONTENT_WIDTH - names) // len(columns) - _GAP
        spans = {column.title: _span(column, layers) for column in columns}
        body.append(_heads(columns, names, width))
        rows = [_row(layer, columns, names, width, spans, comparison) for layer in layers]
        body.append(np.concatenate(rows))
    for found in comparison.predictions:
        body += [sheet.row([draw_line(line)]) for line in sheet.wrap(prediction_words(found))]
    body += [sheet.row([draw_line(line)]) for line in sheet.wrap(_metric_words(comparison))]
    ranges = ", ".join(f"{title} 0 to {number(end)}" for title, end in spans.items())
    key = [
        (sheet.legend_entry(sheet.swatch(_MATCHED), "channels matched"), "thick bars: channels matched"),
        (sheet.legend_entry(sheet.swatch(_STANDING), "as they stand"), "thin bars: as they stand"),
    ]
    notes = [f"bars: {ranges}"] if ranges else []
    if any(layer.cka is not None and layer.rows < ENOUGH_ROWS for layer in layers):
        notes.append(f"?: CKA of fewer than {ENOUGH_ROWS} rows is unsure")
    return make_sheet(
        "comparison/overview",
        body,
        name="two networks, layer by layer",
        when="",
        facts=f"{count_of(len(layers), len(comparison.layers), 'layer')}; a: {comparison.names[0]}; "
        f"b: {comparison.names[1]}",
        key=key if columns else [],
        notes=notes,
        details="distance: |a - b| / |a| of the kernels; cosine: between filters; corr.: correlation "
        "between activations; CKA: linear, debiased.",
        colours=palette.sequential(),
    )


def _values(column: _Column, layer: LayerComparison) -> list[float]:
    ways = [column.matched, *([column.standing] if column.standing else [])]
    return [value for way in ways if (value := way(layer)) is not None]


def _span(column: _Column, layers: Sequence[LayerComparison]) -> float:
    """What a full bar stands for: 1, or the greatest distance where that is more."""
    values = [value for layer in layers for value in _values(column, layer) if np.isfinite(value)]
    return max([1.0, *values]) if column.title == "distance" else 1.0


def _heads(columns: Sequence[_Column], names: int, width: int) -> np.ndarray:
    line = np.full((LINE_HEIGHT, CONTENT_WIDTH), palette.PAPER, np.uint8)
    for place, column in enumerate(columns):
        word = draw_line(column.title, faded=True, width=width + _GAP)
        left = names + place * (width + _GAP)
        line[:, left : left + word.shape[1]] = word
    return line


def _row(
    layer: LayerComparison,
    columns: Sequence[_Column],
    names: int,
    width: int,
    spans: dict[str, float],
    comparison: Comparison,
) -> np.ndarray:
    band = np.full((_ROW, CONTENT_WIDTH), palette.PAPER, np.uint8)
    parted = layer.name == comparison.parts_at
    if parted:
        band[:4] = _PARTED
    name = draw_line(layer.title, bold=parted, width=names - _GAP)
    band[6:_ROW, : name.shape[1]] = name[: _ROW - 6]
    room = measure("0.00?")
    for place, column in enumerate(columns):
        left = names + place * (width + _GAP)
        matched, standing = column.matched(layer), column.standing(layer) if column.standing else None
        told = standing if matched is None else matched
        if told is None:
            continue
        bar = width - room - 6
        span = spans[column.title]
        band[8 : 8 + _THICK, left : left + bar] = palette.PANEL
        _bar(band[8 : 8 + _THICK, left : left + bar], matched, span, _MATCHED)
        if column.standing is not None:
            band[28 : 28 + _THIN, left : left + bar] = palette.PANEL
            _bar(band[28 : 28 + _THIN, left : left + bar], standing, span, _STANDING)
        unsure = column.title == "CKA" and layer.rows < ENOUGH_ROWS
        words = draw_line(f"{two_digits(told)}{'?' if unsure else ''}", width=room)
        band[6:_ROW, left + bar + 6 : left + bar + 6 + words.shape[1]] = words[: _ROW - 6]
    return band


def _bar(room: np.ndarray, value: float | None, span: float, colour: int) -> None:
    if value is not None and not np.isnan(value):
        room[:, : round(room.shape[1] * min(max(value / span, 0.0), 1.0))] = colour


def _metric_words(comparison: Comparison) -> str:
    told = []
    for name, values in comparison.metrics.items():
        one, other = ("-" if value != value else number(value) for value in values)
        told.append(f"{name}: a {one}, b {other}")
    return "; ".join(told[:4])
