"""The sheet of answers over time: curves under the input, on the same axis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.curve import draw_curves, fill_to_zero, panels
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views.labels import label_of
from layerviz_callbacks.views.prediction_kinds import Answer
from layerviz_callbacks.views.prediction_sheets import Drawn
from layerviz_callbacks.views.sample_panels import (
    draw_panel_sheet,
    fit_panel_sheet,
    input_of,
    input_panels,
)
from layerviz_callbacks.views.sheets import height_key
from layerviz_callbacks.views.steady import Hold, Steady
from layerviz_callbacks.views.words import count_of

MOST_CURVES = 8
AREAS = 0
"""The index, in `target_palette`, of the area of the first curve's target; the others' follow."""
EDGES = AREAS + len(palette.CURVES)
"""That of the edge of the first curve's area."""
_AREA_SHARE = 0.35
"""Of its curve's colour in an area; the rest is that of the ground."""
_EDGE_SHARE = 0.6


def draw_answers_over_time(
    answer: Answer, snapshot: Snapshot, samples: int, labels: Sequence[str], *, hold: Hold = Steady
) -> Drawn:
    """Blocks of the input's curves and, under them, the answer's over light areas of their targets."""
    values, truth = answer.values[..., :MOST_CURVES], answer.truth
    count = values.shape[-1]
    given = input_of(snapshot.inputs, 1)
    fitted = fit_panel_sheet(answer.space, samples=samples, panels=1 + (given is not None))
    values = values[: fitted.samples]
    truth = None if truth is None else truth[: fitted.samples, :, :count].astype(values.dtype)
    fixed = hold(_scale(values, truth))
    scale = fixed.scale
    colours = [int(palette.CURVES[place]) for place in range(count)]
    drawn = panels(fitted.height, fitted.width, leading=(len(values),), scale=scale)
    if truth is not None:
        drawn = _with_targets(drawn, truth, scale)
    for place in range(count - 1, -1, -1):  # the first on top
        drawn = draw_curves(drawn, values[..., place], scale, colour=colours[place])
    shown = [drawn] if given is None else [input_panels(given, fitted), drawn]
    facts = [
        f"{count_of(count, answer.values.shape[-1], 'curve')} of length {answer.space[0]}",
        count_of(fitted.samples, len(answer.values), "sample"),
    ]
    notes = [f"each sample, {fitted.order}: input, answer on the same axis"] if given is not None else []
    notes += [answer.made] if answer.made else []
    if given is not None and given.shape[1] != answer.space[0]:
        notes.append(f"the input's length {given.shape[1]} and the answer's share one axis")
    return Drawn(
        [draw_panel_sheet(fitted, shown, snapshot.probe.names, _highest(values))],
        ", ".join(facts),
        [height_key(scale, "answers"), *_legend(values, labels, colours, targets=truth is not None)],
        [*fixed.notes, *notes],
        target_palette(),
        fixed.held,
    )


@lru_cache(maxsize=1)
def target_palette() -> np.ndarray:
    """`(256, 3)`: the sequential palette with light colours of curves as its first levels; read-only."""
    colours = palette.sequential().copy()
    full, ground = (colours[list(places)].astype(np.float64) for places in (palette.CURVES, [palette.PANEL]))
    for first, share in ((AREAS, _AREA_SHARE), (EDGES, _EDGE_SHARE)):
        colours[first : first + len(full)] = np.rint(share * full + (1 - share) * ground)
    colours.setflags(write=False)
    return colours


def _with_targets(ground: np.ndarray, truth: np.ndarray, scale: Scale) -> np.ndarray:
    """Panels with an area for each target `(sample, time, curve)`, smaller ones over larger ones."""
    sizes = np.abs(np.where(np.isfinite(truth), truth, 0)).sum(axis=(0, 1))
    for place in np.argsort(-sizes, kind="stable").tolist():
        ground = fill_to_zero(ground, truth[..., place], scale, colour=AREAS + place, edge=EDGES + place)
    return ground


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
        words = "light area: target"
        entries.append((sheet.legend_entry(_area_swatch(), words), words))
    strange = int((~np.isfinite(values)).any(axis=(1, 2)).sum())
    if strange:
        words = f"NaN or infinite in {count_of(strange, strange, 'sample')}"
        entries.append((sheet.legend_entry(sheet.swatch(palette.NOT_A_NUMBER), words), words))
    return entries


def _area_swatch() -> np.ndarray:
    """An area with its edge above, in the colour of the first curve."""
    square = sheet.swatch(AREAS)
    rows = np.flatnonzero((square == AREAS).any(axis=1))
    square[rows[:2]] = EDGES
    return square
