"""The layers of a Keras 2 model with names that stay the same from run to run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow
import tf_keras

from layerviz_callbacks.keras.legacy.kernels import raw_parameters
from layerviz_callbacks.keras.naming import attribute_names, is_auto_named, unique_names


@dataclass(frozen=True, eq=False)
class Node:
    """One layer of a model, or one raw parameter.

    Attributes:
        name: unique in the model; `/` joins it to the container it stands in.
        layer: the Keras 2 layer, or the variable itself where `is_parameter`.
        inner: the layers inside it that have nodes of their own.
        raw: its own variables that have nodes of their own.
        per_step: it is run once for each time step, so that no single output is its output.
        is_parameter: it is a raw parameter.
    """

    name: str
    layer: Any
    inner: tuple[Any, ...] = ()
    raw: tuple[Any, ...] = ()
    per_step: bool = False
    is_parameter: bool = False


def walk(model: Any) -> list[Node]:
    """Return every layer of a model in the model's order, containers before what they hold.

    A name that the user gave is kept. A layer that Keras numbered (`conv2d_17`) is named by class and
    place (`conv2d`, `conv2d_1`), because Keras counts through the whole process; in subclassed models
    by the attribute that holds it. Input layers and the cells of recurrent layers are left out, and a
    layer that stands in several places is listed at its first.
    """
    seen = {id(model)}

    def parameters(layer: Any, raw: tuple[Any, ...], prefix: str) -> Iterator[Node]:
        attributes = _attribute_names(layer)
        for variable in raw:
            last = variable.name.rpartition("/")[2].partition(":")[0]
            yield Node(prefix + (attributes.get(id(variable)) or last), variable, is_parameter=True)

    def inside(container: Any, prefix: str, per_step: bool) -> Iterator[Node]:
        layers = [layer for layer in children_of(container) if id(layer) not in seen]
        seen.update(id(layer) for layer in layers)
        for layer, name in zip(layers, _local_names(container, layers), strict=True):
            inner = tuple(children_of(layer))
            raw = tuple(raw_parameters(layer, inner))
            yield Node(prefix + name, layer, inner, raw, per_step)
            yield from parameters(layer, raw, f"{prefix}{name}/")
            steps = per_step or isinstance(layer, tf_keras.layers.TimeDistributed)
            yield from inside(layer, f"{prefix}{name}/", steps)

    roots = tuple(raw_parameters(model, tuple(children_of(model))))
    return [*parameters(model, roots, ""), *inside(model, "", False)]


def children_of(container: Any) -> list[Any]:
    """The layers that stand right in a container; none for a recurrent layer, whose cell is run in a loop."""
    if hasattr(container, "cell"):
        return []
    if _is_graph(container):
        found = container.layers
    else:
        found = list(container._flatten_layers(include_self=False, recursive=False))
    return [layer for layer in found if not isinstance(layer, tf_keras.layers.InputLayer)]


def _is_graph(container: Any) -> bool:
    return isinstance(container, tf_keras.Sequential) or getattr(container, "_is_graph_network", False)


def _local_names(container: Any, layers: list[Any]) -> list[str]:
    attributes = {} if _is_graph(container) else _attribute_names(container)
    renames = isinstance(container, tf_keras.layers.Bidirectional)  # "forward_lstm_7"
    given = [
        None if renames or is_auto_named(layer, _name_of_kind(layer)) else layer.name for layer in layers
    ]
    return unique_names(layers, given, lambda layer: attributes.get(id(layer)) or _name_of_kind(layer))


def _name_of_kind(layer: Any) -> str:
    """What Keras calls a layer, but for its number: "Conv2D" -> "conv2d"."""
    kind = type(layer).__name__
    if kind in ("TFOpLambda", "SlicingOpLambda", "ClassMethod"):
        return re.sub(r"_\d+$", "", layer.name)
    if kind == "Functional":
        return "model"
    name = re.sub(r"\W+", "", kind)
    name = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _attribute_names(container: Any) -> dict[int, str]:
    kinds = (tf_keras.layers.Layer, tensorflow.Variable)
    return attribute_names(vars(container), kinds, left_out=("_trainable_weights", "_non_trainable_weights"))
