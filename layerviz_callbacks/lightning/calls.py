"""Which layers of a module are called from outside while something runs, and with what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from layerviz_callbacks.torch.replacing import Change, replaced

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


@contextmanager
def called_with(module: nn.Module, call: OuterCall, inputs: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Whatever the layer of this call is called with first, it is given these inputs instead."""
    done = False

    def hook(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        nonlocal done
        if done:
            return None
        done = True
        return with_inputs(arguments, named, inputs)

    called = module.get_submodule(call.name) if call.name else module
    handle = called.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def probe_of_call(
    arguments: tuple[Any, ...], named: dict[str, Any], targets: torch.Tensor | None = None
) -> Probe:
    """The tensors of a call that have the samples as their first axis.

    Raises:
        ArgumentError: there is no such tensor.
    """
    inputs = _batched([*arguments, named])
    if not inputs:
        raise ArgumentError("the model is called without a tensor")
    tensors = [tensor for _, tensor in inputs.values()]
    fitting = targets if targets is not None and targets.shape[0] == tensors[0].shape[0] else None
    shown = tensors[0] if len(tensors) == 1 else {name: tensor for name, (_, tensor) in inputs.items()}
    return Probe(shown, targets=fitting)


def with_inputs(
    arguments: tuple[Any, ...], named: dict[str, Any], inputs: Mapping[str, torch.Tensor] | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call with other inputs, by the names that `probe_of_call` gave them; None: as it is.

    Example:
        >>> with_inputs((torch.zeros(2), 3), {}, {"input": torch.ones(1)})
        ((tensor([1.]), 3), {})
    """
    if inputs is None:
        return arguments, named
    given = [*arguments, named]

    def other(name: str) -> Change:
        return lambda tensor: inputs[name].to(tensor.dtype)

    paths = {path: other(name) for name, (path, _) in _batched(given).items()}
    *positional, keywords = replaced(given, paths)
    return tuple(positional), keywords


def _batched(given: list[Any]) -> dict[str, tuple[str, torch.Tensor]]:
    """The tensors that have as many samples as the first, by name, each with its path.

    One alone is "input"; of several, `0` and `1.mask` are "input 1" and "mask".
    """
    batched = [(path, tensor) for path, tensor in tensors_in(given) if tensor.ndim]
    fitting = [(path, tensor) for path, tensor in batched if tensor.shape[0] == batched[0][1].shape[0]]
    if len(fitting) == 1:
        return {"input": fitting[0]}
    inputs: dict[str, tuple[str, torch.Tensor]] = {}
    for place, (path, tensor) in enumerate(fitting, start=1):
        last = path.rpartition(".")[2]
        name = f"input {place}" if last.isdigit() or last in inputs else last
        inputs[name] = (path, tensor)
    return inputs
