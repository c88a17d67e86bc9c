"""What two snapshots both hold of a layer: the same channels, places and inputs, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from layerviz_callbacks.comparing.answer_rows import maps_of
from layerviz_callbacks.cut import KernelCut, OutputCut, Taken, recut_kernel, recut_output
from layerviz_callbacks.snapshot import Layer


class Refusal(str):
    """Why two layers cannot be compared, in words."""


@dataclass(frozen=True, eq=False)
class CommonKernels:
    """The part of two kernels of one shape that both snapshots hold.

    Attributes:
        one: `(channel, gate, in, *space)`, floats; one gate where there are none.
        other: the same part of the other kernel.
        channels: the number of each channel (unit, where there are gates); None: rows are means of several.
        total: how many channels the layer has.
        whole_inputs: all inputs are there one by one.
        notes: what was left out, in words.
    """

    one: np.ndarray
    other: np.ndarray
    channels: tuple[int, ...] | None
    total: int
    whole_inputs: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class CommonOutputs:
    """The part of two outputs of one shape that both snapshots hold.

    Attributes:
        one: `(sample, *space, channel)`, floats.
        other: the same part of the other output.
        channels: the number of each channel.
        total: how many channels the layer has.
        notes: what was left out, in words.
    """

    one: np.ndarray
    other: np.ndarray
    channels: tuple[int, ...]
    total: int
    notes: tuple[str, ...]


def common_kernels(one: Layer, other: Layer) -> CommonKernels | Refusal:
    """Bring the kernels of two layers to the part that both hold."""
    if one.kernel_shape is None and other.kernel_shape is None:
        return Refusal("no kernel")
    for layer, model in ((one, "a"), (other, "b")):
        if layer.kernel is None or layer.kernel_shape is None:
            return Refusal(f"{model} holds no kernel of it")
    shape = tuple(one.kernel_shape or ())
    if shape != tuple(other.kernel_shape or ()):
        return Refusal(f"its kernel is {shape} in a, {other.kernel_shape} in b")
    cuts = [_kernel_cut(layer.kernel_taken) for layer in (one, other)]
    held = [_held(layer.kernel_taken, shape[0]) for layer in (one, other)]
    channels = tuple(channel for channel in held[0] if channel in set(held[1]))
    inputs = [min(cut.inputs or shape[1], shape[1]) for cut in cuts]
    averaged = [cut.mean_inputs and shape[1] > 1 for cut in cuts]
    if not channels:
        return Refusal("a and b hold different channels of its kernel")
    if any(averaged) and inputs[0] != inputs[1]:
        return Refusal(f"its kernel is a mean over {inputs[0]} inputs in a, over {inputs[1]} in b")
    if cuts[0].blocks != cuts[1].blocks and (1, 1) not in (cuts[0].blocks, cuts[1].blocks):
        return Refusal(f"its weights are means of {cuts[0].blocks} in a, of {cuts[1].blocks} in b")
    blocks = max(cuts[0].blocks, cuts[1].blocks)
    if blocks[0] > 1 and held[0] != held[1]:
        return Refusal("a and b hold means over other rows of its weights")
    slices = _common_slices(cuts[0].slices, cuts[1].slices)
    if slices == ():
        return Refusal("a and b hold different slices of its kernel")
    wanted = KernelCut(
        channels=None if len(channels) == shape[0] == len(held[0]) and _ordered(channels) else channels,
        inputs=None if min(inputs) == shape[1] else min(inputs),
        mean_inputs=any(averaged),
        slices=slices,
        blocks=blocks,
    )
    parts = []
    for layer in (one, other):
        part, taken = recut_kernel(np.asarray(layer.kernel), layer.kernel_taken, wanted)
        made = _kernel_cut(taken)
        if blocks[0] == 1 and taken.channels != channels:
            return Refusal("a and b hold different channels of its kernel")
        parts.append((part, (made.slices, made.blocks)))
    if parts[0][0].shape != parts[1][0].shape or parts[0][1] != parts[1][1]:
        return Refusal("a and b hold different parts of its kernel")
    gates = max(1, len(one.gates))
    units = None if blocks[0] > 1 else _units(channels, gates, shape[0])
    if units is None:
        gates, units = 1, channels
    by_unit = [_by_gate(part, gates) for part, _ in parts]
    return CommonKernels(
        by_unit[0],
        by_unit[1],
        channels=units if blocks[0] == 1 else None,
        total=shape[0] // gates,
        whole_inputs=not any(averaged) and min(inputs) == shape[1] and blocks[1] == 1,
        notes=_kernel_notes(wanted, channels, shape, averaged=any(averaged)),
    )


def common_outputs(one: Layer, other: Layer) -> CommonOutputs | Refusal:
    """Bring the outputs of two layers, of the same probe, to the part that both hold."""
    if one.output is None and other.output is None:
        return Refusal("")
    for layer, model in ((one, "a"), (other, "b")):
        if layer.output is None:
            return Refusal(layer.output_refusal or f"{model} holds no output of it")
    shapes = [tuple(layer.output_shape or np.asarray(layer.output).shape) for layer in (one, other)]
    if shapes[0] != shapes[1]:
        return Refusal(f"its output is {shapes[0]} in a, {shapes[1]} in b")
    total = shapes[0][-1]
    cuts = [_output_cut(layer.output_taken) for layer in (one, other)]
    held = [_held(layer.output_taken, total) for layer in (one, other)]
    channels = tuple(channel for channel in held[0] if channel in set(held[1]))
    samples = min(len(np.asarray(layer.output)) for layer in (one, other))
    if not channels or not samples:
        return Refusal("a and b hold different channels of its output")
    slices = _common_slices(cuts[0].slices, cuts[1].slices)
    if slices == ():
        return Refusal("a and b hold different slices of its output")
    wanted = OutputCut(
        samples=samples,
        channels=channels,
        slices=slices,
        block=max(cuts[0].block, cuts[1].block),
        stretches=min((cut.stretches for cut in cuts if cut.stretches is not None), default=None),
    )
    parts = []
    for layer in (one, other):
        part, taken = recut_output(np.asarray(layer.output), layer.output_taken, wanted)
        made = _output_cut(taken)
        whole = replace(
            layer, output=part, output_taken=replace(taken, cut=replace(made, stretches=wanted.stretches))
        )
        if taken.channels != channels or made.slices != wanted.slices or made.block != wanted.block:
            return Refusal("a and b hold different parts of its output")
        parts.append(maps_of(whole)[:samples])
    if parts[0].shape != parts[1].shape:
        return Refusal("a and b hold different parts of its output")
    notes = [] if len(channels) == total else [f"{len(channels)} of {total} channels of its output are held"]
    return CommonOutputs(parts[0], parts[1], channels, total, tuple(notes))


def _kernel_cut(taken: Taken | None) -> KernelCut:
    return taken.cut if taken is not None and isinstance(taken.cut, KernelCut) else KernelCut()


def _output_cut(taken: Taken | None) -> OutputCut:
    return taken.cut if taken is not None and isinstance(taken.cut, OutputCut) else OutputCut()


def _held(taken: Taken | None, total: int) -> tuple[int, ...]:
    return tuple(range(total)) if taken is None else tuple(taken.channels)


def _ordered(channels: tuple[int, ...]) -> bool:
    return channels == tuple(range(len(channels)))


def _common_slices(one: tuple[int, ...] | None, other: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    return tuple(place for place in one if place in other)


def _units(channels: tuple[int, ...], gates: int, total: int) -> tuple[int, ...] | None:
    """The units of channels of gates, one gate after the other; None where gates hold different ones."""
    if total % gates or len(channels) % gates:
        return None
    units, count = total // gates, len(channels) // gates
    each = {
        tuple(channel % units for channel in channels[gate * count : (gate + 1) * count])
        for gate in range(gates)
    }
    return each.pop() if len(each) == 1 else None


def _by_gate(part: np.ndarray, gates: int) -> np.ndarray:
    apart = part.reshape(gates, -1, *part.shape[1:])
    return np.moveaxis(apart, 0, 1)


def _kernel_notes(
    cut: KernelCut, channels: tuple[int, ...], shape: tuple[int, ...], *, averaged: bool
) -> tuple[str, ...]:
    notes = []
    if len(channels) < shape[0]:
        notes.append(f"{len(channels)} of {shape[0]} channels of its kernel are held")
    if averaged:
        notes.append("of its kernel the mean over the inputs is held")
    elif cut.inputs is not None:
        notes.append(f"{cut.inputs} of {shape[1]} inputs of its kernel are held")
    if cut.slices is not None:
        notes.append(f"{len(cut.slices)} of {shape[2]} slices of its kernel are held")
    if cut.blocks != (1, 1):
        notes.append(f"of its weights the means of {cut.blocks[0]}x{cut.blocks[1]} are held")
    return tuple(notes)
