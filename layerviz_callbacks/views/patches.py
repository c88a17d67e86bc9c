"""Where the keys of an attention stand on the probe's input: steps of a trace, patches of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.words import count_of, size_of

MOST_FURTHER_TOKENS = 16
"""A class token and registers; a model with more is not read as one of patches."""
_LIKELY_FURTHER_TOKENS = (0, 1, 2, 5)
"""None, a class token, one for distillation beside it, or four registers: where no layer tells how many."""
_SHARE_OF_FURTHER_TOKENS = 4
"""At most one key in so many is a further token."""


@dataclass(frozen=True)
class Placement:
    """Where the keys of an attention stand on an input.

    Attributes:
        name: the input's name.
        grid: how many keys there are along each of the input's axes of space.
        further: how many keys stand before these and are no part of the input: a class token, registers.
    """

    name: str
    grid: tuple[int, ...]
    further: int = 0

    @property
    def words(self) -> str:
        """The grid in words.

        Example:
            >>> Placement("input", (14, 14), 1).words, Placement("input", (47,)).words
            ('14x14 patches', '47 time steps')
        """
        if len(self.grid) == 1:
            return count_of(self.grid[0], self.grid[0], "time step")
        return f"{size_of(self.grid)} patches"

    def coordinates(self) -> np.ndarray:
        """The place of each key on the grid, `(key, axis)`, without the further tokens; float32.

        Example:
            >>> Placement("input", (2, 2)).coordinates().tolist()
            [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
        """
        places = np.indices(self.grid, np.float32)
        return np.ascontiguousarray(places.reshape(len(self.grid), -1).T)


def attention_shape_of(layer: Layer) -> tuple[int, ...] | None:
    """`(sample, head, query, key)` in full, from the attention itself where nothing else is known."""
    if layer.attention_shape is None and layer.attention is not None:
        return layer.attention.shape
    return layer.attention_shape


def placement_of(layer: Layer, snapshot: Snapshot) -> Placement | None:
    """Where the keys of a layer's attention stand on an input of the probe; None where that is not known.

    Keys of a sequence are as many as its time steps, or as those of an earlier layer that made it shorter.
    Keys of an image are the places of an earlier layer's maps (a patch embedding), row by row; where no
    earlier layer has smaller maps, those of square patches that divide the image. Before them there may be
    further tokens.

    Args:
        layer: with an attention.
        snapshot: its shapes are enough.
    """
    shape = attention_shape_of(layer)
    if shape is None or shape[0] != len(snapshot.probe):
        return None
    keys, earlier = shape[-1], [known for known in snapshot if known.place < layer.place]
    for name, array in snapshot.inputs.items():
        if array.dtype.kind not in "biuf" or 0 in array.shape or not 2 <= array.ndim <= 5:
            continue
        space = array.shape[1:-1] if array.ndim > 2 else array.shape[1:]
        spaces = list(_spaces(earlier, len(space), shape[0]))
        found = _in_time(keys, space[0], spaces) if len(space) == 1 else _in_space(keys, space, spaces)
        if found is not None:
            return Placement(name, *found)
    return None


def _spaces(layers: Sequence[Layer], rank: int, samples: int) -> Iterator[tuple[int, ...]]:
    """The axes of space of what these layers put out, in the model's order."""
    for layer in layers:
        shape = layer.output_shape
        if shape is not None and not layer.container and len(shape) == rank + 2 and shape[0] == samples:
            yield shape[1:-1]


def _further(keys: int) -> range:
    """How many of so many keys may be further tokens."""
    return range(min(MOST_FURTHER_TOKENS, keys // _SHARE_OF_FURTHER_TOKENS) + 1)


def _in_time(keys: int, length: int, spaces: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], int] | None:
    if keys == length:
        return (keys,), 0
    known = [space[0] for space in spaces if keys - space[0] in _further(keys) and space[0] <= length]
    if known:  # the shortest: layers that come after have the further tokens, too
        return (min(known),), keys - min(known)
    for further in (0, 1):
        if keys > further and length % (keys - further) == 0:
            return (keys - further,), further
    pooled = -(-length // keys)  # by so many, rounded down or up
    fits = any(keys in (length // factor, -(-length // factor)) for factor in (pooled - 1, pooled) if factor)
    return ((keys,), 0) if fits and keys < length else None


def _in_space(
    keys: int, space: tuple[int, ...], spaces: Sequence[tuple[int, ...]]
) -> tuple[tuple[int, ...], int] | None:
    within = [known for known in spaces if all(own <= most for own, most in zip(known, space, strict=True))]
    for further in _further(keys):
        for known in reversed(within):
            if prod(known) + further == keys:
                return known, further
    if any(prod(known) * 4 <= prod(space) for known in within):
        return None  # its maps are smaller than the image, and the keys are not their places
    for further in _LIKELY_FURTHER_TOKENS:
        for whole in dict.fromkeys([space, *spaces]):
            for side in range(min(whole), 0, -1):
                grid = tuple(length // side for length in whole)
                if prod(grid) + further == keys and all(length % side == 0 for length in whole):
                    return grid, further
    return None
