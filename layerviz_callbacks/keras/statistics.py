"""Statistics of a layer's whole output, made where it lies; equal to `health.output_statistics`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.health import OutputStatistics, spread
from layerviz_callbacks.health.blockwise import blockwise_statistics
from layerviz_callbacks.health.statistics import MOST_VALUES, NEAR_ONE, NEAR_ZERO
from layerviz_callbacks.keras.cutting import Tensors
from layerviz_callbacks.keras.gradients_tape import is_floating
from layerviz_callbacks.keras.hosted import view_of
from layerviz_callbacks.keras.kernels import copied

MEASURED = "measured"
"""Under this name stands a vector: the `_ROWS`, each with a number a channel, then the sample."""
WHOLE = "whole"
"""Under this name stands an output `(sample, *space, channel)` that could not be measured on the device."""

_ROWS = ("mean", "deviation", "lowest", "highest", "zeros", "near_zero", "near_one", "finite")
_SMALLEST = 1e-37  # below it numbers lose digits, or are taken for 0


def is_measurable(tensor: Any) -> bool:
    """Whether it holds floating-point numbers, and has channels: one number a sample has none."""
    return len(tensor.shape) > 1 and 0 not in tuple(tensor.shape) and is_floating(tensor)


def measured_tensors(tensor: Any, *, channel_axis: int, ops: Any = keras.ops) -> Tensors:
    """Measure an output on its device, eagerly or inside a function that is traced.

    Args:
        tensor: with the samples first.
        channel_axis: the axis of its channels: the last one, or 1.
        ops: the functions to use.

    Returns:
        `MEASURED`; or `WHOLE` where sizes are known only when a traced function is run; nothing where there
        is nothing to measure, see `is_measurable`.
    """
    if not is_measurable(tensor):
        return {}
    rank = len(tensor.shape)
    part = ops.cast(ops.stop_gradient(tensor), "float32")
    if not all(isinstance(size, int) for size in tensor.shape):
        return {WHOLE: part if channel_axis == rank - 1 else ops.moveaxis(part, channel_axis, -1)}
    shape = tuple(int(size) for size in tensor.shape)
    axes = tuple(axis for axis in range(rank) if axis != channel_axis)
    total = math.prod(shape) // shape[channel_axis]

    def counted(flags: Any) -> Any:
        return ops.cast(ops.sum(ops.cast(flags, "int32"), axis=axes, keepdims=True), "float32")

    finite, magnitude = ops.isfinite(part), ops.abs(part)
    known = counted(finite)
    divisor = ops.maximum(known, ops.ones_like(known))
    lowest = ops.min(ops.where(finite, part, np.float32(np.inf)), axis=axes, keepdims=True)
    highest = ops.max(ops.where(finite, part, np.float32(-np.inf)), axis=axes, keepdims=True)
    # from -1 to 1, so that no sum and no square is too large or too small for float32
    scale = ops.maximum(ops.abs(lowest), ops.abs(highest))
    scale = ops.where((known > 0) & (scale > _SMALLEST), scale, ops.ones_like(scale))
    zero = np.float32(0)
    scaled = ops.where(finite, part / scale, zero)
    mean = ops.sum(scaled, axis=axes, keepdims=True) / divisor
    apart = ops.where(finite, scaled - mean, zero)
    # what rounding did to the mean is what the distances from it are off on average
    error = ops.sum(apart, axis=axes, keepdims=True) / divisor
    variance = ops.sum(ops.square(apart), axis=axes, keepdims=True) / divisor - ops.square(error)
    deviation = ops.sqrt(ops.maximum(variance, ops.zeros_like(variance)))
    rows = {
        "mean": (mean + error) * scale,
        "deviation": deviation * scale,
        "lowest": lowest,
        "highest": highest,
        "zeros": counted(part == 0) / total,
        "near_zero": counted(magnitude < NEAR_ZERO) / total,
        "near_one": counted(finite & (magnitude > NEAR_ONE)) / total,
        "finite": known / total,
    }
    sample = ops.take(ops.reshape(part, (-1,)), _sampled(shape, channel_axis), axis=0)
    vectors = [ops.reshape(rows[name], (-1,)) for name in _ROWS]
    return {MEASURED: ops.concatenate([*vectors, sample], axis=0)}


def measured_output(tensor: Any, *, channel_axis: int) -> Mapping[str, np.ndarray]:
    """What `measured_tensors` gives, copied at once: on PyTorch a later layer may change the output.

    What lies in the computer's own memory is measured there: calling a framework for each step takes longer.

    Args:
        tensor: as there; it has values.
        channel_axis: as there.
    """
    if not is_measurable(tensor):
        return {}
    view = _view_of(tensor)
    if view is None:
        tensors = measured_tensors(tensor, channel_axis=channel_axis)
        return {name: copied(one) for name, one in tensors.items()}
    found = blockwise_statistics(np.moveaxis(view, channel_axis, -1))
    return {MEASURED: np.concatenate([*(getattr(found, name) for name in _ROWS), found.sample])}


def statistics_of(arrays: Mapping[str, np.ndarray], shape: Sequence[int]) -> OutputStatistics | None:
    """The statistics, of what `measured_tensors` gave and was copied; None where it gave nothing.

    Args:
        arrays: copies of the tensors.
        shape: the output's full shape `(sample, *space, channel)`.
    """
    if WHOLE in arrays:
        return blockwise_statistics(arrays[WHOLE])
    if MEASURED not in arrays:
        return None
    vector, channels = arrays[MEASURED], shape[-1]
    rows = vector[: len(_ROWS) * channels].reshape(len(_ROWS), channels)
    by_name = dict(zip(_ROWS, rows, strict=True))
    values = math.prod(shape[:-1])
    return OutputStatistics(values=values, sample=vector[len(_ROWS) * channels :], **by_name)


def _view_of(tensor: Any) -> np.ndarray | None:
    """As `hosted.view_of`, and on JAX, which would compile each step by itself."""
    if keras.backend.backend() != "jax":
        return view_of(tensor)
    return np.asarray(tensor) if {device.platform for device in tensor.devices()} == {"cpu"} else None


def _sampled(shape: tuple[int, ...], channel_axis: int) -> np.ndarray:
    """Where the values of the sample stand, in the order of memory of a tensor of that shape."""
    order = [axis for axis in range(len(shape)) if axis != channel_axis] + [channel_axis]
    total = math.prod(shape)
    places = np.unravel_index(spread(total, MOST_VALUES), [shape[axis] for axis in order])
    stored = [places[order.index(axis)] for axis in range(len(shape))]
    return np.ravel_multi_index(stored, shape).astype("int32")
