"""What belongs to one `trainer.fit`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from layerviz_callbacks.lightning.batches import copied
from layerviz_callbacks.lightning.processes import JointReader, Processes
from layerviz_callbacks.torch.updates import OptimizerSteps


@dataclass(frozen=True)
class Taken:
    """The samples that were taken from the data."""

    batch: Any
    from_validation: bool


@dataclass
class Fit:
    """One training.

    Attributes:
        trainer: Lightning's.
        reader: reads the model; None until the first batch.
        steps: notes what the optimizers do; None until then.
        epoch: the last epoch that ended.
        metrics: what was reported of it.
        told_last: that epoch was recorded as the last one.
        step: the last optimizer step that was seen.
    """

    trainer: Any
    reader: JointReader | None = None
    steps: OptimizerSteps | None = None
    epoch: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    told_last: bool = False
    step: int = 0


def first_process_samples(processes: Processes, taken: Taken | None) -> Taken | None:
    """The samples that the first process took, in all processes; all must call it.

    A model that exchanges tensors between processes needs as many samples in each of them. Samples that
    cannot be sent (objects of a class within a function) are each process's own.
    """
    if processes.count == 1 or taken is None:
        return taken
    batch = copied(taken.batch, torch.device("cpu"))
    shared: Taken = processes.first_where_it_travels(Taken(batch, from_validation=taken.from_validation))
    return shared


def metrics_of(trainer: Any) -> dict[str, float]:
    """What the training reports; every process must ask, as it may be gathered from all of them."""
    numbers = {}
    for name, value in trainer.callback_metrics.items():
        with suppress(TypeError, ValueError, RuntimeError):  # a metric of several numbers
            numbers[name] = float(value)
    return numbers


def is_last_epoch(trainer: Any) -> bool:
    """Whether no further epoch comes, as far as can be known at an epoch's end."""
    epochs, steps = trainer.max_epochs, trainer.max_steps
    return bool(
        trainer.should_stop
        or (epochs is not None and 0 < epochs <= trainer.current_epoch + 1)
        or 0 < steps <= trainer.global_step
    )
