"""Reads a PyTorch model into Snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from layerviz_callbacks.errors import ArgumentError, LayerVizError, ProbeError
from layerviz_callbacks.probe import Probe, to_numpy
from layerviz_callbacks.reader import LayerEntry, Request
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.torch.capture import Call, Capture, Heard
from layerviz_callbacks.torch.copying import tensors_in, to_float32
from layerviz_callbacks.torch.explain import unusable_probe
from layerviz_callbacks.torch.inputs import call_arguments
from layerviz_callbacks.torch.isolation import undisturbed
from layerviz_callbacks.torch.kernels import has_kernel, kernel_and_weights, lazy_layers, parameter_count
from layerviz_callbacks.torch.layout import fixed_layout, input_axes
from layerviz_callbacks.torch.names import is_container, kind_of, named_layers


class TorchReader:
    """Reads any `torch.nn.Module` and leaves it as it was, bit for bit.

    One forward pass of the probe in evaluation mode, with a hook on every layer; see
    `layerviz_callbacks.torch.isolation` for what is kept, and `layerviz_callbacks.torch.layout` for how
    outputs come to have their channels last.

    Args:
        model: the model, compiled or wrapped for distributed training or not.
        probe: a `Probe`, or what one is made of.
        call: run instead of `model(*inputs)`, without arguments; gives back the model's output.

    Raises:
        ArgumentError: `model` is no `torch.nn.Module`.
        ProbeError: the probe is unusable.

    Example:
        >>> reader = TorchReader(nn.Sequential(nn.Conv2d(1, 2, 3)), np.zeros((4, 1, 8, 8)))
        >>> reader.read(Request(outputs=frozenset({"0"})))["0"].output.shape
        (4, 6, 6, 2)
    """

    def __init__(self, model: nn.Module, probe: Any, *, call: Callable[[], Any] | None = None) -> None:
        if not isinstance(model, nn.Module):
            raise ArgumentError(
                f"The model is a {type(model).__module__}.{type(model).__qualname__}. "
                "Allowed: a torch.nn.Module, such as attach(model, x_val[:4], log_dir='runs/a')."
            )
        self.model = model
        self.probe = Probe.of(probe)
        self._call = call
        self._shown = self.probe.shown()
        self._last: Capture | None = None

    def entries(self) -> list[LayerEntry]:
        """Every layer in `named_modules` order, without running the model."""
        return [
            LayerEntry(name, module, has_kernel(module)) for name, module in named_layers(self.model).items()
        ]

    def read(self, request: Request) -> Snapshot:
        """Copy what was asked for; the probe is run once (for outputs, or for shapes not known yet).

        Raises:
            ArgumentError: layers are lazy, and have no weights yet.
            ProbeError: the model cannot be called with the probe; the message says what it takes.
        """
        layers = named_layers(self.model)
        _refuse_lazy(self.model, layers)
        outputs: dict[str, np.ndarray] = {}
        with undisturbed(self.model):
            listed = {name: _weights_of(name, module, request) for name, module in layers.items()}
            if request.outputs or self._last is None:
                self._last, outputs = self._run(layers, request.outputs)
        read: dict[str, Layer] = {}
        for place, (name, module) in enumerate(layers.items(), start=1):
            for layer in _layers_of(name, module, place, listed[name], self._last.heard.get(name)):
                read[layer.name] = layer
        self._last.forget_arrays()
        return Snapshot(read, self.probe, self._inputs(self._last.first), outputs)

    def _run(
        self, layers: dict[str, nn.Module], wanted: frozenset[str]
    ) -> tuple[Capture, dict[str, np.ndarray]]:
        ranks = {array.ndim for array in self.probe.arrays.values()}
        capture = Capture(layers, wanted, probe_ranks=ranks, samples=len(self.probe))
        try:
            with capture.listening():
                output = self._output()
        except ProbeError as error:
            raise unusable_probe(self.probe, capture, error) from None
        except LayerVizError:
            raise
        except Exception as error:
            raise unusable_probe(self.probe, capture, error) from error
        return capture, dict(_named_outputs(output))

    def _output(self) -> Any:
        if self._call is not None:
            return self._call()
        arguments, named = call_arguments(self.model, self.probe)
        return self.model(*arguments, **named)

    def _inputs(self, first: Call | None) -> dict[str, np.ndarray]:
        layout = None if first is None else fixed_layout(first.module)
        rank = None if first is None or first.given is None else len(first.given)
        moved = {}
        for name, array in self.probe.arrays.items():
            moved[name] = np.ascontiguousarray(array.transpose(input_axes(array.ndim, layout, rank)))
        return {**moved, **(self._shown or {})}


def _refuse_lazy(model: nn.Module, layers: dict[str, nn.Module]) -> None:
    lazy = lazy_layers(layers)
    if lazy:
        raise ArgumentError(
            f"{type(model).__name__} is not built yet: the lazy layers {lazy} have no weights before their "
            "first batch. Run one batch through the model first: model(x_val[:4])."
        )


def _weights_of(name: str, module: nn.Module, request: Request) -> dict[str, Any]:
    """The part of a Layer that is read without running the model."""
    read: dict[str, Any] = {"parameters": parameter_count(module)}
    wanted = name in request.weights | request.kernels
    if not wanted and not has_kernel(module):
        return read
    try:
        kernel, weights = kernel_and_weights(module)
    except Exception as error:  # noqa: BLE001  one odd layer must not hide the others
        return {**read, "refusal": f"its weights cannot be read ({type(error).__name__}: {error})"}
    if kernel is not None:
        read["kernel_shape"] = tuple(kernel.shape)
    if wanted:
        read["kernel"] = None if kernel is None else to_float32(kernel)
        read["weights"] = {key: to_float32(tensor) for key, tensor in weights.items()}
    return read


def _layers_of(
    name: str, module: nn.Module, place: int, weights: dict[str, Any], heard: Heard | None
) -> Iterator[Layer]:
    """The layer, then its further calls and outputs."""
    kind, container = kind_of(module), is_container(module)
    refusal = weights.pop("refusal", "") or _refusal(module, heard)
    shapes = {} if heard is None else heard.shapes
    arrays = {} if heard is None else heard.arrays
    yield Layer(
        name, kind, place, **weights, output_shape=shapes.get(name), output=arrays.get(name),
        container=container, refusal=refusal,
    )  # fmt: skip
    calls = set() if heard is None else heard.calls
    for key in shapes:
        if key != name:
            yield Layer(
                key, kind, place, kernel_shape=weights.get("kernel_shape") if key in calls else None,
                output_shape=shapes[key], output=arrays.get(key), container=container,
                part_of=name,
            )  # fmt: skip


def _refusal(module: nn.Module, heard: Heard | None) -> str:
    if heard is not None:
        return "" if heard.shapes else heard.refusal
    if isinstance(module, torch.jit.ScriptModule):
        return "it was compiled by TorchScript, which calls no hooks"
    return ""


def _named_outputs(output: Any) -> Iterator[tuple[str, np.ndarray]]:
    """A single output is "output", several are "output 1", "output 2"; named ones keep their names."""
    parts = list(tensors_in(output))
    for place, (path, tensor) in enumerate(parts, start=1):
        if hasattr(output, "keys"):
            yield path, to_numpy(tensor)
        else:
            yield ("output" if len(parts) == 1 else f"output {place}"), to_numpy(tensor)
