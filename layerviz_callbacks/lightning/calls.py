"""Which layers of a module are called from outside while something runs, and with what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.lightning.batches import copied
from layerviz_callbacks.lightning.running import run_as_trained
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.torch.copying import tensors_in
from layerviz_callbacks.torch.isolation import undisturbed

_NOT_THE_MODEL = ("torchmetrics", "torch.nn.modules.loss")


@dataclass(frozen=True)
class OuterCall:
    """A call that no other layer of the module made.

    Attributes:
        name: the layer's dotted name; "" is the module itself.
        arguments: copies of the positional arguments.
        named: copies of the keyword arguments.
    """

    name: str
    arguments: tuple[Any, ...]
    named: dict[str, Any]


def outer_calls(trainer: Any, module: Any, run: Callable[[], Any]) -> list[OuterCall]:
    """The outermost calls of layers that a run makes, without losses and metrics; all is put back."""
    calls: list[OuterCall] = []
    depth = 0

    def entering(name: str) -> Callable[..., None]:
        def hook(called: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            nonlocal depth
            if depth == 0 and not type(called).__module__.startswith(_NOT_THE_MODEL):
                calls.append(OuterCall(name, copied(arguments), copied(named)))
            depth += 1

        return hook

    def leaving(*_: Any) -> None:
        nonlocal depth
        depth -= 1

    def listening() -> None:
        handles: list[Any] = []
        try:
            for name, part in module.named_modules():
                if not isinstance(part, torch.jit.ScriptModule):
                    handles.append(part.register_forward_pre_hook(entering(name), with_kwargs=True))
                    handles.append(part.register_forward_hook(leaving, always_call=True))
            run()
        finally:
            for handle in handles:
                handle.remove()

    with undisturbed(module):
        run_as_trained(trainer, module, listening)
    return calls


def probe_of_call(
    arguments: tuple[Any, ...], named: dict[str, Any], targets: torch.Tensor | None = None
) -> Probe:
    """The tensors of a call that have the samples as their first axis.

    Raises:
        ArgumentError: there is no such tensor.
    """
    batched = {path: tensor for path, tensor in tensors_in([*arguments, named]) if tensor.ndim}
    lengths = [tensor.shape[0] for tensor in batched.values()]
    if not lengths:
        raise ArgumentError("the model is called without a tensor")
    tensors = {path: tensor for path, tensor in batched.items() if tensor.shape[0] == lengths[0]}
    fitting = targets if targets is not None and targets.shape[0] == lengths[0] else None
    inputs = next(iter(tensors.values())) if len(tensors) == 1 else _named_inputs(tensors)
    return Probe(inputs, targets=fitting)


def _named_inputs(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`0` and `1.mask` become "input 1" and "mask"."""
    inputs: dict[str, torch.Tensor] = {}
    for place, (path, tensor) in enumerate(tensors.items(), start=1):
        last = path.rpartition(".")[2]
        name = f"input {place}" if last.isdigit() or last in inputs else last
        inputs[name] = tensor
    return inputs
