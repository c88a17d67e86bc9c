"""The outputs of layers that scores are differentiated with respect to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.keras.gradients import NO_PATH, NOT_CALLED
from layerviz_callbacks.keras.gradients_tape import is_floating
from layerviz_callbacks.keras.hearing import Heard
from layerviz_callbacks.keras.kernels import copied
from layerviz_callbacks.keras.logits import Logits
from layerviz_callbacks.keras.names import Node


@dataclass(frozen=True, eq=False)
class Point:
    """One output.

    Attributes:
        node: the layer's own name.
        tensor: with respect to which a score is differentiated.
        channel_axis: of its channels.
    """

    node: str
    tensor: Any
    channel_axis: int


def in_half_precision(nodes: Sequence[Node]) -> bool:
    """Whether layers compute in float16, in which small gradients are lost."""
    return any(getattr(node.layer, "compute_dtype", "") == "float16" for node in nodes)


def unheard_layers(nodes: Sequence[Node]) -> dict[str, str]:
    """Why some layers are never heard, by name."""
    return {node.name: f"it runs once a time step of {node.steps_of}" for node in nodes if node.steps_of}


class Points:
    """Takes the first output of each call of some layers as a point: what a Listener's `replace` is.

    Args:
        wanted: the names of the layers.
        point: gives of an output the point, and what takes the output's place; see `Tape.point`.
        logits: is told what took the place of what.

    Attributes:
        found: by `Layer.name`.
    """

    def __init__(
        self, wanted: frozenset[str], point: Callable[[str, Any], tuple[Any, Any]], logits: Logits
    ) -> None:
        self._wanted, self._point, self._logits = wanted, point, logits
        self._refused: dict[str, tuple[str, str]] = {}
        self.found: dict[str, Point] = {}

    def replace(self, heard: Heard, tensor: Any, channel_axis: int) -> Any:
        """What takes the place of an output."""
        if heard.node not in self._wanted or heard.part:
            return tensor
        if not is_floating(tensor):
            kind = keras.backend.standardize_dtype(tensor.dtype)
            self._refused[heard.name] = (heard.node, f"its output holds {kind}, which has no gradient")
            return tensor
        point, other = self._point(heard.name, tensor)
        self.found[heard.name] = Point(heard.node, point, channel_axis)
        mask = getattr(tensor, "_keras_mask", None)
        if mask is not None:
            other._keras_mask = mask
        self._logits.carry(tensor, other)
        return other

    def of(self, nodes: Iterable[str]) -> dict[str, Point]:
        """Those of these layers."""
        names = set(nodes)
        return {name: point for name, point in self.found.items() if point.node in names}

    def missing(self, wanted: frozenset[str], unheard: Mapping[str, str]) -> dict[str, str]:
        """By `Layer.name`, why there is no point in these layers.

        Args:
            wanted: the names of the layers.
            unheard: why some layers are never heard, by name.
        """
        missing = {name: why for name, (node, why) in self._refused.items() if node in wanted}
        heard = {point.node for point in self.found.values()} | {node for node, _ in self._refused.values()}
        for name in sorted(wanted - heard):
            missing[name] = unheard.get(name, NOT_CALLED)
        return missing


def gradient_arrays(
    found: Sequence[Any], points: Sequence[Point], samples: int | None
) -> list[np.ndarray | None]:
    """Copies of gradients as `(sample, *space, channel)`; None where there is none.

    Args:
        found: tensors in the layout of the outputs.
        points: whose they are.
        samples: the first so many; None: all.
    """
    arrays: list[np.ndarray | None] = []
    for gradient, point in zip(found, points, strict=True):
        if gradient is None:
            arrays.append(None)
            continue
        array = copied(gradient if samples is None else gradient[:samples])
        arrays.append(np.moveaxis(array, point.channel_axis, -1) if array.ndim > 1 else array)
    return arrays


def sorted_out(
    names: Iterable[str], arrays: Iterable[np.ndarray | None]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Gradients by name, and why there is none."""
    by_name = dict(zip(names, arrays, strict=True))
    found = {name: array for name, array in by_name.items() if array is not None}
    return found, {name: NO_PATH for name, array in by_name.items() if array is None}
