"""Reads a Keras 2 model into Snapshots and leaves it as it was."""

from __future__ import annotations

import math
from collections.abc import Iterator, Set
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow
import tf_keras

from layerviz_callbacks.cut import cut_kernel
from layerviz_callbacks.errors import ArgumentError, ProbeError, ReadingError, is_out_of_memory
from layerviz_callbacks.explaining import Differentiate
from layerviz_callbacks.health import LayerStatistics
from layerviz_callbacks.keras.attention_reading import asked_of, unread_attention, with_attention
from layerviz_callbacks.keras.fitting import (
    check_fits,
    displayed_inputs,
    failed_pass,
    input_axes,
    model_inputs,
    not_built,
)
from layerviz_callbacks.keras.gradients import Explained, failed_recording, unexplained
from layerviz_callbacks.keras.gradients_eager import TapedScores
from layerviz_callbacks.keras.legacy.calls import Heard, Listener, nothing_built, parts_of
from layerviz_callbacks.keras.legacy.differentiation import LegacyDifferentiation
from layerviz_callbacks.keras.legacy.gradients import taped_scores
from layerviz_callbacks.keras.legacy.isolation import isolated
from layerviz_callbacks.keras.legacy.kernels import (
    Kernel,
    copied,
    kernels_of,
    own_weights,
    parameter_kernel,
    read_weights,
)
from layerviz_callbacks.keras.legacy.names import Node, walk
from layerviz_callbacks.keras.legacy.statistics import sampled
from layerviz_callbacks.keras.legacy.updates import LegacyLastStep
from layerviz_callbacks.keras.structure import NotBuiltError
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.reader import LayerEntry
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Layer, Snapshot


