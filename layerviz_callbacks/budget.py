"""How much of a training's time pictures may take, and what is left out where they would take more."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from layerviz_callbacks.errors import ArgumentError

_FEWEST = 4
"""Pictures are first drawn with fewer channels and samples, down to one in this many."""
_SAMPLES_OF_COST = 3
"""So many recorded steps are looked at before anything is left out: the first ones are slow."""
_SMOOTHING = 0.5
_LOG_SPACING = 8
"""Where epochs are left out, the gaps also grow by an eighth of the epoch's number."""


@dataclass(frozen=True)
class Budget:
    """What pictures may cost.

    Attributes:
        share: of the training's time, such as 0.02.
        free_seconds: what an epoch (or the interval between two recorded steps) may always take, so that
            short trainings and tutorials show everything.

    Raises:
        ArgumentError: one of them is no number of that range.

    Example:
        >>> LayerVizCallback(x_val[:4], log_dir="logs", budget=Budget(0.02, free_seconds=0))  # doctest: +SKIP
    """

    share: float = 0.02
    free_seconds: float = 0.25

    def __post_init__(self) -> None:
        if not _is_number(self.share) or not 0 < self.share <= 1:
            raise ArgumentError(
                f"budget={self.share!r} is not a share of the training's time. Allowed: a number above 0 and "
                "up to 1, such as budget=0.02 for 2 percent, or None for no limit."
            )
        if not _is_number(self.free_seconds) or self.free_seconds < 0:
            raise ArgumentError(
                f"free_seconds={self.free_seconds!r} is not a time. Allowed: seconds from 0 on, such as 0.25."
            )

    @classmethod
    def of(cls, budget: Any) -> Budget | None:
        """The budget that a user gave: a share, a `Budget`, or None."""
        return budget if budget is None or isinstance(budget, cls) else cls(budget)

    def allowed(self, interval: float) -> float:
        """The seconds that one recorded step may take in an interval of training of so many seconds."""
        return max(self.share * interval, self.free_seconds)


@dataclass
class _Cost:
    """What steps cost at which the same was drawn.

    Attributes:
        seconds: of one of them, smoothed.
        steps: how many there were.
    """

    seconds: float = 0.0
    steps: int = 0

    def note(self, seconds: float) -> None:
        """One more step."""
        self.seconds += (seconds - self.seconds) * (1.0 if self.steps == 0 else _SMOOTHING)
        self.steps += 1


class Spending:
    """Follows what recording costs, and decides what is left out.

    1. Where a recorded step costs more than is allowed, channels and samples are halved, then quartered.
    2. Where that is not enough, steps are left out: as many as the budget needs, and more as training goes
       on, so that those recorded are spaced logarithmically.

    Args:
        budget: what is allowed; None: everything.

    Attributes:
        factor: channels and samples are drawn one in so many.
        stride: one step in so many is recorded, before the logarithmic spacing.
    """

    def __init__(self, budget: Budget | None) -> None:
        self._budget = budget
        self._costs: dict[Hashable, _Cost] = {}  # by what was drawn
        self._interval = 0.0
        self._seen = 0
        self._next = 0
        self.factor = 1
        self.stride = 1

    def due(self, step: int) -> bool:
        """Whether this step is recorded, as far as the budget goes."""
        return self.stride == 1 or step >= self._next

    def spent(self, step: int, *, cost: float, interval: float, drawn: Hashable = None) -> str:
        """Note what a recorded step cost.

        Args:
            step: the step that was recorded.
            cost: the seconds that training waited for it, with its share of the drawing.
            interval: the seconds of training for each step that could be recorded.
            drawn: what was drawn at it. Where that is not the same at each step, as some views are rarer
                than others, what counts is the mean over the steps.

        Returns:
            What is left out from now on, in words; empty where nothing changes.
        """
        if self._budget is None:
            return ""
        first = self._seen == 0
        self._costs.setdefault(drawn, _Cost()).note(cost)
        self._interval = interval if first else self._interval + _SMOOTHING * (interval - self._interval)
        self._seen += 1
        self._next = step + max(self.stride, step // _LOG_SPACING)
        allowed = self._budget.allowed(self._interval)
        steps = sum(one.steps for one in self._costs.values())
        mean = sum(one.seconds * one.steps for one in self._costs.values()) / steps
        if self._seen < _SAMPLES_OF_COST or mean <= allowed * self.stride:
            return ""
        self._seen = 0  # look at a few steps of the new way
        self._costs = {}
        told = (
            f"A recorded step takes {mean:.2g} s beside {self._interval:.2g} s of training, more than "
            f"budget={self._budget.share:g} allows"
        )
        if self.factor < _FEWEST:
            self.factor *= 2
            return (
                f"{told}: from now on 1 in {self.factor} channels and samples is drawn. {_HOW_TO_SWITCH_OFF}"
            )
        self.stride = max(self.stride + 1, math.ceil(mean / allowed))
        self._next = step + max(self.stride, step // _LOG_SPACING)
        return f"{told}: from now on one step in {self.stride} or more is recorded. {_HOW_TO_SWITCH_OFF}"


_HOW_TO_SWITCH_OFF = "budget=None shows everything."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
