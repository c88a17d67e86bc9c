"""What is remembered of earlier steps, so that a picture can show how a layer came to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

MOST_FRAMES = 24
"""So many steps are remembered at most."""


@dataclass(frozen=True, eq=False)
class Frame:
    """What a view keeps of one step.

    Attributes:
        step: see `Snapshot.step`.
        when: see `Snapshot.when`.
        metrics: see `Snapshot.metrics`.
        best: it is the best step so far, by what is monitored.
        kept: arrays under names of the view's own; small ones.
    """

    step: int
    when: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    best: bool = False
    kept: Mapping[str, np.ndarray] = field(default_factory=dict)


class Album:
    """The frames of one view: all of them as long as they are few, then spaced logarithmically.

    The first, the last and the best are always there. Memory does not grow with the training.

    Args:
        most: so many are kept.
    """

    def __init__(self, most: int = MOST_FRAMES) -> None:
        self._most = most
        self._frames: list[Frame] = []

    @property
    def frames(self) -> tuple[Frame, ...]:
        """What is remembered, in the order of the steps."""
        return tuple(self._frames)

    def add(self, frame: Frame) -> None:
        """Remember one more; a step that is recorded again takes the place of the earlier one."""
        self._frames = [kept for kept in self._frames if kept.step < frame.step]
        self._frames.append(frame)
        if len(self._frames) > self._most:
            del self._frames[_least_missed(self._frames)]


def _least_missed(frames: Sequence[Frame]) -> int:
    """The place of the frame without which the others are spaced the most evenly on a logarithmic axis."""
    best = max((place for place, frame in enumerate(frames) if frame.best), default=-1)
    first = frames[0].step
    gaps = {
        place: np.log1p(frames[place + 1].step - first) - np.log1p(frames[place - 1].step - first)
        for place in range(1, len(frames) - 1)
        if place != best
    }
    return min(gaps, key=lambda place: (gaps[place], place))
