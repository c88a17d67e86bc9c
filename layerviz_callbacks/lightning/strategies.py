"""Which of Lightning's strategies can be recorded."""

from __future__ import annotations

from typing import Any

import torch

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.lightning.processes import Processes


def processes_of(trainer: Any, module: Any) -> Processes:
    """The processes that train this module together.

    Raises:
        ArgumentError: the strategy keeps the weights where they cannot be read; in all processes alike.
    """
    strategy = type(trainer.strategy).__name__
    if any(hasattr(parameter, "ds_id") for parameter in module.parameters()):
        raise ArgumentError(
            f"{strategy} of stage 3 leaves only a part of each weight in a process, and DeepSpeed does not "
            "give the whole to others than itself. Type Trainer(strategy='deepspeed_stage_2') or "
            "Trainer(strategy='fsdp'), or leave LayerVizCallback out."
        )
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    if trainer.world_size > 1 and not together:
        raise ArgumentError(
            f"{strategy} trains in {trainer.world_size} processes that torch.distributed does not connect, "
            "so they cannot run the probe together. Type Trainer(strategy='ddp') or strategy='fsdp', "
            "or leave LayerVizCallback out."
        )
    return Processes(trainer.global_rank, trainer.world_size)
