"""The layers of a Keras model with names that stay the same from run to run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras

from layerviz_callbacks.keras.kernels import (
    StoredKernel,
    is_recurrent,
    kernels_of,
    own_parameters,
    own_variables,
    parameter_kernel,
)
from layerviz_callbacks.keras.naming import attribute_names, first_free, is_auto_named, unique_names

_TRACKED = ("_layers", "_operations", "_modules", "_trainable_variables", "_non_trainable_variables")


@dataclass(frozen=True, eq=False)
class Node:
    """One layer of a model, or one raw parameter (a class token, a position embedding).

    Attributes:
        name: unique in the model; `/` joins it to the container it stands in.
        layer: the Keras layer, or the variable.
        inner: the layers inside it that have nodes of their own.
        parameters: its own variables that have nodes of their own.
        steps_of: the name of the wrapper that runs it once for each time step, so that no single output
            is its output; "" elsewhere.
    """

    name: str
    layer: Any
    inner: tuple[Any, ...] = ()
    parameters: tuple[Any, ...] = ()
    steps_of: str = ""

    @property
    def is_parameter(self) -> bool:
        """Whether this is a variable, not a layer."""
        return isinstance(self.layer, keras.Variable)

    @property
    def is_called(self) -> bool:
        """Whether it is a layer with outputs of its own."""
        return not self.is_parameter and not self.steps_of

    @property
    def is_container(self) -> bool:
        """Whether it only holds other layers, and no variables of its own but raw parameters."""
        return bool(self.inner) and not self.own_variables

    @property
    def own_variables(self) -> list[Any]:
        """The variables that belong neither to a layer inside it nor to a node of their own."""
        elsewhere = {id(variable) for variable in self.parameters}
        own = [] if self.is_parameter else own_variables(self.layer, self.inner)
        return [variable for variable in own if id(variable) not in elsewhere]

    @cached_property
    def kernels(self) -> list[StoredKernel]:
        """Its kernels, the first one with `part=""`."""
        return [parameter_kernel(self.layer)] if self.is_parameter else kernels_of(self.layer, self.inner)


def walk(model: Any) -> list[Node]:
    """Return every layer of a model in the model's order, containers before what they hold.

    The raw parameters of the model itself, of containers and of the user's own layers stand before the
    layers inside them, each with a node of its own.

    A name that the user gave is kept. A layer that Keras numbered (`conv2d_17`) is named by class and
    place (`conv2d`, `conv2d_1`), because Keras counts through the whole process; in subclassed models
    by the attribute that holds it. Input layers and the cells of recurrent layers are left out, and a
    layer that stands in several places is listed at its first.
    """
    seen = {id(model)}

    def inside(container: Any, parameters: tuple[Any, ...], prefix: str, steps_of: str) -> Iterator[Node]:
        layers = [layer for layer in _children(container) if id(layer) not in seen]
        seen.update(id(layer) for layer in layers)
        names = _local_names(container, layers)
        taken = set(names)
        for parameter in parameters:
            name = first_free(_parameter_name(container, parameter), taken)
            taken.add(name)
            yield Node(prefix + name, parameter)
        for layer, name in zip(layers, names, strict=True):
            children = tuple(_children(layer))
            raw = _raw_parameters(layer, children)
            yield Node(prefix + name, layer, children, raw, steps_of)
            wrapped = isinstance(layer, keras.layers.TimeDistributed)
            once_a_step = steps_of or (prefix + name if wrapped else "")
            yield from inside(layer, raw, f"{prefix}{name}/", once_a_step)

    return list(inside(model, tuple(own_parameters(model, _children(model))), "", ""))


def _raw_parameters(layer: Any, children: tuple[Any, ...]) -> tuple[Any, ...]:
    """A single parameter of a layer without inner layers is that layer's kernel."""
    if is_recurrent(layer) or (not children and kernels_of(layer)):
        return ()
    return tuple(own_parameters(layer, children))


def _parameter_name(container: Any, variable: Any) -> str:
    attributes = _attribute_names(container, keras.Variable)
    return attributes.get(id(variable)) or str(variable.name)


def _children(container: Any) -> list[Any]:
    if is_recurrent(container):  # its cell runs once a time step, inside a loop
        return []
    if _is_graph(container):
        return [layer for layer in container.layers if not isinstance(layer, keras.layers.InputLayer)]
    children = container._flatten_layers(include_self=False, recursive=False)
    return [layer for layer in children if not isinstance(layer, keras.layers.InputLayer)]


def _is_graph(container: Any) -> bool:
    return isinstance(container, keras.Sequential) or hasattr(container, "_nodes_by_depth")


def _local_names(container: Any, layers: list[Any]) -> list[str]:
    attributes = {} if _is_graph(container) else _attribute_names(container)
    wrapper = isinstance(container, keras.layers.Bidirectional)  # it renames what it wraps: "forward_lstm_7"

    def kind(layer: Any) -> str:
        return _snake_case(type(layer).__name__)

    given = [None if wrapper or is_auto_named(layer, kind(layer)) else layer.name for layer in layers]
    return unique_names(layers, given, lambda layer: attributes.get(id(layer)) or kind(layer))


def _attribute_names(container: Any, kind: type = keras.layers.Layer) -> dict[int, str]:
    members = {**vars(container), **(vars(container).get("_modules") or {})}  # _modules: PyTorch backend
    return attribute_names(members, kind, left_out=_TRACKED)


def _snake_case(name: str) -> str:
    """The name that Keras gives to a class: "Conv2D" -> "conv2d", "MaxPooling2D" -> "max_pooling2d"."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
