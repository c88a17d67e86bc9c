"""The loop of a training: what is due when, read, draw, write, and what happens when something fails."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerviz_callbacks.budget import Budget
from layerviz_callbacks.coverage import Coverage, coverage
from layerviz_callbacks.errors import (
    ArgumentError,
    LayerVizError,
    ReadingError,
    check_choice,
    check_count,
)
from layerviz_callbacks.failure import FailurePolicy
from layerviz_callbacks.messages import logger
from layerviz_callbacks.one_thread import OneThread
from layerviz_callbacks.plan import checked_views, plan_of
from layerviz_callbacks.reader import Reader
from layerviz_callbacks.recording import Recording
from layerviz_callbacks.request import Request
from layerviz_callbacks.selection import Selector, check_selector
from layerviz_callbacks.sinks import Sink, sink_of
from layerviz_callbacks.views import View


@dataclass(frozen=True)
class _Training:
    """What belongs to one training of one model."""

    recording: Recording
    total: int | None
    offset: int  # steps of earlier trainings of the same model with this recorder

    def when(self, unit: str, step: int) -> str:
        """The step in words, such as "epoch 3/12"."""
        return f"{unit} {step}" if self.total is None else f"{unit} {step}/{self.total + self.offset}"


class Recorder:
    """Records a model while it trains: one object for one callback.

    Args:
        log_dir: a folder (TensorBoard event files), a sink, or a sequence of these; None where
            `begin` is given it.
        layers: which layers, for every view that does not choose by itself.
        views: what to draw; None: filters and feature maps.
        every_n_epochs: record after every so many epochs (and after the last).
        every_n_steps: record after every so many optimizer steps instead.
        on_error: "warn": a fault during training is logged once and training goes on; "raise": it is raised,
            one of drawing beside the training when the next step is recorded or training ends.
        worker: "thread": pictures are drawn and written beside the training, in a thread; "process": drawn
            in another process; None: training waits for them.
        budget: the share of the training's time that pictures may take, or a `Budget`; None: any.

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
        self._policy = FailurePolicy(on_error)
        self._sinks = None if log_dir is None else sink_of(log_dir)
        self._training: _Training | None = None
        self._thread = OneThread()
        self._last_model: Any = None
        self._last_step = 0

    @property
    def on_error(self) -> str:
        """What is done about faults."""
        return self._policy.on_error

    @property
    def location(self) -> str:
        """The folders that are written, for messages."""
        return ", ".join(sink.location for sink in self._sinks or [])

    @property
    def recording(self) -> bool:
        """Whether a training is being recorded now."""
        return self._training is not None

    def begin(
        self,
        reader: Reader,
        *,
        step: int,
        total: int | None,
        log_dir: str | Path | Sink | None = None,
        initial: bool = True,
    ) -> Coverage | None:
        """Begin to record a training: check, open, and picture the model as it is before training.

        A wrong argument raises. A fault that is nobody's argument (the model fails in evaluation mode
        whatever it is shown, the memory is full) is logged with what to do, and the training goes on
        without pictures.

        Args:
            reader: reads the model.
            step: what is done already, in epochs (or optimizer steps with `every_n_steps`): 0 for a
                new training, more for a resumed one, which goes on counting.
            total: the number of epochs, where known.
            log_dir: used where the recorder was made without one.
            initial: the model still is as it was before training; False where it can only be read after
                its first step, so that there is no step 0.

        Returns:
            What is drawn; None where nothing can be.

        Raises:
            SelectionError: `layers=` matches nothing.
            ProbeError: the model cannot be called with the probe.
            SinkError: `log_dir` cannot be written.
            CallbackInUseError: another thread is training with the same callback now.
        """
        self._thread.take()
        try:
            return self._begin(reader, step=step, total=total, log_dir=log_dir, initial=initial)
        except Exception as error:
            self._thread.leave()
            if isinstance(error, LayerVizError) and not isinstance(error, ReadingError):
                raise
            self._policy.fault(
                "reading the model", error, consequence="there are no pictures of this training"
            )
            return None
        except BaseException:
            self._thread.leave()
            raise

    def epoch_end(
        self, epoch: int, *, metrics: Mapping[str, float] | None = None, last: bool = False
    ) -> None:
        """Record the end of an epoch where one is due.

        Args:
            epoch: the number of epochs done, counted from 1 as training prints it.
            metrics: what training reports of the epoch.
            last: no further epoch comes; it is recorded whether due or not.
        """
        if self._training is None or self.every_n_steps is not None:
            return
        training, self._last_step = self._training, epoch + self._training.offset
        training.recording.record(
            self._last_step,
            due=lambda view: last or epoch % (view.every_n_epochs or self.every_n_epochs) == 0,
            when=training.when("epoch", self._last_step),
            metrics=metrics,
            last=last,
        )

    def step_end(self, step: int, *, metrics: Mapping[str, float] | None = None) -> None:
        """Record an optimizer step where one is due.

        Args:
            step: the number of optimizer steps done.
            metrics: what training reports of the step.
        """
        if self._training is None or self.every_n_steps is None or step % self.every_n_steps:
            return
        step += self._training.offset
        if step > self._last_step:
            self._last_step = step
            self._training.recording.record(step, when=f"step {step}", metrics=metrics)

    def end(self) -> None:
        """End the training: everything is on disk afterwards. May be called twice."""
        if self._training is None:
            return
        training, self._training = self._training, None
        self._last_model = _weak(training.recording.reader.model)
        try:
            training.recording.close()
        except Exception as error:
            if self._policy.raises:
                raise
            logger().error("Drawing ended with %s: %s", type(error).__name__, error, exc_info=error)
        finally:
            self._thread.leave()
        logger().info("%s. Pictures: %s", training.recording.bill(), self.location)

    def _begin(
        self,
        reader: Reader,
        *,
        step: int,
        total: int | None,
        log_dir: str | Path | Sink | None,
        initial: bool,
    ) -> Coverage:
        if self._training is not None:  # the last training ended by an exception, so nobody called end()
            self.end()
            self._thread.take()
        known = self._last_model is not None and self._last_model() is reader.model
        if not known:
            self._last_step = step
        plan = plan_of(self.views, self.layers, reader.entries())
        answering = {"model outputs", "gradients", "saliency"}
        answers = any(planned.view.needs & answering for planned in plan)
        shapes = reader.read(Request(model_outputs=answers))
        for planned in plan:
            planned.view.check(shapes)
        covered = coverage(shapes, [(planned.view, planned.names) for planned in plan])
        if self._sinks is None:
            if log_dir is None:
                raise ArgumentError("log_dir is missing. Pass a folder, for example log_dir='logs'.")
            self._sinks = sink_of(log_dir)
        offset = max(0, self._last_step - step)
        first = step + offset
        for sink in self._sinks:
            sink.open(first_step=first)
        recording = Recording(
            reader, plan, shapes, self._sinks, self._policy, worker=self.worker, budget=self.budget
        )
        self._training, self._last_step = _Training(recording, total, offset), first
        if self._policy.first_time(covered.line()):
            logger().info("%s. Pictures: %s", covered.line(), self.location)
            recording.delivery.write_text("layers pictured", covered.markdown(), first)
        if first == 0:
            recording.begin(initial=initial)
        return covered

    def __getstate__(self) -> dict[str, Any]:
        """A copy, or one in another process, starts fresh: it knows the options and no training."""
        return {
            **vars(self), "_training": None, "_last_model": None, "_last_step": 0, "_thread": OneThread(),
        }  # fmt: skip


def _weak(model: Any) -> Any:
    try:
        return weakref.ref(model)
    except TypeError:
        return None
