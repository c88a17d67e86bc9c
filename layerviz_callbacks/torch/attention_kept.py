"""Attention weights that a layer gives back beside its output, or keeps as an attribute."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from layerviz_callbacks.torch.copying import tensors_in

_OUTPUT, _ATTRIBUTE = "output ", "attribute "


def kept_weights(
    module: nn.Module, output: Any, lengths: frozenset[int]
) -> Iterator[tuple[str, torch.Tensor]]:
    """What might be weights `(sample, query, key)` or `(sample, head, query, key)`, by shapes alone.

    There are as many queries as the first output has places, and as many keys as there are queries, or as a
    sequence is long that the layer was given: so the class probabilities of each place are none.

    Args:
        module: the layer.
        output: what it gave back.
        lengths: how long the sequences are that it was given.
    """
    parts = list(tensors_in(output))
    if not parts:
        return
    first = parts[0][1]
    queries = {1} if first.ndim == 2 else _lengths(first)
    found = [(f"{_OUTPUT}{path}", part) for path, part in parts[1:]]
    found += [(f"{_ATTRIBUTE}{name}", value) for name, value in vars(module).items()]
    for what, weights in found:
        if not isinstance(weights, torch.Tensor) or isinstance(weights, nn.Parameter):
            continue
        if weights.ndim not in (3, 4) or not weights.is_floating_point():
            continue
        query, key = weights.shape[-2:]
        if query in queries and (key in lengths or (key == query and query > 1)):
            yield what, weights


def weights_at(what: str, module: nn.Module, output: Any) -> torch.Tensor | None:
    """The tensor that `kept_weights` called so in an earlier pass."""
    if what.startswith(_ATTRIBUTE):
        value = vars(module).get(what.removeprefix(_ATTRIBUTE))
        return value if isinstance(value, torch.Tensor) else None
    return dict(tensors_in(output)).get(what.removeprefix(_OUTPUT))


def lengths_of(given: Any) -> frozenset[int]:
    """How long the sequences in a layer's arguments are."""
    found: set[int] = set()
    for _, tensor in tensors_in(given):
        found |= _lengths(tensor)
    return frozenset(found)


def _lengths(tensor: torch.Tensor) -> set[int]:
    """The number of places of a sequence `(sample, place, ...)`, `(place, sample, ...)`, or of a map."""
    shape = tensor.shape
    if len(shape) < 2:
        return set()
    if len(shape) == 2:
        return {shape[1]}
    return {shape[0], shape[1]} if len(shape) == 3 else {math.prod(shape[2:]), math.prod(shape[1:-1])}
