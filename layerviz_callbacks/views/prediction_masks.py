"""The sheet of a segmentation: input, truth, prediction and errors, with the IoU of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.resize import resized, resized_classes
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views.class_colours import class_colours, class_index, class_palette
from layerviz_callbacks.views.labels import label_of
from layerviz_callbacks.views.prediction_kinds import Answer
from layerviz_callbacks.views.prediction_sheets import Drawn
from layerviz_callbacks.views.sample_panels import (
    PanelSheet,
    draw_panel_sheet,
    fit_panel_sheet,
    greys,
    input_of,
    input_panels,
    map_panels,
    shown_slices,
)
from layerviz_callbacks.views.words import count_of, listed, size_of

MOST_IN_LEGEND = 12
RIGHT = 0.87
"""How light a place is that is right: less than paper, so that the panel's edges are seen."""
IGNORED = palette.INK + 11
"""The grey of places that the truth leaves out."""


def intersection_over_union(truth: np.ndarray, predicted: np.ndarray, count: int) -> np.ndarray:
    """Of each class, the places of both, over those of either `(class,)`; NaN where it has none in both.

    Places where the truth is no class from 0 to `count - 1` are left out.

    Example:
        >>> truth, predicted = np.array([[0, 0], [1, -1]]), np.array([[0, 1], [1, 1]])
        >>> intersection_over_union(truth, predicted, 3).tolist()
        [0.5, 0.5, nan]
    """
    counted = (truth >= 0) & (truth < count)
    shares = np.full(count, np.nan)
    for number in range(count):
        here, there = counted & (truth == number), counted & (predicted == number)
        either = int((here | there).sum())
        if either:
            shares[number] = int((here & there).sum()) / either
    return shares


def draw_masks(answer: Answer, snapshot: Snapshot, samples: int, labels: Sequence[str]) -> Drawn:
    """Blocks of input, truth, prediction and errors; without a truth, of input, prediction and confidence."""
    count, rank = answer.values.shape[-1], len(answer.space)
    with np.errstate(invalid="ignore"):
        sound = np.isfinite(answer.values).all(axis=-1)
        confidence = np.where(sound, answer.values.max(axis=-1), np.nan)
        predicted = np.where(sound, answer.values.argmax(axis=-1), -1)
    truth = answer.numbers
    if truth is not None:
        predicted = _as_fine_as(predicted, truth.shape)
    given = input_of(snapshot.inputs, rank)
    fitted = fit_panel_sheet(
        predicted.shape[1:], samples=samples, panels=(given is not None) + (1 if truth is None else 2) + 1
    )
    panels, words = [], []
    if given is not None:
        panels, words = [input_panels(given, fitted)], ["input"]
    if truth is not None:
        wrong = ((truth != predicted) & (truth >= 0) & (truth < count)).astype(np.float32)
        panels += [
            _classes(truth, count, fitted, strange=IGNORED),
            _classes(predicted, count, fitted),
            _greys(RIGHT * (1 - wrong), fitted),
        ]
        words += ["truth", "prediction", "errors (black)"]
    else:
        panels += [_classes(predicted, count, fitted), _greys(confidence.astype(np.float32), fitted)]
        words += ["prediction", "its probability (black 0 to white 1)"]
    facts = ["segmentation", f"{count} classes"]
    facts += [f"maps {size_of(predicted.shape[1:])}", count_of(fitted.samples, len(predicted), "sample")]
    shares = None if truth is None else intersection_over_union(truth, predicted, count)
    if shares is not None and np.isfinite(shares).any():
        facts.append(f"mean IoU {np.nanmean(shares):.2f}")
    notes = [f"each sample, {fitted.order}: {', '.join(words)}"]
    notes += [answer.made] if answer.made and truth is None else []
    if shares is not None and fitted.samples < len(predicted):
        notes.append(f"IoU of all {len(predicted)} samples")
    if rank == 3:
        places = shown_slices(predicted.shape[1], fitted.slices)
        notes.append(f"slices {listed(places)} of {predicted.shape[1]}, left to right")
        notes += ["IoU of whole volumes"] if shares is not None else []
    if count > len(class_colours()):
        notes.append(f"class {len(class_colours())} has the colour of class 0 again, and so on")
    left_out = truth is not None and bool(((truth < 0) | (truth >= count)).any())
    return Drawn(
        [draw_panel_sheet(fitted, panels, snapshot.probe.names)],
        ", ".join(facts),
        _legend(predicted, truth, shares, labels, count, left_out=left_out),
        notes,
        class_palette(),
    )


def _as_fine_as(predicted: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Repeated to the shape of a finer truth."""
    for axis in range(1, predicted.ndim):
        predicted = np.repeat(predicted, shape[axis] // predicted.shape[axis], axis=axis)
    return predicted


def _sliced(maps: np.ndarray, fitted: PanelSheet) -> np.ndarray:
    maps = maps[: fitted.samples]
    return maps[:, list(shown_slices(maps.shape[1], fitted.slices))] if maps.ndim == 4 else maps


def _classes(
    numbers: np.ndarray, count: int, fitted: PanelSheet, *, strange: int = palette.NOT_A_NUMBER
) -> np.ndarray:
    shown = _sliced(numbers, fitted)
    shown = np.where((shown < 0) | (shown >= count), count, shown)
    colours = np.array([*(class_index(number) for number in range(count)), strange], np.uint8)
    return map_panels(colours[resized_classes(shown, fitted.height, fitted.width, count=count + 1)], fitted)


def _greys(share: np.ndarray, fitted: PanelSheet) -> np.ndarray:
    return map_panels(greys(resized(_sliced(share, fitted), fitted.height, fitted.width)), fitted)


def _legend(
    predicted: np.ndarray,
    truth: np.ndarray | None,
    shares: np.ndarray | None,
    labels: Sequence[str],
    count: int,
    *,
    left_out: bool,
) -> list[tuple[np.ndarray, str]]:
    present = [number for number in range(count) if count <= MOST_IN_LEGEND or (predicted == number).any()]
    if truth is not None and count > MOST_IN_LEGEND:
        present = sorted({*present, *(number for number in range(count) if (truth == number).any())})
    entries = []
    for number in present[:MOST_IN_LEGEND]:
        words = label_of(number, labels, "class ")
        if shares is not None:
            words += " IoU -" if np.isnan(shares[number]) else f" IoU {shares[number]:.2f}"
        entries.append((sheet.legend_entry(sheet.swatch(class_index(number)), words), words))
    if len(present) > MOST_IN_LEGEND:
        words = f"and {len(present) - MOST_IN_LEGEND} more classes"
        entries.append((draw_line(words), words))
    strange = int((predicted < 0).any(axis=tuple(range(1, predicted.ndim))).sum())
    if strange:
        words = f"NaN in {count_of(strange, strange, 'sample')}"
        entries.append((sheet.legend_entry(sheet.swatch(palette.NOT_A_NUMBER), words), words))
    if left_out:
        entries.append((sheet.legend_entry(sheet.swatch(IGNORED), "left out"), "grey: left out of the truth"))
    return entries
