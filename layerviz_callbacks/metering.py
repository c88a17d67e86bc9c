"""How long training trains, and how long it waits for the recording."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Meter:
    """A stopwatch with two hands: one runs in the hooks of the recording, the other between them.

    Args:
        clock: seconds.

    Attributes:
        training: seconds between the hooks so far.
        waiting: seconds in the hooks so far.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._left = clock()
        self._training_at_lap = 0.0
        self.training = 0.0
        self.waiting = 0.0

    @contextmanager
    def hook(self) -> Iterator[None]:
        """The time inside is that of the recording, and the time since the last one that of the training."""
        entered = self._clock()
        self.training += entered - self._left
        try:
            yield
        finally:
            self._left = self._clock()
            self.waiting += self._left - entered

    def lap(self) -> float:
        """The seconds of training since the last lap."""
        passed = self.training - self._training_at_lap
        self._training_at_lap = self.training
        return passed
