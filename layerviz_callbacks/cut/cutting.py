"""A cut made in NumPy: the reference of what readers do on the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.cut.channels import (
    chosen_channels,
    equal_parts,
    strength_of_kernels,
    strength_of_outputs,
)
from layerviz_callbacks.cut.cuts import VALUES_A_STRETCH, KernelCut, OutputCut, Taken
from layerviz_callbacks.render.grid import mean_blocks
from layerviz_callbacks.render.scale import as_floats, reduce_over


def cut_output(output: np.ndarray, cut: OutputCut) -> tuple[np.ndarray, Taken]:
    """Make a cut of an output `(sample, *space, channel)` in NumPy: what readers do on the device.

    Returns:
        The part that is left, `(sample, *space, channel)`, floats, and what was taken.

    Example:
        >>> part, taken = cut_output(np.arange(8.0).reshape(1, 4, 2), OutputCut(channels=(1,)))
        >>> part.ravel().tolist(), taken.channels, taken.highest.tolist()
        ([1.0, 3.0, 5.0, 7.0], (1,), [7.0])
    """
    part = output[: cut.samples]
    channels = chosen_channels(cut, output.shape[-1], lambda: strength_of_outputs(part))
    part = as_floats(_take(part, channels, axis=part.ndim - 1))
    space = part.ndim - 2
    if space == 3 and cut.slices is not None:
        part = part[:, list(cut.slices)]
    ranges = _ranges(part, axes=range(part.ndim - 1))
    if space in (2, 3) and cut.block > 1:
        part = mean_blocks(part, cut.block, axes=(part.ndim - 3, part.ndim - 2))
    if space == 1 and cut.stretches is not None:
        part = _stretches(part, cut.stretches)
    return part, Taken(cut, channels, *ranges)


def cut_kernel(kernel: np.ndarray, cut: KernelCut) -> tuple[np.ndarray, Taken]:
    """Make a cut of a kernel `(out, in, *space)` in NumPy: what readers do on the device."""
    channels = chosen_channels(cut, kernel.shape[0], lambda: strength_of_kernels(kernel))
    part = as_floats(_take(kernel, channels, axis=0)[:, : cut.inputs])
    if cut.mean_inputs and part.shape[1] > 1:
        with np.errstate(invalid="ignore", over="ignore"):
            part = part.mean(axis=1, keepdims=True)
    if part.ndim == 5 and cut.slices is not None:
        part = part[:, :, list(cut.slices)]
    ranges = _ranges(part, axes=range(1, part.ndim))
    if cut.blocks != (1, 1):
        part = mean_blocks(part, cut.blocks, axes=(0, 1))
    return part, Taken(cut, channels, *ranges)


def shape_of_output(shape: tuple[int, ...], cut: OutputCut) -> tuple[int, ...]:
    """The shape that a cut leaves of an output of this shape.

    Example:
        >>> shape_of_output((8, 16, 15, 15, 64), OutputCut(samples=2, strongest=4, slices=(0, 8), block=2))
        (2, 2, 8, 8, 4)
    """
    samples, *space, total = shape
    if len(space) == 3 and cut.slices is not None:
        space[0] = len(cut.slices)
    if len(space) in (2, 3):
        space[-2:] = [-(-length // cut.block) for length in space[-2:]]
    if len(space) == 1 and cut.stretches is not None:
        space[0] = min(space[0], VALUES_A_STRETCH * cut.stretches)
    return len(range(samples)[: cut.samples]), *space, _channels_left(cut, total)


def shape_of_kernel(shape: tuple[int, ...], cut: KernelCut) -> tuple[int, ...]:
    """The shape that a cut leaves of a kernel of this shape."""
    total, inputs, *space = shape
    inputs = 1 if cut.mean_inputs else len(range(inputs)[: cut.inputs])
    if len(space) == 3 and cut.slices is not None:
        space[0] = len(cut.slices)
    rows, columns = cut.blocks
    return -(-_channels_left(cut, total) // rows), -(-inputs // columns), *space


def stretch_starts(length: int, count: int) -> np.ndarray:
    """Where each of `count` stretches of a curve begins; the same columns that a curve is drawn in."""
    return np.arange(count) * length // count


def _channels_left(cut: OutputCut | KernelCut, total: int) -> int:
    if cut.strongest is not None:
        parts = equal_parts(cut, total)
        return parts * min(cut.strongest, total // parts)
    return total if cut.channels is None else sum(channel < total for channel in cut.channels)


def _take(values: np.ndarray, channels: tuple[int, ...], *, axis: int) -> np.ndarray:
    """These places of an axis; a view where they are the first ones."""
    if channels == tuple(range(len(channels))):
        return values[(slice(None),) * axis + (slice(0, len(channels)),)]
    return np.take(values, channels, axis=axis)


def _stretches(part: np.ndarray, count: int) -> np.ndarray:
    length = part.shape[1]
    if length <= VALUES_A_STRETCH * count:
        return part
    starts = stretch_starts(length, count)
    first = part[:, starts]
    low, high = (bound.reduceat(part, starts, axis=1) for bound in (np.minimum, np.maximum))
    return np.stack([first, low, high], axis=2).reshape(
        part.shape[0], VALUES_A_STRETCH * count, part.shape[2]
    )


def _ranges(part: np.ndarray, *, axes: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lowest, highest = (_squeezed(reduce_over(bound, part, axes), axes) for bound in (np.minimum, np.maximum))
    not_a_number = np.isnan(lowest)
    if not_a_number.any():  # one pass more, for NaN not to count
        low, high = (_squeezed(reduce_over(bound, part, axes), axes) for bound in (np.fmin, np.fmax))
        lowest, highest = np.where(np.isnan(low), np.inf, low), np.where(np.isnan(high), -np.inf, high)
    return lowest, highest, not_a_number


def _squeezed(values: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    return values.squeeze(tuple(axes))
