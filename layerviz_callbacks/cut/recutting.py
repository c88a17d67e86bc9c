"""What was read with one cut, brought to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from layerviz_callbacks.cut.channels import equal_parts
from layerviz_callbacks.cut.cuts import VALUES_A_STRETCH, KernelCut, OutputCut, Taken
from layerviz_callbacks.cut.cutting import cut_kernel, cut_output, stretch_starts
from layerviz_callbacks.render.scale import as_floats


def recut_output(output: np.ndarray, taken: Taken | None, wanted: OutputCut) -> tuple[np.ndarray, Taken]:
    """Bring an output that was read with one cut to another, as far as it holds what is wanted.

    Args:
        output: as it was read.
        taken: what it holds; None: all.
        wanted: the cut that is wanted.

    Returns:
        What is there of it, floats, and what was taken; its `cut` tells what was made in fact.
    """
    if taken is None:
        return cut_output(output, wanted)
    had = taken.cut
    if had == wanted or not isinstance(had, OutputCut):
        return as_floats(output), taken
    stretched = had.stretches is not None and output.shape[1] == VALUES_A_STRETCH * had.stretches
    channels, strongest = _rest_of_channels(taken, wanted)
    rest = replace(
        wanted,
        channels=channels,
        strongest=strongest,
        slices=_rest_of_slices(had.slices, wanted.slices),
        block=wanted.block if had.block == 1 else 1,
        stretches=None if stretched else wanted.stretches,
    )
    part, made = cut_output(output, rest)
    if stretched and wanted.stretches is not None and had.stretches is not None:
        part = _restretch(part, had.stretches, wanted.stretches)
    held = taken.only(made.channels)
    done = replace(
        wanted,
        slices=_held(had.slices, rest.slices),
        block=max(had.block, rest.block),
        samples=len(part) if wanted.samples is not None else had.samples,
    )
    if had.block == 1 and not stretched:  # all values are there, of these samples and slices
        held = replace(made, channels=held.channels)
    return part, replace(held, cut=done)


def recut_kernel(kernel: np.ndarray, taken: Taken | None, wanted: KernelCut) -> tuple[np.ndarray, Taken]:
    """Bring a kernel that was read with one cut to another, as far as it holds what is wanted."""
    if taken is None:
        return cut_kernel(kernel, wanted)
    had = taken.cut
    if had == wanted or not isinstance(had, KernelCut) or had.blocks != (1, 1):
        return as_floats(kernel), taken
    channels, strongest = _rest_of_channels(taken, wanted)
    rest = replace(
        wanted,
        channels=channels,
        strongest=strongest,
        slices=_rest_of_slices(had.slices, wanted.slices),
        parts=wanted.parts if had.channels is None else 1,
    )
    part, made = cut_kernel(kernel, rest)
    done = replace(
        wanted,
        slices=_held(had.slices, rest.slices),
        mean_inputs=wanted.mean_inputs or had.mean_inputs,
        inputs=had.inputs if wanted.inputs is None else _least(had.inputs, wanted.inputs),
    )
    return part, replace(made, cut=done, channels=tuple(taken.channels[place] for place in made.channels))


def cut_again(part: np.ndarray, taken: Taken, cut: OutputCut | KernelCut) -> tuple[np.ndarray, Taken]:
    """Cut what was taken once more.

    Args:
        part: an output where `cut` is an `OutputCut`, else a kernel.
        taken: what it holds.
        cut: counted in what is held, not in the layer.

    Returns:
        What is left, and what was taken of the layer by both cuts. The ranges stay those of the first cut.
    """
    had = taken.cut
    if isinstance(cut, OutputCut) and isinstance(had, OutputCut):
        part, made = cut_output(part, cut)
        done: OutputCut | KernelCut = replace(
            had,
            samples=_least(had.samples, cut.samples),
            slices=_held(had.slices, cut.slices),
            block=had.block * cut.block,
        )
    elif isinstance(cut, KernelCut) and isinstance(had, KernelCut):
        part, made = cut_kernel(part, cut)
        done = replace(
            had,
            inputs=_least(had.inputs, cut.inputs),
            mean_inputs=had.mean_inputs or cut.mean_inputs,
            slices=_held(had.slices, cut.slices),
            blocks=(had.blocks[0] * cut.blocks[0], had.blocks[1] * cut.blocks[1]),
        )
    else:
        raise TypeError(f"{type(cut).__name__} after {type(had).__name__}")
    if isinstance(had, KernelCut) and had.blocks[0] > 1:  # rows are no single channels any more
        return part, replace(taken, cut=done)
    return part, replace(taken.only(made.channels), cut=done)


def _rest_of_channels(
    taken: Taken, wanted: OutputCut | KernelCut
) -> tuple[tuple[int, ...] | None, int | None]:
    """What is left to be done to get at the wanted channels: places among the held ones, or a ranking."""
    had, held = taken.cut, taken.channels
    if wanted.strongest is None:
        return (None, None) if wanted.channels is None else (_places(held, wanted.channels), None)
    if had.strongest is None or equal_parts(had, len(held)) != equal_parts(wanted, len(held)):
        return None, wanted.strongest
    parts = equal_parts(had, len(held))  # the strongest come first in each part
    units = len(held) // parts
    count = min(units, wanted.strongest)
    return tuple(part * units + unit for part in range(parts) for unit in range(count)), None


def _rest_of_slices(had: tuple[int, ...] | None, wanted: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if had is None or wanted is None:
        return wanted
    return _places(had, wanted) or None


def _held(had: tuple[int, ...] | None, places: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if had is None or places is None:
        return had if places is None else places
    return tuple(had[place] for place in places)


def _places(held: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """Where the wanted ones stand among those that are held."""
    where = {channel: place for place, channel in enumerate(held)}
    return tuple(where[channel] for channel in wanted if channel in where)


def _restretch(part: np.ndarray, had: int, wanted: int) -> np.ndarray:
    """From one number of stretches to another: as fine as they were, or joined where fewer are wanted."""
    triples = part.reshape(len(part), had, VALUES_A_STRETCH, part.shape[-1])
    low, high = (bound.reduce(triples, axis=2) for bound in (np.minimum, np.maximum))
    starts = stretch_starts(had, wanted)
    if had > wanted:
        low, high = np.minimum.reduceat(low, starts, axis=1), np.maximum.reduceat(high, starts, axis=1)
    else:
        low, high = low[:, starts], high[:, starts]
    stretched = np.stack([triples[:, starts, 0], low, high], axis=2)
    return stretched.reshape(len(part), VALUES_A_STRETCH * wanted, part.shape[-1])


def _least(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return min(known) if known else None
