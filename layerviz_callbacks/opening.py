"""Opens what a training is recorded with: views that fit the model, sinks, the file of snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from layerviz_callbacks.budget import Budget
from layerviz_callbacks.coverage import Coverage, coverage
from layerviz_callbacks.failure import FailurePolicy
from layerviz_callbacks.plan import PlannedView, plan_of
from layerviz_callbacks.reader import Reader
from layerviz_callbacks.recording import Recording
from layerviz_callbacks.request import Request
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.store import RunFile, Snapshots
from layerviz_callbacks.views import View

_ANSWERING = {"model outputs", "gradients", "saliency"}


@dataclass(frozen=True)
class Plan:
    """What is going to be drawn of a model.

    Attributes:
        views: which draws which layers.
        shapes: what there is to be drawn, read without arrays.
        covered: which layers are pictured, and why the others are not.
    """

    views: Sequence[PlannedView]
    shapes: Snapshot
    covered: Coverage


def checked_plan(reader: Reader, views: Sequence[View], layers: Selector | None) -> Plan:
    """What these views draw of the model; nothing is written yet.

    Raises:
        SelectionError: `layers` matches nothing.
        ProbeError: the model cannot be called with the probe.
        ArgumentError: an argument of a view does not fit the model.
    """
    planned = plan_of(views, layers, reader.entries())
    answers = any(one.view.needs & _ANSWERING for one in planned)
    shapes = reader.read(Request(model_outputs=answers))
    for one in planned:
        one.view.check(shapes)
    return Plan(planned, shapes, coverage(shapes, [(one.view, one.names) for one in planned]))


def open_recording(
    reader: Reader,
    plan: Plan,
    sinks: Sequence[Sink],
    policy: FailurePolicy,
    *,
    first_step: int,
    worker: str | None,
    budget: Budget | None,
    snapshots: Snapshots | None,
    path: Path | None,
) -> tuple[Recording, RunFile | None]:
    """Open the sinks and the file of snapshots; where one cannot be opened, none stays open.

    Args:
        reader: reads the model.
        plan: what is drawn.
        sinks: where pictures go.
        policy: what is done about faults.
        first_step: what is done already.
        worker: see `Recorder`.
        budget: see `Recorder`.
        snapshots: see `Recorder`.
        path: the file of snapshots of this very training, where it is known already.

    Raises:
        SinkError: a sink cannot be written.
        SnapshotFileError: `snapshots` cannot be written.
    """
    with ExitStack() as opened:
        for sink in sinks:
            sink.open(first_step=first_step)
            opened.callback(sink.close)
        file = None
        if snapshots is not None:
            file = RunFile(snapshots, plan.shapes, first_step=first_step, path=path)
            opened.callback(file.close)
        recording = Recording(
            reader, plan.views, plan.shapes, sinks, policy, worker=worker, budget=budget, file=file,
            everything=snapshots is not None and snapshots.everything,
        )  # fmt: skip
        opened.pop_all()
    return recording, file
