"""Reads a Keras model into Snapshots and leaves it as it was."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.keras.calls import Heard, Listener, NotBuiltError, nothing_built, parts_of
from layerviz_callbacks.keras.fitting import call_error, check_fits, model_inputs
from layerviz_callbacks.keras.isolation import isolated
from layerviz_callbacks.keras.kernels import copied, kernel_shape, own_weights, read_kernel, read_weights
from layerviz_callbacks.keras.names import Node, walk
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.reader import LayerEntry, Request
from layerviz_callbacks.snapshot import Layer, Snapshot


class KerasReader:
    """Reads one Keras 3 model: Sequential, Functional or subclassed, nested or with shared layers.

    The model itself is run once on the probe, eagerly and with `training=False`, while each layer object
    is listened to; everything the run could change is kept away or put back.

    Args:
        model: a `keras.Model`.
        probe: the batch it is called with.

    Raises:
        ArgumentError: `model` is not a Keras model.
    """

    def __init__(self, model: Any, probe: Probe) -> None:
        if not isinstance(model, keras.Model):
            raise ArgumentError(
                f"The model is a {type(model).__module__}.{type(model).__qualname__}. Allowed: a keras.Model."
            )
        self.model = model
        self.probe = probe
        self._heard: dict[str, list[Heard]] | None = None  # shapes of the last pass
        self._channels_first_inputs: set[tuple[int, ...]] = set()

    def entries(self) -> list[LayerEntry]:
        """Every layer of the model, in the model's order, without running it."""
        return [
            LayerEntry(node.name, node.layer, kernel_shape(node.layer) is not None) for node in self._nodes
        ]

    def unbuilt(self) -> str:
        """The name of a layer whose weights are not made yet and that the probe would need; else "".

        Raises:
            ProbeError: the model cannot be called with the probe.
        """
        if all(layer.built for layer in self.model._flatten_layers()):
            return ""
        try:
            self._run(Listener([], frozenset()))
        except NotBuiltError as error:
            return error.name
        return ""

    def check_built(self) -> None:
        """Raise `ArgumentError`, with what to type, where the model's weights are not made yet."""
        name = self.unbuilt()
        if name:
            raise ArgumentError(self._not_built(name))

    def read(self, request: Request) -> Snapshot:
        """Run the probe once (for outputs, or for shapes not known yet) and copy what was asked for.

        Raises:
            ProbeError: the model cannot be called with the probe.
            ArgumentError: the model's weights are not made yet.
        """
        _synchronize(self.model)
        outputs: dict[str, np.ndarray] = {}
        heard = self._heard
        if request.outputs or heard is None:
            listener = Listener(self._nodes, request.outputs)
            try:
                outputs = self._named_outputs(self._run(listener))
            except NotBuiltError as error:
                raise ArgumentError(self._not_built(error.name)) from None
            heard = listener.heard
            self._channels_first_inputs = listener.channels_first_inputs
            self._heard = {name: [replace(one, output=None) for one in all_] for name, all_ in heard.items()}
        layers: dict[str, Layer] = {}
        for place, node in enumerate(self._nodes, start=1):
            for layer in _layers_of(node, place, heard.get(node.name, []), request):
                layers[layer.name] = layer
        return Snapshot(layers=layers, probe=self.probe, inputs=self._inputs(), outputs=outputs)

    @cached_property
    def _nodes(self) -> list[Node]:
        return walk(self.model)

    def _run(self, listener: Listener) -> Any:
        check_fits(self.model, self.probe)
        with isolated(self.model), nothing_built(self.model), listener.listening():
            try:
                return self.model(model_inputs(self.model, self.probe), training=False)
            except NotBuiltError:
                raise
            except Exception as error:
                raise call_error(self.model, self.probe, error) from error

    def _named_outputs(self, output: Any) -> dict[str, np.ndarray]:
        parts = parts_of(output)
        if len(parts) == 1 and not isinstance(output, dict):
            return {"output": copied(parts[0][1])}
        names = self._output_names(len(parts)) if isinstance(output, (list, tuple)) else None
        return {names[place] if names else path: copied(tensor) for place, (path, tensor) in enumerate(parts)}

    def _output_names(self, count: int) -> list[str]:
        """The layers that make the outputs of a Functional model; else "output 1", "output 2"."""
        names = {id(node.layer): node.name for node in self._nodes}
        tensors = getattr(self.model, "outputs", None) or []
        made_by = [names.get(id(tensor._keras_history.operation), "") for tensor in tensors]
        if len(made_by) == count and all(made_by) and len(set(made_by)) == count:
            return made_by
        return [f"output {place}" for place in range(1, count + 1)]

    def _inputs(self) -> dict[str, np.ndarray]:
        shown = self.probe.shown()
        if shown is not None:
            return shown
        return {
            name: np.moveaxis(array, 1, -1) if array.shape in self._channels_first_inputs else array
            for name, array in self.probe.arrays.items()
        }

    def _not_built(self, name: str) -> str:
        arrays = list(self.probe.arrays.values())
        call = "model(x_val[:1])"
        build = f"model.build({(None, *arrays[0].shape[1:])}) or {call}" if len(arrays) == 1 else call
        return (
            f"The model {self.model.name!r} is not built yet: its layer {name!r} has no weights. "
            f"Type {build} first, or begin the model with keras.Input(...)."
        )


def _layers_of(node: Node, place: int, heard: list[Heard], request: Request) -> list[Layer]:
    """One Layer for each output of each call, or a single one where the layer was not called."""
    weighted = node.name in request.weights | request.kernels
    own = own_weights(node.layer, node.inner)
    first = Layer(
        name=node.name,
        kind=type(node.layer).__name__,
        place=place,
        parameters=sum(math.prod(variable.shape) for variable in own),
        kernel_shape=kernel_shape(node.layer),
        kernel=read_kernel(node.layer) if weighted else None,
        weights=read_weights(node.layer, node.inner) if weighted else {},
        container=bool(node.inner) and not own,
    )
    layers = [] if heard else [first]
    for one in heard:
        if one.call == 1 and not one.part:
            layers.append(replace(first, output_shape=one.shape, output=one.output))
        else:
            call = "" if one.call == 1 else f"#{one.call}"
            layers.append(
                Layer(
                    name=f"{node.name}{call}{one.part}",
                    kind=first.kind,
                    place=place,
                    kernel_shape=None if one.part else first.kernel_shape,
                    output_shape=one.shape,
                    output=one.output,
                    container=first.container,
                    part_of=node.name,
                )
            )
    return layers


def _synchronize(model: Any) -> None:
    """On JAX, training holds the weights outside the model; this brings them in. Elsewhere nothing to do."""
    if keras.backend.backend() == "jax" and hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
