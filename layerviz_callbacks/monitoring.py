"""Whether the step that was just reported is the best of a training, and what must be told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layerviz_callbacks.best import Best, BestSoFar, Direction, Monitor
from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.failure import FailurePolicy
from layerviz_callbacks.messages import logger


class Monitoring:
    """Follows what is monitored over the trainings of one callback; a fault costs the marks alone.

    Args:
        monitor: what tells the best step; None: nothing does, and no step is the best.
        policy: what is done about faults.
    """

    def __init__(self, monitor: Monitor | None, policy: FailurePolicy) -> None:
        self.monitor = monitor
        self._policy = policy
        self._so_far: BestSoFar | None = None

    @property
    def best(self) -> Best | None:
        """The best step so far."""
        return None if self._so_far is None else self._so_far.best

    def check(self, direction: Direction | None) -> None:
        """See to it that more or less of the metric is known to be better, or that somebody can be asked.

        Raises:
            ArgumentError: neither is so.
        """
        if self.monitor is not None and direction is None and self.monitor.direction is None:
            raise self.monitor.unknown()

    def begin(
        self,
        direction: Direction | None,
        *,
        goes_on: bool,
        best: Best | None = None,
        reported: Mapping[int, Mapping[str, float]] | None = None,
    ) -> None:
        """Begin a training.

        Args:
            direction: see `BestSoFar`.
            goes_on: it is a further training of the same model.
            best: the best step of a training that is resumed, by any metric.
            reported: by step, what that training reported; where `best` tells nothing.
        """
        if self.monitor is None:
            return
        if not goes_on or self._so_far is None:
            self._so_far = BestSoFar(self.monitor)
            known = best is not None and best.monitor == self.monitor.name
            self._so_far.resume(best if known and best is not None else reported or {})
        self._so_far.direction = direction

    def is_best(self, step: int, metrics: Mapping[str, Any] | None, when: str, *, complete: bool) -> bool:
        """Whether a step is better than all before.

        Args:
            step: see `Snapshot.step`.
            metrics: what was reported of it.
            when: the step in words.
            complete: what is missing now does not come later: it is told.
        """
        so_far = self._so_far
        if so_far is None:
            return False
        if complete:
            self._tell_once(so_far.missing(metrics or {}, when))
        try:
            return so_far.improves(step, metrics or {})
        except ArgumentError as error:
            self._so_far = None
            self._policy.fault("finding the best epoch", error, consequence="no epoch is marked as the best")
            return False

    def words(self, when: str, *, best: bool) -> str:
        """A step in words, with "best val_loss so far" where it is."""
        return f"{when}, best {self.monitor.name} so far" if best and self.monitor is not None else when

    def end(self) -> None:
        """End a training; what is the best stays known."""
        if self._so_far is not None:
            self._so_far.direction = None  # it may hold the model
            self._tell_once(self._so_far.never_reported())

    def _tell_once(self, words: str) -> None:
        if words and self._policy.first_time("monitor"):
            logger().warning("%s", words)
