"""NaN and infinities in weights, outputs and the loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from layerviz_callbacks.health.finding import Finding, percent
from layerviz_callbacks.health.observed import Observed

NOT_FINITE = "not finite"
_LAST_GOOD = "Go back to the last good checkpoint; lower the learning rate, or clip the gradients"


def not_finite(layers: Sequence[Observed], metrics: Mapping[str, float]) -> Iterator[Finding]:
    """The first layer that holds any, and how many others do; else a loss that is no number."""
    sick = [one for one in layers if _in_weights(one) or one.numbers.get("not finite", 0.0) > 0]
    if sick:
        yield _in_layers(sick)
        return
    for name, value in metrics.items():
        if "loss" in name.lower() and not np.isfinite(value):
            yield Finding(None, NOT_FINITE, f"{name} is {value}", 0.95, advice=_LAST_GOOD)
            return


def _in_layers(sick: Sequence[Observed]) -> Finding:
    first = next((one for one in sick if _in_weights(one)), sick[0])
    others = len(sick) - 1
    also = f", and {others} other layer{'s hold' if others > 1 else ' holds'} some" if others else ""
    if _in_weights(first):
        words = f"{percent(first.numbers['not finite weights'])} of its weights are NaN or infinite{also}"
        return Finding(first, NOT_FINITE, words, 1.0, "filters", _LAST_GOOD)
    words = f"{percent(first.numbers['not finite'])} of its outputs are NaN or infinite{also}"
    advice = "Look for divisions by zero, logarithms and roots of it, and for numbers too large for 16 bits"
    return Finding(first, NOT_FINITE, words, 1.0, "feature maps", advice)


def _in_weights(one: Observed) -> bool:
    return "not finite weights" in one.numbers
