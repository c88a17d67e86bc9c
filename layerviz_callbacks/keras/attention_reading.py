"""From what was heard of attention to the layers of a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from layerviz_callbacks.keras.attention import Asked, Attended
from layerviz_callbacks.keras.hearing import Heard
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Layer

OF_THE_MODEL = "attention of the model itself"
_WHY = "it is computed in the model's own call(), in no layer: compute it in a layer of its own"


def asked_of(request: Request, samples: int, known: Sequence[Attended] | None) -> Asked:
    """What a pass is asked for.

    Args:
        request: what is wanted.
        samples: how many the probe has.
        known: what the last pass heard; None: there was none.
    """
    places = None if known is None else frozenset(one.key for one in known)
    return Asked(request.attention, request.attention_samples, samples, places)


def is_uncertain(heard: Heard) -> bool:
    """Whether only a pass with values can tell if this is attention, or how large it is."""
    return heard.attended is not None and (not heard.attended.certain or None in heard.shape)


def settled(heard: Sequence[Heard]) -> list[Heard]:
    """What was heard, without what looked like attention and is none."""
    left = []
    for one in heard:
        answer = one.tensors.get("is_attention")
        if one.attended is not None and answer is not None:
            if not bool(answer):
                continue
            one = replace(one, attended=replace(one.attended, certain=True))
        left.append(one)
    return left


def attended_in(heard: Sequence[Heard] | None) -> list[Attended] | None:
    """How layers attended, among what was heard; None: nothing was."""
    if heard is None:
        return None
    return [
        replace(one.attended, shape=one.shape, tensors=one.tensors)
        for one in heard
        if one.attended is not None
    ]


def unread_attention(attended: Sequence[Attended], request: Request) -> dict[str, str]:
    """What was asked for of attention and could not be read, with the reason in words."""
    unread: dict[str, str] = {}
    for one in attended if request.attention else ():
        if not one.node:
            unread[OF_THE_MODEL] = _WHY
        elif one.refusal and one.node in request.attention:
            call = "" if one.call == 1 else f"#{one.call}"
            unread[f"attention of {one.node}{call}"] = one.refusal
    return unread


def with_attention(layers: Sequence[Layer], first: Layer, attended: Sequence[Attended]) -> list[Layer]:
    """The layers of one node, with how each of its calls attended.

    Args:
        layers: those without.
        first: the node's own.
        attended: the attention in its calls.
    """
    found = {layer.name: layer for layer in layers}
    counts: dict[int, int] = {}
    for one in attended:
        if not one.shape:
            continue
        counts[one.call] = number = counts.get(one.call, 0) + 1
        name = first.name + ("" if one.call == 1 else f"#{one.call}")
        if number > 1:
            name += f".attention {number}"
        elif name not in found:
            found[name] = Layer(name, first.kind, first.place, container=first.container, part_of=first.name)
        layer = found.get(name) or Layer(name, first.kind, first.place, part_of=first.name)
        weights = one.tensors.get("weights")
        shape = tuple(0 if size is None else size for size in one.shape)
        found[name] = replace(layer, attention_shape=shape, attention=_array(weights))
    return list(found.values())


def _array(weights: np.ndarray | None) -> np.ndarray | None:
    return None if weights is None else np.ascontiguousarray(weights, np.float32)
