"""Makes the Layers of a Snapshot from what was read of a Keras model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from layerviz_callbacks.health import LayerStatistics, WeightSample
from layerviz_callbacks.keras.attention_reading import attended_in, with_attention
from layerviz_callbacks.keras.cutting import output_arrays
from layerviz_callbacks.keras.hearing import Heard
from layerviz_callbacks.keras.kernel_reading import Copied
from layerviz_callbacks.keras.kernels import StoredKernel
from layerviz_callbacks.keras.names import Node
from layerviz_callbacks.keras.statistics import statistics_of
from layerviz_callbacks.keras.weights import read_weights
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Layer


def wanted_kernels(nodes: Sequence[Node], request: Request) -> dict[str, StoredKernel]:
    """The kernels that were asked for, by `Layer.name`."""
    asked = request.kernels | request.weights
    return {
        kernel_name(node, kernel): kernel for node in nodes if node.name in asked for kernel in node.kernels
    }


def measured_kernels(nodes: Sequence[Node], request: Request) -> dict[str, tuple[StoredKernel, bool]]:
    """The kernels of which an even part is measured, see `WeightSampler.read`."""
    return {
        kernel_name(node, kernel): (kernel, bool(getattr(node.layer, "lora_enabled", False)))
        for node in nodes
        if node.name in request.statistics
        for kernel in node.kernels
    }


def kernel_name(node: Node, kernel: StoredKernel) -> str:
    """The `Layer.name` of a kernel: the layer's own for its first, `name.part` for the others."""
    return f"{node.name}.{kernel.part}" if kernel.part else node.name


def layers_of(
    node: Node,
    place: int,
    heard: Sequence[Heard],
    request: Request,
    kernels: Mapping[str, Copied],
    samples: Mapping[str, WeightSample],
) -> Iterator[Layer]:
    """The layer itself, then its further calls and outputs, then further attention, then further kernels.

    Args:
        node: the layer, or the raw parameter.
        place: its place in the model, from 1 on.
        heard: what it answered; its arrays are there where they were asked for.
        request: what was asked for.
        kernels: what was read, by `Layer.name`.
        samples: what was taken of kernels to be measured, by `Layer.name`.
    """
    measured = node.name in request.statistics
    first = _own(node, place, request)
    first = _with_kernel(first, node.kernels[0], kernels) if node.kernels else first
    if measured:
        first = replace(first, statistics=LayerStatistics(weights=samples.get(first.name)))
    answers = _answers(node, place, first, [one for one in heard if one.attended is None], measured=measured)
    yield from with_attention(list(answers), first, attended_in(heard) or ())
    for kernel in node.kernels[1:]:
        further = Layer(kernel_name(node, kernel), first.kind, place, part_of=node.name)
        if measured:
            further = replace(further, statistics=LayerStatistics(weights=samples.get(further.name)))
        yield _with_kernel(further, kernel, kernels)


def _answers(
    node: Node, place: int, first: Layer, heard: Sequence[Heard], *, measured: bool
) -> Iterator[Layer]:
    """One Layer for each output of each call, or a single one without."""
    if not heard:
        yield first
    for one in heard:
        if one.name == node.name:
            yield _with_output(first, one)
        else:
            further = Layer(
                name=one.name,
                kind=first.kind,
                place=place,
                kernel_shape=None if one.part else first.kernel_shape,
                container=first.container,
                part_of=node.name,
                statistics=LayerStatistics() if measured and not one.part else None,
            )
            yield _with_output(further, one)


def _own(node: Node, place: int, request: Request) -> Layer:
    if node.is_parameter:
        return Layer(node.name, "Parameter", place, parameters=math.prod(node.layer.shape))
    held = [variable for kernel in node.kernels for variable in kernel.variables]
    own = node.own_variables
    return Layer(
        name=node.name,
        kind=type(node.layer).__name__,
        place=place,
        parameters=sum(math.prod(variable.shape) for variable in own),
        weights=read_weights(own, held) if node.name in request.weights else {},
        container=node.is_container,
        output_refusal=_once_a_step(node),
    )


def _with_kernel(layer: Layer, kernel: StoredKernel, kernels: Mapping[str, Copied]) -> Layer:
    array, taken = kernels.get(layer.name, (None, None))
    return replace(layer, kernel_shape=kernel.shape, kernel=array, kernel_taken=taken, gates=kernel.gates)


def _with_output(layer: Layer, heard: Heard) -> Layer:
    shape = tuple(0 if size is None else size for size in heard.shape)
    layer = replace(layer, output_shape=shape)
    measured = statistics_of(heard.tensors, shape)
    if measured is not None and layer.statistics is not None:
        layer = replace(layer, statistics=replace(layer.statistics, output=measured))
    if "part" not in heard.tensors:
        return layer
    output, taken = output_arrays(heard.tensors, shape, heard.cut)
    return replace(layer, output=output, output_taken=taken)


def _once_a_step(node: Node) -> str:
    if not node.steps_of:
        return ""
    return f"it runs once a time step; {node.steps_of} shows what comes out of all of them"
