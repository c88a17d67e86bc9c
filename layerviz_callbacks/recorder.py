"""The loop of a training: what is due when, read, draw, write, and what happens when something fails."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from layerviz_callbacks.coverage import Coverage, coverage
from layerviz_callbacks.errors import (
    ArgumentError,
    CallbackInUseError,
    LayerVizError,
    ReadingError,
    check_choice,
    check_count,
    is_out_of_memory,
)
from layerviz_callbacks.messages import logger
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.plan import PlannedView, checked_views, plan_of, request_of
from layerviz_callbacks.reader import Reader, Request
from layerviz_callbacks.selection import Selector, check_selector
from layerviz_callbacks.sinks import Sink, sink_of
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views import View, draw_probe


@dataclass
class _Training:
    """What belongs to one training of one model."""

    reader: Reader
    total: int | None
    offset: int  # steps of earlier trainings of the same model with this recorder
    plan: list[PlannedView] = field(default_factory=list)
    shapes: Snapshot | None = None  # read before the first picture: what is there to be drawn


class Recorder:
    """Records a model while it trains: one object for one callback.

    Args:
        log_dir: a folder (TensorBoard event files), a sink, or a sequence of these; None where
            `begin` is given it.
        layers: which layers, for every view that does not choose by itself.
        views: what to draw; None: filters and feature maps.
        every_n_epochs: record after every so many epochs (and after the last).
        every_n_steps: record after every so many optimizer steps instead.
        on_error: "warn": a fault during training is logged once and training goes on; "raise".

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
    ) -> None:
        check_selector(layers)
        check_count("every_n_epochs", every_n_epochs)
        check_count("every_n_steps", every_n_steps, optional=True)
        check_choice("on_error", on_error, ["warn", "raise"])
        self.layers = layers
        self.views = checked_views(views)
        self.every_n_epochs = every_n_epochs
        self.every_n_steps = every_n_steps
        self.on_error = on_error
        self._sinks = None if log_dir is None else sink_of(log_dir)
        self._live_sinks: list[Sink] = []
        self._training: _Training | None = None
        self._owner: dict[str, int] = {}
        self._last_model: Any = None
        self._last_step = 0
        self._told: set[str] = set()

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
        self._claim()
        try:
            return self._begin(reader, step=step, total=total, log_dir=log_dir, initial=initial)
        except Exception as error:
            self._release()
            if isinstance(error, LayerVizError) and not isinstance(error, ReadingError):
                raise
            self._fault("reading the model", error, consequence="there are no pictures of this training")
            return None
        except BaseException:
            self._release()
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
        step = epoch + self._training.offset
        plan = [
            planned
            for planned in self._training.plan
            if last or epoch % (planned.view.every_n_epochs or self.every_n_epochs) == 0
        ]
        self._record_guarded(step, plan, _when("epoch", step, self._training), metrics)

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
            self._record_guarded(step, self._training.plan, f"step {step}", metrics)

    def end(self) -> None:
        """End the training: everything is on disk afterwards. May be called twice."""
        if self._training is None:
            return
        self._last_model = _weak(self._training.reader.model)
        for sink in self._live_sinks:
            try:
                sink.close()
            except Exception as error:  # noqa: BLE001  a full disk at the end must not fail the training
                self._fault(f"closing {sink.location}", error)
        self._training = None
        self._release()

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
            self._claim()
        known = self._last_model is not None and self._last_model() is reader.model
        if not known:
            self._last_step = step
        training = _Training(reader, total, offset=max(0, self._last_step - step))
        training.plan = plan_of(self.views, self.layers, reader.entries())
        training.shapes = reader.read(Request())
        covered = coverage(training.shapes, [(planned.view, planned.names) for planned in training.plan])
        if self._sinks is None:
            if log_dir is None:
                raise ArgumentError("log_dir is missing. Pass a folder, for example log_dir='logs'.")
            self._sinks = sink_of(log_dir)
        first = step + training.offset
        for sink in self._sinks:
            sink.open(first_step=first)
        self._live_sinks = list(self._sinks)
        self._training, self._last_step = training, first
        if covered.line() not in self._told:
            self._told.add(covered.line())
            logger().info("%s. Pictures: %s", covered.line(), self.location)
            self._each_sink(lambda sink: sink.write_text("layers pictured", covered.markdown(), first))
        if first == 0:
            self._write(self._draw_probe(training.shapes), step=0)
            if initial:
                snapshot = reader.read(request_of(training.plan, training.shapes))
                shown = replace(snapshot, step=0, when="before training")
                self._write(self._draw(shown, training.plan), step=0)
        self._each_sink(lambda sink: sink.flush())
        return covered

    def _record_guarded(
        self, step: int, plan: Sequence[PlannedView], when: str, metrics: Mapping[str, float] | None
    ) -> None:
        plan = [planned for planned in plan if not planned.off]
        training = self._training
        if not plan or not self._live_sinks or training is None or training.shapes is None:
            return
        self._last_step = step
        try:
            snapshot = training.reader.read(request_of(plan, training.shapes))
        except Exception as error:  # noqa: BLE001  any fault of ours must leave the training alone
            self._fault("reading the model", error)
            return
        snapshot = replace(snapshot, step=step, when=when, metrics=dict(metrics or {}))
        self._write(self._draw(snapshot, plan), step)
        self._each_sink(lambda sink: sink.flush())

    def _draw_probe(self, snapshot: Snapshot) -> list[Picture]:
        try:
            return draw_probe(snapshot)
        except Exception as error:  # noqa: BLE001
            self._fault("drawing the probe", error)
            return []

    def _draw(self, snapshot: Snapshot, plan: Sequence[PlannedView]) -> list[Picture]:
        pictures: list[Picture] = []
        for planned in plan:
            try:
                pictures += planned.view.draw(snapshot.choose(planned.names))
            except Exception as error:  # noqa: BLE001
                planned.off = True
                self._fault(
                    f"the view {type(planned.view).__name__}", error, consequence="it is switched off"
                )
        return pictures

    def _write(self, pictures: Sequence[Picture], step: int) -> None:
        self._each_sink(lambda sink: sink.write(pictures, step))

    def _each_sink(self, action: Any) -> None:
        for sink in list(self._live_sinks):
            try:
                action(sink)
            except Exception as error:  # noqa: BLE001
                self._live_sinks.remove(sink)
                self._fault(f"writing to {sink.location}", error, consequence="it is switched off")
                with suppress(Exception):
                    sink.close()

    def _fault(self, what: str, error: Exception, *, consequence: str = "this step is left out") -> None:
        if self.on_error == "raise":
            raise error
        if what not in self._told:
            self._told.add(what)
            logger().error(
                "%s failed, %s and training goes on (told once; on_error='raise' stops instead): %s: %s%s",
                what, consequence, type(error).__name__, error, _what_to_do(error), exc_info=error,
            )  # fmt: skip

    def _claim(self) -> None:
        here = threading.get_ident()
        owner = self._owner.setdefault("thread", here)  # atomic: two threads cannot both get it
        if owner != here and any(thread.ident == owner for thread in threading.enumerate()):
            raise CallbackInUseError(
                "This callback is recording another training now, in another thread. "
                "Make one callback a training: LayerVizCallback(...) again, with a log_dir of its own."
            )
        self._owner["thread"] = here

    def _release(self) -> None:
        self._owner.pop("thread", None)


def _when(unit: str, step: int, training: _Training) -> str:
    return f"{unit} {step}" if training.total is None else f"{unit} {step}/{training.total + training.offset}"


def _weak(model: Any) -> Any:
    try:
        return weakref.ref(model)
    except TypeError:
        return None


def _what_to_do(error: Exception) -> str:
    """Advice for a fault that has a usual remedy; the errors of this package bring their own."""
    if is_out_of_memory(error):
        return " What to do: show fewer samples, such as x_val[:2], or choose fewer layers with layers=."
    return ""
