"""Which axes of a batch of attention weights are the samples, and which the heads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import torch
from torch import nn

Shape = tuple[int, ...]

_NAMES_OF_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "heads")


class Order(Enum):
    """How samples and heads stand in the axes before `(query, key)`."""

    SAMPLE = "(sample)"
    SAMPLE_HEAD = "(sample, *head)"
    HEAD_SAMPLE = "(head, sample)"
    SAMPLE_TIMES_HEAD = "(sample * head)"
    HEAD_TIMES_SAMPLE = "(head * sample)"


@dataclass(frozen=True)
class BatchAxes:
    """The axes before `(query, key)`.

    Attributes:
        batch: their sizes.
        samples: how many samples there are.
        order: what they are.
    """

    batch: Shape
    samples: int
    order: Order

    @property
    def heads(self) -> int:
        """How many heads there are."""
        return math.prod(self.batch) // self.samples

    def taken(self, tensor: torch.Tensor, count: int) -> torch.Tensor:
        """`(sample, head, rows, columns)` of the first samples of a tensor `(*batch, rows, columns)`."""
        rows, samples, heads = tensor.shape[-2:], self.samples, self.heads
        if self.order is Order.SAMPLE_HEAD:
            return tensor[:count].reshape(min(count, samples), heads, *rows)
        if self.order in (Order.HEAD_SAMPLE, Order.HEAD_TIMES_SAMPLE):
            return tensor.reshape(heads, samples, *rows)[:, :count].transpose(0, 1)
        return tensor.reshape(samples, heads, *rows)[:count]


def batch_axes(batch: Shape, samples: int, module: nn.Module | None, *, head_first: bool) -> BatchAxes | str:
    """What the axes before `(query, key)` are, or in words why that cannot be told.

    One axis as long as the probe has samples holds these; where it is longer by a whole factor, the factor
    is the number of heads, as older attention layers have it.

    Args:
        batch: the sizes of these axes.
        samples: the number of the probe's samples.
        module: the layer that computes the attention; it may know its number of heads.
        head_first: in a common axis, all samples of the first head come before those of the second.

    Example:
        >>> batch_axes((4, 12), 4, None, head_first=False).heads
        12
        >>> batch_axes((7, 3), 4, None, head_first=False)
        "none of the axes (7, 3) before query and key has the probe's 4 samples"
    """
    known = heads_of(module)
    if len(batch) == 1 and samples:
        more, rest = divmod(batch[0], samples)
        if batch[0] == samples:
            return BatchAxes(batch, samples, Order.SAMPLE)
        if more > 1 and not rest:
            if known > 1 and more != known and more % known == 0:
                return _folded(batch[0], samples, more // known)
            order = Order.HEAD_TIMES_SAMPLE if head_first else Order.SAMPLE_TIMES_HEAD
            return BatchAxes(batch, samples, order)
    if len(batch) == 2:
        if batch[0] == samples:
            return BatchAxes(batch, samples, Order.SAMPLE_HEAD)
        folded = samples and batch[0] and batch[0] % samples == 0
        if batch[1] == samples and (not folded or batch[0] == known):
            return BatchAxes(batch, samples, Order.HEAD_SAMPLE)
        if folded:
            return _folded(batch[0], samples, batch[0] // samples)
    if len(batch) > 2 and batch[0] == samples:
        if math.prod(batch[1:]) == known:
            return BatchAxes(batch, samples, Order.SAMPLE_HEAD)
        return (
            f"it has {len(batch) + 2} axes, {batch} before query and key, and which of them are heads is "
            "not told; a number of heads as attribute num_heads of the layer would tell"
        )
    return f"none of the axes {batch} before query and key has the probe's {samples} samples"


def heads_of(module: nn.Module | None) -> int:
    """The number of heads that a layer says it has; 0 where it does not say."""
    for name in _NAMES_OF_HEADS:
        value = getattr(module, name, None)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def _folded(places: int, samples: int, each: int) -> str:
    return (
        f"its axis of samples has {places} places, and the probe {samples} samples: {each} windows, rows, "
        "frames or channels of each sample stand in it, and no map of the whole sample is computed"
    )