class LegacyReader:
    """Reads one `tf_keras` model: Sequential, Functional or subclassed, nested or with shared layers.

    The model itself is run once on the probe, eagerly and with `training=False`, while each layer object
    is listened to; everything the run could change is put back.

    Args:
        model: a `tf_keras.Model`.
        probe: the batch it is called with.

    Raises:
        ArgumentError: `model` is not a Keras 2 model, or eager execution is switched off.

    Attributes:
        learning_rate: see `KerasReader`.
    """

    learning_rate: float | None = None

    def __init__(self, model: Any, probe: Probe) -> None:
        if not isinstance(model, tf_keras.Model):
            kind = type(model)
            raise ArgumentError(
                f"The model is a {kind.__module__}.{kind.__qualname__}. Allowed: a tf_keras.Model."
            )
        if not tensorflow.executing_eagerly():
            raise ArgumentError(
                "Eager execution is switched off, so there are no values to read. "
                "Leave tf.compat.v1.disable_eager_execution() out."
            )
        self.model = model
        self.probe = probe
        self._heard: Listener | None = None  # of the last pass: shapes only
        self._displayed: dict[frozenset[Any], dict[str, np.ndarray]] = {}

    def entries(self) -> list[LayerEntry]:
        """Every layer of the model, in the model's order, without running it."""
        return [
            LayerEntry(node.name, node.layer, bool(_kernels(node)), container=_is_container(node))
            for node in self._nodes
        ]

    def unbuilt(self) -> str:
        """The name of a layer whose weights are not made yet and that the probe would need; else "".

        Raises:
            ProbeError: the model cannot be called with the probe.
        """
        if all(layer.built for layer in self.model._flatten_layers()):
            return ""
        try:
            self._run(Listener([], frozenset(), {}))
        except NotBuiltError as error:
            return error.name
        return ""

    def check_built(self) -> None:
        """Raise `ArgumentError`, with what to type, where the model's weights are not made yet."""
        name = self.unbuilt()
        if name:
            raise ArgumentError(not_built(self.model, self.probe, name))

    def read(self, request: Request) -> Snapshot:
        """Run the probe once (for outputs, or for shapes not known yet) and copy what was asked for.

        Raises:
            ProbeError: the model cannot be called with the probe.
            ArgumentError: the model's weights are not made yet, or a target does not fit it.
        """
        outputs: dict[str, np.ndarray] = {}
        explained = Explained()
        listener = self._heard
        if request.runs_model or listener is None:
            try:
                listener, outputs, explained = self._pass(request)
            except NotBuiltError as error:
                raise ArgumentError(not_built(self.model, self.probe, error.name)) from None
            self._heard = listener.shapes()
        last = LegacyLastStep(self.model, self.learning_rate)
        layers = [
            layer
            for place, node in enumerate(self._nodes, start=1)
            for layer in _layers_of(node, place, listener, request, last)
        ]
        by_name = {layer.name: layer for layer in layers}
        for name, gradients in explained.gradients.items():
            by_name[name] = replace(by_name[name], gradients=gradients)
        return Snapshot(
            layers=by_name,
            probe=self.probe,
            inputs=self._inputs(listener.channels_first_inputs),
            outputs=outputs,
            input_axes=input_axes(self.probe, listener.channels_first_inputs),
            scores=explained.scores,
            unread={**explained.unread, **unread_attention(listener.attended, request)},
        )

    @contextmanager
    def differentiating(self) -> Iterator[Differentiate]:
        """Differentiate the model as often as is wanted; each time it begins from the same random state."""
        yield LegacyDifferentiation(
            self.model, _Declared(self.model), self.probe, self._nodes, self._output_tensors
        )

    @cached_property
    def _nodes(self) -> list[Node]:
        return walk(self.model)

    def _inputs(self, channels_first: Set[Any]) -> dict[str, np.ndarray]:
        """The probe's inputs as they are displayed, made once."""
        key = frozenset(channels_first)
        if key not in self._displayed:
            self._displayed = {key: displayed_inputs(self.probe, channels_first)}
        return self._displayed[key]

    def _pass(self, request: Request) -> tuple[Listener, dict[str, np.ndarray], Explained]:
        if not request.targets:
            return self._listened(request, None)
        explaining = taped_scores(self.model, self._nodes, request, self.probe, self._inputs)
        try:
            return self._listened(request, explaining)
        except Exception as error:
            if not isinstance(error, (ProbeError, ReadingError)) and not is_out_of_memory(error):
                raise
            why = failed_recording(error)
            listener, outputs, _ = self._listened(request, None)  # or it raises, if recording is not at fault
            return listener, outputs, unexplained(request, why)

    def _listened(
        self, request: Request, explaining: TapedScores | None
    ) -> tuple[Listener, dict[str, np.ndarray], Explained]:
        known = None if self._heard is None else self._heard.attended
        listener = Listener(
            self._nodes, request.outputs, request.output_cuts,
            attention=asked_of(request, len(self.probe), known),
            replace=None if explaining is None else explaining.replace, statistics=request.statistics,
        )  # fmt: skip
        outputs = self._output_tensors(self._run(listener, explaining))
        copies = {name: copied(tensor) for name, tensor in outputs.items()}
        if explaining is None:
            return listener, copies, Explained()
        with isolated(self.model):
            return listener, copies, explaining.explained(outputs, listener.channels_first_inputs)

    def _run(self, listener: Listener, explaining: TapedScores | None = None) -> Any:
        declared: Any = _Declared(self.model)
        check_fits(declared, self.probe)
        recording = nullcontext() if explaining is None else explaining.recording()
        with isolated(self.model), nothing_built(self.model), recording, listener.listening():
            try:
                return self.model(model_inputs(declared, self.probe), training=False)
            except NotBuiltError:
                raise
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                raise failed_pass(self.model, declared, self.probe, error) from error

    def _output_tensors(self, output: Any) -> dict[str, Any]:
        """The tensors that the model gave: "output", or by the layers that made them, or "output 1", ..."""
        parts = parts_of(output)
        if len(parts) == 1 and not isinstance(output, dict):
            return {"output": parts[0][1]}
        names = self._output_names(len(parts)) if isinstance(output, (list, tuple)) else None
        return {names[place] if names else path: tensor for place, (path, tensor) in enumerate(parts)}

    def _output_names(self, count: int) -> list[str]:
        """The layers that make the outputs of a Functional model; else "output 1", "output 2"."""
        names = {id(node.layer): node.name for node in self._nodes}
        tensors = getattr(self.model, "outputs", None) or []
        made_by = [names.get(id(tensor._keras_history.layer), "") for tensor in tensors]
        if len(made_by) == count and all(made_by) and len(set(made_by)) == count:
            return made_by
        return [f"output {place}" for place in range(1, count + 1)]


