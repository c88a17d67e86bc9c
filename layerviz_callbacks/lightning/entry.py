"""How a LightningModule is shown the probe, where the user says it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from layerviz_callbacks.errors import ArgumentError, LayerVizError
from layerviz_callbacks.lightning.advice import forward_for_batch, forward_for_probe
from layerviz_callbacks.lightning.batches import copied, input_of, repeated, targets_of, with_input
from layerviz_callbacks.lightning.calls import OuterCall, called_with, outer_calls, probe_of_call, with_inputs
from layerviz_callbacks.lightning.running import run_as_trained
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.torch.copying import tensors_in
from layerviz_callbacks.torch.inputs import call_arguments, own_tensors

Forward = Callable[[Any, Any], Any]  # (module, batch or inputs) -> what the model gives back
Inputs = Mapping[str, torch.Tensor] | None  # by their names in `Probe.arrays`; None: those of the probe


@dataclass(frozen=True)
class Entry:
    """How the probe enters the module.

    Attributes:
        probe: what is shown.
        run: runs the module with the probe, or with other inputs by name, and gives back its output.
        way: what `run` does, in words.
    """

    probe: Probe
    run: Callable[..., Any]
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

        def call(inputs: Inputs = None) -> Any:
            arguments, named = call_arguments(module, probe, inputs)
            return call_forward(trainer, module, arguments, named, inputs=probe.inputs)

        return Entry(probe, call, "the module is called with probe=")

    def run(inputs: Inputs = None) -> Any:
        return _call_given(trainer, module, forward, inputs_of(module, probe, inputs))

    return Entry(probe, run, "forward= is called with probe=")


def entry_of_given_forward(trainer: Any, module: Any, batch: Any, forward: Forward) -> Entry:
    """The user's `forward` is called with a batch that was taken from the data.

    The inputs that are shown are those of the one call of a layer that `forward` makes; where it makes
    several side by side, the batch's first part.

    Raises:
        ArgumentError: `forward` failed.
    """

    def show(shown: Any) -> Any:
        return _call_given(trainer, module, forward, shown)

    try:
        calls = outer_calls(trainer, module, lambda: show(copied(batch, module.device)))
    except LayerVizError:
        raise
    except Exception as error:
        raise _failed(module, batch, error) from error
    targets = targets_of(batch)
    way = "forward= is called with a batch"
    if calls and (calls[0].name == "" or len(calls) == 1) and _has_samples(calls[0]):
        call = calls[0]

        def run(inputs: Inputs = None) -> Any:
            if inputs is None:
                return show(copied(batch, module.device))
            with called_with(module, call, inputs):
                return show(copied(repeated(batch, _count_of(inputs)), module.device))

        return Entry(probe_of_call(call.arguments, call.named, targets), run, way)
    return entry_of_input(module, batch, show, way)


def entry_of_input(module: Any, batch: Any, show: Callable[[Any], Any], way: str) -> Entry:
    """A batch of which the first part is what is shown.

    Args:
        module: what is run.
        batch: samples of the data.
        show: runs the module with such a batch, its own to change.
        way: see `Entry`.
    """

    def run(inputs: Inputs = None) -> Any:
        if inputs is None:
            return show(copied(batch, module.device))
        own = copied(repeated(batch, _count_of(inputs)), module.device)
        (first,), _ = with_inputs((input_of(own),), {}, inputs)
        return show(with_input(own, first))

    return Entry(probe_of_call((input_of(batch),), {}, targets_of(batch)), run, way)


def _count_of(inputs: Mapping[str, torch.Tensor]) -> int:
    """The number of samples."""
    return len(next(iter(inputs.values())))


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


def inputs_of(module: Any, probe: Probe, others: Inputs = None) -> Any:
    """The probe's inputs as the user gave them, as tensors on the module's device.

    An array becomes a tensor, a dict a dict of tensors, a list or tuple of arrays one of tensors.

    Args:
        module: its device and type are the tensors'.
        probe: says in which form inputs are given.
        others: what is given instead of the probe's.
    """
    given, inputs = own_tensors(module, probe, others), probe.inputs
    if isinstance(given, tuple):
        return type(inputs)(*given) if hasattr(inputs, "_fields") else type(inputs)(given)
    return given


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
