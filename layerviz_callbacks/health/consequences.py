"""What only follows from something worse is not told."""

from __future__ import annotations

from collections.abc import Sequence

from layerviz_callbacks.health.finding import Finding
from layerviz_callbacks.health.not_finite import NOT_FINITE


def without_consequences(findings: Sequence[Finding]) -> list[Finding]:
    """The findings without those that follow from another one.

    Where something is NaN, nothing else can be told. Weights do not move where no gradient gets through: a
    layer that answers to all inputs alike, or gradients that vanish.
    """
    lost = [found for found in findings if found.illness == NOT_FINITE]
    if lost:
        return lost
    shut = any(found.cuts_off or found.illness == "vanishing gradients" for found in findings)
    return [found for found in findings if not (shut and found.illness == "weights do not move")]
