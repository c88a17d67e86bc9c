"""One training that is recorded: how its steps are counted, which of them are due, and which is the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from layerviz_callbacks.monitoring import Monitoring
from layerviz_callbacks.recording import Recording


@dataclass
class Training:
    """Hands the steps that are due, or the best so far, to a recording.

    Attributes:
        recording: reads, draws and writes them.
        monitoring: tells which is the best so far.
        every_n_epochs: see `Recorder`.
        every_n_steps: see `Recorder`.
        total: the number of epochs, where known.
        offset: steps of earlier trainings of the same model with this recorder.
        last_step: the last step that was done.
    """

    recording: Recording
    monitoring: Monitoring
    every_n_epochs: int
    every_n_steps: int | None
    total: int | None
    offset: int
    last_step: int
    _last_when: str = ""  # of the last epoch

    def epoch_end(
        self,
        epoch: int,
        *,
        metrics: Mapping[str, float] | None,
        last: bool,
        steps_done: int | None,
        complete: bool,
    ) -> None:
        """See `Recorder.epoch_end`."""
        in_steps = self.every_n_steps is not None
        done = steps_done if in_steps else epoch
        if done is None:
            return
        step = done + self.offset
        when = self._when(step)
        self.last_step, self._last_when = max(step, self.last_step), when
        best = self.monitoring.is_best(step, metrics, when, complete=complete)
        self.recording.record(
            step,
            due=lambda view: (
                not in_steps and (last or epoch % (view.every_n_epochs or self.every_n_epochs) == 0)
            ),
            when=self.monitoring.words(when, best=best),
            metrics=metrics,
            last=last and not in_steps,
            best=best,
        )

    def compare(self, metrics: Mapping[str, float]) -> None:
        """See `Recorder.compare`."""
        step, when = self.last_step, self._last_when
        if when and self.monitoring.is_best(step, metrics, when, complete=True):
            words = self.monitoring.words(when, best=True)
            self.recording.record(step, due=lambda view: False, when=words, metrics=metrics, best=True)

    def step_end(self, step: int, *, metrics: Mapping[str, float] | None, compared: bool) -> None:
        """See `Recorder.step_end`."""
        if self.every_n_steps is None:
            return
        due, step = step % self.every_n_steps == 0, step + self.offset
        if step <= self.last_step or not (due or compared):
            return
        when = self._when(step)
        best = compared and self.monitoring.is_best(step, metrics, when, complete=False)
        if due or best:
            self.last_step = step
            words = self.monitoring.words(when, best=best)
            self.recording.record(step, due=lambda view: due, when=words, metrics=metrics, best=best)

    def _when(self, step: int) -> str:
        """The step in words, such as "epoch 3/12"."""
        if self.every_n_steps is not None:
            return f"step {step}"
        return f"epoch {step}" if self.total is None else f"epoch {step}/{self.total + self.offset}"
