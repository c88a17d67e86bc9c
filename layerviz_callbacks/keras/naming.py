"""What names of layers have in common in Keras 3 and Keras 2; it knows neither."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def unique_names(
    layers: Sequence[Any], given: Sequence[str | None], wanted: Callable[[Any], str]
) -> list[str]:
    """Names for layers that stand side by side.

    Args:
        layers: the layers.
        given: the name that the user gave to each; None: there is none.
        wanted: what a layer without a name is called, but for a number.

    Example:
        >>> unique_names("abc", [None, "conv", None], lambda layer: "conv")
        ['conv_1', 'conv', 'conv_2']
    """
    taken = {name for name in given if name is not None}
    names: list[str] = []
    for layer, name in zip(layers, given, strict=True):
        if name is None or name in names:
            name = first_free(name or wanted(layer), taken.union(names))
        names.append(name)
    return names


def first_free(wanted: str, taken: set[str]) -> str:
    """The wanted name, with the first number that makes it new.

    Example:
        >>> first_free("conv", {"conv", "conv_1"})
        'conv_2'
    """
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def is_auto_named(layer: Any, kind: str) -> bool:
    """Whether Keras gave the layer its name, from what it calls such a layer and a number."""
    if not re.fullmatch(re.escape(kind) + r"(_\d+)?", layer.name):
        return False
    arguments = getattr(getattr(layer, "_auto_config", None), "config", None) or {}
    return arguments.get("name") is None  # a user may write name="dense_1", and a loaded model has its names


def attribute_names(
    members: Mapping[str, Any], kinds: type | tuple[type, ...], *, left_out: Sequence[str]
) -> dict[int, str]:
    """The attribute that holds each object of these kinds, by identity: "conv", or "blocks.0" in a list or dict.

    Args:
        members: the attributes of what holds them.
        kinds: the classes that count.
        left_out: attributes that are Keras' own.
    """  # noqa: E501
    names: dict[int, str] = {}
    for attribute, value in members.items():
        if attribute in left_out or attribute.startswith("_self_"):
            continue
        if isinstance(value, (list, tuple)):
            parts = {f".{place}": part for place, part in enumerate(value)}
        elif isinstance(value, dict):
            parts = {f".{key}": part for key, part in value.items()}
        else:
            parts = {"": value}
        for suffix, part in parts.items():
            if isinstance(part, kinds):
                names.setdefault(id(part), attribute.strip("_") + suffix)
    return names
