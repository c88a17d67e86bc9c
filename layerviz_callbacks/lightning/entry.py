"""How a LightningModule is shown the probe, where the user says it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from layerviz_callbacks.errors import ArgumentError, LayerVizError
from layerviz_callbacks.lightning.advice import forward_for_batch, forward_for_probe
from layerviz_callbacks.lightning.batches import copied, input_of, targets_of
from layerviz_callbacks.lightning.calls import OuterCall, outer_calls, probe_of_call
from layerviz_callbacks.lightning.running import run_as_trained
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.torch.copying import tensors_in
from layerviz_callbacks.torch.inputs import call_arguments, own_tensor

Forward = Callable[[Any, Any], Any]  # (module, batch or inputs) -> what the model gives back


@dataclass(frozen=True)
class Entry:
    """How the probe enters the module.

    Attributes:
        probe: what is shown.
        run: runs the module with the probe and gives back its output.
        way: what `run` does, in words.
    """

    probe: Probe
    run: Callable[[], Any]
    way: str


def check_forward(forward: Any) -> None:
    """Refuse a `forward=` that cannot be called with the module and a batch.

    Raises:
        ArgumentError: it is no function, or not one of two arguments.
    """
    if forward is None:
        return
    example = "Pass a function of two: forward=lambda module, batch: module(batch[0])."
    if isinstance(forward, nn.Module):
        kind = type(forward).__name__
        raise ArgumentError(f"forward={kind}(...) is a module, not a function that calls one. {example}")
    if not callable(forward):
        raise ArgumentError(f"forward={forward!r} cannot be called. {example}")
    try:
        signature = inspect.signature(forward)
    except ValueError:  # some built-in functions have none
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        raise ArgumentError(f"forward= takes {signature}, not a module and a batch. {example}") from error


def entry_of_probe(trainer: Any, module: Any, probe: Probe, forward: Forward | None) -> Entry:
    """The module is called with a probe that the user gave, by `forward` where there is one."""
    if forward is None:

        def call() -> Any:
            arguments, named = call_arguments(module, probe)
            return call_forward(trainer, module, arguments, named, inputs=probe.inputs)

        return Entry(probe, call, "the module is called with probe=")

    def run() -> Any:
        return _call_given(trainer, module, forward, inputs_of(module, probe))

    return Entry(probe, run, "forward= is called with probe=")


def entry_of_given_forward(trainer: Any, module: Any, batch: Any, forward: Forward) -> Entry:
    """The user's `forward` is called with a batch that was taken from the data.

    The inputs that are shown are those of the one call of a layer that `forward` makes; where it makes
    several side by side, the batch's first part.

    Raises:
        ArgumentError: `forward` failed.
    """

    def run() -> Any:
        return _call_given(trainer, module, forward, copied(batch, module.device))

    try:
        calls = outer_calls(trainer, module, run)
    except LayerVizError:
        raise
    except Exception as error:
        raise _failed(module, batch, error) from error
    targets = targets_of(batch)
    inputs: tuple[tuple[Any, ...], dict[str, Any]] = ((input_of(batch),), {})
    if calls and (calls[0].name == "" or len(calls) == 1) and _has_samples(calls[0]):
        inputs = calls[0].arguments, calls[0].named
    return Entry(probe_of_call(*inputs, targets), run, "forward= is called with a batch")


def call_forward(
    trainer: Any, module: Any, arguments: tuple[Any, ...], named: dict[str, Any], *, inputs: Any
) -> Any:
    """Call the module itself.

    Args:
        trainer: the module's trainer.
        module: what is called.
        arguments: positional ones.
        named: keyword ones.
        inputs: the probe as it was given, for the message.

    Raises:
        ArgumentError: the module has no `forward`.
    """
    try:
        return run_as_trained(trainer, module, lambda: module(*arguments, **named))
    except NotImplementedError as error:
        if has_forward(module):
            raise
        raise ArgumentError(
            f"{type(module).__name__} has no forward(), so it cannot be called with probe=. Say how it is "
            f"shown one: {forward_for_probe(module, inputs)}; or leave probe= out: then the probe is taken "
            "from the data, and is shown the way validation_step does it."
        ) from error


def has_forward(module: nn.Module) -> bool:
    """Whether the module's author wrote a `forward`."""
    library = ("lightning.", "pytorch_lightning.", "torch.")
    return not type(module).forward.__module__.startswith(library)


def inputs_of(module: Any, probe: Probe) -> Any:
    """The probe's inputs as the user gave them, as tensors on the module's device.

    An array becomes a tensor, a dict a dict of tensors, a list or tuple of arrays one of tensors.
    """
    inputs = probe.inputs
    if isinstance(inputs, Mapping):
        return {name: own_tensor(module, value) for name, value in inputs.items()}
    if isinstance(inputs, (list, tuple)) and "input" not in probe.arrays:
        parts = [own_tensor(module, value) for value in inputs]
        return type(inputs)(*parts) if hasattr(inputs, "_fields") else type(inputs)(parts)
    return own_tensor(module, inputs)


def _call_given(trainer: Any, module: Any, forward: Forward, inputs: Any) -> Any:
    try:
        return run_as_trained(trainer, module, lambda: forward(module, inputs))
    except LayerVizError:
        raise
    except Exception as error:
        if _came_from_a_layer(error):
            raise  # the reader says what that layer takes
        raise _failed(module, inputs, error) from error


def _came_from_a_layer(error: Exception) -> bool:
    calling = nn.Module._call_impl.__code__
    return any(frame.f_code is calling for frame, _ in traceback.walk_tb(error.__traceback__))


def _failed(module: Any, inputs: Any, error: Exception) -> ArgumentError:
    return ArgumentError(
        f"forward= was called with {type(module).__name__} and {_words(inputs)}, and gave "
        f"{type(error).__name__}: {error}. Write for example {forward_for_batch(module, inputs)}."
    )


def _words(inputs: Any) -> str:
    """The form of a batch: `tuple of 0: (4, 1, 8, 8) float32, 1: (4,) int64`."""
    parts = [
        f"{path}: {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}".removeprefix(": ")
        for path, tensor in tensors_in(inputs)
    ]
    kind = type(inputs).__name__
    return f"a {kind} of {', '.join(parts)}" if parts else f"a {kind} without tensors"


def _has_samples(call: OuterCall) -> bool:
    return any(tensor.ndim > 0 for _, tensor in tensors_in([call.arguments, call.named]))
