"""The model's own output as one panel beside a composite, where it is a picture of the same rank."""

from __future__ import annotations

import weakref
from functools import lru_cache

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.resize import resized, resized_classes
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views.class_colours import BASE
from layerviz_callbacks.views.prediction_kinds import Answer, Reading, answer_of
from layerviz_callbacks.views.sample_panels import PanelSheet, curve_panels, greys, map_panels, shown_slices


def has_answer(snapshot: Snapshot, rank: int) -> bool:
    """Whether one of the model's own outputs is a picture with so many axes of space."""
    return _found(snapshot, rank) is not None


def answer_panel(
    snapshot: Snapshot, rank: int, fitted: PanelSheet, *, grey: bool
) -> tuple[np.ndarray, str] | None:
    """The first such output as palette indices `(sample, height, width)`, with its name; None: there is none.

    Args:
        snapshot: the snapshot.
        rank: the number of axes of space.
        fitted: the sheet.
        grey: classes are drawn in greys, where their colours have another meaning.
    """
    found = _found(snapshot, rank)
    if found is None:
        return None
    answer, name = found
    values = answer.values[: fitted.samples]
    words = "the model's output" if len(snapshot.outputs) == 1 else f"output {name}"
    if rank == 1:
        curves = values[..., : len(BASE)]
        drawn = curve_panels(
            curves, fitted, Scale.of(curves), [int(BASE[place]) for place in range(curves.shape[-1])]
        )
        return drawn, words
    if rank == 3:
        values = values[:, list(shown_slices(values.shape[1], fitted.slices))]
    count = values.shape[-1]
    if count == 2:
        share = resized(np.ascontiguousarray(values[..., 1]), fitted.height, fitted.width)
        return map_panels(greys(share), fitted), f"{words} (probability, black 0 to white 1)"
    with np.errstate(invalid="ignore"):
        sound = np.isfinite(values).all(axis=-1)
        numbers = np.where(sound, values.argmax(axis=-1), count)
    shades = palette.INK + np.arange(count) * (palette.GREYS - 1) // max(1, count - 1)
    colours = shades if grey else np.array([BASE[number % len(BASE)] for number in range(count)])
    indices = np.array([*colours, palette.NOT_A_NUMBER], np.uint8)
    shown = resized_classes(numbers, fitted.height, fitted.width, count=count + 1)
    return map_panels(indices[shown], fitted), f"{words} (classes{' in greys' if grey else ''})"


def _found(snapshot: Snapshot, rank: int) -> tuple[Answer, str] | None:
    return _found_once(weakref.ref(snapshot), rank)


@lru_cache(maxsize=16)  # by a weak reference: once for all layers of a snapshot, which it does not keep
def _found_once(reference: weakref.ref[Snapshot], rank: int) -> tuple[Answer, str] | None:
    snapshot = reference()
    if snapshot is None:
        return None
    for name in snapshot.outputs:
        answer = answer_of(snapshot, name, Reading())
        if isinstance(answer, Answer) and answer.values.ndim == rank + 2:
            return answer, name
    return None
