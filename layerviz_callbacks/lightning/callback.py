"""The callback for Lightning's Trainer."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from layerviz_callbacks.errors import CallbackInUseError
from layerviz_callbacks.lightning.batches import copied, first_samples, is_restorable
from layerviz_callbacks.lightning.installed import callback_classes
from layerviz_callbacks.lightning.learning import entry_of_batch, forward_call
from layerviz_callbacks.lightning.nowhere import Nowhere
from layerviz_callbacks.messages import logger
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.recorder import Recorder
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.torch.inputs import call_arguments
from layerviz_callbacks.torch.reader import TorchReader
from layerviz_callbacks.views import View

_SAMPLES = 4  # taken from the data where no probe is given


@dataclass(frozen=True)
class _Taken:
    """The samples that were taken from the data."""

    batch: Any
    from_validation: bool


@dataclass
class _Fit:
    """What belongs to one `trainer.fit`."""

    trainer: Any
    thread: int = field(default_factory=threading.get_ident)
    begun: bool = False
    epoch: int = 0  # the last epoch that ended
    told_last: bool = False
    step: int = 0  # the last optimizer step that was seen

    @property
    def alive(self) -> bool:
        return any(thread.ident == self.thread for thread in threading.enumerate())


class LayerVizCallback(*callback_classes()):  # type: ignore[misc]
    """Pictures of what the layers of a LightningModule learn, in TensorBoard, while it trains.

    Works in the Trainers of `lightning.pytorch` and of `pytorch_lightning`. The model before training is
    step 0, the model after epoch k step k. Training is left as it is, bit for bit. Nothing is recorded in
    sanity checking, `validate`, `test`, `predict` and with `fast_dev_run`.

    Args:
        probe: the fixed batch to show: a `Probe`, or an array, tensor, list, tuple or dict that the module
            is called with. None: the first 4 samples of the first validation batch that passes by (that of
            the sanity check counts), else of the first training batch, shown the way the module's own
            `validation_step` (else `training_step`) does it. No loader is read for it.
        log_dir: the TensorBoard folder (pictures go to `<log_dir>/layerviz`), a sink, or several. None:
            where the trainer's logger writes.
        layers: which layers: names, globs, classes, predicates; None: every layer with a kernel.
        views: what to draw; None: filters and feature maps.
        every_n_epochs: record after every so many epochs, and after the last.
        every_n_steps: record after every so many optimizer steps instead.
        on_error: "warn": a fault during training is logged once and training goes on; "raise".

    Raises:
        ArgumentError: an argument is not what it may be; here or when training begins.

    Example:
        >>> Trainer(callbacks=[LayerVizCallback()])                        # doctest: +SKIP
        >>> Trainer(callbacks=[LayerVizCallback(x_val[:4], layers="conv*")])   # doctest: +SKIP
    """

    def __init__(
        self,
        probe: Any = None,
        *,
        log_dir: str | Path | Sink | Sequence[str | Path | Sink] | None = None,
        layers: Selector | None = None,
        views: Sequence[View] | None = None,
        every_n_epochs: int = 1,
        every_n_steps: int | None = None,
        on_error: str = "warn",
    ) -> None:
        super().__init__()
        self.probe = None if probe is None else Probe.of(probe)
        self._log_dir = log_dir
        self._options = {
            "layers": layers, "views": views, "every_n_epochs": every_n_epochs,
            "every_n_steps": every_n_steps, "on_error": on_error,
        }  # fmt: skip
        self._recorder = Recorder(log_dir=log_dir, **self._options)  # type: ignore[arg-type]
        self._folder: str | None = None  # of the trainer's logger, where that is used
        self._fits: dict[str, _Fit] = {}  # the one that goes on now, if any
        self._taken: _Taken | None = None  # kept after the fit, for checkpoints that are written then
        self._module: Callable[[], Any] | None = None  # a weak reference to the one that was trained last

    @property
    def location(self) -> str:
        """The folder that is written."""
        return self._recorder.location

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
        fit = _Fit(trainer)
        holder = self._fits.setdefault("now", fit)  # atomic: two threads cannot both get it
        if holder is not fit and holder.thread != fit.thread and holder.alive:
            raise CallbackInUseError(
                "This LayerVizCallback is recording another training now, in another thread. "
                "Make one callback for each trainer, with a log_dir of its own."
            )
        self._fits["now"] = fit
        if self._module is None or self._module() is not pl_module:
            self._taken = None  # a training of the same module goes on with its samples
        if trainer.fast_dev_run:
            del self._fits["now"]
            logger().info("fast_dev_run: no pictures are made, and no folder.")

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Copy the first samples of the first batch."""
        self._keep(trainer, batch, from_validation=True)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Picture the model before the first batch trains it."""
        fit = self._fit(trainer)
        if fit is not None and not fit.begun:
            self._keep(trainer, batch, from_validation=False)
            self._begin(fit, pl_module)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record an optimizer step, where these are counted and one is due."""
        fit, every = self._fit(trainer), self._recorder.every_n_steps
        if fit is None or every is None or trainer.global_step == fit.step:
            return
        fit.step = trainer.global_step
        if fit.step % every == 0:
            self._recorder.step_end(fit.step, metrics=_metrics(trainer))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Record an epoch, where one is due."""
        fit = self._fit(trainer)
        if fit is None or not fit.begun:
            return
        fit.epoch, fit.told_last = trainer.current_epoch + 1, _is_last(trainer)
        self._recorder.epoch_end(fit.epoch, metrics=_metrics(trainer), last=fit.told_last)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the last epoch where training was stopped early after one that was not due."""
        fit = self._fit(trainer)
        if fit is None or not fit.begun or not fit.epoch or fit.told_last:
            return
        if fit.epoch % self._recorder.every_n_epochs:
            self._recorder.epoch_end(fit.epoch, metrics=_metrics(trainer), last=True)

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
            self._taken = _Taken(state_dict["batch"], from_validation=state_dict["from_validation"])

    def _fit(self, trainer: Any) -> _Fit | None:
        fit = self._fits.get("now")
        return fit if fit is not None and fit.trainer is trainer else None

    def _keep(self, trainer: Any, batch: Any, *, from_validation: bool) -> None:
        fit = self._fit(trainer)
        if fit is not None and not fit.begun and self.probe is None and self._taken is None:
            self._taken = _Taken(first_samples(batch, _SAMPLES), from_validation=from_validation)

    def _begin(self, fit: _Fit, module: Any) -> None:
        trainer = fit.trainer
        folder = None if self._log_dir is not None else trainer.log_dir or trainer.default_root_dir
        self._choose_recorder(trainer, folder)
        steps = self._recorder.every_n_steps is not None
        limit = trainer.max_steps if steps else trainer.max_epochs
        fit.begun, fit.step = True, trainer.global_step
        self._module = weakref.ref(module)
        self._recorder.begin(
            self._reader(fit, module),
            step=trainer.global_step if steps else trainer.current_epoch,
            total=limit if limit is not None and limit >= 1 else None,
            log_dir=folder,
        )

    def _choose_recorder(self, trainer: Any, folder: str | None) -> None:
        """A logger that writes to a new folder means a new recording."""
        if not trainer.is_global_zero:
            self._recorder = Recorder(log_dir=Nowhere(), **self._options)  # type: ignore[arg-type]
        elif folder != self._folder:
            if self._folder is not None:
                self._recorder = Recorder(log_dir=None, **self._options)  # type: ignore[arg-type]
            self._folder = folder

    def _reader(self, fit: _Fit, module: Any) -> TorchReader:
        probe, taken = self.probe, self._taken
        if probe is None:
            batch, validates = (None, False) if taken is None else (taken.batch, taken.from_validation)
            entry = entry_of_batch(fit.trainer, module, batch, from_validation=validates)
            return TorchReader(module, entry.probe, call=entry.run)

        def call() -> Any:
            return forward_call(fit.trainer, module, *call_arguments(module, probe))

        return TorchReader(module, probe, call=call)

    def _end(self, trainer: Any) -> None:
        fit = self._fit(trainer)
        if fit is not None:
            self._recorder.end()
            self._fits.pop("now", None)


def _metrics(trainer: Any) -> dict[str, float]:
    numbers = {}
    for name, value in trainer.callback_metrics.items():
        with suppress(TypeError, ValueError, RuntimeError):  # a metric of several numbers
            numbers[name] = float(value)
    return numbers


def _is_last(trainer: Any) -> bool:
    epochs, steps = trainer.max_epochs, trainer.max_steps
    return bool(
        trainer.should_stop
        or (epochs is not None and 0 < epochs <= trainer.current_epoch + 1)
        or 0 < steps <= trainer.global_step
    )
