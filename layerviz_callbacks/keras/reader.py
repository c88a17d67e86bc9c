"""Reads a Keras model into Snapshots and leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.explaining import Differentiate
from layerviz_callbacks.keras.assembly import layers_of, measured_kernels, wanted_kernels
from layerviz_callbacks.keras.attention_reading import attended_in, settled, unread_attention
from layerviz_callbacks.keras.differentiation import Differentiation
from layerviz_callbacks.keras.fitting import displayed_inputs, input_axes, not_built
from layerviz_callbacks.keras.gradients import Explained
from layerviz_callbacks.keras.hearing import Heard
from layerviz_callbacks.keras.kernel_reading import KernelReader
from layerviz_callbacks.keras.names import Node, walk
from layerviz_callbacks.keras.passes import Passes
from layerviz_callbacks.keras.structure import NotBuiltError
from layerviz_callbacks.keras.updates import LastStep
from layerviz_callbacks.keras.weight_samples import WeightSampler
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.reader import LayerEntry
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Layer, Snapshot


class KerasReader:
    """Reads one Keras 3 model: Sequential, Functional or subclassed, nested or with shared layers.

    The model itself is run once on the probe with `training=False`, while each layer object is listened
    to; everything the run could change is kept away or put back. It is run eagerly where that is cheap;
    where layers loop in Python (recurrent layers on TensorFlow) and on JAX the pass is compiled, once for
    each distinct request, and falls back to an eager one where the model cannot be traced. Gradients are
    recorded in that same pass; where it is compiled, another program finds them.

    Args:
        model: a `keras.Model`.
        probe: the batch it is called with.

    Raises:
        ArgumentError: `model` is not a Keras model.

    Attributes:
        learning_rate: that of the last optimizer step, where a callback may have set the next one already;
            None: it is the one that the optimizer has now.
    """

    learning_rate: float | None = None

    def __init__(self, model: Any, probe: Probe) -> None:
        if not isinstance(model, keras.Model):
            raise ArgumentError(
                f"The model is a {type(model).__module__}.{type(model).__qualname__}. Allowed: a keras.Model."
            )
        self.model = model
        self.probe = probe
        self._heard: list[Heard] | None = None  # shapes of the last pass
        self._channels_first_inputs: set[tuple[int, ...]] = set()
        self._displayed: dict[frozenset[Any], dict[str, np.ndarray]] = {}
        self._passes = Passes(model, probe, self._inputs)
        self._kernels = KernelReader()
        self._samples = WeightSampler()

    def entries(self) -> list[LayerEntry]:
        """Every layer of the model, in the model's order, without running it."""
        return [
            LayerEntry(node.name, node.layer, bool(node.kernels), container=node.is_container)
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
            self._passes.shapes([])
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
        _synchronize(self.model)
        outputs: dict[str, np.ndarray] = {}
        explained = Explained()
        heard = self._heard
        if request.runs_model or heard is None:
            try:
                if request.runs_model:
                    passed = self._passes.run(request, self._nodes, self._heard)
                else:
                    passed = self._passes.shapes(self._nodes)
            except NotBuiltError as error:
                raise ArgumentError(not_built(self.model, self.probe, error.name)) from None
            heard, outputs, explained = settled(passed.heard), passed.outputs, passed.explained
            self._channels_first_inputs = passed.channels_first_inputs
            self._heard = [one.without_arrays() for one in heard]
        kernels = self._kernels.read(wanted_kernels(self._nodes, request), request.kernel_cuts)
        last = LastStep(self.model, self.learning_rate)
        samples = self._samples.read(measured_kernels(self._nodes, request), last)
        by_node: dict[str, list[Heard]] = {}
        for one in heard:
            by_node.setdefault(one.node, []).append(one)
        layers: dict[str, Layer] = {}
        for place, node in enumerate(self._nodes, start=1):
            for layer in layers_of(node, place, by_node.get(node.name, []), request, kernels, samples):
                layers[layer.name] = layer
        for name, gradients in explained.gradients.items():
            if name in layers:  # a model may come by other layers when it is run again
                layers[name] = replace(layers[name], gradients=gradients)
        return Snapshot(
            layers=layers,
            probe=self.probe,
            inputs=self._inputs(self._channels_first_inputs),
            outputs=outputs,
            input_axes=input_axes(self.probe, self._channels_first_inputs),
            scores=explained.scores,
            unread={**explained.unread, **unread_attention(attended_in(heard) or (), request)},
        )

    @contextmanager
    def differentiating(self) -> Iterator[Differentiate]:
        """Differentiate the model as often as is wanted; each time it begins from the same random state."""
        _synchronize(self.model)
        yield self._differentiation

    @cached_property
    def _differentiation(self) -> Differentiation:
        return Differentiation(self.model, self.probe, self._nodes)

    @cached_property
    def _nodes(self) -> list[Node]:
        return walk(self.model)

    def _inputs(self, channels_first: Set[Any]) -> dict[str, np.ndarray]:
        """The probe's inputs as they are displayed, made once."""
        key = frozenset(channels_first)
        if key not in self._displayed:
            self._displayed = {key: displayed_inputs(self.probe, channels_first)}
        return self._displayed[key]


def _synchronize(model: Any) -> None:
    """On JAX, training holds the weights outside the model; this brings them in. Elsewhere nothing to do."""
    if keras.backend.backend() == "jax" and hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
