"""Cuts on the device: only what a picture shows is copied. Equal to `layerviz_callbacks.cut` in NumPy.

The functions that make tensors run eagerly as well as inside a compiled function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from layerviz_callbacks.cut import (
    VALUES_A_STRETCH,
    KernelCut,
    OutputCut,
    Taken,
    chosen_channels,
    cut_kernel,
    cut_output,
    stretch_starts,
)
from layerviz_callbacks.keras.layout import Layout

Tensors = dict[str, Any]
"""A cut in tensors: "part", and where it was made on the device "channels" (where they were ranked),
"lowest", "highest", "not_a_number"."""


def output_tensors(tensor: Any, cut: OutputCut | None, *, channel_axis: int) -> Tensors:
    """Cut an output on the device.

    Args:
        tensor: with the samples first; its axes of space in their order.
        cut: what is wanted of it; None: all.
        channel_axis: the axis of its channels: the last one, or 1.

    Returns:
        "part" is `(sample, *space, channel)`. What cannot be cut on the device (sizes that are not known
        while a function is traced, no values at all) is given whole, without the other tensors.
    """
    if "complex" in keras.backend.standardize_dtype(tensor.dtype):
        return {"part": tensor}
    rank = len(tensor.shape)
    if cut is None or rank < 2 or not _is_known(tensor.shape):
        return {"part": _channels_last(_float32(tensor), channel_axis)}
    part = _float32(tensor[: cut.samples])
    others = tuple(axis for axis in range(rank) if axis != channel_axis)
    strength = None
    if cut.strongest is not None:
        strength = ops.mean(ops.abs(part), axis=others)
    part, ranked = _chosen(part, cut, channel_axis, strength, parts=1)
    if rank == 5 and cut.slices is not None:
        part = _at(part, list(cut.slices), axis=2 if channel_axis == 1 else 1)
    part = _channels_last(part, channel_axis)
    taken = _ranges(part, channel_axis=rank - 1)
    if rank in (4, 5) and cut.block > 1:
        part = _mean_along(_mean_along(part, cut.block, rank - 3), cut.block, rank - 2)
    if rank == 3 and cut.stretches is not None:
        part = _stretches(part, cut.stretches)
    return {"part": part, **ranked, **taken}


def output_arrays(
    arrays: Mapping[str, np.ndarray], shape: Sequence[int], cut: OutputCut | None
) -> tuple[np.ndarray, Taken | None]:
    """The array and what was taken, of what `output_tensors` gave and was copied.

    Args:
        arrays: copies of the tensors.
        shape: the output's full shape `(sample, *space, channel)`.
        cut: the same as there.
    """
    part = np.ascontiguousarray(arrays["part"])
    if cut is None or part.ndim < 2 or part.dtype.kind == "c":
        return part, None
    if "lowest" not in arrays:
        return cut_output(part, cut)
    return part, _taken(arrays, cut, total=shape[-1])


def kernel_tensors(stored: Any, layout: Layout, cut: KernelCut) -> Tensors:
    """Cut a kernel on the device; "part" is `(out, in, *space)`.

    The stored axes are moved only after the cut, when little is left of it. An empty kernel is given whole,
    without the other tensors.
    """
    shape = tuple(int(size) for size in stored.shape)
    merged = layout.merged(shape)
    if merged.order is not None:
        stored = ops.transpose(stored, merged.order)
    part = ops.reshape(stored, merged.shape) if merged.shape != tuple(stored.shape) else stored
    if keras.backend.standardize_dtype(part.dtype) != "float64":
        part = _float32(part)
    moved = (merged.out, merged.into, *merged.space)
    if 0 in shape:
        return {"part": ops.transpose(part, moved)}
    rank = len(moved)
    strength = None
    if cut.strongest is not None:
        others = tuple(axis for axis in range(rank) if axis != merged.out)
        strength = ops.sqrt(ops.sum(ops.square(part), axis=others))
    parts = cut.parts if layout.shape(shape)[0] % cut.parts == 0 else 1
    part, ranked = _chosen(part, cut, merged.out, strength, parts=parts)
    if cut.inputs is not None:
        part = _first(part, cut.inputs, merged.into)
    if cut.mean_inputs and part.shape[merged.into] > 1:
        part = ops.mean(part, axis=merged.into, keepdims=True)
    if rank == 5 and cut.slices is not None:
        part = _at(part, list(cut.slices), axis=merged.space[0])
    taken = _ranges(part, channel_axis=merged.out)
    for axis, size in ((merged.out, cut.blocks[0]), (merged.into, cut.blocks[1])):
        part = _mean_along(part, size, axis) if size > 1 else part
    return {"part": ops.transpose(part, moved), **ranked, **taken}


def kernel_arrays(
    arrays: Mapping[str, np.ndarray], shape: Sequence[int], cut: KernelCut
) -> tuple[np.ndarray, Taken]:
    """The array and what was taken, of what `kernel_tensors` gave and was copied; `shape` in full."""
    part = np.ascontiguousarray(arrays["part"])
    if "lowest" not in arrays:
        return cut_kernel(part, cut)
    return part, _taken(arrays, cut, total=shape[0])


def _taken(arrays: Mapping[str, np.ndarray], cut: OutputCut | KernelCut, total: int) -> Taken:
    if "channels" in arrays:
        channels = tuple(int(channel) for channel in arrays["channels"])
    else:
        channels = chosen_channels(cut, total, lambda: np.empty(0))
    not_a_number = np.asarray(arrays["not_a_number"], bool)
    return Taken(cut, channels, arrays["lowest"], arrays["highest"], not_a_number)


def _chosen(
    part: Any, cut: OutputCut | KernelCut, axis: int, strength: Any, *, parts: int
) -> tuple[Any, Tensors]:
    """The wanted channels; where they are ranked here, their numbers too."""
    total = int(part.shape[axis])
    if cut.strongest is None:
        channels = chosen_channels(cut, total, lambda: np.empty(0))
        return _at(part, channels, axis), {}
    units = total // parts
    joined = ops.sqrt(ops.sum(ops.square(ops.reshape(strength, (parts, units))), axis=0))
    joined = strength if parts == 1 else joined
    joined = ops.where(ops.isnan(joined), ops.full_like(joined, np.inf), joined)
    order = ops.argsort(-joined)[: cut.strongest]
    starts = ops.reshape(ops.arange(0, total, units, dtype=order.dtype), (parts, 1))
    ranked = ops.reshape(starts + ops.reshape(order, (1, -1)), (-1,))
    return ops.take(part, ranked, axis=axis), {"channels": ranked}


def _ranges(part: Any, *, channel_axis: int) -> Tensors:
    axes = tuple(axis for axis in range(len(part.shape)) if axis != channel_axis)
    not_a_number = ops.any(ops.isnan(part), axis=axes)
    low = high = part
    if _may_hold(not_a_number):
        missing = ops.isnan(part)
        low = ops.where(missing, ops.full_like(part, np.inf), part)
        high = ops.where(missing, ops.full_like(part, -np.inf), part)
    return {
        "lowest": ops.min(low, axis=axes),
        "highest": ops.max(high, axis=axes),
        "not_a_number": not_a_number,
    }


def _may_hold(flags: Any) -> bool:
    """Whether one is set; True where that is not known yet, inside a function that is being traced."""
    if is_symbolic(flags):
        return True
    return bool(ops.any(flags))


def is_symbolic(tensor: Any) -> bool:
    """Whether a tensor stands for values that come later, in a function that is being traced."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return not hasattr(tensor, "numpy")
    if backend == "jax":
        import jax

        return isinstance(tensor, jax.core.Tracer)
    return False


