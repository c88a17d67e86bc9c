"""Reads a PyTorch model into Snapshots."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import nn

from layerviz_callbacks.errors import ArgumentError, LayerVizError, ProbeError, is_out_of_memory
from layerviz_callbacks.probe import Probe, to_numpy
from layerviz_callbacks.reader import LayerEntry
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.torch.capture import Call, Capture
from layerviz_callbacks.torch.copying import tensors_in
from layerviz_callbacks.torch.explain import fails_in_evaluation, unusable_probe
from layerviz_callbacks.torch.inputs import call_arguments, has_forward, own_tensors
from layerviz_callbacks.torch.isolation import undisturbed
from layerviz_callbacks.torch.kernels import has_kernel
from layerviz_callbacks.torch.layers import layers_of, listed_layers, read_weights
from layerviz_callbacks.torch.layout import fixed_layout, input_axes
from layerviz_callbacks.torch.names import in_this_process, named_layers
from layerviz_callbacks.torch.operations import can_be_silent
from layerviz_callbacks.torch.weights import lazy_layers


class TorchReader:
    """Reads any `torch.nn.Module` and leaves it as it was, bit for bit.

    One forward pass of the probe in evaluation mode, with a hook on every layer; see
    `layerviz_callbacks.torch.isolation` for what is kept, and `layerviz_callbacks.torch.layout` for how
    outputs come to have their channels last. Where the first pass shows that hooks do not hear every layer
    with a kernel (TorchScript, `layer.forward(x)`), operations are listened to from then on, see
    `layerviz_callbacks.torch.operations`.

    Args:
        model: the model, compiled or wrapped for distributed training or not.
        probe: a `Probe`, or what one is made of.
        call: run instead of `model(*inputs)`, without arguments; gives back the model's output.
        forward: the same, called as `forward(model, inputs)` with the probe's inputs as tensors on the
            model's device: a tensor, or a tuple or dict of them.

    Raises:
        ArgumentError: `model` is no `torch.nn.Module`, or `forward` cannot be called.
        ProbeError: the probe is unusable.

    Example:
        >>> reader = TorchReader(nn.Sequential(nn.Conv2d(1, 2, 3)), np.zeros((4, 1, 8, 8)))
        >>> reader.read(Request(outputs=frozenset({"0"})))["0"].output.shape
        (4, 6, 6, 2)
    """

    def __init__(
        self,
        model: nn.Module,
        probe: Any,
        *,
        call: Callable[[], Any] | None = None,
        forward: Callable[[nn.Module, Any], Any] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise ArgumentError(
                f"The model is a {type(model).__module__}.{type(model).__qualname__}. "
                "Allowed: a torch.nn.Module, such as attach(model, x_val[:4], log_dir='runs/a')."
            )
        if forward is not None and not callable(forward):
            raise ArgumentError(
                f"forward={forward!r} cannot be called. Allowed: a function of the model and the probe's "
                "inputs, such as forward=lambda model, x: model.generator(x)."
            )
        self.model = model
        self.probe = Probe.of(probe)
        self._call = call
        self._forward = forward
        self._shown = self.probe.shown()
        self._last: Capture | None = None
        self._by_operation: frozenset[str] | None = None  # None: not known before the first pass
        self._used: frozenset[str] = frozenset()

    def entries(self) -> list[LayerEntry]:
        """Every layer in `named_modules` order, without running the model."""
        return [listed.entry for listed in listed_layers(self.model, named_layers(self.model))]

    def read(self, request: Request) -> Snapshot:
        """Copy what was asked for; the probe is run once (for outputs, or for shapes not known yet).

        Raises:
            ArgumentError: layers are lazy, and have no weights yet.
            ProbeError: the model cannot be called with the probe; the message says what it takes.
            ReadingError: the model fails in evaluation mode only.
        """
        layers = named_layers(self.model)
        _refuse_lazy(self.model, layers)
        listed = listed_layers(self.model, layers)
        outputs: dict[str, np.ndarray] = {}
        with undisturbed(self.model):
            weights = [read_weights(one, request) for one in listed]
            if request.runs_model or self._last is None:
                self._last, outputs = self._run(layers, request)
        if self._by_operation is None and self._listen_to_operations(layers, self._last):
            with undisturbed(self.model):
                self._last, outputs = self._run(layers, request)
            self._used = frozenset(self._last.used)
            self._by_operation = frozenset(name for name in self._used if name in self._last.heard)
        read: dict[str, Layer] = {}
        for place, (one, own) in enumerate(zip(listed, weights, strict=True), start=1):
            heard = self._last.heard.get(one.name)
            for layer in layers_of(one, place, own, heard, used=one.name in self._used):
                read[layer.name] = layer
        self._last.forget_arrays()
        return Snapshot(read, self.probe, self._inputs(self._last.first), outputs)

    def _listen_to_operations(self, layers: dict[str, nn.Module], heard: Capture) -> bool:
        """After the first pass: whether another one, that listens to operations, may hear more."""
        silent = {
            name: module
            for name, module in layers.items()
            if name not in heard.heard and can_be_silent(module)
        }
        needed = any(has_kernel(module) for module in silent.values())
        self._by_operation = frozenset(silent) if needed else frozenset()
        return needed

    def _run(self, layers: dict[str, nn.Module], request: Request) -> tuple[Capture, dict[str, np.ndarray]]:
        capture = Capture(
            layers,
            request.outputs,
            cuts=request.output_cuts,
            probe_ranks={array.ndim for array in self.probe.arrays.values()},
            samples=len(self.probe),
            by_operation=self._by_operation or frozenset(),
        )
        try:
            with capture.listening(), _no_words_about_gradients():
                output = self._output()
        except ProbeError as error:
            raise unusable_probe(self.probe, capture, error) from None
        except LayerVizError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            if self._last is None and self._works_in_training_mode():
                raise fails_in_evaluation(self.model, capture, error) from error
            raise unusable_probe(self.probe, capture, error) from error
        return capture, dict(_named_outputs(output))

    def _works_in_training_mode(self) -> bool:
        """Whether the model takes the probe in training mode: then the probe is not at fault."""
        for module in self.model.modules():
            module.training = True
        try:
            self._output()
        except Exception:  # noqa: BLE001  it fails there, too
            return False
        return True

    def _output(self) -> Any:
        if self._call is not None:
            return self._call()
        model = in_this_process(self.model)
        if self._forward is not None:
            return self._forward(model, own_tensors(model, self.probe))
        if not has_forward(model):
            raise ArgumentError(
                f"{type(model).__name__} has no forward(), so it cannot be shown the probe. Say how: "
                "forward=lambda model, x: model.generator(x), for example, or define forward(self, x) in it."
            )
        arguments, named = call_arguments(model, self.probe)
        return model(*arguments, **named)

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


@contextmanager
def _no_words_about_gradients() -> Iterator[None]:
    """Checkpointed blocks warn where they are run without gradients, as they are here on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="None of the inputs have requires_grad=True")
        yield


def _named_outputs(output: Any) -> Iterator[tuple[str, np.ndarray]]:
    """A single output is "output", several are "output 1", "output 2"; named ones keep their names."""
    parts = list(tensors_in(output))
    for place, (path, tensor) in enumerate(parts, start=1):
        if hasattr(output, "keys"):
            yield path, to_numpy(tensor)
        else:
            yield ("output" if len(parts) == 1 else f"output {place}"), to_numpy(tensor)
