"""Statistics of Keras 2 layers: whole outputs, and even parts of kernels with their last optimizer step."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow

from layerviz_callbacks.health import OutputStatistics, WeightSample
from layerviz_callbacks.health.blockwise import blockwise_statistics
from layerviz_callbacks.keras.layout import Layout
from layerviz_callbacks.keras.legacy.kernels import Kernel
from layerviz_callbacks.keras.legacy.updates import LegacyLastStep
from layerviz_callbacks.keras.statistics import measured_tensors, statistics_of
from layerviz_callbacks.keras.weight_samples import Places


class TensorFlowOperations:
    """What `keras.ops` has of the functions that measure an output, whatever backend Keras 3 runs on."""

    @staticmethod
    def sum(tensor: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        """The sum along axes."""
        return tensorflow.reduce_sum(tensor, axis, keepdims)

    @staticmethod
    def min(tensor: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        """The smallest along axes."""
        return tensorflow.reduce_min(tensor, axis, keepdims)

    @staticmethod
    def max(tensor: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        """The largest along axes."""
        return tensorflow.reduce_max(tensor, axis, keepdims)

    cast = staticmethod(tensorflow.cast)
    stop_gradient = staticmethod(tensorflow.stop_gradient)
    moveaxis = staticmethod(tensorflow.experimental.numpy.moveaxis)
    isfinite = staticmethod(tensorflow.math.is_finite)
    abs = staticmethod(tensorflow.abs)
    sqrt = staticmethod(tensorflow.sqrt)
    square = staticmethod(tensorflow.square)
    maximum = staticmethod(tensorflow.maximum)
    where = staticmethod(tensorflow.where)
    zeros_like = staticmethod(tensorflow.zeros_like)
    ones_like = staticmethod(tensorflow.ones_like)
    reshape = staticmethod(tensorflow.reshape)
    take = staticmethod(tensorflow.gather)
    concatenate = staticmethod(tensorflow.concat)


def measured(tensor: Any) -> OutputStatistics | None:
    """The statistics of an output `(sample, *space, channel)`, measured where it lies.

    None where it holds no floating-point numbers, or one number a sample, which has no channels.
    """
    if len(tensor.shape) < 2 or 0 in tuple(tensor.shape) or not tensor.dtype.is_floating:
        return None
    if "CPU" in tensor.device and tensor.dtype != tensorflow.bfloat16:
        return blockwise_statistics(np.asarray(memoryview(tensor)))
    tensors = measured_tensors(tensor, channel_axis=len(tensor.shape) - 1, ops=TensorFlowOperations)
    return statistics_of({name: one.numpy() for name, one in tensors.items()}, tensor.shape)


def sampled(kernel: Kernel, last: LegacyLastStep) -> WeightSample:
    """An even part of a kernel, taken where it lies, with the same part of its last step."""
    layout = Layout(kernel.out, kernel.into, kernel.space)
    places = Places.of(layout, tuple(kernel.variable.shape))
    values = _part(kernel.variable, places)
    step = last.of(kernel.variable)
    gradient, update = step.found(values, {name: _part(one, places) for name, one in step.tensors.items()})
    return WeightSample(
        values=values,
        rows=places.rows,
        shape=places.shape,
        gradient=None if gradient is None else gradient.astype(np.float32),
        update=None if update is None else update.astype(np.float32),
        trainable=last.trains(kernel.variable),
    )


def _part(variable: Any, places: Places) -> np.ndarray:
    """`(row, column)`, float32."""
    along = np.add.outer(np.array(places.columns), np.array(places.row_starts))
    part = tensorflow.gather(tensorflow.reshape(variable, [-1]), along)
    return np.ascontiguousarray(tensorflow.cast(part, tensorflow.float32).numpy().T)
