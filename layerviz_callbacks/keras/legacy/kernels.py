"""Kernels and weights of Keras 2 layers as NumPy arrays, kernels as `(out, in, *space)`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras

from layerviz_callbacks.probe import to_numpy

_layers = tf_keras.layers
_SEPARABLE = (_layers.SeparableConv1D, _layers.SeparableConv2D)
_DEPTHWISE = (_layers.DepthwiseConv1D, _layers.DepthwiseConv2D)
_TRANSPOSED = (_layers.Conv1DTranspose, _layers.Conv2DTranspose, _layers.Conv3DTranspose)
_PLAIN = (_layers.Conv1D, _layers.Conv2D, _layers.Conv3D, _layers.Dense)
_GATES = {
    "LSTMCell": ("input", "forget", "cell", "output"),
    "GRUCell": ("update", "reset", "candidate"),
}
_BASES = ("Layer", "Model", "BaseRandomLayer", "AbstractRNNCell", "Wrapper")


@dataclass(frozen=True, eq=False)
class Kernel:
    """One kernel of a layer, as it is stored and as it is shown.

    Attributes:
        suffix: "" for the layer's own kernel, such as ".recurrent_kernel" for a further one.
        variable: the stored variable.
        out: the stored axes that are outputs; several become one.
        into: the stored axes that are inputs; none counts 1.
        space: the stored axes that are space.
        gates: see `Layer.gates`.
    """

    suffix: str
    variable: Any
    out: tuple[int, ...]
    into: tuple[int, ...]
    space: tuple[int, ...]
    gates: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape `(out, in, *space)`."""
        stored = tuple(self.variable.shape)
        out, into = (math.prod(stored[axis] for axis in axes) for axes in (self.out, self.into))
        return (out, into, *(stored[axis] for axis in self.space))

    def read(self) -> np.ndarray:
        """A contiguous copy `(out, in, *space)`."""
        moved = copied(self.variable).transpose(self.out + self.into + self.space)
        return np.ascontiguousarray(moved.reshape(self.shape))


def kernels_of(layer: Any, inner: Sequence[Any]) -> list[Kernel]:
    """The kernels of a layer, its own first; empty where it has none.

    Args:
        layer: a Keras 2 layer.
        inner: the layers inside it that are read on their own.
    """
    cell = getattr(layer, "cell", layer)
    if isinstance(layer, _SEPARABLE):
        found = [
            _convolution("", getattr(layer, "pointwise_kernel", None)),
            _depthwise(".depthwise_kernel", getattr(layer, "depthwise_kernel", None)),
        ]
    elif isinstance(layer, _DEPTHWISE):
        found = [_depthwise("", getattr(layer, "depthwise_kernel", None))]
    elif isinstance(layer, _TRANSPOSED):
        found = [_transposed(getattr(layer, "kernel", None))]
    elif isinstance(layer, _PLAIN):
        found = [_convolution("", getattr(layer, "kernel", None))]
    elif isinstance(layer, _layers.EinsumDense):
        found = [_einsum(getattr(layer, "kernel", None), layer.equation)]
    elif isinstance(layer, _layers.Embedding):
        found = [_transposed_matrix(getattr(layer, "embeddings", None))]
    elif _is_known(cell) and all(hasattr(one, "recurrent_kernel") for one in getattr(cell, "cells", [cell])):
        found = _recurrent(cell)
    else:
        found = _of_unknown(layer, inner)
    return [kernel for kernel in found if kernel is not None]


def parameter_kernel(variable: Any) -> Kernel:
    """A raw parameter: leading axes of length 1 dropped, then (last axis, all others); a curve where one."""
    stored = tuple(variable.shape)
    first = next((axis for axis, size in enumerate(stored) if size != 1), len(stored) - 1)
    last = len(stored) - 1
    if first == last:
        ones = tuple(range(last))
        return Kernel("", variable, ones[:1], ones[1:], (last,))
    return Kernel("", variable, (last,), tuple(range(last)), ())


def raw_parameters(layer: Any, inner: Sequence[Any]) -> list[Any]:
    """The variables of a layer that are shown on their own: those of two or more axes that are no kernel.

    Only of containers and of layers that Keras does not know: what a normalization layer of Keras' own
    holds has a name and a meaning already.
    """
    if _is_known(layer) and not isinstance(layer, tf_keras.Model):
        return []
    kernels = {id(kernel.variable) for kernel in kernels_of(layer, inner)}
    return [variable for variable in _matrices(layer, inner) if id(variable) not in kernels]


