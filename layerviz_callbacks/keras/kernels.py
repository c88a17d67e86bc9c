"""Which kernels a Keras layer has, by the family it belongs to, and how they are stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.keras.layout import Layout, convolution, depthwise, einsum, transposed
from layerviz_callbacks.probe import to_numpy

LSTM_GATES = ("input", "forget", "cell", "output")
GRU_GATES = ("update", "reset", "candidate")

_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_PLAIN = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense)
_CONV_LSTM = (keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D)


@dataclass(frozen=True, eq=False)
class StoredKernel:
    """One kernel of a layer, as Keras stores it.

    Attributes:
        part: "" for the layer's first kernel, else the name of a further one, such as "recurrent_kernel".
        stored: the shape of what `read` gives.
        layout: which of its axes are outputs, inputs and space.
        read: gives it as a tensor, with the values it has at that moment; nothing is copied.
        variables: what it is made of; these are not listed among the layer's other weights.
        gates: the names of the equal parts of the output axis.
    """

    part: str
    stored: tuple[int, ...]
    layout: Layout
    read: Callable[[], Any]
    variables: tuple[Any, ...]
    gates: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """`(out, in, *space)`."""
        return self.layout.shape(self.stored)


def kernels_of(layer: Any, inner: Sequence[Any] = ()) -> list[StoredKernel]:
    """The kernels of a layer, the first one with `part=""`; none where it is not built, or has none.

    Args:
        layer: a Keras layer.
        inner: the layers inside it that are read on their own.
    """
    if not layer.built:
        return []
    if is_recurrent(layer):
        kernels = list(_cell_kernels(layer, layer.cell, ""))
    elif isinstance(layer, _SEPARABLE):
        kernels = [
            *_stored(layer, "pointwise_kernel", convolution),
            *_stored(layer, "depthwise_kernel", depthwise),
        ]
    else:
        kernels = _plain_kernels(layer, inner)
    return [replace(kernel, part=kernel.part if place else "") for place, kernel in enumerate(kernels)]


def kernel_shape(layer: Any) -> tuple[int, ...] | None:
    """The shape `(out, in, *space)` of a layer's first kernel, without reading it; None where it has none."""
    kernels = kernels_of(layer)
    return kernels[0].shape if kernels else None


def parameter_kernel(variable: Any) -> StoredKernel:
    """A raw parameter such as a class token: `(last axis, all others)`, or one curve `(1, 1, last axis)`.

    Leading axes of length 1 are left out first.
    """
    shape = tuple(int(size) for size in variable.shape)
    first = next((axis for axis, size in enumerate(shape[:-1]) if size != 1), len(shape) - 1)
    left = shape[first:]
    stored = (left[0], 1, 1) if len(left) == 1 else (math.prod(left[:-1]), left[-1])
    return StoredKernel(
        part="",
        stored=stored,
        layout=convolution(len(stored)),
        read=lambda: keras.ops.reshape(tensor_of(variable), stored),
        variables=(variable,),
    )


def is_recurrent(layer: Any) -> bool:
    """Whether it runs a cell once a time step, in a loop (LSTM, GRU, ConvLSTM, RNN)."""
    return hasattr(getattr(layer, "cell", None), "state_size")


def own_variables(layer: Any, inner: Sequence[Any]) -> list[Any]:
    """The variables of a layer that do not belong to the layers inside it; no random seeds."""
    others = {id(variable) for part in inner for variable in part.weights}
    return [variable for variable in layer.weights if id(variable) not in others]


def own_parameters(layer: Any, inner: Sequence[Any]) -> list[Any]:
    """The own variables that were made to be trained and have two or more axes, of a layer of the user's.

    Empty for the layers of Keras itself: what is theirs beside kernels (scales, shifts, slopes) is no filter.
    """
    kind = next(known for known in type(layer).__mro__ if known.__module__.partition(".")[0] == "keras")
    if kind not in (keras.Layer, keras.Model, keras.Sequential, _functional()):
        return []
    made_to_be_trained = {id(variable) for variable in layer._trainable_variables}
    own = own_variables(layer, inner)
    return [variable for variable in own if id(variable) in made_to_be_trained and len(variable.shape) > 1]


def tensor_of(value: Any) -> Any:
    """A variable's value now, or a tensor as it is; no gradient follows it."""
    return keras.ops.stop_gradient(keras.ops.convert_to_tensor(value))


