"""Reads a PyTorch model into Snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import nn

from layerviz_callbacks.errors import ArgumentError, LayerVizError, ProbeError, is_out_of_memory
from layerviz_callbacks.explaining import Differentiate
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.reader import LayerEntry
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.torch.attention import AttentionSearch
from layerviz_callbacks.torch.capture import Capture, Heard
from layerviz_callbacks.torch.differentiable import cannot_be_differentiated
from layerviz_callbacks.torch.differentiation import Differentiator
from layerviz_callbacks.torch.explain import fails_in_evaluation, unusable_probe
from layerviz_callbacks.torch.gradients import Points
from layerviz_callbacks.torch.isolation import undisturbed
from layerviz_callbacks.torch.kernels import has_kernel
from layerviz_callbacks.torch.layers import attention_of_model, layers_of, listed_layers, read_weights
from layerviz_callbacks.torch.logits import LogitsFinder
from layerviz_callbacks.torch.names import named_layers
from layerviz_callbacks.torch.operations import can_be_silent
from layerviz_callbacks.torch.passing import Pass, Passage
from layerviz_callbacks.torch.showing import ShowCall, Showing
from layerviz_callbacks.torch.updates import OptimizerSteps
from layerviz_callbacks.torch.weight_samples import WeightSampler
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
        call: run instead of `model(*inputs)`; gives back the model's output. Called without arguments for the
            probe; where it takes one, other inputs can be shown, too: tensors by their names in
            `Probe.arrays`.
        forward: the same, called as `forward(model, inputs)` with the probe's inputs as tensors on the
            model's device: a tensor, or a tuple or dict of them.
        steps: tells what the last optimizer step added to weights, for their statistics; None: nobody does.

    Raises:
        ArgumentError: `model` is no `torch.nn.Module`, or `forward` cannot be called.
        ProbeError: the probe is unusable.

    Example:
        >>> import numpy as np
        >>> reader = TorchReader(nn.Sequential(nn.Conv2d(1, 2, 3)), np.zeros((4, 1, 8, 8)))
        >>> reader.read(Request(outputs=frozenset({"0"})))["0"].output.shape
        (4, 6, 6, 2)
    """

    def __init__(
        self,
        model: nn.Module,
        probe: Any,
        *,
        call: ShowCall | None = None,
        forward: Callable[[nn.Module, Any], Any] | None = None,
        steps: OptimizerSteps | None = None,
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
        self._steps = steps
        self._showing = Showing(model, self.probe, call=call, forward=forward)
        self._passage = Passage(model, self.probe, self._showing, self.probe.shown())
        self._last: Capture | None = None
        self._by_operation: frozenset[str] | None = None  # None: not known before the first pass
        self._used: frozenset[str] = frozenset()
        self._attention = AttentionSearch(model, len(self.probe))
        self._undifferentiable = ""  # why there are no gradients, where this is known
        self._everywhere: bool | None = None  # gradients in `torch.no_grad()` too; None: not needed so far

    def entries(self) -> list[LayerEntry]:
        """Every layer in `named_modules` order, without running the model."""
        return [listed.entry for listed in listed_layers(self.model, named_layers(self.model))]

    def read(self, request: Request) -> Snapshot:
        """Copy what was asked for; the probe is run once (for outputs, or for shapes not known yet).

        Gradients come of the same forward pass, and of one backward pass a target. A model that cannot be run
        with gradients is run again without them, once; one that runs layers in `torch.no_grad()`, as frozen
        parts often are, is run with gradients there, too, from then on.

        Raises:
            ArgumentError: layers are lazy, and have no weights yet; or a target does not fit the answer.
            ProbeError: the model cannot be called with the probe; the message says what it takes.
            ReadingError: the model fails in evaluation mode only.
        """
        return self._read(request, sampled=request.statistics)

    def _read(self, request: Request, *, sampled: frozenset[str]) -> Snapshot:
        """See `read`; the statistics of weights are those of the layers `sampled`."""
        layers = named_layers(self.model)
        _refuse_lazy(self.model, layers)
        listed = listed_layers(self.model, layers)
        sampler = WeightSampler(self.model, sampled, self._steps)
        with undisturbed(self.model):
            weights = [read_weights(one, request, sampler) for one in listed]
            no_gradients = sampler.finish()
            runs = request.runs_model or self._last is None
            ran = self._run(layers, request) if runs else Pass()
        ran = ran or self._run_apart(layers, request)
        if self._by_operation is None and self._listen_to_operations(layers, self._heard):
            ran = self._run_apart(layers, request)
            self._used = frozenset(self._last.used if self._last is not None else ())
            self._by_operation = frozenset(name for name in self._used if name in self._heard)
        read: dict[str, Layer] = {}
        for place, (one, own) in enumerate(zip(listed, weights, strict=True), start=1):
            heard = self._heard.get(one.name)
            attentions = self._attention.of_layer(one.name)
            for layer in layers_of(one, place, own, heard, attentions, used=one.name in self._used):
                found = ran.gradients.get(layer.name)
                read[layer.name] = layer if found is None else replace(layer, gradients=found)
        name = self._attention.own_name(layers)
        for layer in attention_of_model(self.model, name, len(listed) + 1, self._attention.of_layer(name)):
            read[layer.name] = layer
        unread = {**ran.unread, **self._attention.unread(), **no_gradients}
        self._attention.forget_weights()
        axes, inputs = self._passage.inputs(self._last)
        if self._last is not None:
            self._last.forget_arrays()
        return Snapshot(
            read, self.probe, inputs, ran.outputs, input_axes=axes, scores=ran.scores, unread=unread
        )

    @contextmanager
    def differentiating(self) -> Iterator[Differentiate]:
        """Differentiate the model on inputs of any choice, as often as is wanted.

        Example:
            >>> import numpy as np
            >>> reader = TorchReader(nn.Linear(3, 1), np.ones((4, 3), np.float32))
            >>> with reader.differentiating() as differentiate:
            ...     found = differentiate({"input": np.zeros((2, 3), np.float32)}, np.ones)
            >>> found.gradients["input"].shape
            (2, 3)
        """
        if self._last is None:
            self.read(Request())
        yield Differentiator(self.model, self.probe, self._showing, self._heard, refusal=self._refusal())

    def _refusal(self) -> str:
        """Why the model must not be differentiated, in words; empty where it may be."""
        return cannot_be_differentiated(self.model)

    @property
    def _heard(self) -> Mapping[str, Heard]:
        return {} if self._last is None else self._last.heard

    def _listen_to_operations(self, layers: dict[str, nn.Module], heard: Mapping[str, Heard]) -> bool:
        """After the first pass: whether another one, that listens to operations, may hear more."""
        silent = {
            name: module for name, module in layers.items() if name not in heard and can_be_silent(module)
        }
        needed = any(has_kernel(module) for module in silent.values())
        self._by_operation = frozenset(silent) if needed else frozenset()
        return needed

    def _run_apart(self, layers: dict[str, nn.Module], request: Request) -> Pass:
        with undisturbed(self.model):
            ran = self._run(layers, request)
        return ran or self._run_apart(layers, request)

    def _run(self, layers: dict[str, nn.Module], request: Request) -> Pass | None:
        """Run the probe; None where it must be run anew: it failed with gradients, or needs more of them."""
        wanted = frozenset().union(*request.gradients.values())
        self._undifferentiable = self._undifferentiable or self._refusal()
        explaining = bool(request.targets) and not self._undifferentiable
        points = Points(wanted) if wanted and explaining else None
        capture = Capture(
            layers,
            request.outputs,
            measured=request.statistics,
            cuts=request.output_cuts,
            probe_ranks={array.ndim for array in self.probe.arrays.values()},
            samples=len(self.probe),
            by_operation=self._by_operation or frozenset(),
            points=points,
            attention=self._attention.listener(layers, request),
        )
        try:
            finder = LogitsFinder() if explaining else None
            ran = self._passage.run(capture, request, points, finder, everywhere=self._everywhere is True)
        except ProbeError as error:
            raise unusable_probe(self.probe, capture, error) from None
        except LayerVizError:
            raise
        except Exception as error:
            if explaining and self._everywhere:
                self._everywhere = False
                return None
            if explaining:
                self._undifferentiable = (
                    f"the model cannot be run with gradients ({type(error).__name__}: {error})"
                )
                return None
            if is_out_of_memory(error):
                raise
            if self._last is None and self._works_in_training_mode():
                raise fails_in_evaluation(self.model, capture, error) from error
            raise unusable_probe(self.probe, capture, error) from error
        cut_off = points.without_graph if points is not None and self._everywhere is None else ()
        if any(f"gradients of {name}" in ran.unread for name in cut_off):
            self._everywhere = True
            return None
        self._last = capture
        self._attention.remember(capture.attention)
        unread = {} if points else {f"gradients of {name}": self._undifferentiable for name in sorted(wanted)}
        return replace(ran, unread={**unread, **ran.unread})

    def _works_in_training_mode(self) -> bool:
        """Whether the model takes the probe in training mode: then the probe is not at fault."""
        for module in self.model.modules():
            module.training = True
        try:
            self._showing()
        except Exception:  # noqa: BLE001  it fails there, too
            return False
        return True


def _refuse_lazy(model: nn.Module, layers: dict[str, nn.Module]) -> None:
    lazy = lazy_layers(layers)
    if lazy:
        raise ArgumentError(
            f"{type(model).__name__} is not built yet: the lazy layers {lazy} have no weights before their "
            "first batch. Run one batch through the model first: model(x_val[:4])."
        )
