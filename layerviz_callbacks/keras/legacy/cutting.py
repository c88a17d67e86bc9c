"""Takes a part of a TensorFlow tensor before it is copied: what `cut_output` does to an array."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow

from layerviz_callbacks.cut import OutputCut, Taken, chosen_channels, cut_output


def copied_part(output: Any, cut: OutputCut | None) -> tuple[np.ndarray, Taken | None]:
    """Copy an output `(sample, *space, channel)`, or the part of it that a cut leaves, as float32.

    Samples, channels and slices are taken and blocks are averaged where the tensor is; stretches of curves
    after it was copied.
    """
    if cut is None or len(output.shape) < 2:
        return _copied(tensorflow.cast(output, tensorflow.float32)), None
    part = tensorflow.cast(output[: cut.samples], tensorflow.float32)
    channels = chosen_channels(cut, int(part.shape[-1]), lambda: _strengths(part))
    if channels != tuple(range(part.shape[-1])):
        part = tensorflow.gather(part, list(channels), axis=-1)
    space = len(part.shape) - 2
    if space == 3 and cut.slices is not None:
        part = tensorflow.gather(part, list(cut.slices), axis=1)
    left = replace(cut, samples=None, channels=None, strongest=None, slices=None)
    if space not in (2, 3) or cut.block == 1:
        array, taken = cut_output(_copied(part), left)
        return array, replace(taken, cut=cut, channels=channels)
    taken = Taken(cut, channels, *_ranges(part))
    for axis in (space - 1, space):
        part = _block_means(part, cut.block, axis)
    return _copied(part), taken


def _strengths(part: Any) -> np.ndarray:
    return _copied(tensorflow.reduce_mean(tensorflow.abs(part), axis=list(range(len(part.shape) - 1))))


def _ranges(part: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axes = list(range(len(part.shape) - 1))
    missing = tensorflow.math.is_nan(part)
    lowest = tensorflow.reduce_min(tensorflow.where(missing, np.inf, part), axis=axes)
    highest = tensorflow.reduce_max(tensorflow.where(missing, -np.inf, part), axis=axes)
    return _copied(lowest), _copied(highest), _copied(tensorflow.reduce_any(missing, axis=axes))


def _block_means(part: Any, block: int, axis: int) -> Any:
    """The mean of each `block` values along an axis; the last block may be smaller."""
    length = int(part.shape[axis])
    whole = length // block * block
    shape = [int(size) for size in part.shape]
    means = []
    if whole:
        full, _ = tensorflow.split(part, [whole, length - whole], axis=axis)
        folded = tensorflow.reshape(full, [*shape[:axis], whole // block, block, *shape[axis + 1 :]])
        means.append(tensorflow.reduce_mean(folded, axis=axis + 1))
    if whole < length:
        _, rest = tensorflow.split(part, [whole, length - whole], axis=axis)
        means.append(tensorflow.reduce_mean(rest, axis=axis, keepdims=True))
    return means[0] if len(means) == 1 else tensorflow.concat(means, axis=axis)


def _copied(tensor: Any) -> np.ndarray:
    return np.array(tensor.numpy())
