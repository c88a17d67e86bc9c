"""What is wrong with attention heads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from layerviz_callbacks.health.attention_measures import shares_of_one_key
from layerviz_callbacks.health.finding import Finding, counted
from layerviz_callbacks.health.observed import Observed
from layerviz_callbacks.health.thresholds import Thresholds

_STEPS_OF_LEARNING = 5
"""So many steps a head may attend evenly before that is told: heads begin so."""


def attention_findings(one: Observed, heads: np.ndarray, thresholds: Thresholds) -> Iterator[Finding]:
    """Heads that look at one key whatever the query, and heads that still attend evenly.

    Args:
        one: a layer with attention.
        heads: the entropy of each of its heads.
        thresholds: from which numbers on.
    """
    weights = one.layer.attention
    if weights is None or not heads.size:
        return
    keys, total = weights.shape[-1], len(heads)
    single = int((shares_of_one_key(weights) >= thresholds.one_key).sum())
    even = int((heads >= thresholds.uniform).sum())
    if single >= thresholds.heads * total:
        yield Finding(
            one,
            "collapsed attention heads",
            f"{counted(single, total, 'head')} {'looks' if single == 1 else 'look'} at one key of {keys}, "
            "whatever the query",
            0.6,
            "attention",
            "Lower the learning rate or warm it up, and see that queries and keys are normalised and scaled",
        )
    elif even >= thresholds.heads * total and one.earlier.steps >= _STEPS_OF_LEARNING and keys > 2:
        yield Finding(
            one,
            "collapsed attention heads",
            f"{counted(even, total, 'head')} still {'attends' if even == 1 else 'attend'} evenly to all "
            f"{keys} keys",
            0.45,
            "attention",
            "They only take means: see that gradients reach queries and keys, and that these are not zero",
        )
