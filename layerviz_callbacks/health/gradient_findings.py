"""What is wrong with gradients, from end to end of the model and since training began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from layerviz_callbacks.health.finding import Finding
from layerviz_callbacks.health.observed import Observed
from layerviz_callbacks.health.thresholds import Thresholds

_FEWEST_LAYERS = 4
"""Of fewer layers, the first and the last differ for other reasons than depth."""
_TOO_SENSITIVE = 100.0


def gradient_findings(
    layers: Sequence[Observed], metrics: Mapping[str, float], thresholds: Thresholds
) -> Iterator[Finding]:
    """Gradients that vanish or explode."""
    known = [one for one in layers if one.learns and one.is_judged and "gradient" in one.numbers]
    yield from _from_end_to_end(known, thresholds)
    losses = [abs(value) for name, value in metrics.items() if "loss" in name.lower()]
    yield from _grown(known, thresholds, max(losses, default=0.0))


def _from_end_to_end(known: Sequence[Observed], thresholds: Thresholds) -> Iterator[Finding]:
    """Root mean squares of gradients, of the first third of the layers against the last third."""
    if len(known) < _FEWEST_LAYERS:
        return
    third = max(1, len(known) // 3)
    first = float(np.median([one.numbers["gradient"] for one in known[:third]]))
    last = float(np.median([one.numbers["gradient"] for one in known[-third:]]))
    if not np.isfinite(first) or not np.isfinite(last) or last == 0 or first == 0:
        return
    between = f"between {known[0].layer.name} and {known[-1].layer.name}"
    if first / last <= thresholds.vanishing:
        yield Finding(
            known[0],
            "vanishing gradients",
            f"gradients vanish {between}: the first layers get {last / first:.0e} times less than the last",
            0.7,
            "filters",
            "Use rectifiers, normalisation, residual connections, or another initialisation",
        )
    elif first / last >= thresholds.exploding:
        yield Finding(
            known[0],
            "exploding gradients",
            f"gradients explode {between}: the first layers get {first / last:.0e} times more than the last",
            0.75,
            "filters",
            "Clip the gradients, begin with smaller weights, or normalise",
        )


def _grown(known: Sequence[Observed], thresholds: Thresholds, loss: float) -> Iterator[Finding]:
    """Gradients that are far larger than they were when training began, in most layers.

    That they grow from next to nothing, as behind a plateau, is none: a change of the weights by a hundredth
    must change the loss by more than itself.
    """
    grown = [
        one.numbers["gradient norm"] / one.earlier.largest_gradient
        for one in known
        if one.earlier.gradients >= 2 and one.earlier.largest_gradient > 0
    ]
    if not grown or len(grown) < len(known) / 2:
        return
    times = float(np.median(grown))
    if times >= thresholds.exploding and _sensitivity(known) >= _TOO_SENSITIVE * max(1.0, loss):
        yield Finding(
            None,
            "exploding gradients",
            f"gradients are {times:.0e} times as large as when training began (the median over layers)",
            0.75,
            advice="Lower the learning rate, or clip the gradients",
        )


def _sensitivity(known: Sequence[Observed]) -> float:
    """How much the loss changes where a layer's weights change by their norm; the median over layers."""
    return float(np.median([one.numbers["gradient norm"] * one.numbers["weight norm"] for one in known]))
