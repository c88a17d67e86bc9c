"""Running a LightningModule the way its trainer runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


def run_as_trained(trainer: Any, module: Any, function: Callable[[], Any]) -> Any:
    """Run a function that calls the module, in the trainer's precision and with its shards gathered.

    Where `FullyShardedDataParallel` holds the module, its weights are whole only inside the wrapper's own
    forward pass: the function then runs in there, as the module's steps do.
    """
    with trainer.precision_plugin.forward_context():
        wrapper = trainer.strategy.model
        if type(wrapper).__name__ != "FullyShardedDataParallel":
            return function()
        return _inside(wrapper, module, function)


def _inside(wrapper: nn.Module, module: Any, function: Callable[[], Any]) -> Any:
    before = vars(module).get("forward")

    def put_back() -> None:
        vars(module).pop("forward", None)
        if before is not None:
            vars(module)["forward"] = before

    def forward() -> Any:
        put_back()
        return function()

    vars(module)["forward"] = forward
    try:
        return wrapper()
    finally:
        put_back()
