"""The whole film of a training that never had the callback."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerviz_callbacks.errors import CheckpointError
from layerviz_callbacks.messages import logger
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.reader import Reader
from layerviz_callbacks.recorder import Recorder
from layerviz_callbacks.replaying.checkpoint_files import find_checkpoints
from layerviz_callbacks.replaying.loaders import Loader, loader_of
from layerviz_callbacks.replaying.numbering import Inside, Numbered, Numbering, numbered
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.views import View

Progress = Callable[[Sequence[Numbered]], Iterable[Numbered]]


@dataclass(frozen=True)
class Replayed:
    """What was replayed.

    Attributes:
        steps: that were pictured.
        failures: the checkpoints that could not be loaded, with the reason.
        location: the folders that were written.
        pictured: which layers are pictured, and why the others are not, in one line.
        snapshots: the file in which every step was kept; None: none was.
    """

    steps: tuple[int, ...]
    failures: Mapping[Path, str]
    location: str
    pictured: str = ""
    snapshots: Path | None = None


class Replay:
    """The checkpoints of a training, with the model that they are of.

    Args:
        checkpoints: a folder, a file, or a sequence of these.
        model: a function or class that gives the model, or the model itself; None: the files are whole Keras
            models.
        trust: code in the files (pickles, lambda layers) may be run.

    Raises:
        ArgumentError: there are no checkpoints, or `model` is needed, or is not one of theirs.
        CheckpointError: none can be opened.

    Attributes:
        numbering: which checkpoint is which step.
        loader: the model.
    """

    def __init__(
        self,
        checkpoints: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        model: Any = None,
        trust: bool = False,
    ) -> None:
        files = find_checkpoints(checkpoints)
        self.loader: Loader = loader_of(files, model, trust=trust)
        inside: dict[Path, Inside] = {}
        for path in files:
            found = self.loader.inside(path)
            if found is not None:
                inside[path] = found
        self.numbering: Numbering = numbered(files, inside)

    def run(
        self,
        probe: Any,
        *,
        log_dir: str | Path | Sink | Sequence[str | Path | Sink],
        layers: Selector | None = None,
        views: Sequence[View] | None = None,
        progress: Progress = iter,
        **options: Any,
    ) -> Replayed:
        """Load one checkpoint after the other into the model, and record each as a training would.

        A checkpoint that cannot be loaded is left out, see `Replayed.failures`. Steps, tags and pictures
        are those of a training that was recorded.

        Args:
            probe: what the model is shown: a `Probe`, or what one is made of.
            log_dir: where pictures go: a TensorBoard folder, a sink, or several.
            layers: which layers; None: those that views choose.
            views: what is drawn; None: what a callback draws.
            progress: goes through the checkpoints, and shows how far it is.
            options: further arguments of `layerviz_callbacks.recorder.Recorder`.

        Raises:
            ArgumentError: an argument is not what it may be.
            ProbeError: the model cannot be called with the probe.
            SinkError: `log_dir` cannot be written.
        """
        by_steps = self.numbering.unit == "step"
        recorder = Recorder(
            log_dir=log_dir, layers=layers, views=views, worker=None, budget=None,
            replayed=True, every_n_steps=1 if by_steps else None, **options,
        )  # fmt: skip
        reader = self.loader.reader(Probe.of(probe))
        failures: dict[Path, str] = {}
        steps: list[int] = []
        pictured = ""
        try:
            for one in progress(self.numbering.checkpoints):
                try:
                    self.loader.load(one.path)
                except CheckpointError as error:
                    failures[one.path] = str(error)
                    continue
                pictured = self._record(recorder, reader, one) or pictured
                steps.append(one.step)
        finally:
            recorder.end()
        return Replayed(tuple(steps), failures, recorder.location, pictured, recorder.snapshot_file)

    def _record(self, recorder: Recorder, reader: Reader, one: Numbered) -> str:
        """Record what is loaded; at the first time, which layers are pictured is told."""
        last = self.numbering.checkpoints[-1]
        by_steps = self.numbering.unit == "step"
        covered = None
        if not recorder.recording:
            total = None if by_steps else last.step
            covered = recorder.begin(reader, step=0, total=total, initial=one.step == 0)
        if one.step == 0:  # that was pictured when the recording began
            pass
        elif by_steps:
            recorder.step_end(one.step, metrics=one.metrics)
        else:
            recorder.epoch_end(one.step, metrics=one.metrics, last=one is last)
        return "" if covered is None else covered.line()


def replay(
    checkpoints: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    probe: Any,
    *,
    log_dir: str | Path | Sink | Sequence[str | Path | Sink],
    model: Any = None,
    layers: Selector | None = None,
    views: Sequence[View] | None = None,
    trust: bool = False,
    **options: Any,
) -> Replayed:
    """Picture a training that is over and never had the callback, from the checkpoints it left.

    Args:
        checkpoints: a folder, or files: `.keras`, `.weights.h5`, `.ckpt`, `.pt`, `.safetensors` ...
        probe: what the model is shown: a `Probe`, or what one is made of.
        log_dir: where pictures go: a TensorBoard folder, a sink, or several.
        model: a function or class that gives the model, or the model itself, which then takes the weights
            of each checkpoint; may be left out for whole Keras models.
        layers: which layers; None: those that views choose.
        views: what is drawn; None: what a callback draws.
        trust: code in the files (pickles, lambda layers) may be run. Without it, such files are refused.
        options: further arguments of `layerviz_callbacks.recorder.Recorder`.

    Returns:
        The steps that were pictured, the checkpoints that could not be loaded, and where the pictures are.

    Raises:
        ArgumentError: an argument is not what it may be.
        CheckpointError: no checkpoint can be opened.
        ProbeError: the model cannot be called with the probe.
        SinkError: `log_dir` cannot be written.

    Example:
        >>> replay("checkpoints", x_val[:4], model=Net, log_dir="logs").steps      # doctest: +SKIP
        (1, 2, 3, 4, 5)
    """
    found = Replay(checkpoints, model=model, trust=trust)
    done = found.run(probe, log_dir=log_dir, layers=layers, views=views, **options)
    for path, why in done.failures.items():
        logger().warning("%s is left out: %s", path.name, why)
    return done
