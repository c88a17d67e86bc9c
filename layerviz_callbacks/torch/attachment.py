"""`attach`: recording a training loop that the user wrote."""

from __future__ import annotations

import operator
import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn, optim

from layerviz_callbacks.budget import Budget
from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.health import HealthReport
from layerviz_callbacks.messages import logger
from layerviz_callbacks.recorder import Recorder
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.store import Snapshots
from layerviz_callbacks.torch.isolation import is_sharded
from layerviz_callbacks.torch.reader import TorchReader
from layerviz_callbacks.torch.updates import OptimizerSteps, steps_of
from layerviz_callbacks.views import View


def attach(
    model: nn.Module,
    probe: Any,
    *,
    log_dir: str | Path | Sink | Sequence[str | Path | Sink],
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
    start: int = 0,
    forward: Callable[[nn.Module, Any], Any] | None = None,
    optimizer: optim.Optimizer | Sequence[optim.Optimizer] | None = None,
) -> Attachment:
    """Picture a model while a loop of your own trains it. The model as it is now is step 0.

    Args:
        model: any `torch.nn.Module`; it is left as it was, and nothing stays attached to it.
        probe: the fixed batch to show: a `Probe`, or an array, tensor, list, tuple or dict.
        log_dir: the TensorBoard folder (pictures go to `<log_dir>/layerviz`), a sink, or several.
        layers: which layers: names, globs, classes, predicates; None: every layer with a kernel.
        views: what to draw; None: filters, feature maps, attention, film strips, health.
        every_n_epochs: record after every so many epochs.
        every_n_steps: count optimizer steps instead: `record(step)` after each of them.
        on_error: "warn": a fault during training is logged once and training goes on; "raise": it is raised,
            one of drawing beside the training when the next step is recorded or training ends.
        worker: "thread": pictures are drawn beside the training, in a thread; "process": in another process;
            None: training waits for them.
        budget: the share of the training's time that pictures may take, or a `layerviz_callbacks.Budget`;
            None: no limit. What it leaves out is told.
        monitor: the metric that tells the best epoch, such as "val_loss", of those that `record` is given.
            Each epoch that is the best so far is recorded, with every view, whether due or not and whatever
            the budget says, since its weights are gone later; films and the file mark it.
        mode: "min": less is better; "max": more is; "auto": what the name says, such as "accuracy" or "loss".
        snapshots: the HDF5 file to keep every recorded step in, such as "run.h5", or a
            `layerviz_callbacks.Snapshots`; None: none. See `SnapshotFile`.
        start: the epochs (or optimizer steps) that a resumed training has behind it.
        forward: how the probe is shown, instead of `model(x)`: called as `forward(model, inputs)` with the
            probe's inputs as tensors on the model's device (a tensor, or a tuple or dict of them). For a
            model without `forward()`, or one that is used by another method:
            `forward=lambda model, x: model.generator(x)`.
        optimizer: what trains the model, or a list of these: views of the layers' health can then tell how
            large its steps are. Known of SGD, Adam, AdamW, RMSprop and Adagrad of `torch.optim`. It is left
            as it is; until `close`, a hook notes its learning rate at each step.

    Returns:
        What to call after each epoch, `record(epoch)`; close it, or use it as a context manager.

    Raises:
        ArgumentError: an argument is not what it may be.
        ProbeError: the model cannot be called with the probe.
        SelectionError: `layers` matches nothing.
        SinkError: `log_dir` cannot be written.
        SnapshotFileError: `snapshots` cannot be written.
        MissingLibraryError: `snapshots` needs h5py, which is not installed.

    Where several processes train together (DistributedDataParallel), it may be called in all of them, or in
    the first alone: the first one records.

    Example:
        >>> with attach(model, x_val[:4], log_dir="runs/a") as record:     # doctest: +SKIP
        ...     for epoch in range(10):
        ...         loss = train_one_epoch(model)
        ...         record(epoch + 1, loss=loss)
    """
    if log_dir is None:
        raise ArgumentError("log_dir=None is no place for pictures. Pass a folder: log_dir='runs/a'.")
    recorder = Recorder(
        log_dir=log_dir, layers=layers, views=views, every_n_epochs=every_n_epochs,
        every_n_steps=every_n_steps, on_error=on_error, worker=worker, budget=budget,
        monitor=monitor, mode=mode, snapshots=snapshots,
    )  # fmt: skip
    first = _count("start", start, least=0)
    steps = steps_of(model, optimizer)
    reader = TorchReader(model, probe, forward=forward, steps=steps)
    if _records_here(model):
        recorder.begin(reader, step=first, total=None)
    return Attachment(recorder, first, steps)


