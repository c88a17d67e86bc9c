"""What two models answer to the same probe, side by side."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.comparing.comparison import PredictionComparison
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views.prediction_kinds import Answer, Reading, answer_of


def compare_predictions(
    one: Snapshot, other: Snapshot
) -> tuple[tuple[PredictionComparison, ...], tuple[str, ...]]:
    """Compare the models' own outputs, of the same probe: by name, or the only ones.

    Returns:
        What was found, and what could not be compared, in words.
    """
    if not one.outputs or not other.outputs:
        lacking = [name for name, known in (("a", one), ("b", other)) if not known.outputs]
        who = f"{lacking[0]} holds" if len(lacking) == 1 else "a and b hold"
        return (), (f"predictions are not compared: {who} no model outputs",)
    found, notes = [], []
    pairs = {name: name for name in one.outputs if name in other.outputs}
    if not pairs and len(one.outputs) == len(other.outputs) == 1:
        pairs = {next(iter(one.outputs)): next(iter(other.outputs))}
    for name, partner in pairs.items():
        answers = answer_of(one, name, Reading()), answer_of(other, partner, Reading())
        refusals = [str(answer) for answer in answers if not isinstance(answer, Answer)]
        if refusals:
            notes.append(f"the output {name!r} is not compared: {refusals[0]}")
            continue
        first, second = (answer for answer in answers if isinstance(answer, Answer))
        if first.values.shape != second.values.shape or first.kind != second.kind:
            notes.append(
                f"the output {name!r} is not compared: {first.kind} {first.values.shape} in a, "
                f"{second.kind} {second.values.shape} in b"
            )
            continue
        found.append(_compared(name, first, second, one.probe.names))
    missing = [name for name in one.outputs if name not in pairs]
    notes += [f"the output {name!r} of a is not in b" for name in missing]
    return tuple(found), tuple(notes)


def _compared(name: str, one: Answer, other: Answer, names: tuple[str, ...]) -> PredictionComparison:
    with np.errstate(invalid="ignore"):
        difference = float(np.abs(one.values.astype(np.float64) - other.values).mean())
    if one.kind not in ("classes", "segmentation"):
        return PredictionComparison(name, one.kind, len(one.values), None, None, difference)
    picked = [
        answer.values >= 0.5 if one.several else answer.values.argmax(axis=-1) for answer in (one, other)
    ]
    same = (picked[0] == picked[1]).all(axis=-1) if one.several else picked[0] == picked[1]
    right = None
    truth = one.truth >= 0.5 if one.several and one.truth is not None else one.numbers
    if truth is not None and np.shape(truth) == picked[0].shape:
        hits = [(choice == truth).all(axis=-1) if one.several else choice == truth for choice in picked]
        right = float(hits[0].mean()), float(hits[1].mean())
    apart = tuple(names[place] for place in np.flatnonzero(~same)) if same.ndim == 1 else ()
    return PredictionComparison(name, one.kind, len(one.values), float(same.mean()), right, difference, apart)
