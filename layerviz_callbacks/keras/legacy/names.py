"""The layers of a Keras 2 model with names that stay the same from run to run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow
import tf_keras

from layerviz_callbacks.keras.legacy.kernels import raw_parameters


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
    given = [None if renames or _is_auto_named(layer) else layer.name for layer in layers]
    taken = {name for name in given if name is not None}
    names: list[str] = []
    for layer, name in zip(layers, given, strict=True):
        if name is None or name in names:
            wanted = name or attributes.get(id(layer)) or _name_of_kind(layer)
            name = _first_free(wanted, taken.union(names))
        names.append(name)
    return names


def _first_free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def _is_auto_named(layer: Any) -> bool:
    if not re.fullmatch(re.escape(_name_of_kind(layer)) + r"(_\d+)?", layer.name):
        return False
    arguments = getattr(getattr(layer, "_auto_config", None), "config", None) or {}
    return arguments.get("name") is None  # a user may write name="dense_1", and a loaded model has its names


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
    """The attribute that holds each layer or variable: "conv", or "blocks.0" for one in a list or dict."""
    names: dict[int, str] = {}
    for attribute, value in vars(container).items():
        if attribute.startswith("_self_") or attribute in ("_trainable_weights", "_non_trainable_weights"):
            continue
        if isinstance(value, (list, tuple)):
            parts = {f".{place}": part for place, part in enumerate(value)}
        elif isinstance(value, dict):
            parts = {f".{key}": part for key, part in value.items()}
        else:
            parts = {"": value}
        for suffix, part in parts.items():
            if isinstance(part, (tf_keras.layers.Layer, tensorflow.Variable)):
                names.setdefault(id(part), attribute.strip("_") + suffix)
    return names
