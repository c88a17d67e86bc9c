"""From a Snapshot to files: draw every view, write every picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from layerviz_callbacks.failure import FailurePolicy
from layerviz_callbacks.history import Album, Frame
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.plan import PlannedView
from layerviz_callbacks.render.held_range import HeldRange
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views import View, draw_probe


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
    """

    def __init__(self, sinks: Sequence[Sink], policy: FailurePolicy, artist: Artist | None = None) -> None:
        self._artist = LocalArtist() if artist is None else artist
        self._sinks = list(sinks)
        self._policy = policy
        self._written_by_closed = 0
        self._ranges: dict[str, HeldRange] = {}  # by tag
        self._albums: dict[tuple[type[View], frozenset[str]], Album] = {}  # by what it reads, too
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
        if job.probe:
            self._write(self._draw_probe(job.snapshot), job.snapshot.step)
        for planned in job.plan:  # view by view: no more pictures are held than those of one
            self._write(self._draw(planned, job.snapshot), job.snapshot.step)
            self._write_scalars(planned, job.snapshot)
        self._each_sink(lambda sink: sink.flush())
        self.seconds += time.perf_counter() - began

    def _write(self, pictures: Sequence[Picture], step: int) -> None:
        self._each_sink(lambda sink: sink.write(pictures, step))
        self.pictures += len(pictures)

    def _write_scalars(self, planned: PlannedView, snapshot: Snapshot) -> None:
        if planned.off:
            return
        try:
            scalars = planned.view.scalars(snapshot.choose(planned.names))
        except Exception as error:  # noqa: BLE001
            planned.off = True
            name = type(planned.view).__name__
            self._policy.fault(f"the numbers of the view {name}", error, consequence="it is switched off")
            return
        if scalars:
            self._each_sink(lambda sink: sink.write_scalars(scalars, snapshot.step))

    def write_text(self, tag: str, text: str, step: int) -> None:
        """Write a piece of Markdown text."""
        self._each_sink(lambda sink: sink.write_text(tag, text, step))

    def close(self) -> None:
        """Close every sink; may be called twice."""
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

    def _draw(self, planned: PlannedView, snapshot: Snapshot) -> Sequence[Picture]:
        if planned.off:
            return []
        try:
            shown = replace(snapshot, chosen=planned.names, ranges=dict(self._ranges))
            if "history" in planned.view.needs:
                key = (type(planned.view), planned.reads)  # a view that draws less is another object
                album = self._albums.setdefault(key, Album())
                shown = replace(shown, history=album.frames)
                kept = planned.view.keep(shown)
                album.add(Frame(shown.step, shown.when, shown.metrics, shown.best, kept))
            pictures = self._artist.draw(planned.view, shown)
        except Exception as error:  # noqa: BLE001  whatever a view raises, the others go on
            planned.off = True
            name = type(planned.view).__name__
            self._policy.fault(f"the view {name}", error, consequence="it is switched off")
            return []
        self._ranges |= {picture.tag: picture.held for picture in pictures if picture.held is not None}
        return pictures

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