def _mean_along(part: Any, size: int, axis: int) -> Any:
    """Means of blocks along one axis; the last block may be smaller."""
    length = int(part.shape[axis])
    whole = length // size
    shape = [int(count) for count in part.shape]
    means = []
    if whole:
        blocks = (*shape[:axis], whole, size, *shape[axis + 1 :])
        means.append(ops.mean(ops.reshape(_first(part, whole * size, axis), blocks), axis=axis + 1))
    if length > whole * size:
        rest = part[(slice(None),) * axis + (slice(whole * size, None),)]
        means.append(ops.mean(rest, axis=axis, keepdims=True))
    return means[0] if len(means) == 1 else ops.concatenate(means, axis=axis)


def _stretches(part: Any, count: int) -> Any:
    """The first, the smallest and the largest value of each stretch of `(sample, length, channel)`."""
    samples, length, channels = (int(size) for size in part.shape)
    if length <= VALUES_A_STRETCH * count:
        return part
    starts = stretch_starts(length, count)
    ends = np.append(starts[1:], length)
    longest = int((ends - starts).max())
    # stretches are of two lengths, and the shorter ones see their last value twice
    places = np.minimum(starts[:, None] + np.arange(longest), ends[:, None] - 1)
    values = ops.reshape(
        ops.take(part, places.ravel().astype("int32"), axis=1), (samples, count, longest, channels)
    )
    first = values[:, :, 0]
    missing = ops.any(ops.isnan(values), axis=2)  # backends do not agree on the smallest of a NaN
    nan = ops.full_like(first, np.nan)
    low = ops.where(missing, nan, ops.min(values, axis=2))
    high = ops.where(missing, nan, ops.max(values, axis=2))
    return ops.reshape(ops.stack([first, low, high], axis=2), (samples, VALUES_A_STRETCH * count, channels))


def _at(part: Any, places: Sequence[int], axis: int) -> Any:
    """These places of an axis; a slice where they are the first ones."""
    if tuple(places) == tuple(range(len(places))):
        return _first(part, len(places), axis)
    return ops.take(part, np.asarray(places, "int32"), axis=axis)


def _first(part: Any, count: int, axis: int) -> Any:
    if count >= part.shape[axis]:
        return part
    return part[(slice(None),) * axis + (slice(0, count),)]


def _channels_last(part: Any, channel_axis: int) -> Any:
    return part if channel_axis == len(part.shape) - 1 else ops.moveaxis(part, channel_axis, -1)


def _float32(tensor: Any) -> Any:
    return ops.cast(tensor, "float32")


def _is_known(shape: Sequence[Any]) -> bool:
    return all(isinstance(size, int) and size > 0 for size in shape)
