"""What is asked for of a layer's arrays, and what was taken of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VALUES_A_STRETCH = 3
"""What is kept of a stretch of a curve: its first, its smallest and its largest value."""


@dataclass(frozen=True)
class OutputCut:
    """Which part of an output `(sample, *space, channel)` is asked for. The default is all of it.

    Done in this order: samples, channels, slices, then blocks or stretches.

    Attributes:
        samples: the first so many; None: all.
        channels: these, in this order; None: all.
        strongest: instead of `channels`, so many with the largest mean magnitude over the samples that are
            taken and all places; the strongest first, of equal ones the first.
        slices: for three axes of space, these places on the first of them; None: all.
        block: for two or three axes of space, the last two are reduced: each pixel is the mean of
            `block` x `block` values; blocks at the end may be smaller.
        stretches: for one axis of space, its length becomes `3 * stretches`: of each stretch
            `[j * length // stretches, (j + 1) * length // stretches)` the first, the smallest and the
            largest value; a stretch that holds NaN has NaN for the last two. A curve drawn from these in
            `stretches` columns of pixels is the same curve. Shorter lengths stay as they are.
    """

    samples: int | None = None
    channels: tuple[int, ...] | None = None
    strongest: int | None = None
    slices: tuple[int, ...] | None = None
    block: int = 1
    stretches: int | None = None

    def union(self, other: OutputCut) -> OutputCut:
        """A cut from which both can still be made.

        Example:
            >>> OutputCut(samples=4, channels=(0, 1)).union(OutputCut(samples=2, channels=(1, 5)))
            OutputCut(samples=4, channels=(0, 1, 5), strongest=None, slices=None, block=1, stretches=None)
        """
        if self == other:
            return self
        unranked = self.strongest is None and other.strongest is None
        strongest = _greater(self.strongest, other.strongest) if self.samples == other.samples else None
        if not unranked and strongest is None:  # strength is found from all places of all channels
            return OutputCut(samples=_greater(self.samples, other.samples))
        alike = self.samples == other.samples and self.slices == other.slices  # what `Taken` speaks of
        return OutputCut(
            samples=_greater(self.samples, other.samples),
            channels=_either(self.channels, other.channels) if unranked else None,
            strongest=strongest,
            slices=_either(self.slices, other.slices),
            block=self.block if alike and self.block == other.block else 1,
            stretches=self.stretches if alike and self.stretches == other.stretches else None,
        )


@dataclass(frozen=True)
class KernelCut:
    """Which part of a kernel `(out, in, *space)` is asked for. The default is all of it.

    Attributes:
        channels: these output channels, in this order; None: all.
        strongest: instead of `channels`, so many with the largest root of the sum of squares (L2 norm).
        inputs: the first so many input channels; None: all.
        mean_inputs: the mean over the input channels; that axis then has the length 1.
        slices: for three axes of space, these places on the first of them; None: all.
        blocks: for kernels without space, `(rows, columns)`: each value is the mean of so many rows by so
            many columns of `(out, in)`; blocks at the end may be smaller.
        parts: into how many equal parts, such as gates, the output axis falls: `strongest` then is a number
            of units, each with one channel in every part, and counts all of these channels.
    """

    channels: tuple[int, ...] | None = None
    strongest: int | None = None
    inputs: int | None = None
    mean_inputs: bool = False
    slices: tuple[int, ...] | None = None
    blocks: tuple[int, int] = (1, 1)
    parts: int = 1

    def union(self, other: KernelCut) -> KernelCut:
        """A cut from which both can still be made."""
        if self == other:
            return self
        unranked = self.strongest is None and other.strongest is None
        strongest = _greater(self.strongest, other.strongest) if self.parts == other.parts else None
        if not unranked and strongest is None:  # strength is found from all weights of all channels
            return KernelCut()
        return KernelCut(
            channels=_either(self.channels, other.channels) if unranked else None,
            strongest=strongest,
            inputs=_greater(self.inputs, other.inputs),
            mean_inputs=self.mean_inputs and other.mean_inputs and self.inputs == other.inputs,
            slices=_either(self.slices, other.slices),
            parts=self.parts if self.parts == other.parts else 1,
        )


@dataclass(frozen=True, eq=False)
class Taken:
    """What a cut left, and what must be known of what it left out.

    Attributes:
        cut: the cut that was made.
        channels: the layer's channels that are held, in this order (output channels of a kernel).
        lowest: `(channel,)`, the smallest value of each held channel over the samples and all places that
            were taken, before blocks or stretches; NaN do not count; +inf where there is no other.
        highest: the largest, likewise; -inf where there are only NaN.
        not_a_number: `(channel,)`, which of them hold NaN.
    """

    cut: OutputCut | KernelCut
    channels: tuple[int, ...]
    lowest: np.ndarray
    highest: np.ndarray
    not_a_number: np.ndarray

    def only(self, places: Sequence[int]) -> Taken:
        """The same of the channels at these places among the held ones."""
        kept = list(places)
        ranges = (self.lowest[kept], self.highest[kept], self.not_a_number[kept])
        return Taken(self.cut, tuple(self.channels[place] for place in kept), *ranges)


def _either(one: Sequence[int] | None, other: Sequence[int] | None) -> tuple[int, ...] | None:
    if one is None or other is None:
        return None
    return tuple(one) if tuple(one) == tuple(other) else tuple(sorted({*one, *other}))


def _greater(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)
