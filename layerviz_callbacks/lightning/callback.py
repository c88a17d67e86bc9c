"""The callback for Lightning's Trainer."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from layerviz_callbacks.best import Best
from layerviz_callbacks.budget import Budget
from layerviz_callbacks.health import HealthReport
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
from layerviz_callbacks.store import Snapshots
from layerviz_callbacks.torch.updates import OptimizerSteps
from layerviz_callbacks.views import View

_SAMPLES = 4  # taken from the data where no probe is given
# copies start without these
_OF_A_RUN = {"_recorder", "_folder", "_now", "_thread", "_taken", "_module", "_writes", "_resumed_best"}
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
        views: what to draw; None: filters, feature maps, attention, film strips, health.
        every_n_epochs: record after every so many epochs, and after the last.
        every_n_steps: record after every so many optimizer steps instead.
        on_error: "warn": a fault during training is logged once and training goes on; "raise": it is raised,
            one of drawing beside the training when the next step is recorded or training ends.
        worker: "thread": pictures are drawn beside the training, in a thread; "process": in another process;
            None: training waits for them.
        budget: the share of the training's time that pictures may take, or a `layerviz_callbacks.Budget`;
            None: no limit. What it leaves out is told.
        monitor: the metric that tells the best epoch, such as "val_accuracy", as in `ModelCheckpoint`: by
            its value at the end of an epoch. Each epoch that is the best so far is recorded, with every view,
            whether due or not and whatever the budget says, since its weights are gone later; films and the
            file mark it.
        mode: "min": less is better; "max": more is; "auto": what the name says, such as "accuracy" or "loss".
        snapshots: the HDF5 file to keep every recorded step in, such as "run.h5", or a
            `layerviz_callbacks.Snapshots`; None: none. See `SnapshotFile`.

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
        monitor: str | None = None,
        mode: str = "auto",
        snapshots: str | os.PathLike[str] | Snapshots | None = None,
    ) -> None:
        super().__init__()
        check_forward(forward)
        self.probe = None if probe is None else Probe.of(probe)
        self.forward = forward
        self._log_dir = log_dir
        self._options = {
            "layers": layers, "views": views, "every_n_epochs": every_n_epochs,
            "every_n_steps": every_n_steps, "on_error": on_error, "worker": worker, "budget": budget,
            "monitor": monitor, "mode": mode, "snapshots": snapshots,
        }  # fmt: skip
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._recorder = Recorder(log_dir=self._log_dir, **self._options)  # type: ignore[arg-type]
        self._writes = True  # this is the process that writes, as far as is known
        self._folder: str | None = None  # of the trainer's logger, where that is used
        self._thread = OneThread()
        self._now: Fit | None = None  # the training that goes on, if any
        self._resumed_best: Best | None = None  # out of a checkpoint
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

    @property
    def snapshot_file(self) -> Path | None:
        """The file in which `snapshots` are kept: of a second run beside `run.h5` that is `run-2.h5`."""
        return self._recorder.snapshot_file

    def report(self) -> HealthReport:
        """What is wrong with the layers at the last recorded step, the worst first; also after training.

        Empty where no view looks at the health of layers, and in processes that leave the recording to the
        first. It waits for what is still being drawn, a few seconds at most.

        Example:
            >>> print(pictures.report())                                   # doctest: +SKIP
        """
        return self._recorder.report()

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
        if fit is not None and fit.steps is not None and trainer.is_last_batch:
            fit.steps.keep_gradients()  # validation comes next, and zeroes them
        if fit is None or fit.reader is None or every is None or trainer.global_step == fit.step:
            return
        fit.step = step = trainer.global_step
        if step % every == 0:
            metrics = metrics_of(trainer)
            fit.reader.together(lambda: self._recorder.step_end(step, metrics=metrics))

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Look at what the module has logged at the last epoch's end, after the callbacks were called."""
        fit = self._fit(trainer)
        if fit is not None and fit.reader is not None and fit.epoch:
            self._compare(fit)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Record an epoch, where one is due, or where it is the best so far."""
        fit = self._fit(trainer)
        if fit is None or fit.reader is None:
            return
        fit.epoch, fit.told_last = trainer.current_epoch + 1, is_last_epoch(trainer)
        fit.metrics = metrics_of(trainer)
        if self._recorder.every_n_steps is None or self._recorder.monitor is not None:
            fit.reader.together(lambda: self._epoch_end(fit, last=fit.told_last))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the last epoch where training was stopped early after one that was not due, and close."""
        fit = self._fit(trainer)
        if fit is not None and fit.reader is not None:
            if fit.epoch:
                self._compare(fit)
            fit.reader.together(lambda: self._last_epoch_end(fit))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close what is being written."""
        self._end(trainer)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Close what is being written."""
        self._end(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training goes on with: the samples taken from the data, and the best epoch."""
        state: dict[str, Any] = {}
        taken, best = self._taken, self._recorder.best
        if taken is not None and is_restorable(taken.batch):
            state["batch"] = copied(taken.batch, torch.device("cpu"))
            state["from_validation"] = taken.from_validation
        if best is not None:
            state["best"] = {"monitor": best.monitor, "value": best.value, "step": best.step}
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the samples, and the best epoch, of the training that is resumed."""
        if "best" in state_dict:
            self._resumed_best = Best(**state_dict["best"])
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
        fit.steps = OptimizerSteps(trainer.optimizers)
        reader = JointReader(reader_of(trainer, module, entry.probe, entry.run, fit.steps), processes)
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
            best=self._resumed_best,
        )

    def _epoch_end(self, fit: Fit, *, last: bool) -> None:
        steps = fit.trainer.global_step
        self._recorder.epoch_end(fit.epoch, metrics=fit.metrics, last=last, steps_done=steps, complete=False)

    def _compare(self, fit: Fit) -> None:
        """Every process must call it."""
        reader, metrics = fit.reader, metrics_of(fit.trainer)
        if reader is not None and self._recorder.monitor is not None:
            reader.together(lambda: self._recorder.compare(metrics))

    def _last_epoch_end(self, fit: Fit) -> None:
        in_epochs = self._recorder.every_n_steps is None
        if in_epochs and fit.epoch % self._recorder.every_n_epochs and not fit.told_last:
            self._epoch_end(fit, last=True)
        self._recorder.end()

    def _end(self, trainer: Any) -> None:
        fit = self._fit(trainer)
        if fit is not None:
            self._recorder.end()
            self._leave()

    def _leave(self) -> None:
        if self._now is not None and self._now.steps is not None:
            self._now.steps.close()
        self._now = None
        self._thread.leave()
