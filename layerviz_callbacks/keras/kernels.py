"""Kernels and weights of Keras layers as NumPy arrays, kernels as `(out, in, *space)`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.probe import to_numpy

_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_PLAIN = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


@dataclass(frozen=True)
class Layout:
    """Which axes of a stored kernel are outputs, inputs and space; several become one, none counts 1."""

    out: tuple[int, ...]
    into: tuple[int, ...]
    space: tuple[int, ...]

    def shape(self, stored: Sequence[int]) -> tuple[int, ...]:
        """The shape `(out, in, *space)` of a kernel stored with this shape."""
        out = math.prod(stored[axis] for axis in self.out)
        into = math.prod(stored[axis] for axis in self.into)
        return (out, into, *(stored[axis] for axis in self.space))

    def array(self, stored: np.ndarray) -> np.ndarray:
        """The kernel as a contiguous array `(out, in, *space)`."""
        moved = stored.transpose(self.out + self.into + self.space)
        return np.ascontiguousarray(moved.reshape(self.shape(stored.shape)))


def kernel_shape(layer: Any) -> tuple[int, ...] | None:
    """The shape `(out, in, *space)` of a layer's kernel, without reading it; None where it has none."""
    found = _find_kernel(layer)
    if found is None:
        return None
    kernel, layout = found
    return layout.shape(tuple(kernel.shape))


def read_kernel(layer: Any) -> np.ndarray | None:
    """A copy of a layer's kernel as `(out, in, *space)`; None where it has none."""
    found = _find_kernel(layer)
    if found is None:
        return None
    kernel, layout = found
    return layout.array(copied(kernel))


def read_weights(layer: Any, inner: Sequence[Any]) -> dict[str, np.ndarray]:
    """Copies of a layer's weights but for its kernel, by their own names.

    Args:
        layer: a Keras layer.
        inner: the layers inside it that are read on their own.
    """
    kernel_ids: set[int] = set()
    weights: dict[str, np.ndarray] = {}
    if _find_kernel(layer) is not None:
        names = ("_kernel", "kernel", "pointwise_kernel", "depthwise_kernel")
        kernel_ids = {id(getattr(layer, name, None)) for name in names}
    if isinstance(layer, _SEPARABLE) and kernel_ids:
        stored = copied(layer.depthwise_kernel)
        weights["depthwise_kernel"] = _depthwise(stored.ndim).array(stored)
    for variable in own_weights(layer, inner):
        if id(variable) not in kernel_ids:
            weights[_free_name(variable.name, weights)] = copied(variable)
    return weights


def own_weights(layer: Any, inner: Sequence[Any]) -> list[Any]:
    """The variables of a layer that do not belong to the layers inside it; no random seeds."""
    others = {id(variable) for part in inner for variable in part.weights}
    return [variable for variable in layer.weights if id(variable) not in others]


def copied(value: Any) -> np.ndarray:
    """A NumPy copy of a Keras variable or tensor; 16-bit floats become float32."""
    if isinstance(value, keras.Variable):
        value = value.value
    array = to_numpy(value)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _find_kernel(layer: Any) -> tuple[Any, Layout] | None:
    if isinstance(layer, _SEPARABLE):
        return _with_layout(getattr(layer, "pointwise_kernel", None), _convolution)
    if isinstance(layer, _DEPTHWISE):
        return _with_layout(getattr(layer, "kernel", None), _depthwise)
    if isinstance(layer, _TRANSPOSED):
        return _with_layout(getattr(layer, "kernel", None), _transposed)
    if isinstance(layer, (*_PLAIN, keras.layers.Dense)):
        return _with_layout(getattr(layer, "kernel", None), _convolution)
    if isinstance(layer, keras.layers.EinsumDense):
        return _with_layout(getattr(layer, "kernel", None), lambda rank: _einsum(layer.equation))
    return None


def _with_layout(kernel: Any, layout: Any) -> tuple[Any, Layout] | None:
    return None if kernel is None else (kernel, layout(len(kernel.shape)))


def _convolution(rank: int) -> Layout:
    """`(*space, in, out)`; a Dense kernel is one without space."""
    return Layout(out=(rank - 1,), into=(rank - 2,), space=tuple(range(rank - 2)))


def _transposed(rank: int) -> Layout:
    """`(*space, out, in)`."""
    return Layout(out=(rank - 2,), into=(rank - 1,), space=tuple(range(rank - 2)))


def _depthwise(rank: int) -> Layout:
    """`(*space, channel, multiplier)`: each output sees one input channel."""
    return Layout(out=(rank - 2, rank - 1), into=(), space=tuple(range(rank - 2)))


def _einsum(equation: str) -> Layout:
    """The axes of the kernel that the output keeps are outputs, those summed over are inputs."""
    _, kernel, output = re.split(",|->", equation)
    kept = tuple(place for place, letter in enumerate(kernel) if letter in output)
    summed = tuple(place for place, letter in enumerate(kernel) if letter not in output)
    return Layout(out=kept, into=summed, space=())


def _free_name(wanted: str, taken: dict[str, np.ndarray]) -> str:
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name
