"""The Keras callback."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from layerviz_callbacks.best import Direction, number_of
from layerviz_callbacks.budget import Budget
from layerviz_callbacks.health import HealthReport
from layerviz_callbacks.keras.reading import BuildingReader, is_legacy, reader_of
from layerviz_callbacks.messages import logger
from layerviz_callbacks.one_thread import OneThread
from layerviz_callbacks.probe import Probe, to_numpy
from layerviz_callbacks.recorder import Recorder
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.store import Snapshots
from layerviz_callbacks.views import View


@dataclass
class _Fit:
    """What belongs to one call of `fit`; the callback's own `model` may be another thread's by now."""

    reader: BuildingReader
    epochs: int | None
    begun: bool = False
    given_up: bool = False  # it could not begin after the first step, and the training was left alone
    first_step: int = 0  # optimizer steps done before this fit
    earlier_batches: int = 0  # batches of the finished epochs of this fit
    batches: int = 0  # batches of this epoch


class LayerVizCallback(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Pictures of filters, feature maps and how they change in TensorBoard while a Keras model trains.

    The model is one of Keras 3, on TensorFlow, JAX or PyTorch, or of legacy Keras 2 (`tf_keras`).

    Step 0 is the model before training, step k is after epoch k; with `every_n_steps`, the optimizer
    step. `model.evaluate` and `model.predict` write nothing, and the training itself is not changed:
    its weights, random numbers, metrics and optimizer are bit for bit those of a training without it.

    | tag | what |
    |---|---|
    | `filters/NN_layer` | the layer's kernels; NN is its place in the model |
    | `feature maps/NN_layer` | what each of its channels answers to each sample of the probe |
    | `1 film strip/NN_layer` | how both change: epochs as columns, and what changed |
    | `health/look here first` | numbers of each layer; what is wrong, in words: `health/verdicts` (text) |
    | `layers pictured` (text) | which layers are pictured, and why the others are not |

    A model whose weights are only made by its first training step (a `Sequential` without `keras.Input`)
    has no step 0.

    Args:
        probe: the batch that is shown to the model each time, such as `x_val[:4]`: an array, tensor,
            list, tuple or dict of them, or a `layerviz_callbacks.Probe` with names and targets.
        log_dir: the folder TensorBoard is started on (the pictures go to `<log_dir>/layerviz`), a sink
            from `layerviz_callbacks.sinks`, or a list of these.
        layers: which layers: a name, a glob, a class, a predicate `(name, layer) -> bool`, or a list of
            these. None: every layer with a kernel.
        views: what to draw, of `layerviz_callbacks.views`; None: filters, feature maps, attention,
            film strips, health.
        every_n_epochs: record after every so many epochs, and after the last.
        every_n_steps: record after every so many optimizer steps instead. Keras then waits for each
            batch, as with every callback that looks at batches.
        on_error: "warn": a fault during training is logged once and training goes on; "raise": it is raised,
            one of drawing beside the training when the next step is recorded or training ends.
        worker: "thread": pictures are drawn beside the training, in a thread; "process": in another process;
            None: training waits for them.
        budget: the share of the training's time that pictures may take: where they would take more, and more
            than a quarter of a second an epoch, fewer channels and samples are drawn, then fewer epochs, and
            the log says so. A `layerviz_callbacks.Budget` also sets that quarter second; None: no limit.
        monitor: the metric that tells the best epoch, such as "val_accuracy", as in `ModelCheckpoint`. Each
            epoch that is the best so far is recorded, with every view, whether due or not and whatever the
            budget says, since its weights are gone later; films and the file mark it.
        mode: "min": less is better; "max": more is; "auto": what Keras knows of the metric, or else what its
            name says, such as "accuracy" or "loss".
        snapshots: the HDF5 file to keep every recorded step in, such as "run.h5", or a
            `layerviz_callbacks.Snapshots`; None: none. See `SnapshotFile`.

    Raises:
        ArgumentError: an argument is not what it may be (also SelectionError, ProbeError); what only the
            model can tell is raised when training begins.
        SinkError: when training begins: `log_dir` cannot be written.
        SnapshotFileError: when training begins: `snapshots` cannot be written.
        MissingLibraryError: `snapshots` needs h5py, which is not installed.
        CallbackInUseError: when training begins: another thread is training with this object now.

    Example:
        >>> pictures = LayerVizCallback(x_val[:4], log_dir="logs")     # doctest: +SKIP
        >>> model.fit(x, y, epochs=5, callbacks=[pictures])            # doctest: +SKIP
    """

    def __init__(
        self,
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
    ) -> None:
        super().__init__()
        self.probe = Probe.of(probe)
        self.recorder = Recorder(
            log_dir=log_dir,
            layers=layers,
            views=views,
            every_n_epochs=every_n_epochs,
            every_n_steps=every_n_steps,
            on_error=on_error,
            worker=worker,
            budget=budget,
            monitor=monitor,
            mode=mode,
            snapshots=snapshots,
        )
        self._thread = OneThread()
        self._fit: _Fit | None = None
        if every_n_steps is not None:
            # On the object, not the class: Keras runs batches asynchronously only as long as no callback
            # has a hook for their end.
            self.on_train_batch_end = self._batch_end

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Take hold of the model.

        Raises:
            CallbackInUseError: another thread is training with this object now.
        """
        reader = reader_of(self.model, self.probe)
        self._thread.take()
        self._fit = _Fit(reader, (self.params or {}).get("epochs"))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Begin with the model as it is before the first epoch; `initial_epoch` is known only now."""
        fit = self._fit
        if fit is None:
            return
        fit.earlier_batches += fit.batches
        fit.batches = 0
        fit.reader.learning_rate = None
        if fit.begun or fit.given_up:
            return
        fit.first_step = _iterations(fit.reader.model) or 0
        unbuilt = fit.reader.unbuilt()
        if unbuilt:
            logger().info(
                "The model %r is built by its first training step only, so there is no step 0. To see it, "
                "begin the model with keras.Input(...) or call model.build(...) before fit.",
                fit.reader.model.name,
            )
            return
        done = epoch if self.recorder.every_n_steps is None else fit.first_step
        self.recorder.begin(fit.reader, step=done, total=fit.epochs, direction=_direction(fit.reader.model))
        fit.begun = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Record the epoch where it is due."""
        fit = self._fit
        if fit is None:
            return
        self._begin_late(fit, epoch)
        fit.reader.learning_rate = _learning_rate_told(logs or {})
        last = epoch + 1 == fit.epochs or bool(fit.reader.model.stop_training)
        steps = None if self.recorder.every_n_steps is None else self._steps_done(fit)
        self.recorder.epoch_end(epoch + 1, metrics=logs or {}, last=last, steps_done=steps)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """See to it that everything is on disk."""
        if self._fit is not None:
            self.recorder.end()
            self._fit = None
            self._thread.leave()

    @property
    def snapshot_file(self) -> Path | None:
        """The file in which `snapshots` are kept: of a second run beside `run.h5` that is `run-2.h5`."""
        return self.recorder.snapshot_file

    def report(self) -> HealthReport:
        """What is wrong with the layers at the last recorded step, the worst first; also after training.

        Empty where no view looks at the health of layers. It waits for what is still being drawn, a few
        seconds at most.

        Example:
            >>> print(pictures.report())                                   # doctest: +SKIP
        """
        return self.recorder.report()

    def _implements_train_batch_hooks(self) -> bool:  # the three: asked by Keras 2 alone
        return _overrides(
            self, "on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"
        )

    def _implements_test_batch_hooks(self) -> bool:
        return _overrides(self, "on_test_batch_begin", "on_test_batch_end")

    def _implements_predict_batch_hooks(self) -> bool:
        return _overrides(self, "on_predict_batch_begin", "on_predict_batch_end")

    def _batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        hooks: Any = type(self)
        hooks.on_train_batch_end(self, batch, logs)  # a subclass of the user may have its own
        fit = self._fit
        if fit is None:
            return
        fit.batches = batch + 1
        self._begin_late(fit, fit.first_step)
        self.recorder.step_end(self._steps_done(fit), metrics=logs or {})

    def _begin_late(self, fit: _Fit, done: int) -> None:
        """Begin after the first step: only then has the model its weights. A fault leaves training alone."""
        if fit.begun or fit.given_up:
            return
        try:
            direction = _direction(fit.reader.model)
            self.recorder.begin(fit.reader, step=done, total=fit.epochs, initial=False, direction=direction)
            fit.begun = True
        except Exception as error:
            if self.recorder.on_error == "raise":
                raise
            fit.given_up = True
            logger().error(
                "No pictures of this training: %s: %s", type(error).__name__, error, exc_info=error
            )

    def _steps_done(self, fit: _Fit) -> int:
        counted = fit.first_step + fit.earlier_batches + fit.batches
        model = fit.reader.model
        # On JAX, asking the optimizer would bring all weights in.
        on_jax = keras.backend.backend() == "jax" and not is_legacy(model)
        iterations = None if on_jax else _iterations(model)
        return counted if iterations is None else iterations


def _overrides(callback: Any, *hooks: str) -> bool:
    return any(not getattr(getattr(callback, hook), "_is_default", False) for hook in hooks)


def _direction(model: Any) -> Direction:
    """Which value of a metric Keras holds for the better one: what `ModelCheckpoint` asks."""

    def asked(monitored: str) -> str | None:
        name = monitored.removeprefix("val_")
        for group in getattr(model, "metrics", None) or []:
            for metric in [group, *(getattr(group, "metrics", None) or [])]:
                direction = getattr(metric, "_direction", None)
                if getattr(metric, "name", None) == name and direction is not None:
                    return "max" if direction == "up" else "min"
        return None

    return asked


def _learning_rate_told(logs: Mapping[str, Any]) -> float | None:
    """That of the epoch, where a callback before this one told it and may have set the next one since."""
    return number_of(logs.get("learning_rate", logs.get("lr")))  # lr: of Keras 2


def _iterations(model: Any) -> int | None:
    """The optimizer steps done; None for a model that keeps its optimizers to itself."""
    iterations = getattr(getattr(model, "optimizer", None), "iterations", None)
    return None if iterations is None else int(to_numpy(iterations))
