"""One training of one model, from its first step to its bill: read, hand over, and count the cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from layerviz_callbacks.budget import Budget, Spending
from layerviz_callbacks.delivery import Artist, Delivery, Job
from layerviz_callbacks.explaining.explain import explained
from layerviz_callbacks.failure import FailurePolicy
from layerviz_callbacks.messages import logger
from layerviz_callbacks.metering import Meter
from layerviz_callbacks.plan import PlannedView, request_of
from layerviz_callbacks.reader import Reader
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.snapshot import Initial, Snapshot
from layerviz_callbacks.views import View
from layerviz_callbacks.views.words import count_of
from layerviz_callbacks.worker import SameThread, ThreadWorker, Worker

_SHARE_OF_DRAWING = 0.25
"""How much of the seconds that drawing takes beside the training the training itself is slowed down by."""


class Recording:
    """Records the steps of one training.

    Args:
        reader: reads the model.
        plan: which view draws which layers.
        shapes: what there is to be drawn, read without arrays.
        sinks: opened.
        policy: what is done about faults.
        worker: see `Recorder`.
        budget: what pictures may cost; None: anything.

    Attributes:
        delivery: draws and writes.
    """

    def __init__(
        self,
        reader: Reader,
        plan: Sequence[PlannedView],
        shapes: Snapshot,
        sinks: Sequence[Sink],
        policy: FailurePolicy,
        *,
        worker: str | None,
        budget: Budget | None,
    ) -> None:
        self.reader = reader
        self.delivery = Delivery(sinks, policy, _artist(worker))
        self._plan = list(plan)
        self._shapes = shapes
        self._policy = policy
        kind = SameThread if worker is None else ThreadWorker
        self._worker: Worker = kind(self.delivery.deliver)
        self._beside = worker is not None
        self._spending = Spending(budget)
        self._meter = Meter()
        self._due = 0  # steps that were due so far, recorded or not
        self._recorded = 0
        self._drawn_one_in = 1  # channels and samples
        self._owed: set[int] = set()  # places of views that were due since they were last drawn
        self._initial: Initial | None = None
        self._told: set[str] = set()  # of what could not be read

    def begin(self, *, initial: bool) -> None:
        """Picture the probe, and the model before training where it still is `initial`."""
        snapshot = self._read(self._plan) if initial else None
        if snapshot is None:  # the probe can be pictured all the same
            job = Job(replace(self._shapes, step=0), [], probe=True, keep=True)
        else:
            shown = replace(snapshot, step=0, when="before training")
            self._initial = self._compared(snapshot)
            job = Job(shown, self._plan, probe=True, keep=True)
        self._worker.submit(job)
        self._meter = Meter()

    def record(
        self,
        step: int,
        *,
        due: Callable[[View], bool] = lambda view: True,
        when: str,
        metrics: Mapping[str, float] | None,
        last: bool = False,
    ) -> None:
        """Record a step with the views that are due, unless the budget is spent.

        Args:
            step: see `Snapshot`.
            due: whether a view is due.
            when: see `Snapshot`.
            metrics: see `Snapshot`.
            last: no further step comes: it is recorded whatever it costs.
        """
        with self._meter.hook():
            places = {
                place for place, planned in enumerate(self._plan) if due(planned.view) and not planned.off
            }
            if not places or not self.delivery.wanted:
                return
            self._due += 1
            interval = self._meter.lap()
            self._owed |= places
            if last or self._spending.due(self._due):
                places, self._owed = self._owed, set()
                plan = [self._plan[place] for place in sorted(places) if not self._plan[place].off]
                began, drawn = time.perf_counter(), self.delivery.seconds
                self._read_and_hand_over(step, plan, when, metrics)
                waited = time.perf_counter() - began
                beside = _SHARE_OF_DRAWING * (self.delivery.seconds - drawn) if self._beside else 0.0
                cost = waited + beside
                self._draw_less(
                    self._spending.spent(self._due, cost=cost, interval=interval, drawn=frozenset(places))
                )

    def close(self) -> None:
        """Everything that was recorded is on disk afterwards; what came too late is told."""
        try:
            with self._meter.hook():
                done = self._worker.close()
        finally:
            self.delivery.close()
        if self._worker.dropped:
            late = "" if done else " within a minute after the end of the training"
            logger().warning(
                "Drawing was slower than the training: %d recorded steps were left out%s: %s. "
                "Type every_n_epochs=2, or choose fewer layers with layers=.",
                len(self._worker.dropped), late, _listed(self._worker.dropped),
            )  # fmt: skip

    def bill(self) -> str:
        """What was recorded, and what it cost, in one line."""
        waited = self._meter.waiting
        return (
            f"Recorded {count_of(self._recorded, self._recorded, 'step')}: "
            f"{count_of(self.delivery.pictures, self.delivery.pictures, 'picture')}, "
            f"{self.delivery.written_bytes / 1e6:.2g} MB; training waited {waited:.2g} s for it "
            f"({waited / max(self._meter.training + waited, 1e-9):.1%}), "
            f"drawing took {self.delivery.seconds:.2g} s"
        )

    def _read_and_hand_over(
        self, step: int, plan: Sequence[PlannedView], when: str, metrics: Mapping[str, float] | None
    ) -> None:
        snapshot = self._read(plan)
        if snapshot is not None:
            snapshot = replace(
                snapshot, step=step, when=when, metrics=dict(metrics or {}), initial=self._initial
            )
            self._worker.submit(Job(snapshot, plan))

    def _read(self, plan: Sequence[PlannedView]) -> Snapshot | None:
        try:
            request = request_of(plan, self._shapes)
            snapshot = explained(self.reader, self.reader.read(request), request)
        except Exception as error:  # noqa: BLE001  any fault of ours must leave the training alone
            self._policy.fault("reading the model", error)
            return None
        self._recorded += 1
        self._tell_unread(snapshot)
        return snapshot

    def _tell_unread(self, snapshot: Snapshot) -> None:
        """Log once what was asked for and could not be read, though it was not known before training."""
        news = {what: why for what, why in snapshot.unread.items() if what not in self._told}
        self._told.update(news)
        if news:
            listed = "; ".join(f"no {what} ({why})" for what, why in news.items())
            logger().warning("Not everything could be read: %s", listed)

    def _compared(self, snapshot: Snapshot) -> Initial | None:
        """What later steps are compared with, by the views that do so."""
        comparing = [one for one in self._plan if "initial" in one.view.needs]
        drawn = [one.view.drawn(self._shapes.choose(one.names)) for one in comparing]
        names = {layer.name for layers in drawn for layer in layers} & set(snapshot.layers)
        if not comparing:
            return None
        return Initial({name: snapshot.layers[name] for name in names}, snapshot.scores)

    def _draw_less(self, told: str) -> None:
        """Tell what the budget leaves out from now on, and go on with views that draw less."""
        if told:
            logger().info("%s", told)
        factor = self._spending.factor // self._drawn_one_in
        if factor > 1:
            self._drawn_one_in *= factor
            self._plan = [replace(planned, view=planned.view.reduced(factor)) for planned in self._plan]


def _artist(worker: str | None) -> Artist | None:
    if worker != "process":
        return None
    from layerviz_callbacks.process_artist import ProcessArtist  # by need: hardly anybody's

    artist: Artist = ProcessArtist()
    return artist


def _listed(steps: Sequence[int]) -> str:
    shown = ", ".join(str(step) for step in steps[:8])
    return shown if len(steps) <= 8 else f"{shown}, ..."