def read_weights(layer: Any, inner: Sequence[Any], elsewhere: Sequence[Any]) -> dict[str, np.ndarray]:
    """Copies of a layer's weights but for its kernels, by their own names.

    Args:
        layer: a Keras 2 layer.
        inner: the layers inside it that are read on their own.
        elsewhere: variables of its own that are read on their own.
    """
    left_out = {id(variable) for variable in elsewhere}
    left_out.update(id(kernel.variable) for kernel in kernels_of(layer, inner))
    weights: dict[str, np.ndarray] = {}
    for variable in own_weights(layer, inner):
        if id(variable) not in left_out:
            wanted = variable.name.rpartition("/")[2].partition(":")[0]
            same = sum(re.sub(r"_\d+$", "", name) == wanted for name in weights)
            weights[f"{wanted}_{same}" if wanted in weights else wanted] = copied(variable)
    return weights


def own_weights(layer: Any, inner: Sequence[Any]) -> list[Any]:
    """The variables of a layer that do not belong to the layers inside it."""
    others = {id(variable) for part in inner for variable in part.weights}
    return [variable for variable in layer.weights if id(variable) not in others]


def copied(value: Any) -> np.ndarray:
    """A NumPy copy of a variable or tensor; 16-bit floats become float32."""
    array = to_numpy(value)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _convolution(suffix: str, variable: Any, gates: tuple[str, ...] = ()) -> Kernel | None:
    """`(*space, in, out)`; a Dense kernel is one without space."""
    if variable is None:
        return None
    rank = len(variable.shape)
    return Kernel(suffix, variable, (rank - 1,), (rank - 2,), tuple(range(rank - 2)), gates)


def _transposed(variable: Any) -> Kernel | None:
    """`(*space, out, in)`."""
    if variable is None:
        return None
    rank = len(variable.shape)
    return Kernel("", variable, (rank - 2,), (rank - 1,), tuple(range(rank - 2)))


def _depthwise(suffix: str, variable: Any) -> Kernel | None:
    """`(*space, channel, multiplier)`: each output sees one input channel."""
    if variable is None:
        return None
    rank = len(variable.shape)
    return Kernel(suffix, variable, (rank - 2, rank - 1), (), tuple(range(rank - 2)))


def _transposed_matrix(variable: Any) -> Kernel | None:
    """`(vocabulary, dimension)`."""
    return None if variable is None else Kernel("", variable, (1,), (0,), ())


def _einsum(variable: Any, equation: str) -> Kernel | None:
    """The axes of the kernel that the output keeps are outputs, those summed over are inputs."""
    if variable is None:
        return None
    _, letters, output = re.split(",|->", equation.replace(" ", ""))
    kept = tuple(place for place, letter in enumerate(letters) if letter in output)
    summed = tuple(place for place, letter in enumerate(letters) if letter not in output)
    return Kernel("", variable, kept, summed, ())


def _recurrent(cell: Any) -> list[Kernel | None]:
    """The kernels of one cell, or of each of several on top of each other."""
    found: list[Kernel | None] = []
    for place, one in enumerate(getattr(cell, "cells", [cell])):
        classes = [kind.__name__ for kind in type(one).__mro__]
        known = (parts for kind, parts in _GATES.items() if any(name.endswith(kind) for name in classes))
        gates = next(known, ())
        for name in ("kernel", "recurrent_kernel"):
            suffix = f".cells.{place}.{name}" if place else f".{name}"
            first = not found
            found.append(_convolution("" if first else suffix, getattr(one, name, None), gates))
    return found


def _of_unknown(layer: Any, inner: Sequence[Any]) -> list[Kernel | None]:
    """A layer of the user's own with a single weight of two or more axes: that is its kernel."""
    if _is_known(layer) or inner or isinstance(layer, tf_keras.Model):
        return []
    matrices = _matrices(layer, inner)
    if len(matrices) != 1 or matrices[0].shape[0] == 1:
        return []
    return [_convolution("", matrices[0])]


def _matrices(layer: Any, inner: Sequence[Any]) -> list[Any]:
    others = {id(variable) for part in inner for variable in part.weights}
    own = [variable for variable in _trainable(layer) if id(variable) not in others]
    return [variable for variable in own if len(variable.shape) >= 2 and variable.dtype.is_floating]


def _trainable(layer: Any) -> list[Any]:
    """The variables made to be trained, frozen or not."""
    holders = [layer, *layer._flatten_layers(include_self=False)]
    return [variable for holder in holders for variable in holder._trainable_weights]


def _is_known(layer: Any) -> bool:
    """Whether the layer (of a recurrent one, its cell) is of a class of Keras' own, or derived from one."""
    return any(
        kind.__module__.startswith("tf_keras.") and kind.__name__ not in _BASES
        for kind in type(getattr(layer, "cell", layer)).__mro__
        if issubclass(kind, _layers.Layer)
    )
