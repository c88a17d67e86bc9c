"""The layers of a Keras model with names that stay the same from run to run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True, eq=False)
class Node:
    """One layer of a model.

    Attributes:
        name: unique in the model; `/` joins it to the container it stands in.
        layer: the Keras layer.
        inner: the layers inside it that have nodes of their own.
        per_step: it is run once for each time step, so that no single output is its output.
    """

    name: str
    layer: Any
    inner: tuple[Any, ...]
    per_step: bool


def walk(model: Any) -> list[Node]:
    """Return every layer of a model in the model's order, containers before what they hold.

    A name that the user gave is kept. A layer that Keras numbered (`conv2d_17`) is named by class and
    place (`conv2d`, `conv2d_1`), because Keras counts through the whole process; in subclassed models
    by the attribute that holds it. Input layers and the cells of recurrent layers are left out, and a
    layer that stands in several places is listed at its first.
    """
    seen = {id(model)}

    def inside(container: Any, prefix: str, per_step: bool) -> Iterator[Node]:
        layers = [layer for layer in _children(container) if id(layer) not in seen]
        seen.update(id(layer) for layer in layers)
        for layer, name in zip(layers, _local_names(container, layers), strict=True):
            yield Node(prefix + name, layer, tuple(_children(layer)), per_step)
            steps = per_step or isinstance(layer, keras.layers.TimeDistributed)
            yield from inside(layer, f"{prefix}{name}/", steps)

    return list(inside(model, "", False))


def _children(container: Any) -> list[Any]:
    if hasattr(container, "cell"):  # a recurrent layer: its cell runs once a time step, inside a loop
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
    given = [None if wrapper or _is_auto_named(layer) else layer.name for layer in layers]
    taken = {name for name in given if name is not None}
    names: list[str] = []
    for layer, name in zip(layers, given, strict=True):
        if name is None or name in names:
            wanted = name or attributes.get(id(layer)) or _snake_case(type(layer).__name__)
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
    pattern = re.escape(_snake_case(type(layer).__name__)) + r"(_\d+)?"
    if not re.fullmatch(pattern, layer.name):
        return False
    arguments = getattr(getattr(layer, "_auto_config", None), "config", None) or {}
    return arguments.get("name") is None  # a user may write name="dense_1", and a loaded model has its names


def _attribute_names(container: Any) -> dict[int, str]:
    """The attribute that holds each layer: "conv", or "blocks.0" for one in a list or dict."""
    names: dict[int, str] = {}
    members = {**vars(container), **(vars(container).get("_modules") or {})}  # _modules: PyTorch backend
    for attribute, value in members.items():
        if attribute in ("_layers", "_operations", "_modules") or attribute.startswith("_self_"):
            continue
        if isinstance(value, (list, tuple)):
            parts = {f".{place}": part for place, part in enumerate(value)}
        elif isinstance(value, dict):
            parts = {f".{key}": part for key, part in value.items()}
        else:
            parts = {"": value}
        for suffix, part in parts.items():
            if isinstance(part, keras.layers.Layer):
                names.setdefault(id(part), attribute.strip("_") + suffix)
    return names


def _snake_case(name: str) -> str:
    """The name that Keras gives to a class: "Conv2D" -> "conv2d", "MaxPooling2D" -> "max_pooling2d"."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
