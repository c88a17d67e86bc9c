"""How a model is shown its probe, or other inputs in its place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from layerviz_callbacks.errors import ArgumentError, DifferentiationError
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.torch.inputs import call_arguments, has_forward, own_tensors
from layerviz_callbacks.torch.names import in_this_process

ShowCall = Callable[..., Any]
"""Called without arguments for the probe, or with other inputs: tensors by their names in `Probe.arrays`."""


class Showing:
    """Runs a model: on its probe, or on other inputs of the same form.

    Args:
        model: what is run.
        probe: what it is shown.
        call: run instead of `model(*inputs)`; see `TorchReader`.
        forward: the same, called as `forward(model, inputs)`.
    """

    def __init__(
        self,
        model: nn.Module,
        probe: Probe,
        *,
        call: ShowCall | None,
        forward: Callable[[nn.Module, Any], Any] | None,
    ) -> None:
        self._model = model
        self._probe = probe
        self._call = call
        self._forward = forward

    def __call__(self, tensors: Mapping[str, torch.Tensor] | None = None) -> Any:
        """The model's output.

        Args:
            tensors: by their names in `Probe.arrays`; None: the probe's.

        Raises:
            ArgumentError: the model has no `forward()`.
            DifferentiationError: it can be shown nothing but the probe.
        """
        if self._call is not None:
            return self._called(self._call, tensors)
        model = in_this_process(self._model)
        if self._forward is not None:
            return self._forward(model, own_tensors(model, self._probe, tensors))
        if not has_forward(model):
            raise ArgumentError(
                f"{type(model).__name__} has no forward(), so it cannot be shown the probe. Say how: "
                "forward=lambda model, x: model.generator(x), for example, or define forward(self, x) in it."
            )
        arguments, named = call_arguments(model, self._probe, tensors)
        return model(*arguments, **named)

    def _called(self, call: ShowCall, tensors: Mapping[str, torch.Tensor] | None) -> Any:
        if tensors is None:
            return call()
        try:
            inspect.signature(call).bind(tensors)
        except TypeError:
            raise DifferentiationError(
                "the model is run by a function that shows it the probe and nothing else"
            ) from None
        return call(tensors)
