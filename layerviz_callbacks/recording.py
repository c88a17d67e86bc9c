"""One training of one model, from its first step to its bill: read, hand over, and count the cost."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from layerviz_callbacks.artist import Artist
from layerviz_callbacks.best import numbers_of
from layerviz_callbacks.bill import bill, left_out
from layerviz_callbacks.budget import Budget, Spending
from layerviz_callbacks.delivery import Delivery
from layerviz_callbacks.explaining.explain import explained
from layerviz_callbacks.failure import FailurePolicy
from layerviz_callbacks.finishing import finish, finish_somewhere
from layerviz_callbacks.health import HealthReport
from layerviz_callbacks.job import Job
from layerviz_callbacks.messages import logger
from layerviz_callbacks.metering import Meter
from layerviz_callbacks.plan import PlannedView, initial_of, request_of, request_to_keep
from layerviz_callbacks.reader import Reader
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.snapshot import Initial, Snapshot
from layerviz_callbacks.store import RunFile
from layerviz_callbacks.views import View
from layerviz_callbacks.worker import SameThread, ThreadWorker, Worker

_SHARE_OF_DRAWING = 0.25
"""How much of the seconds that drawing takes beside the training the training itself is slowed down by."""
_REPORT_SECONDS = 5.0
"""How long a report waits for what is still being drawn."""


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
        file: where snapshots are kept; None: nowhere.
        everything: what is pictured is read whole, for that file.

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
        file: RunFile | None = None,
        everything: bool = False,
    ) -> None:
        self.reader = reader
        self.delivery = Delivery(sinks, policy, _artist(worker), file)
        if all(type(one.view).follower is View.follower for one in plan):
            self.delivery.report = HealthReport(looked=False)
        self._file = file
        self._everything = everything
        self._plan = list(plan)
        self._shapes = shapes
        self._policy = policy
        kind = SameThread if worker is None else ThreadWorker
        self._worker: Worker = kind(self.delivery.deliver)
        self._finish = weakref.finalize(self, finish_somewhere, self._worker, self.delivery, os.getpid())
        self._beside = worker is not None
        self._spending = Spending(budget)
        self._meter = Meter()
        self._due = 0  # steps that were due so far, recorded or not
        self._drawn_one_in = 1  # channels and samples
        self._owed: set[int] = set()  # places of views that were due since they were last drawn
        self._initial: Initial | None = None
        self._told: set[str] = set()  # of what could not be read
        names = [planned.names for planned in plan if planned.view.per_layer]
        self._chosen = (
            frozenset().union(*(one for one in names if one)) if names and None not in names else None
        )

    def begin(self, *, initial: bool) -> None:
        """Picture the probe, and the model before training where it still is `initial`."""
        snapshot = self._read(self._plan) if initial else None
        if snapshot is None:  # the probe can be pictured all the same
            job = Job(replace(self._shapes, step=0), [], probe=True, keep=True)
        else:
            shown = replace(snapshot, step=0, when="before training")
            self._initial = initial_of(self._plan, self._shapes, snapshot)
            job = Job(shown, self._plan, probe=True, keep=True)
        self._worker.submit(job)
        self._meter = Meter()

    def resume(self) -> None:
        """Go on with the steps that the file holds: films and the health of layers know them."""
        if self._file is None:
            return
        try:
            self._initial = self._file.initial()
        except Exception as error:  # noqa: BLE001  a damaged step must not end what is recorded now
            what = f"reading the model before training out of {self._file.path}"
            self._policy.fault(what, error, consequence="nothing is compared with it")
        self.delivery.resume(self._plan)

    def report(self) -> HealthReport:
        """What is wrong with the layers, by the last step; waits some seconds for the drawing."""
        self._worker.finished(_REPORT_SECONDS)
        return self.delivery.report

    def record(
        self,
        step: int,
        *,
        due: Callable[[View], bool] = lambda view: True,
        when: str,
        metrics: Mapping[str, float] | None,
        last: bool = False,
        best: bool = False,
    ) -> None:
        """Record a step with the views that are due, unless the budget is spent.

        Args:
            step: see `Snapshot`.
            due: whether a view is due.
            when: see `Snapshot`.
            metrics: see `Snapshot`.
            last: no further step comes: it is recorded whatever it costs.
            best: it is the best step so far: it is recorded with every view, whether due or not and
                whatever it costs, as its weights are gone later.
        """
        with self._meter.hook():
            live = {place for place, planned in enumerate(self._plan) if not planned.off}
            places = {place for place in live if due(self._plan[place].view)}
            if not live or not (places or best) or not self.delivery.wanted:
                return
            in_budget, interval = False, 0.0
            if places:
                self._due += 1
                interval = self._meter.lap()
                self._owed |= places
                in_budget = last or self._spending.due(self._due)
            if not in_budget and not best:
                return
            if places and not in_budget:
                self._tell_beyond_budget(when)
            places, self._owed = live if best else self._owed & live, set()
            began, drawn = time.perf_counter(), self.delivery.seconds
            plan = [self._plan[place] for place in sorted(places)]
            self._read_and_hand_over(step, plan, when, metrics, best=best)
            if in_budget:
                waited = time.perf_counter() - began
                beside = _SHARE_OF_DRAWING * (self.delivery.seconds - drawn) if self._beside else 0.0
                cost = waited + beside
                self._draw_less(
                    self._spending.spent(self._due, cost=cost, interval=interval, drawn=frozenset(places))
                )

    def close(self) -> None:
        """Everything that was recorded is on disk afterwards; what came too late is told.

        May be called twice. Without it, this is done when the object goes, or the interpreter ends.
        """
        self._finish.detach()
        with self._meter.hook():
            done = finish(self._worker, self.delivery, os.getpid())
        if self._worker.dropped:
            logger().warning("%s", left_out(self._worker.dropped, at_the_end=not done))

    def bill(self, location: str, *, replayed: bool = False) -> str:
        """What was recorded and where it is, and what it cost, see `bill.bill`.

        Args:
            location: where pictures are.
            replayed: nothing trained meanwhile.
        """
        return bill(self.delivery, None if replayed else self._meter, location, self._file)

    def _read_and_hand_over(
        self,
        step: int,
        plan: Sequence[PlannedView],
        when: str,
        metrics: Mapping[str, float] | None,
        *,
        best: bool,
    ) -> None:
        snapshot = self._read(plan)
        if snapshot is not None:
            snapshot = replace(
                snapshot, step=step, when=when, metrics=numbers_of(metrics or {}), initial=self._initial,
                best=best,
            )  # fmt: skip
            self._worker.submit(Job(snapshot, plan, best=best))

    def _read(self, plan: Sequence[PlannedView]) -> Snapshot | None:
        try:
            request = request_of(plan, self._shapes)
            if self._file is not None:
                request = request_to_keep(request, plan, self._shapes, everything=self._everything)
            snapshot = explained(self.reader, self.reader.read(request), request)
        except Exception as error:  # noqa: BLE001  any fault of ours must leave the training alone
            self._policy.fault("reading the model", error)
            return None
        self._tell_unread(snapshot)
        return replace(snapshot, chosen=self._chosen)

    def _tell_unread(self, snapshot: Snapshot) -> None:
        """Log once what was asked for and could not be read, though it was not known before training."""
        news = {what: why for what, why in snapshot.unread.items() if what not in self._told}
        self._told.update(news)
        if news:
            listed = "; ".join(f"no {what} ({why})" for what, why in news.items())
            logger().warning("Not everything could be read: %s", listed)

    def _tell_beyond_budget(self, when: str) -> None:
        """Log once that more is recorded than the budget allows."""
        if self._policy.first_time("beyond the budget"):
            logger().info(
                "%s: recorded though budget= is spent, as each step that is the best so far is (told once).",
                when,
            )

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