class _Declared:
    """The inputs that a Keras 2 model declares, under the names they have in Keras 3."""

    def __init__(self, model: Any) -> None:
        self.name = model.name
        self.get_build_config = model.get_build_config
        self._inputs_struct = getattr(model, "_nested_inputs", None)


def _kernels(node: Node) -> list[Kernel]:
    return [parameter_kernel(node.layer)] if node.is_parameter else kernels_of(node.layer, node.inner)


def _is_container(node: Node) -> bool:
    if node.is_parameter or not node.inner:
        return False
    elsewhere = {id(variable) for variable in node.raw}
    return all(id(variable) in elsewhere for variable in own_weights(node.layer, node.inner))


def _layers_of(
    node: Node, place: int, listener: Listener, request: Request, last: LegacyLastStep
) -> list[Layer]:
    """One Layer for each output of each call (or a single one without), then one for each further kernel."""
    kernels = _kernels(node)
    own: list[Any] = [node.layer] if node.is_parameter else own_weights(node.layer, node.inner)
    elsewhere = {id(variable) for variable in node.raw}
    weighted = node.name in request.weights and not node.is_parameter
    first = Layer(
        name=node.name,
        kind="Parameter" if node.is_parameter else type(node.layer).__name__,
        place=place,
        parameters=sum(math.prod(variable.shape) for variable in own if id(variable) not in elsewhere),
        weights=read_weights(node.layer, node.inner, node.raw) if weighted else {},
        container=_is_container(node),
        statistics=LayerStatistics() if node.name in request.statistics else None,
    )
    if kernels:
        first = _with_kernel(first, kernels[0], node, request, last)
    heard = listener.heard.get(node.name, [])
    if not heard and not kernels:
        first = replace(first, refusal=listener.refusals.get(node.name, ""))
    layers = [] if heard else [first]
    for one in heard:
        if not one.suffix:
            layers.append(_with_output(first, one))
        else:
            again = "." not in one.suffix
            further = Layer(
                name=node.name + one.suffix,
                kind=first.kind,
                place=place,
                kernel_shape=first.kernel_shape if again else None,
                container=first.container,
                part_of=node.name,
                statistics=LayerStatistics() if again and first.statistics is not None else None,
            )
            layers.append(_with_output(further, one))
    layers = with_attention(layers, first, [one for one in listener.attended if one.node == node.name])
    for kernel in kernels[1:]:
        further = Layer(name=node.name + kernel.suffix, kind=first.kind, place=place, part_of=node.name)
        layers.append(_with_kernel(further, kernel, node, request, last))
    return layers


def _with_output(layer: Layer, heard: Heard) -> Layer:
    if heard.statistics is not None and layer.statistics is not None:
        layer = replace(layer, statistics=replace(layer.statistics, output=heard.statistics))
    return replace(layer, output_shape=heard.shape, output=heard.output, output_taken=heard.taken)


def _with_kernel(layer: Layer, kernel: Kernel, node: Node, request: Request, last: LegacyLastStep) -> Layer:
    layer = replace(layer, kernel_shape=kernel.shape, gates=kernel.gates)
    if node.name in request.statistics:
        layer = replace(layer, statistics=LayerStatistics(weights=sampled(kernel, last)))
    if node.name not in request.weights | request.kernels:
        return layer
    array, taken = kernel.read(), None
    cut = request.kernel_cuts.get(layer.name)
    if cut is not None:
        array, taken = cut_kernel(array, cut)
    return replace(layer, kernel=array, kernel_taken=taken)