def copied(value: Any) -> np.ndarray:
    """A NumPy copy of a Keras variable or tensor; 16-bit floats become float32."""
    if isinstance(value, keras.Variable):
        value = value.value
    array = to_numpy(value)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _plain_kernels(layer: Any, inner: Sequence[Any]) -> list[StoredKernel]:
    if isinstance(layer, _DEPTHWISE):
        return _stored(layer, "kernel", depthwise)
    if isinstance(layer, _TRANSPOSED):
        return _stored(layer, "kernel", transposed)
    if isinstance(layer, _PLAIN):
        return _stored(layer, "kernel", convolution)
    if isinstance(layer, keras.layers.EinsumDense):
        return _stored(layer, "kernel", lambda rank: einsum(layer.equation))
    if isinstance(layer, keras.layers.Embedding):
        return [
            *_stored(layer, "embeddings", convolution),  # (vocabulary, dimension): in, out
            *_stored(layer, "reverse_embeddings", transposed),  # of a ReversibleEmbedding
        ]
    if not inner:
        parameters = own_parameters(layer, ())
        if len(parameters) == 1 and parameters[0].shape[0] != 1:
            return [_of_variable("", parameters[0], convolution)]
    return []


def _cell_kernels(layer: Any, cell: Any, path: str) -> Iterator[StoredKernel]:
    """The kernels of a cell, and of the cells or layers inside it with their dotted path."""
    if not isinstance(cell, keras.layers.StackedRNNCells):
        gates = _gates(layer, cell)
        for name in ("kernel", "recurrent_kernel"):
            for kernel in _stored(cell, name, convolution):
                yield replace(kernel, part=path + name, gates=gates)
    for name, part in _parts(cell):
        if is_recurrent(part) or hasattr(part, "state_size"):
            yield from _cell_kernels(layer, part, f"{path}{name}.")
        else:
            for kernel in kernels_of(part):
                yield replace(kernel, part=f"{path}{name}.{kernel.part or 'kernel'}")


def _parts(cell: Any) -> list[tuple[str, Any]]:
    if isinstance(cell, keras.layers.StackedRNNCells):
        return [(f"cells.{place}", part) for place, part in enumerate(cell.cells)]
    return [(part.name, part) for part in getattr(cell, "_layers", [])]


def _gates(layer: Any, cell: Any) -> tuple[str, ...]:
    if isinstance(cell, keras.layers.LSTMCell) or isinstance(layer, _CONV_LSTM):
        return LSTM_GATES
    return GRU_GATES if isinstance(cell, keras.layers.GRUCell) else ()


def _stored(layer: Any, name: str, layout: Callable[[int], Layout]) -> list[StoredKernel]:
    """The kernel under that attribute, with what LoRA adds to it and what quantisation took out put back."""
    held = vars(layer).get(f"_{name}")
    variable = held if held is not None else getattr(layer, name, None)
    if variable is None:
        return []
    if not getattr(layer, "lora_enabled", False) and getattr(layer, "quantization_mode", None) is None:
        return [_of_variable(name, variable, layout)]
    whole = variable if getattr(layer, "quantization_mode", None) is None else getattr(layer, name)
    shape = tuple(int(size) for size in whole.shape)
    own = (variable, getattr(layer, "quantized_kernel", None))
    return [StoredKernel(name, shape, layout(len(shape)), lambda: _as_it_acts(layer, name), own)]


def _of_variable(part: str, variable: Any, layout: Callable[[int], Layout]) -> StoredKernel:
    shape = tuple(int(size) for size in variable.shape)
    return StoredKernel(part, shape, layout(len(shape)), lambda: tensor_of(variable), (variable,))


def _as_it_acts(layer: Any, name: str) -> Any:
    """LoRA: with its addition. 8 bits: the whole numbers divided by their scale. Others: as stored."""
    kernel = tensor_of(getattr(layer, name))
    scale = getattr(layer, f"{name}_scale", None)
    if layer.quantization_mode != "int8" or scale is None or layer.lora_enabled:
        return kernel
    scale = tensor_of(scale)
    if name == "embeddings":
        scale = keras.ops.expand_dims(scale, -1)
    elif hasattr(layer, "_adjust_scale_for_dequant"):  # EinsumDense holds it in the order of its output
        scale = layer._adjust_scale_for_dequant(scale)
    return keras.ops.cast(kernel, "float32") / keras.ops.cast(scale, "float32")


def _functional() -> type:
    from keras.src.models.functional import Functional

    return Functional  # type: ignore[no-any-return]
