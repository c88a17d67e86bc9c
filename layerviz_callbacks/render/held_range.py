"""A range of values that holds still over steps, so that growth is seen as growth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from layerviz_callbacks.render.scale import Scale

_STEPS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
"""Ranges end at one of these times a power of ten: at first what is drawn fills three quarters or more."""


@dataclass(frozen=True)
class HeldRange:
    """The range that a sheet is drawn with from a step on.

    Attributes:
        limit: see `Scale.limit`.
        signed: see `Scale.signed`.
        since: the step from which on it holds.
        before: the limit before; None where it never had another.
    """

    limit: float
    signed: bool
    since: int
    before: float | None = None

    @property
    def scale(self) -> Scale:
        """The scale to draw with."""
        return Scale(self.limit, self.signed)

    def words(self, step: int) -> str:
        """What must be known of it at a step; empty where it is the first one.

        Example:
            >>> HeldRange(2.0, False, since=5, before=1.0).words(5)
            'the range grew here, from 1 to 2'
        """
        if self.before is None:
            return ""
        if step == self.since:
            return f"the range grew here, from {self.before:g} to {self.limit:g}"
        return f"same range since step {self.since}, before that {self.before:g}"


def held_range(needed: Scale, step: int, *, before: HeldRange | None) -> HeldRange:
    """The range to draw with: that of the step before, or where that is too small, the next larger one.

    It never shrinks, and never loses its negative half again.

    Args:
        needed: the scale that holds every value of this step.
        step: the step that is drawn.
        before: the range of the step before; None: there was none.

    Example:
        >>> first = held_range(Scale(0.83, signed=False), 0, before=None)
        >>> held_range(Scale(0.97, signed=False), 1, before=first) is first
        True
        >>> held_range(Scale(1.01, signed=False), 2, before=first).limit
        1.2
    """
    limit = float(needed.limit)
    if before is None:
        return HeldRange(round_up(limit), needed.signed, step)
    if limit <= before.limit and (before.signed or not needed.signed):
        return before
    grown = max(before.limit, round_up(limit))
    return HeldRange(grown, before.signed or needed.signed, step, before.limit)


def round_up(limit: float) -> float:
    """The next larger of the ends that ranges have; 0 stays 0.

    Example:
        >>> round_up(0.83), round_up(1.0), round_up(1.01), round_up(0.0)
        (1.0, 1.0, 1.2, 0.0)
    """
    if limit <= 0 or not math.isfinite(limit):
        return max(limit, 0.0)
    power = 10.0 ** math.floor(math.log10(limit))
    if power == 0.0:  # too small for a float of its own
        return limit
    ends = [float(f"{step * power:.3g}") for step in _STEPS]
    return next((end for end in ends if end >= limit), limit)
