"""From a Snapshot to files: draw every view, write every picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Protocol, TypeVar

import numpy as np

from layerviz_callbacks.failure import FailurePolicy
from layerviz_callbacks.health import Verdict
from layerviz_callbacks.history import Album, Frame
from layerviz_callbacks.messages import logger
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.plan import PlannedView
from layerviz_callbacks.render.held_range import HeldRange
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views import View, draw_probe
from layerviz_callbacks.views.base import Follower

_SPARSE = 8
"""A sparse view is drawn again when an eighth of the steps have been added, and at the last one."""
_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be drawn and written of one step.

    Attributes:
        snapshot: the arrays, with their step.
        plan: the views that are due.
        probe: the probe itself is pictured too.
        keep: it is never dropped, however late the drawing is.
    """

    snapshot: Snapshot
    plan: Sequence[PlannedView]
    probe: bool = False
    keep: bool = False

    @cached_property
    def held_bytes(self) -> int:
        """The memory of its arrays."""
        arrays: list[np.ndarray | None] = list(self.snapshot.outputs.values())
        for layer in self.snapshot:
            arrays += [layer.kernel, layer.output, layer.attention, *layer.gradients.values()]
            arrays += [] if layer.patterns is None else [layer.patterns.inputs]
            if layer.statistics is not None and layer.statistics.weights is not None:
                weights = layer.statistics.weights
                arrays += [weights.values, weights.gradient, weights.update]
        for found in self.snapshot.saliency.values():
            arrays += found.values()
        return sum(array.nbytes for array in arrays if array is not None)


class Artist(Protocol):
    """Who draws: in this process, or in another one."""

    def draw(self, view: View, snapshot: Snapshot) -> Sequence[Picture]:
        """The pictures of a view; `snapshot.chosen` are its layers. Raises what the view raises."""

    def draw_probe(self, snapshot: Snapshot) -> Sequence[Picture]:
        """The pictures of the probe itself."""

    def close(self) -> None:
        """Nothing more is to be drawn; may be called twice."""


class LocalArtist:
    """Draws in this process, in the thread that asks."""

    def draw(self, view: View, snapshot: Snapshot) -> Sequence[Picture]:
        """The pictures of a view."""
        return view.draw(snapshot)

    def draw_probe(self, snapshot: Snapshot) -> Sequence[Picture]:
        """The pictures of the probe itself."""
        return draw_probe(snapshot)

    def close(self) -> None:
        """Nothing is held."""


class Delivery:
    """Draws jobs and writes them to sinks; a fault costs a view or a sink, never the training.

    Args:
        sinks: opened; a sink that fails is closed and left out from then on.
        policy: what is done about faults.
        artist: who draws.

    Attributes:
        pictures: how many were drawn and written.
        seconds: the time that drawing and writing took.
        verdicts: what was wrong with layers at the last step that looked.
    """

    def __init__(self, sinks: Sequence[Sink], policy: FailurePolicy, artist: Artist | None = None) -> None:
        self._artist = LocalArtist() if artist is None else artist
        self._sinks = list(sinks)
        self._policy = policy
        self._written_by_closed = 0
        self._ranges: dict[str, HeldRange] = {}  # by tag
        self._albums: dict[Hashable, Album] = {}  # these by `PlannedView.key`
        self._followers: dict[Hashable, Follower | None] = {}
        self._next: dict[Hashable, int] = {}  # the step from which on a sparse view is drawn again
        self._later: dict[Hashable, tuple[PlannedView, Snapshot]] = {}  # sparse views that are behind
        self._texts: dict[str, str] = {}  # by tag, as they were written last
        self.verdicts: tuple[Verdict, ...] = ()
        self.pictures = 0
        self.seconds = 0.0

    @property
    def wanted(self) -> bool:
        """Whether there still is a sink to write to."""
        return bool(self._sinks)

    @property
    def written_bytes(self) -> int:
        """How much all sinks have written."""
        return self._written_by_closed + sum(sink.written_bytes for sink in self._sinks)

    def deliver(self, job: Job) -> None:
        """Draw and write one step; everything is on disk when it returns."""
        began = time.perf_counter()
        step = job.snapshot.step
        if job.probe:
            self._write(self._draw_probe(job.snapshot), step)
        kept = job.snapshot
        for planned in job.plan:  # view by view: no more pictures are held than those of one
            shown = self._guarded(planned, partial(self._prepared, planned, job.snapshot))
            if shown is None:
                continue
            if self._is_drawn_now(planned, job):
                self._draw_and_write(planned, shown)
            else:
                self._later[planned.key] = planned, shown
            kept = self._with_words(planned, shown, kept)
        self.verdicts = kept.verdicts or self.verdicts
        self._each_sink(lambda sink: sink.flush())
        self.seconds += time.perf_counter() - began

    def _prepared(self, planned: PlannedView, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what this view must know of the steps before."""
        view, key = planned.view, planned.key
        shown = replace(snapshot, chosen=planned.names, ranges=dict(self._ranges))
        if key not in self._followers:
            self._followers[key] = view.follower()
        follower = self._followers[key]
        if follower is not None:
            shown = follower.follow(shown)
        if "history" in view.needs:
            album = self._albums.setdefault(key, Album())
            shown = replace(shown, history=album.frames)
            album.add(Frame(shown.step, shown.when, shown.metrics, shown.best, view.keep(shown)))
        return shown

    def _is_drawn_now(self, planned: PlannedView, job: Job) -> bool:
        step = job.snapshot.step
        if planned.view.sparse and not job.keep and step < self._next.get(planned.key, 0):
            return False
        self._next[planned.key] = step + 1 + step // _SPARSE
        return True

    def _draw_and_write(self, planned: PlannedView, shown: Snapshot) -> None:
        self._later.pop(planned.key, None)
        pictures = self._guarded(planned, partial(self._artist.draw, planned.view, shown)) or []
        self._ranges |= {picture.tag: picture.held for picture in pictures if picture.held is not None}
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
            verdicts=shown.verdicts or kept.verdicts,
        )

    def _write(self, pictures: Sequence[Picture], step: int) -> None:
        self._each_sink(lambda sink: sink.write(pictures, step))
        self.pictures += len(pictures)

    def write_text(self, tag: str, text: str, step: int) -> None:
        """Write a piece of Markdown text."""
        self._each_sink(lambda sink: sink.write_text(tag, text, step))

    def close(self) -> None:
        """Draw what was put off, and close every sink; may be called twice."""
        for planned, shown in list(self._later.values()):
            self._draw_and_write(planned, shown)
        self._artist.close()
        sinks, self._sinks = self._sinks, []
        for sink in sinks:
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
                self._sinks.remove(sink)
                self._written_by_closed += sink.written_bytes
                with suppress(Exception):
                    sink.close()
                self._policy.fault(f"writing to {sink.location}", error, consequence="it is switched off")
