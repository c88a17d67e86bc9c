"""Records the trainings of one callback: each is begun, told of its steps, and ended."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from layerviz_callbacks.best import Best, Direction
from layerviz_callbacks.coverage import Coverage
from layerviz_callbacks.errors import ArgumentError, LayerVizError, ReadingError
from layerviz_callbacks.health import HealthReport
from layerviz_callbacks.messages import logger
from layerviz_callbacks.monitoring import Monitoring
from layerviz_callbacks.one_thread import OneThread
from layerviz_callbacks.opening import checked_plan, open_recording
from layerviz_callbacks.reader import Reader
from layerviz_callbacks.recorder_options import RecorderOptions
from layerviz_callbacks.sinks import Sink, sink_of
from layerviz_callbacks.training import Training

_OF_TRAININGS = frozenset(
    {"_training", "_thread", "_last_model", "_last_step", "_monitoring", "_file_path", "_report"}
)


class Recorder(RecorderOptions):
    """Records a model while it trains: one object for one callback. Its arguments: see `RecorderOptions`."""

    def _start_afresh(self) -> None:
        self._training: Training | None = None
        self._thread = OneThread()
        self._last_model: Any = None
        self._last_step = 0
        self._monitoring = Monitoring(self.monitor, self._policy)
        self._file_path: Path | None = None  # of the last training
        self._report = HealthReport()

    @property
    def best(self) -> Best | None:
        """The best step so far, by what is monitored."""
        return self._monitoring.best

    @property
    def snapshot_file(self) -> Path | None:
        """The file in which snapshots are kept, or were kept last."""
        return self._file_path

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
        direction: Direction | None = None,
        best: Best | None = None,
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
            direction: what the framework knows of a metric: "min", "max" or None; asked at the first epoch's
                end, where `mode` is "auto".
            best: the best step of the training that is resumed; None: what the file of snapshots tells.

        Returns:
            What is drawn; None where nothing can be.

        Raises:
            SelectionError: `layers=` matches nothing.
            ProbeError: the model cannot be called with the probe.
            SinkError: `log_dir` cannot be written.
            SnapshotFileError: `snapshots` cannot be written.
            ArgumentError: neither `monitor` nor `mode` tells whether more or less is better.
            CallbackInUseError: another thread is training with the same callback now.
        """
        self._thread.take()
        try:
            self._monitoring.check(direction)
            self._end_what_died()
            if log_dir is not None and self._sinks is None:
                self._sinks = sink_of(log_dir)
            return self._begin(reader, step, total=total, initial=initial, direction=direction, best=best)
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
        self,
        epoch: int,
        *,
        metrics: Mapping[str, float] | None = None,
        last: bool = False,
        steps_done: int | None = None,
        complete: bool = True,
    ) -> None:
        """Record the end of an epoch where one is due, or where it is the best so far.

        Args:
            epoch: the number of epochs done, counted from 1 as training prints it.
            metrics: what training reports of the epoch.
            last: no further epoch comes; it is recorded whether due or not.
            steps_done: with `every_n_steps`, the optimizer steps done: the step as which the best epoch is
                recorded; without, no epoch is compared there.
            complete: everything was reported by now; else `compare` comes after.
        """
        if self._training is not None:
            self._training.epoch_end(
                epoch, metrics=metrics, last=last, steps_done=steps_done, complete=complete
            )

    def compare(self, metrics: Mapping[str, float]) -> None:
        """Look once more whether the last epoch is the best, with what was reported after its end.

        Args:
            metrics: all that training reports of it.
        """
        if self._training is not None:
            self._training.compare(metrics)

    def step_end(
        self, step: int, *, metrics: Mapping[str, float] | None = None, compared: bool = False
    ) -> None:
        """Record an optimizer step where one is due.

        Args:
            step: the number of optimizer steps done.
            metrics: what training reports of the step.
            compared: it may be the best so far, and is recorded then, whether due or not.
        """
        if self._training is not None:
            self._training.step_end(step, metrics=metrics, compared=compared)

    def report(self) -> HealthReport:
        """What is wrong with the layers at the last recorded step, the worst first.

        It waits a few seconds at most for what is still being drawn, and is there after training, too. It is
        empty where no view looks at the health of layers.
        """
        if self._training is not None:
            self._report = self._training.recording.report()
        return self._report

    def end(self) -> None:
        """End the training: everything is on disk afterwards. May be called twice."""
        training, self._training = self._training, None
        if training is None:
            return
        recording, self._last_step = training.recording, training.last_step
        self._last_model = _weak(recording.reader.model)
        try:
            recording.close()
        except Exception as error:
            if self._policy.raises:
                raise
            logger().error("Drawing ended with %s: %s", type(error).__name__, error, exc_info=error)
        finally:
            self._report = recording.delivery.report
            self._monitoring.end()
            self._thread.leave()
        logger().info("%s", recording.bill(self.location, replayed=self._replayed))

    def _end_what_died(self) -> None:
        """End the last training where an exception ended it, so that nobody called `end`."""
        if self._training is not None:
            self.end()
            self._thread.take()

    def _begin(
        self,
        reader: Reader,
        step: int,
        *,
        total: int | None,
        initial: bool,
        direction: Direction | None,
        best: Best | None,
    ) -> Coverage:
        self._report = HealthReport()
        known = self._last_model is not None and self._last_model() is reader.model
        if not known:
            self._last_step, self._file_path = step, None
        plan = checked_plan(reader, self.views, self.layers)
        if self._sinks is None:
            raise ArgumentError("log_dir is missing. Pass a folder, for example log_dir='logs'.")
        offset = max(0, self._last_step - step)
        first = step + offset
        recording, file = open_recording(
            reader, plan, self._sinks, self._policy, first_step=first, worker=self.worker,
            budget=self.budget, snapshots=self.snapshots, path=self._file_path,
        )  # fmt: skip
        try:
            self._file_path = None if file is None else file.path
            self._monitoring.begin(
                direction,
                goes_on=known,
                best=best if best is not None and best.step <= first else None,
                reported=None if file is None else file.reported,
            )
            covered = plan.covered
            if self._policy.first_time(covered.line()):
                logger().info("%s. Pictures: %s", covered.line(), self.location)
                recording.delivery.write_text("layers pictured", covered.markdown(), first)
            if first == 0:
                recording.begin(initial=initial)
            else:
                recording.resume()
        except BaseException:
            with suppress(Exception):
                recording.close()
            raise
        self._training = Training(
            recording, self._monitoring, self.every_n_epochs, self.every_n_steps, total, offset, first
        )
        return covered

    def __getstate__(self) -> dict[str, Any]:
        """A copy, or one in another process, knows the options and no training."""
        return {name: value for name, value in vars(self).items() if name not in _OF_TRAININGS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_afresh()


def _weak(model: Any) -> Any:
    try:
        return weakref.ref(model)
    except TypeError:
        return None