def _records_here(model: nn.Module) -> bool:
    """Of several processes that train together only the first one records.

    Raises:
        ArgumentError: the model is sharded over them, so that none has it whole.
    """
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return True
    if distributed.get_world_size() > 1 and any(is_sharded(module) for module in model.modules()):
        raise ArgumentError(
            f"{type(model).__name__} is sharded over {distributed.get_world_size()} processes, and attach() "
            "sees the part of one. Use layerviz_callbacks.lightning.LayerVizCallback, which gathers the "
            "parts, or inspect() a gathered checkpoint."
        )
    return bool(distributed.get_rank() == 0)


class Attachment:
    """Records a model when it is called; made by `attach`."""

    def __init__(self, recorder: Recorder, start: int, steps: OptimizerSteps | None) -> None:
        self._recorder = recorder
        self._steps = steps
        self._last = start
        self._closed = False
        self._told: set[str] = set()
        self._finish = weakref.finalize(self, recorder.end)  # also where the program ends without close()

    @property
    def location(self) -> str:
        """The folder that is written."""
        return self._recorder.location

    def record(self, number: int, /, **metrics: Any) -> None:
        """Record the end of an epoch, or of an optimizer step with `every_n_steps`, where one is due.

        Args:
            number: the epoch (or step) that has just been done, counted from 1.
            metrics: what training reports of it; numbers, or tensors of one number.

        Raises:
            ArgumentError: `number` is no whole number from 1 on. A number that was recorded already, or
                one below it, is told once and left out: it never ends a training.
        """
        count = _count(self._unit, number, least=0)
        if self._closed:
            self._tell("closed", "record(%s) after close(): it is left out. Attach anew to go on.", count)
            return
        if count <= self._last:
            self._tell(
                "back", "record(%s) does not go on from %s %s, which is recorded already: it is left out. "
                "Count up from %s.", count, self._unit, self._last, self._last + 1,
            )  # fmt: skip
            return
        self._last = count
        if self._recorder.every_n_steps is None:
            self._recorder.epoch_end(count, metrics=self._numbers(metrics))
        else:
            self._recorder.step_end(count, metrics=self._numbers(metrics), compared=True)

    @property
    def snapshot_file(self) -> Path | None:
        """The file in which `snapshots` are kept: of a second run beside `run.h5` that is `run-2.h5`."""
        return self._recorder.snapshot_file

    def report(self) -> HealthReport:
        """What is wrong with the layers at the last recorded step, the worst first; also after `close`.

        Empty where no view looks at the health of layers. It waits for what is still being drawn, a few
        seconds at most.

        Example:
            >>> print(record.report())                                     # doctest: +SKIP
        """
        return self._recorder.report()

    def __call__(self, number: int, /, **metrics: Any) -> None:
        """The same as `record`."""
        self.record(number, **metrics)

    def close(self) -> None:
        """Write what is not written yet, and close; may be called twice."""
        self._closed = True
        if self._steps is not None:
            self._steps.close()
        self._finish()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _unit(self) -> str:
        return "epoch" if self._recorder.every_n_steps is None else "step"

    def _numbers(self, metrics: dict[str, Any]) -> dict[str, float]:
        numbers = {}
        for name, value in metrics.items():
            try:
                numbers[name] = float(value.detach() if isinstance(value, torch.Tensor) else value)
            except (TypeError, ValueError, RuntimeError):
                self._tell(name, "The metric %s=%r is no number: it is left out.", name, value)
        return numbers

    def _tell(self, what: str, message: str, *details: Any) -> None:
        if what not in self._told:
            self._told.add(what)
            logger().warning(message, *details)


def _count(argument: str, given: Any, *, least: int) -> int:
    try:
        count = -1 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        count = -1
    if count < least:
        raise ArgumentError(
            f"{argument}={given!r} is not a number of {argument}s that are done. "
            "Allowed: a whole number, counted from 1: for epoch in range(10): ...; record(epoch + 1)."
        )
    return count
