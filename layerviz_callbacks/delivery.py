"""From a Snapshot to files: draw every view, write every picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from layerviz_callbacks.artist import Artist, LocalArtist
from layerviz_callbacks.failure import FailurePolicy
from layerviz_callbacks.following import Following
from layerviz_callbacks.health import HealthReport, Verdict
from layerviz_callbacks.job import Job
from layerviz_callbacks.messages import logger
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.plan import PlannedView
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.store import RunFile

_SPARSE = 8
"""A sparse view is drawn again when an eighth of the steps have been added, and at the last one."""
_Result = TypeVar("_Result")


class Delivery:
    """Draws jobs and writes them to sinks and a file; a fault costs one of these or a view, not the training.

    Args:
        sinks: opened; a sink that fails is closed and left out from then on.
        policy: what is done about faults.
        artist: who draws.
        file: where snapshots are kept; one that fails is left out from then on.

    Attributes:
        pictures: how many were drawn and written.
        seconds: the time that drawing and writing took.
        steps: how many steps were drawn; one that came twice counts once.
        stored: how many snapshots were kept.
        report: what was wrong with layers at the last step; empty where no view looks.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        policy: FailurePolicy,
        artist: Artist | None = None,
        file: RunFile | None = None,
    ) -> None:
        self._artist = LocalArtist() if artist is None else artist
        self._sinks = list(sinks)
        self._policy = policy
        self._file = file
        self._written_by_closed = 0
        self._following = Following()
        self._to_resume: Sequence[PlannedView] = ()  # these by `PlannedView.key`
        self._next: dict[Hashable, int] = {}  # the step from which on a sparse view is drawn again
        self._later: dict[Hashable, tuple[PlannedView, Snapshot]] = {}  # sparse views that are behind
        self._texts: dict[str, str] = {}  # by tag, as they were written last
        self._last_step: int | None = None
        self.report = HealthReport()
        self.steps = 0
        self.stored = 0
        self.pictures = 0
        self.seconds = 0.0

    @property
    def wanted(self) -> bool:
        """Whether there still is something to write to."""
        return bool(self._sinks) or self._file is not None

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What was wrong with layers at the last step that looked."""
        return self.report.verdicts

    @property
    def written_bytes(self) -> int:
        """How much all sinks have written."""
        return self._written_by_closed + sum(sink.written_bytes for sink in self._sinks)

    def resume(self, plan: Sequence[PlannedView]) -> None:
        """Go on with the steps that the file holds, as if they had been drawn here: with the next job."""
        self._to_resume = plan

    def deliver(self, job: Job) -> None:
        """Draw and write one step; everything is on disk when it returns."""
        began = time.perf_counter()
        self._resume()
        step = job.snapshot.step
        if job.probe:
            self._write(self._draw_probe(job.snapshot), step)
        kept, looked = job.snapshot, False
        for planned in job.plan:  # view by view: no more pictures are held than those of one
            prepared = self._guarded(planned, partial(self._prepared, planned, job.snapshot))
            if prepared is None:
                continue
            shown, looks = prepared
            if self._is_drawn_now(planned, job):
                self._draw_and_write(planned, shown)
            else:
                self._later[planned.key] = planned, shown
            kept = self._with_words(planned, shown, kept)
            looked = looked or looks
        if looked:
            self.report = HealthReport(kept.verdicts, kept.when)
        self._each_sink(lambda sink: sink.flush())
        if job.plan:
            self.steps += step != self._last_step
            self._last_step = step
            self._store(replace(kept, ranges=self._following.ranges))
        self.seconds += time.perf_counter() - began

    def _prepared(self, planned: PlannedView, snapshot: Snapshot) -> tuple[Snapshot, bool]:
        return self._following.prepared(planned.view, planned.key, planned.names, snapshot)

    def _resume(self) -> None:
        plan, self._to_resume = self._to_resume, ()
        if self._file is None or not plan:
            return
        try:
            for snapshot in self._file.earlier():
                for planned in plan:
                    self._following.resume(planned.view, planned.key, planned.names, snapshot)
        except Exception as error:  # noqa: BLE001  a damaged step must not end what is recorded now
            what = f"reading the earlier steps of {self._file.path}"
            self._policy.fault(what, error, consequence="films begin anew")

    def _store(self, snapshot: Snapshot) -> None:
        file = self._file
        if file is None:
            return
        try:
            file.append(snapshot)
            self.stored += 1
        except Exception as error:  # noqa: BLE001  a full disk costs the file, not the pictures
            self._file = None
            with suppress(Exception):
                file.close()
            self._policy.fault(f"writing to {file.path}", error, consequence="it is switched off")

    def _is_drawn_now(self, planned: PlannedView, job: Job) -> bool:
        step = job.snapshot.step
        if planned.view.sparse and not job.keep and step < self._next.get(planned.key, 0):
            return False
        self._next[planned.key] = step + 1 + step // _SPARSE
        return True

    def _draw_and_write(self, planned: PlannedView, shown: Snapshot) -> None:
        self._later.pop(planned.key, None)
        pictures = self._guarded(planned, partial(self._artist.draw, planned.view, shown)) or []
        self._following.hold(pictures)
        self._write(pictures, shown.step)

    def _with_words(self, planned: PlannedView, shown: Snapshot, kept: Snapshot) -> Snapshot:
        """Write numbers, histograms, texts and verdicts of a view; the snapshot to be kept, with these."""
        view, step = planned.view, shown.step
        numbers = self._guarded(planned, partial(view.scalars, shown)) or {}
        histograms = self._guarded(planned, partial(view.histograms, shown)) or {}
        texts = self._guarded(planned, partial(view.texts, shown)) or {}
        if numbers:
            self._each_sink(lambda sink: sink.write_scalars(numbers, step))
        if histograms:
            self._each_sink(lambda sink: sink.write_histograms(histograms, step))
        for tag, text in texts.items():
            if self._texts.get(tag) != text:
                self._texts[tag] = text
                self.write_text(tag, text, step)
        for verdict in shown.verdicts:
            if self._policy.first_time(f"verdict: {verdict.layer}: {verdict.illness}"):
                advice = f". {verdict.advice}" if verdict.advice else ""
                logger().warning("%s%s", verdict, advice)
        return replace(
            kept,
            numbers={**kept.numbers, **numbers},
            health={**kept.health, **shown.health},
            verdicts=_worst_first([*kept.verdicts, *shown.verdicts]),
        )

    def _write(self, pictures: Sequence[Picture], step: int) -> None:
        self._each_sink(lambda sink: sink.write(pictures, step))
        self.pictures += len(pictures)

    def write_text(self, tag: str, text: str, step: int) -> None:
        """Write a piece of Markdown text."""
        self._each_sink(lambda sink: sink.write_text(tag, text, step))

    def close(self, *, hurried: bool = False) -> None:
        """Draw what was put off, and close the file and every sink; may be called twice.

        Args:
            hurried: a step is still being drawn, in another thread, which did not end in time: nothing more
                is drawn, and that step is written no further.
        """
        with ExitStack() as closing:  # each is closed, whatever another raises
            closing.callback(self._close_sinks)
            closing.callback(self._close_file)
            closing.callback(self._artist.close)
            began = time.perf_counter()
            for planned, shown in [] if hurried else list(self._later.values()):
                self._draw_and_write(planned, shown)
            self.seconds += time.perf_counter() - began

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _close_sinks(self) -> None:
        sinks, self._sinks = self._sinks, []
        with ExitStack() as closing:
            for sink in reversed(sinks):
                closing.callback(self._close_sink, sink)

    def _close_sink(self, sink: Sink) -> None:
        self._written_by_closed += sink.written_bytes
        try:
            sink.close()
        except Exception as error:  # noqa: BLE001  a full disk at the end must not fail the training
            self._policy.fault(f"closing {sink.location}", error, consequence="pictures may be lost")

    def _draw_probe(self, snapshot: Snapshot) -> Sequence[Picture]:
        try:
            return self._artist.draw_probe(snapshot)
        except Exception as error:  # noqa: BLE001
            self._policy.fault("drawing the probe", error, consequence="it is left out")
            return []

    def _guarded(self, planned: PlannedView, action: Callable[[], _Result]) -> _Result | None:
        """What a view gives; None where it raises, now or before: it is switched off then."""
        if planned.off:
            return None
        try:
            return action()
        except Exception as error:  # noqa: BLE001  whatever a view raises, the others go on
            planned.off = True
            name = type(planned.view).__name__
            self._policy.fault(f"the view {name}", error, consequence="it is switched off")
            return None

    def _each_sink(self, action: Callable[[Sink], None]) -> None:
        for sink in list(self._sinks):
            try:
                action(sink)
            except Exception as error:  # noqa: BLE001  whatever a sink raises, the others go on
                self._sinks = [one for one in self._sinks if one is not sink]
                self._written_by_closed += sink.written_bytes
                with suppress(Exception):
                    sink.close()
                self._policy.fault(f"writing to {sink.location}", error, consequence="it is switched off")


def _worst_first(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Those of all views, each once."""
    return tuple(sorted(dict.fromkeys(verdicts), key=lambda verdict: -verdict.severity))
