"""Differentiating a model with respect to its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from layerviz_callbacks.errors import DifferentiationError, is_out_of_memory
from layerviz_callbacks.explaining import Derivative
from layerviz_callbacks.probe import Probe, to_numpy
from layerviz_callbacks.torch.capture import Heard, Origin
from layerviz_callbacks.torch.copying import has_values, tensors_in, to_float32
from layerviz_callbacks.torch.differentiable import NoGraphError, differentiable
from layerviz_callbacks.torch.inputs import other_tensors
from layerviz_callbacks.torch.isolation import undisturbed
from layerviz_callbacks.torch.logits import LogitsFinder
from layerviz_callbacks.torch.names import named_layers
from layerviz_callbacks.torch.passing import named_outputs
from layerviz_callbacks.torch.showing import Showing

Weights = Callable[[tuple[int, ...]], np.ndarray]


class _ReachedError(BaseException):
    """The layer that is looked for has been called: the model need not be run further."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


class Differentiator:
    """See `layerviz_callbacks.explaining.Differentiate`; each call has an isolation of its own.

    Args:
        model: what is differentiated.
        probe: says how inputs are given.
        showing: runs the model.
        heard: by layer, what was heard of it in a pass of the probe.
        refusal: why the model must not be differentiated; empty where it may be.
    """

    def __init__(
        self,
        model: nn.Module,
        probe: Probe,
        showing: Showing,
        heard: Mapping[str, Heard],
        *,
        refusal: str = "",
    ) -> None:
        self._model = model
        self._probe = probe
        self._showing = showing
        self._refusal = refusal
        self._origins = {
            key: (name, origin) for name, one in heard.items() for key, origin in one.origins.items()
        }
        self._everywhere = False  # see `differentiable`

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        weights: Weights,
        *,
        layer: str = "",
        output: str = "",
    ) -> Derivative:
        """See `layerviz_callbacks.explaining.Differentiate`."""
        if self._refusal:
            raise DifferentiationError(self._refusal)
        try:
            return self._derivative(inputs, weights, layer, output)
        except NoGraphError:
            if self._everywhere:
                raise
            self._everywhere = True  # it may be the model's own torch.no_grad()
            return self._derivative(inputs, weights, layer, output)

    def _derivative(
        self, inputs: Mapping[str, np.ndarray], weights: Weights, layer: str, output: str
    ) -> Derivative:
        with undisturbed(self._model), differentiable(self._model, everywhere=self._everywhere):
            tensors = other_tensors(self._model, self._probe, inputs)
            leaves = {
                name: tensor.requires_grad_()
                for name, tensor in tensors.items()
                if tensor.is_floating_point() or tensor.is_complex()
            }
            if not leaves:
                kinds = ", ".join(f"{name}: {array.dtype}" for name, array in inputs.items())
                raise DifferentiationError(
                    f"there is no gradient with respect to inputs of whole numbers ({kinds})"
                )
            given = {name: tensor.clone() for name, tensor in tensors.items()}  # may be changed in place
            try:
                if layer:
                    answer, outputs, grad_outputs = self._of_layer(layer, given, weights)
                else:
                    answer, outputs, grad_outputs = self._of_output(output, given, weights)
                found = torch.autograd.grad(outputs, list(leaves.values()), grad_outputs, allow_unused=True)
            except DifferentiationError:
                raise
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                shapes = ", ".join(f"{name} {tuple(array.shape)}" for name, array in inputs.items())
                raise DifferentiationError(
                    f"the model cannot be differentiated on {shapes}: {type(error).__name__}: {error}"
                ) from error
        if all(gradient is None for gradient in found):
            raise NoGraphError(
                f"{layer or output or 'the answer'} does not depend on the inputs, or not in a way that can "
                "be differentiated"
            )
        gradients = {
            name: np.zeros(leaf.shape, np.float32) if gradient is None else to_float32(gradient)
            for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
        }
        return Derivative(answer, gradients)

    def _of_layer(
        self, name: str, tensors: Mapping[str, torch.Tensor], weights: Weights
    ) -> tuple[np.ndarray, list[Any], list[torch.Tensor]]:
        if name not in self._origins:
            raise DifferentiationError(f"no output was heard of {name!r}")
        base, origin = self._origins[name]
        if not origin.hooked:
            raise DifferentiationError(
                f"the output of {name!r} is heard by no hook, so it is not in the graph"
            )
        module = named_layers(self._model)[base]
        with _stopping(module, origin):
            try:
                self._showing(tensors)
            except _ReachedError as reached:
                found = reached.output
            else:
                raise DifferentiationError(f"{name!r} was not called with these inputs")
        tensor = next(
            (one for path, one in tensors_in(found) if path == origin.path and has_values(one)), None
        )
        if tensor is None or not tensor.is_floating_point() or tensor.layout is not torch.strided:
            raise DifferentiationError(f"the output of {name!r} is no tensor of floating-point numbers")
        if not tensor.requires_grad:
            raise NoGraphError(f"the output of {name!r} is computed without a graph")
        if tensor.is_nested:
            tensor = tensor.to_padded_tensor(0.0)
        moved = tensor.permute(origin.axes)
        given = torch.from_numpy(np.asarray(weights(tuple(moved.shape)), np.float32))
        return to_float32(moved), [moved], [given.to(moved)]

    def _of_output(
        self, name: str, tensors: Mapping[str, torch.Tensor], weights: Weights
    ) -> tuple[np.ndarray, list[Any], list[torch.Tensor]]:
        finder = LogitsFinder()
        with finder:
            answered = self._showing(tensors)
        outputs = dict(named_outputs(answered))
        if name not in outputs and (name or not outputs):
            raise DifferentiationError(f"there is no output {name!r}; the model gives {list(outputs)}")
        logits = finder.logits_of(outputs[name] if name else next(iter(outputs.values())))
        values = np.asarray(to_numpy(logits.values), np.float32)
        given = torch.from_numpy(np.asarray(weights(values.shape), np.float32))
        edges, grad_outputs = logits.weighted(given)
        return values, [*edges], grad_outputs


@contextmanager
def _stopping(module: nn.Module, origin: Origin) -> Iterator[None]:
    """Stop the pass when the layer has been called so many times."""
    calls = 0

    def hook(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == origin.call:
            raise _ReachedError(output)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
