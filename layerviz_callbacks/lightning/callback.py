"""The callback for Lightning's Trainer."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from layerviz_callbacks.budget import Budget
from layerviz_callbacks.lightning.batches import copied, first_samples, is_restorable
from layerviz_callbacks.lightning.entry import Entry, Forward, check_forward
from layerviz_callbacks.lightning.fitting import Fit, Taken, first_process_samples, is_last_epoch, metrics_of
from layerviz_callbacks.lightning.installed import callback_classes
from layerviz_callbacks.lightning.learning import entry_of
from layerviz_callbacks.lightning.processes import JointReader
from layerviz_callbacks.lightning.sharded import reader_of
from layerviz_callbacks.lightning.strategies import processes_of
from layerviz_callbacks.messages import logger
from layerviz_callbacks.one_thread import OneThread
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.recorder import Recorder
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.views import View

_SAMPLES = 4  # taken from the data where no probe is given
# copies start without these
_OF_A_RUN = {"_recorder", "_folder", "_now", "_thread", "_taken", "_module", "_writes"}
_OF_A_TRAINER = {"log", "log_dict"}  # methods of the module, that a trainer puts on its callbacks


class LayerVizCallback(*callback_classes()):  # type: ignore[misc]
    """Pictures of what the layers of a LightningModule learn, in TensorBoard, while it trains.

    Works in the Trainers of `lightning.pytorch` and of `pytorch_lightning`. The model before training is
    step 0, the model after epoch k step k. Training is left as it is, bit for bit. Nothing is recorded in
    sanity checking, `validate`, `test`, `predict` and with `fast_dev_run`.

    Where several processes train together (DDP, FSDP), all of them run the probe of the first one, so that
    none waits for another, and the first draws and writes.

    A copy (`copy.deepcopy`, `pickle`, a spawned process) has the same arguments and starts afresh: without
    the samples that were taken, and with a recording of its own.

    Args:
        probe: the fixed batch to show: a `Probe`, or an array, tensor, list, tuple or dict that the module
            is called with. None: the first 4 samples of the first validation batch that passes by (that of
            the sanity check counts), else of the first training batch, shown the way the module's own
            `validation_step` (else `training_step`) does it. No loader is read for it.
        forward: how the module is shown the probe, `forward(module, inputs)`, for modules without a
            `forward`, with several networks, or with manual optimisation. With `probe=` it is given the
            probe's tensors on the module's device as they were given (an array as a tensor, a dict as a
            dict, a tuple as a tuple), else the first samples of the batch. What it gives back is the
            model's output. Processes that are spawned (`ddp_spawn`) need a function with a name of its
            own, as a lambda cannot be sent to them.
        log_dir: the TensorBoard folder (pictures go to `<log_dir>/layerviz`), a sink, or several. None:
            where the trainer's logger writes.
        layers: which layers: names, globs, classes, predicates; None: every layer with a kernel.
        views: what to draw; None: filters and feature maps.
        every_n_epochs: record after every so many epochs, and after the last.
        every_n_steps: record after every so many optimizer steps instead.
        on_error: "warn": a fault during training is logged once and training goes on; "raise": it is raised,
            one of drawing beside the training when the next step is recorded or training ends.
        worker: "thread": pictures are drawn beside the training, in a thread; "process": in another process;
            None: training waits for them.
        budget: the share of the training's time that pictures may take, or a `layerviz_callbacks.Budget`;
            None: no limit. What it leaves out is told.

    Raises:
        ArgumentError: an argument is not what it may be; here or when training begins.

    Example:
        >>> Trainer(callbacks=[LayerVizCallback()])                        # doctest: +SKIP
        >>> Trainer(callbacks=[LayerVizCallback(x_val[:4], layers="conv*")])   # doctest: +SKIP
        >>> LayerVizCallback(forward=lambda module, batch: module.generator(batch[0]))   # doctest: +SKIP
    """

    def __init__(
        self,
        probe: Any = None,
        *,
        forward: Forward | None = None,
        log_dir: str | Path | Sink | Sequence[str | Path | Sink] | None = None,
        layers: Selector | None = None,
        views: Sequence[View] | None = None,
        every_n_epochs: int = 1,
        every_n_steps: int | None = None,
        on_error: str = "warn",
        worker: str | None = "thread",
        budget: float | Budget | None = 0.02,
    ) -> None:
        super().__init__()
        check_forward(forward)
        self.probe = None if probe is None else Probe.of(probe)
        self.forward = forward
        self._log_dir = log_dir
        self._options = {
            "layers": layers, "views": views, "every_n_epochs": every_n_epochs,
            "every_n_steps": every_n_steps, "on_error": on_error, "worker": worker, "budget": budget,
        }  # fmt: skip
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._recorder = Recorder(log_dir=self._log_dir, **self._options)  # type: ignore[arg-type]
        self._writes = True  # this is the process that writes, as far as is known
        self._folder: str | None = None  # of the trainer's logger, where that is used
        self._thread = OneThread()
        self._now: Fit | None = None  # the training that goes on, if any
        self._taken: Taken | None = None  # kept after the fit, for checkpoints that are written then
        self._module: Callable[[], Any] | None = None  # a weak reference to the one that was trained last

    def __getstate__(self) -> dict[str, Any]:
        left_out = _OF_A_RUN | _OF_A_TRAINER
        return {name: value for name, value in vars(self).items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_afresh()

    @property
    def location(self) -> str:
        """The folder that is written; empty in a process that leaves the writing to the first."""
        return self._recorder.location if self._writes else ""

    @property
    def state_key(self) -> str:
        """Tells several of these callbacks in one trainer apart in checkpoints."""
        parts = [str(self._log_dir) if isinstance(self._log_dir, (str, Path)) else ""]
        parts += [str(self._options[name]) for name in ("every_n_epochs", "every_n_steps")]
        layers = self._options["layers"]
        parts += [str(layers) if isinstance(layers, str) else type(layers).__name__]
        parts += [type(view).__name__ for view in self._recorder.views]
        return f"{type(self).__qualname__}({', '.join(parts)})"

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Make ready for a training.

        Raises:
            CallbackInUseError: another trainer is training with this callback now, in another thread.
        """
        if str(getattr(stage, "value", stage)) != "fit":
            return
        self._thread.take()
        self._now = Fit(trainer)
        if self._module is None or self._module() is not pl_module:
            self._taken = None  # a training of the same module goes on with its samples
        if trainer.fast_dev_run:
            self._leave()
            logger().info("fast_dev_run: no pictures are made, and no folder.")

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Copy the first samples of the first batch."""
        self._keep(trainer, batch, from_validation=True)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Picture the model before the first batch trains it."""
        fit = self._fit(trainer)
        if fit is not None and fit.reader is None:
            self._keep(trainer, batch, from_validation=False)
            self._begin(fit, pl_module)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record an optimizer step, where these are counted and one is due."""
        fit, every = self._fit(trainer), self._recorder.every_n_steps
        if fit is None or fit.reader is None or every is None or trainer.global_step == fit.step:
            return
        fit.step = step = trainer.global_step
        if step % every == 0:
            metrics = metrics_of(trainer)
            fit.reader.together(lambda: self._recorder.step_end(step, metrics=metrics))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Record an epoch, where one is due."""
        fit = self._fit(trainer)
        if fit is None or fit.reader is None:
            return
        fit.epoch, fit.told_last = trainer.current_epoch + 1, is_last_epoch(trainer)
        fit.metrics = metrics_of(trainer)
        if self._recorder.every_n_steps is None:
            fit.reader.together(lambda: self._epoch_end(fit, last=fit.told_last))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the last epoch where training was stopped early after one that was not due, and close."""
        fit = self._fit(trainer)
        if fit is not None and fit.reader is not None:
            fit.reader.together(lambda: self._last_epoch_end(fit))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close what is being written."""
        self._end(trainer)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Close what is being written."""
        self._end(trainer)

    def state_dict(self) -> dict[str, Any]:
        """The samples that were taken from the data, so that a resumed training shows the same ones."""
        taken = self._taken
        if taken is None or not is_restorable(taken.batch):
            return {}
        return {"batch": copied(taken.batch, torch.device("cpu")), "from_validation": taken.from_validation}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the samples of the training that is resumed."""
        if "batch" in state_dict:
            self._taken = Taken(state_dict["batch"], from_validation=state_dict["from_validation"])

    def _fit(self, trainer: Any) -> Fit | None:
        fit = self._now
        return fit if fit is not None and fit.trainer is trainer else None

    def _keep(self, trainer: Any, batch: Any, *, from_validation: bool) -> None:
        fit = self._fit(trainer)
        if fit is not None and fit.reader is None and self.probe is None and self._taken is None:
            self._taken = Taken(first_samples(batch, _SAMPLES), from_validation=from_validation)

    def _begin(self, fit: Fit, module: Any) -> None:
        trainer = fit.trainer
        processes = processes_of(trainer, module)
        self._writes = processes.first
        self._taken = taken = first_process_samples(processes, self._taken)
        entry: Entry = processes.agreed(
            lambda: entry_of(trainer, module, self.probe, taken, self.forward), token=lambda made: made.way
        )
        reader = JointReader(reader_of(trainer, module, entry.probe, entry.run), processes)
        fit.reader, fit.step = reader, trainer.global_step
        self._module = weakref.ref(module)
        reader.together(lambda: self._begin_to_record(trainer, reader))

    def _begin_to_record(self, trainer: Any, reader: JointReader) -> None:
        folder = None if self._log_dir is not None else trainer.log_dir or trainer.default_root_dir
        if folder != self._folder and self._folder is not None:  # a logger with a new folder: a new recording
            self._recorder = Recorder(log_dir=None, **self._options)  # type: ignore[arg-type]
        self._folder = folder
        steps = self._recorder.every_n_steps is not None
        limit = trainer.max_steps if steps else trainer.max_epochs
        self._recorder.begin(
            reader,
            step=trainer.global_step if steps else trainer.current_epoch,
            total=limit if limit is not None and limit >= 1 else None,
            log_dir=folder,
        )

    def _epoch_end(self, fit: Fit, *, last: bool) -> None:
        self._recorder.epoch_end(fit.epoch, metrics=fit.metrics, last=last)

    def _last_epoch_end(self, fit: Fit) -> None:
        if fit.epoch % self._recorder.every_n_epochs and not fit.told_last:
            self._epoch_end(fit, last=True)
        self._recorder.end()

    def _end(self, trainer: Any) -> None:
        fit = self._fit(trainer)
        if fit is not None:
            self._recorder.end()
            self._leave()

    def _leave(self) -> None:
        self._now = None
        self._thread.leave()
