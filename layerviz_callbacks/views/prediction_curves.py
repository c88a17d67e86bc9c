"""The sheet of answers over time: curves under the input, on the same axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views.prediction_kinds import Answer
from layerviz_callbacks.views.prediction_sheets import Drawn, label_of
from layerviz_callbacks.views.sample_panels import (
    curve_panels,
    draw_panel_sheet,
    fit_panel_sheet,
    input_of,
    input_panels,
)
from layerviz_callbacks.views.sheets import height_key
from layerviz_callbacks.views.words import count_of

MOST_CURVES = 8
DASH = 8
"""Pixels of a dash of a target's curve, and of the gap after it."""


def draw_answers_over_time(answer: Answer, snapshot: Snapshot, samples: int, labels: Sequence[str]) -> Drawn:
    """Blocks of the input's curves and, under them, the answer's; targets are dashed, in the same colours."""
    values, truth = answer.values[..., :MOST_CURVES], answer.truth
    count = values.shape[-1]
    given = input_of(snapshot.inputs, 1)
    fitted = fit_panel_sheet(answer.space, samples=samples, panels=1 + (given is not None))
    values = values[: fitted.samples]
    truth = None if truth is None else truth[: fitted.samples, :, :count].astype(values.dtype)
    scale = _scale(values, truth)
    colours = [int(palette.CURVES[place]) for place in range(count)]
    drawn = curve_panels(values, fitted, scale, colours)
    if truth is not None:
        targets = curve_panels(truth, fitted, scale, colours)
        dashed = np.arange(drawn.shape[-1]) // DASH % 2 == 0
        free = (drawn == palette.PANEL) | (drawn == palette.ZERO_LINE)
        drawn = np.where(dashed & free, targets, drawn)
    panels = [drawn] if given is None else [input_panels(given, fitted), drawn]
    facts = [
        f"{count_of(count, answer.values.shape[-1], 'curve')} of length {answer.space[0]}",
        count_of(fitted.samples, len(answer.values), "sample"),
    ]
    notes = [f"each sample, {fitted.order}: input, answer on the same axis"] if given is not None else []
    notes += [answer.made] if answer.made else []
    if given is not None and given.shape[1] != answer.space[0]:
        notes.append(f"the input's length {given.shape[1]} and the answer's share one axis")
    return Drawn(
        [draw_panel_sheet(fitted, panels, snapshot.probe.names, _highest(values))],
        ", ".join(facts),
        [height_key(scale, "answers"), *_legend(values, labels, colours, targets=truth is not None)],
        notes,
        palette.sequential(),
    )


def _scale(values: np.ndarray, truth: np.ndarray | None) -> Scale:
    """From 0 to 1 where all lies between, so that a sheet of probabilities keeps its scale."""
    scales = [Scale.of(part) for part in (values, truth) if part is not None]
    signed = any(scale.signed for scale in scales)
    limit = max(float(scale.limit) for scale in scales)
    return Scale(1.0 if limit <= 1 and not signed else limit, signed)


def _highest(values: np.ndarray) -> list[str]:
    """For a single curve, its largest value and where it is."""
    if values.shape[-1] > 1:
        return []
    words = []
    for curve in values[..., 0]:
        finite = np.where(np.isfinite(curve), curve, -np.inf)
        place = int(finite.argmax())
        words.append(f"max {sheet.number(float(curve[place]))} at {place}")
    return words


def _legend(
    values: np.ndarray, labels: Sequence[str], colours: Sequence[int], *, targets: bool
) -> list[tuple[np.ndarray, str]]:
    entries = []
    for place, colour in enumerate(colours):
        words = label_of(place, labels, "" if len(colours) > 1 else "answer ")
        words = "answer" if len(colours) == 1 and not labels else words
        entries.append((sheet.legend_entry(sheet.swatch(colour), words), words))
    if targets:
        entries.append((draw_line("dashed: target"), "dashed: target"))
    strange = int((~np.isfinite(values)).any(axis=(1, 2)).sum())
    if strange:
        words = f"NaN or infinite in {count_of(strange, strange, 'sample')}"
        entries.append((sheet.legend_entry(sheet.swatch(palette.NOT_A_NUMBER), words), words))
    return entries
