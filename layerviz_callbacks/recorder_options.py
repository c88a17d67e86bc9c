"""What a recorder is told: checked where it is given, and the same in each training."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from layerviz_callbacks.best import Monitor
from layerviz_callbacks.budget import Budget
from layerviz_callbacks.errors import check_choice, check_count
from layerviz_callbacks.failure import FailurePolicy
from layerviz_callbacks.plan import checked_views
from layerviz_callbacks.selection import Selector, check_selector
from layerviz_callbacks.sinks import Sink, sink_of
from layerviz_callbacks.store import Snapshots
from layerviz_callbacks.views import View


class RecorderOptions(ABC):
    """The options of a `Recorder`.

    Args:
        log_dir: a folder (TensorBoard event files), a sink, or a sequence of these; None where
            `begin` is given it.
        layers: which layers, for every view that does not choose by itself.
        views: what to draw; None: filters, feature maps, attention, film strips, health.
        every_n_epochs: record after every so many epochs (and after the last).
        every_n_steps: record after every so many optimizer steps instead.
        on_error: "warn": a fault during training is logged once and training goes on; "raise": it is raised,
            one of drawing beside the training when the next step is recorded or training ends.
        worker: "thread": pictures are drawn and written beside the training, in a thread; "process": drawn
            in another process; None: training waits for them.
        budget: the share of the training's time that pictures may take, or a `Budget`; None: any.
        monitor: the metric that tells the best epoch, such as "val_accuracy". Each epoch that is the best so
            far is recorded, whether due or not and whatever the budget says.
        mode: "min", "max", or "auto": what the name says.
        snapshots: the HDF5 file to keep every recorded step in, or a `Snapshots`; None: none.
        replayed: nothing trains: what was trained earlier is loaded step by step. The last line in the log
            then tells of no training that waited.

    Raises:
        ArgumentError: an argument is not what it may be; the message says what to type.
    """

    def __init__(
        self,
        *,
        log_dir: str | Path | Sink | Sequence[str | Path | Sink] | None,
        layers: Selector | None = None,
        views: Sequence[View] | None = None,
        every_n_epochs: int = 1,
        every_n_steps: int | None = None,
        on_error: str = "warn",
        worker: str | None = "thread",
        budget: float | Budget | None = 0.02,
        monitor: str | None = None,
        mode: str = "auto",
        snapshots: str | os.PathLike[str] | Snapshots | None = None,
        replayed: bool = False,
    ) -> None:
        check_selector(layers)
        check_count("every_n_epochs", every_n_epochs)
        check_count("every_n_steps", every_n_steps, optional=True)
        check_choice("worker", worker, ["thread", "process", None])
        self.budget = Budget.of(budget)
        self.layers = layers
        self.views = checked_views(views)
        self.every_n_epochs = every_n_epochs
        self.every_n_steps = every_n_steps
        self.worker = worker
        self.monitor = Monitor.of(monitor, mode)
        self.snapshots = Snapshots.of(snapshots)
        self._policy = FailurePolicy(on_error)
        self._sinks = None if log_dir is None else sink_of(log_dir)
        self._replayed = replayed
        self._start_afresh()

    @property
    def on_error(self) -> str:
        """What is done about faults."""
        return self._policy.on_error

    @property
    def location(self) -> str:
        """The folders that are written, for messages."""
        return ", ".join(sink.location for sink in self._sinks or [])

    @abstractmethod
    def _start_afresh(self) -> None:
        """Know of no training; called once the options are known."""
