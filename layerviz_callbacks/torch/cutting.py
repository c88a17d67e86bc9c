"""Cuts on the device: only what a picture shows is copied. Equal to `layerviz_callbacks.cut` in NumPy."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from layerviz_callbacks.cut import (
    VALUES_A_STRETCH,
    KernelCut,
    OutputCut,
    Taken,
    chosen_channels,
    stretch_starts,
)
from layerviz_callbacks.torch.copying import plain_tensor, to_float32


def take_output(tensor: torch.Tensor, cut: OutputCut) -> tuple[np.ndarray, Taken]:
    """Cut an output `(sample, *space, channel)` on its device, and copy what is left.

    Args:
        tensor: may be a view with its axes in any order in memory; it is not changed.
        cut: what is wanted of it.

    Returns:
        The part as a float32 array, C-contiguous, and what was taken.

    Example:
        >>> part, taken = take_output(torch.arange(8.0).reshape(1, 4, 2), OutputCut(channels=(1,)))
        >>> part.ravel().tolist(), taken.channels, taken.highest.tolist()
        ([1.0, 3.0, 5.0, 7.0], (1,), [7.0])
    """
    total = tensor.shape[-1]
    part = tensor[: cut.samples]
    channels = chosen_channels(cut, total, lambda: _strength_of_outputs(part))
    part = _places(part, -1, channels)
    space = part.ndim - 2
    if space == 3 and cut.slices is not None:
        part = _places(part, 1, cut.slices)
    ranges = _ranges(part, channel_axis=-1)
    if space in (2, 3) and cut.block > 1 and part.numel():
        part = _mean_of_squares(part, cut.block)
    if space == 1 and cut.stretches is not None:
        part = _stretches(part, cut.stretches)
    return to_float32(part), Taken(cut, channels, *ranges)


def take_kernel(tensor: torch.Tensor, cut: KernelCut) -> tuple[np.ndarray, Taken]:
    """Cut a kernel `(out, in, *space)` on its device, and copy what is left.

    Example:
        >>> part, taken = take_kernel(torch.ones(4, 6), KernelCut(blocks=(2, 3)))
        >>> part.shape, taken.channels
        ((2, 2), (0, 1, 2, 3))
    """
    tensor = plain_tensor(tensor)
    channels = chosen_channels(cut, tensor.shape[0], lambda: _strength_of_kernels(tensor))
    part = _places(tensor, 0, channels)[:, : cut.inputs]
    if cut.mean_inputs and part.shape[1] > 1:
        part = part.mean(dim=1, keepdim=True, dtype=torch.float32)
    if part.ndim == 5 and cut.slices is not None:
        part = _places(part, 2, cut.slices)
    ranges = _ranges(part, channel_axis=0)
    for axis, size in enumerate(cut.blocks):
        if size > 1:
            part = _mean_of_blocks(part, size, axis)
    return to_float32(part), Taken(cut, channels, *ranges)


def _places(part: torch.Tensor, axis: int, places: tuple[int, ...]) -> torch.Tensor:
    """These places on an axis; a view where they follow on each other."""
    if places and places == tuple(range(places[0], places[0] + len(places))):
        return part.narrow(axis, places[0], len(places))
    return part.index_select(axis, torch.tensor(places, dtype=torch.long, device=part.device))


def _strength_of_outputs(part: torch.Tensor) -> np.ndarray:
    axes = tuple(range(part.ndim - 1))
    return to_float32(torch.linalg.vector_norm(part.float(), 1, dim=axes) / max(1, part[..., 0].numel()))


def _strength_of_kernels(tensor: torch.Tensor) -> np.ndarray:
    return to_float32(torch.linalg.vector_norm(tensor.float(), 2, dim=tuple(range(1, tensor.ndim))))


def _ranges(part: torch.Tensor, *, channel_axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each channel's smallest and largest value, NaN not counted, and whether it holds NaN; one transfer."""
    channels = part.movedim(channel_axis, -1)
    axes = tuple(range(channels.ndim - 1))
    if channels.numel() == 0:
        none = np.full(channels.shape[-1], np.inf, np.float32)
        return none, -none, np.zeros(channels.shape[-1], bool)
    bounds = torch.stack([channels.amin(axes), channels.amax(axes)])  # NaN where the channel holds one
    lowest, highest = to_float32(bounds)
    not_a_number = np.isnan(lowest)
    if not_a_number.any():
        odd = channels[..., torch.from_numpy(not_a_number).to(part.device)]
        lowest[not_a_number] = to_float32(odd.nan_to_num(torch.inf, torch.inf, -torch.inf).amin(axes))
        highest[not_a_number] = to_float32(odd.nan_to_num(-torch.inf, torch.inf, -torch.inf).amax(axes))
    return lowest, highest, not_a_number


def _mean_of_squares(part: torch.Tensor, size: int) -> torch.Tensor:
    """Means of `size` x `size` pixels of the last two axes of space; those at the end may be smaller.

    Pooling is half the price of two means on views of maps that have their channels first.
    """
    maps = part.movedim(-1, 1).float()
    window = [min(size, length) for length in maps.shape[-2:]]
    if maps.ndim == 4:
        means = functional.avg_pool2d(maps, window, ceil_mode=True, count_include_pad=False)
    else:
        means = functional.avg_pool3d(maps, [1, *window], ceil_mode=True, count_include_pad=False)
    return means.movedim(1, -1)


def _mean_of_blocks(part: torch.Tensor, size: int, axis: int) -> torch.Tensor:
    """Means of so many neighbours along an axis; the last block may be smaller."""
    whole, rest = divmod(part.shape[axis], size)
    blocks = (*part.shape[:axis], whole, size, *part.shape[axis + 1 :])
    means = part.narrow(axis, 0, whole * size).view(blocks).mean(axis + 1, dtype=torch.float32)
    if not rest:
        return means
    last = part.narrow(axis, whole * size, rest).mean(axis, keepdim=True, dtype=torch.float32)
    return torch.cat([means, last], axis)


def _stretches(part: torch.Tensor, count: int) -> torch.Tensor:
    """The first, smallest and largest value of each stretch of the curves `(sample, length, channel)`."""
    samples, length, channels = part.shape
    if length <= VALUES_A_STRETCH * count:
        return part
    starts = stretch_starts(length, count)
    ends = np.append(starts[1:], length)
    longest = int((ends - starts).max())
    places = np.minimum(starts[:, None] + np.arange(longest), ends[:, None] - 1)  # a short one's end twice
    indices = torch.from_numpy(places.ravel()).to(part.device)
    values = part.index_select(1, indices).reshape(samples, count, longest, channels)
    kept = torch.stack([values[:, :, 0], values.amin(2), values.amax(2)], 2)
    return kept.reshape(samples, VALUES_A_STRETCH * count, channels)
