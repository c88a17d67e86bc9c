"""Which part of a layer is copied off the device: only what a picture shows of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from layerviz_callbacks.render.grid import mean_blocks

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
            largest value. A curve drawn from these in `stretches` columns of pixels is the same curve.
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
        strongest = self.strongest if self.strongest == other.strongest else None
        channels = None
        if strongest is None and self.strongest is None and other.strongest is None:
            channels = _either(self.channels, other.channels)
        return OutputCut(
            samples=None
            if self.samples is None or other.samples is None
            else max(self.samples, other.samples),
            channels=channels,
            strongest=strongest if self.samples == other.samples else None,
            slices=_either(self.slices, other.slices),
            block=self.block if self.block == other.block else 1,
            stretches=self.stretches if self.stretches == other.stretches else None,
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
    """

    channels: tuple[int, ...] | None = None
    strongest: int | None = None
    inputs: int | None = None
    mean_inputs: bool = False
    slices: tuple[int, ...] | None = None
    blocks: tuple[int, int] = (1, 1)

    def union(self, other: KernelCut) -> KernelCut:
        """A cut from which both can still be made."""
        if self == other:
            return self
        strongest = self.strongest if self.strongest == other.strongest else None
        channels = None
        if self.strongest is None and other.strongest is None:
            channels = _either(self.channels, other.channels)
        return KernelCut(
            channels=channels,
            strongest=strongest,
            inputs=None if self.inputs is None or other.inputs is None else max(self.inputs, other.inputs),
            mean_inputs=self.mean_inputs and other.mean_inputs and self.inputs == other.inputs,
            slices=_either(self.slices, other.slices),
            blocks=self.blocks if self.blocks == other.blocks else (1, 1),
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


def cut_output(output: np.ndarray, cut: OutputCut) -> tuple[np.ndarray, Taken]:
    """Make a cut of an output `(sample, *space, channel)` in NumPy: what readers do on the device.

    Returns:
        The part that is left, `(sample, *space, channel)`, and what was taken.

    Example:
        >>> part, taken = cut_output(np.arange(8.0).reshape(1, 4, 2), OutputCut(channels=(1,)))
        >>> part.ravel().tolist(), taken.channels, taken.highest.tolist()
        ([1.0, 3.0, 5.0, 7.0], (1,), [7.0])
    """
    part = output[: cut.samples]
    channels = chosen_channels(cut, output.shape[-1], lambda: strength_of_outputs(part))
    part = part[..., list(channels)] if channels != tuple(range(output.shape[-1])) else part
    space = part.ndim - 2
    if space == 3 and cut.slices is not None:
        part = part[:, list(cut.slices)]
    lowest, highest, not_a_number = _ranges(part)
    if space in (2, 3) and cut.block > 1:
        part = mean_blocks(part, cut.block, axes=(part.ndim - 3, part.ndim - 2))
    if space == 1 and cut.stretches is not None:
        part = _stretches(part, cut.stretches)
    return part, Taken(cut, channels, lowest, highest, not_a_number)


def cut_kernel(kernel: np.ndarray, cut: KernelCut) -> tuple[np.ndarray, Taken]:
    """Make a cut of a kernel `(out, in, *space)` in NumPy: what readers do on the device."""
    channels = chosen_channels(cut, kernel.shape[0], lambda: strength_of_kernels(kernel))
    part = kernel[list(channels)] if channels != tuple(range(kernel.shape[0])) else kernel
    part = part[:, : cut.inputs]
    if cut.mean_inputs and part.shape[1] > 1:
        with np.errstate(invalid="ignore", over="ignore"):
            part = part.mean(axis=1, keepdims=True)
    if part.ndim == 5 and cut.slices is not None:
        part = part[:, :, list(cut.slices)]
    lowest, highest, not_a_number = _ranges(np.moveaxis(part, 0, -1))
    if cut.blocks != (1, 1):
        part = mean_blocks(part, cut.blocks, axes=(0, 1))
    return part, Taken(cut, channels, lowest, highest, not_a_number)


def chosen_channels(
    cut: OutputCut | KernelCut, total: int, strengths: Callable[[], np.ndarray]
) -> tuple[int, ...]:
    """The channels that a cut takes of `total`; `strengths()` gives one number a channel, where needed.

    Example:
        >>> chosen_channels(OutputCut(strongest=2), 3, lambda: np.array([1.0, 5.0, 2.0]))
        (1, 2)
    """
    if cut.strongest is not None:
        order = np.argsort(-np.nan_to_num(strengths(), nan=np.inf), kind="stable")
        return tuple(int(place) for place in order[: cut.strongest])
    if cut.channels is not None:
        return tuple(channel for channel in cut.channels if channel < total)
    return tuple(range(total))


def strength_of_outputs(output: np.ndarray) -> np.ndarray:
    """The mean magnitude of each channel of `(sample, *space, channel)`."""
    return np.asarray(np.abs(output).mean(axis=tuple(range(output.ndim - 1))))


def strength_of_kernels(kernel: np.ndarray) -> np.ndarray:
    """The root of the sum of squares of each output channel of `(out, in, *space)`."""
    return np.asarray(np.sqrt(np.square(kernel).sum(axis=tuple(range(1, kernel.ndim)))))


def stretch_starts(length: int, count: int) -> np.ndarray:
    """Where each of `count` stretches of a curve begins; the same columns that a curve is drawn in."""
    return np.arange(count) * length // count


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


def _ranges(part: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axes = tuple(range(part.ndim - 1))
    not_a_number = np.isnan(part).any(axis=axes)
    lowest = np.min(np.where(np.isnan(part), np.inf, part), axis=axes, initial=np.inf)
    highest = np.max(np.where(np.isnan(part), -np.inf, part), axis=axes, initial=-np.inf)
    return lowest, highest, not_a_number


def _either(one: Sequence[int] | None, other: Sequence[int] | None) -> tuple[int, ...] | None:
    if one is None or other is None:
        return None
    return tuple(one) if tuple(one) == tuple(other) else tuple(sorted({*one, *other}))


def recut_output(output: np.ndarray, taken: Taken | None, wanted: OutputCut) -> tuple[np.ndarray, Taken]:
    """Bring an output that was read with one cut to another, as far as it holds what is wanted.

    Args:
        output: as it was read.
        taken: what it holds; None: all.
        wanted: the cut that is wanted.
    """
    if taken is None:
        return cut_output(output, wanted)
    had = taken.cut
    if had == wanted or not isinstance(had, OutputCut):
        return output, taken
    rest = replace(
        wanted,
        channels=_places(taken.channels, wanted.channels),
        slices=None if had.slices is None else _places(had.slices, wanted.slices),
        block=wanted.block if had.block == 1 else 1,
        stretches=wanted.stretches if had.stretches is None else None,
    )
    if had.slices is None:
        rest = replace(rest, slices=wanted.slices)
    part, made = cut_output(output, rest)
    kept = list(made.channels)
    reduced = had.block > 1 or had.stretches is not None
    ranges = (
        (taken.lowest[kept], taken.highest[kept], taken.not_a_number[kept])
        if reduced
        else (made.lowest, made.highest, made.not_a_number)
    )
    return part, Taken(wanted, tuple(taken.channels[place] for place in kept), *ranges)


def recut_kernel(kernel: np.ndarray, taken: Taken | None, wanted: KernelCut) -> tuple[np.ndarray, Taken]:
    """Bring a kernel that was read with one cut to another, as far as it holds what is wanted."""
    if taken is None:
        return cut_kernel(kernel, wanted)
    had = taken.cut
    if had == wanted or not isinstance(had, KernelCut):
        return kernel, taken
    rest = replace(
        wanted,
        channels=_places(taken.channels, wanted.channels),
        slices=wanted.slices if had.slices is None else _places(had.slices, wanted.slices),
        blocks=wanted.blocks if had.blocks == (1, 1) else (1, 1),
    )
    part, made = cut_kernel(kernel, rest)
    return part, replace(made, cut=wanted, channels=tuple(taken.channels[place] for place in made.channels))


def _places(held: Sequence[int], wanted: Sequence[int] | None) -> tuple[int, ...] | None:
    """Where the wanted ones stand among those that are held."""
    if wanted is None:
        return None
    where = {channel: place for place, channel in enumerate(held)}
    return tuple(where[channel] for channel in wanted if channel in where)
