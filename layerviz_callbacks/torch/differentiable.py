"""Running a model with a graph that goes from its answer back to its layers, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as modules
from torch.overrides import TorchFunctionMode
from torch.utils import checkpoint

from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.torch.isolation import is_sharded

_BACKWARD_HOOKS = ("_backward_hooks", "_backward_pre_hooks")
_GLOBAL_BACKWARD_HOOKS = ("_global_backward_hooks", "_global_backward_pre_hooks")

SHARDED = (
    "the model is sharded over several processes (FSDP), and a backward pass of its own would take part in "
    "its training. inspect() a gathered checkpoint"
)


class NoGraphError(DifferentiationError):
    """No graph leads from what is differentiated to that with respect to which it is."""


def cannot_be_differentiated(model: nn.Module) -> str:
    """Why no gradients are taken of this model, in words; empty where they may be tried."""
    return SHARDED if any(is_sharded(module) for module in model.modules()) else ""


@contextmanager
def differentiable(model: nn.Module, *, everywhere: bool = False) -> Iterator[None]:
    """With gradients; call it inside `undisturbed`. Put back afterwards.

    Inside:

    - Checkpointed blocks run plainly: what they would do to give a gradient later, writes into `.grad`, or
      calls every layer a second time.
    - The user's backward hooks are taken off: they are for the gradients of the training.
    - Weights that were made in inference mode, which no graph can hold, are replaced by copies.
    - Recurrent layers on an accelerator run as in training, without dropout: cuDNN gives no gradients in
      evaluation mode.
    - TorchScript runs operation by operation: what it fuses hides where the answer came from.

    Args:
        model: what is run.
        everywhere: with gradients also where the model itself is run in `torch.no_grad()`, as frozen parts of
            a model often are.
    """
    with ExitStack() as stack:
        stack.enter_context(_plain_checkpoints())
        stack.enter_context(_no_backward_hooks(model))
        stack.enter_context(_no_inference_tensors(model))
        stack.enter_context(_recurrent_layers_with_gradients(model))
        if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
            stack.enter_context(torch.jit.optimized_execution(False))  # type: ignore[attr-defined]
        stack.enter_context(torch.enable_grad())
        if everywhere:
            stack.enter_context(_NoGradUnheard())
        yield


class _NoGradUnheard(TorchFunctionMode):
    """Gradients cannot be switched off in this thread."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is torch._C._set_grad_enabled:
            return None
        return function(*args, **(kwargs or {}))


class _PlainCheckpoint:
    """In the place of `torch.utils.checkpoint.CheckpointFunction`."""

    @staticmethod
    def apply(function: Callable[..., Any], _: bool, *arguments: Any) -> Any:
        return function(*arguments)


def _plain_frame(*_: Any, **__: Any) -> Iterator[None]:
    """In the place of the frame that `checkpoint(use_reentrant=False)` runs a function in."""
    yield


@contextmanager
def _plain_checkpoints() -> Iterator[None]:
    plain = {
        "CheckpointFunction": _PlainCheckpoint,
        "_checkpoint_without_reentrant_generator": _plain_frame,
    }
    before = {name: getattr(checkpoint, name) for name in plain if hasattr(checkpoint, name)}
    try:
        for name in before:
            setattr(checkpoint, name, plain[name])
        yield
    finally:
        for name, own in before.items():
            setattr(checkpoint, name, own)


@contextmanager
def _no_backward_hooks(model: nn.Module) -> Iterator[None]:
    hooks = [getattr(modules, name, {}) for name in _GLOBAL_BACKWARD_HOOKS]
    hooks += [vars(module).get(name) or {} for module in model.modules() for name in _BACKWARD_HOOKS]
    before = [(own, dict(own)) for own in hooks if own]
    try:
        for own, _ in before:
            own.clear()
        yield
    finally:
        for own, content in before:
            own.update(content)


@contextmanager
def _no_inference_tensors(model: nn.Module) -> Iterator[None]:
    replaced: list[tuple[MutableMapping[str, Any], str, torch.Tensor]] = []
    copies: dict[int, torch.Tensor] = {}
    try:
        for module in model.modules():
            for held in (vars(module).get("_parameters") or {}, vars(module).get("_buffers") or {}):
                for name, tensor in held.items():
                    if isinstance(tensor, torch.Tensor) and tensor.is_inference():
                        copies.setdefault(id(tensor), _copy(tensor))
                        replaced.append((held, name, tensor))
        for held, name, tensor in replaced:
            held[name] = copies[id(tensor)]
        yield
    finally:
        for held, name, tensor in replaced:
            held[name] = tensor


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    copied = tensor.clone()
    return nn.Parameter(copied, requires_grad=False) if isinstance(tensor, nn.Parameter) else copied


@contextmanager
def _recurrent_layers_with_gradients(model: nn.Module) -> Iterator[None]:
    own = (nn.RNN, nn.LSTM, nn.GRU)
    layers = [module for module in model.modules() if isinstance(module, own) and _on_accelerator(module)]
    layers = [layer for layer in layers if type(layer).forward in [kind.forward for kind in own]]
    before = [(layer, layer.dropout, layer.training) for layer in layers]
    try:
        for layer in layers:
            layer.dropout, layer.training = 0.0, True
        yield
    finally:
        for layer, dropout, training in before:
            layer.dropout, layer.training = dropout, training


def _on_accelerator(module: nn.Module) -> bool:
    return any(tensor.device.type != "cpu" for tensor in module.parameters())
