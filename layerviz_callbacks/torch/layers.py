"""From a model's modules, and from what was heard of them, to Layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from layerviz_callbacks.cut import KernelCut, Taken
from layerviz_callbacks.health import LayerStatistics, WeightSample
from layerviz_callbacks.reader import LayerEntry
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Layer
from layerviz_callbacks.torch.attention_places import ReadAttention
from layerviz_callbacks.torch.capture import Heard
from layerviz_callbacks.torch.copying import to_float32
from layerviz_callbacks.torch.cutting import take_kernel
from layerviz_callbacks.torch.kernels import Kernel, has_kernel, kernels_and_weights
from layerviz_callbacks.torch.names import is_container, kind_of, unwrapped
from layerviz_callbacks.torch.operations import is_fused_projection
from layerviz_callbacks.torch.parameters import RawParameter, kernel_of_parameter, raw_parameters
from layerviz_callbacks.torch.statistics import Measured
from layerviz_callbacks.torch.weight_samples import WeightSampler
from layerviz_callbacks.torch.weights import is_trainable, parameter_count

SCRIPTED = (
    "its output cannot be heard: TorchScript calls no hooks, and no operation with its weights alone gives it"
)
NOT_CALLED_BY_ITSELF = (
    "its output cannot be heard: its weights are used without calling it. Call it as a layer, layer(x), "
    "not layer.forward(x)"
)
MODEL_ITSELF = "it is the model itself, whose outputs are not those of a layer"
FUSED_PROJECTION = (
    "its output is that of the attention layer it belongs to, which uses its weights without calling it"
)


@dataclass(frozen=True, eq=False)
class Listed:
    """A layer of the model: a module, or a raw parameter.

    Attributes:
        name: see `Layer.name`.
        part: the module, or the raw parameter.
        parameters: how many parameters are its own; those that are listed by themselves are not counted.
    """

    name: str
    part: nn.Module | RawParameter
    parameters: int

    @property
    def entry(self) -> LayerEntry:
        """The layer as the core lists it."""
        if isinstance(self.part, RawParameter):
            return LayerEntry(self.name, self.part.parameter, has_kernel=True)
        return LayerEntry(self.name, self.part, has_kernel(self.part), container=is_container(self.part))


def listed_layers(model: nn.Module, layers: dict[str, nn.Module]) -> list[Listed]:
    """Every layer in the model's order; raw parameters come right after the module that holds them."""
    raw = raw_parameters(model, layers)
    listed: list[Listed] = []
    for name, module in [("", None), *layers.items()]:
        own = raw.get(name, [])
        if module is not None:
            apart = sum(parameter.parameter.numel() for parameter in own)
            listed.append(Listed(name, module, max(0, parameter_count(module) - apart)))
        listed += [Listed(one.name, one, one.parameter.numel()) for one in own]
    return listed


@dataclass(frozen=True, eq=False)
class _ReadKernel:
    """A kernel as it was read: `name` is its Layer's."""

    name: str
    shape: tuple[int, ...]
    gates: tuple[str, ...] = ()
    array: np.ndarray | None = None
    taken: Taken | None = None
    sample: WeightSample | None = None

    def fields(self) -> dict[str, Any]:
        return {
            "kernel_shape": self.shape,
            "kernel": self.array,
            "kernel_taken": self.taken,
            "gates": self.gates,
        }


@dataclass(frozen=True, eq=False)
class ReadWeights:
    """What was read of a layer without running the model; the first kernel is its own."""

    kernels: tuple[_ReadKernel, ...]
    weights: dict[str, np.ndarray]
    refusal: str = ""


def read_weights(listed: Listed, request: Request, sampler: WeightSampler) -> ReadWeights:
    """Read a layer's kernels and weights as far as they are wanted; of the others the shapes alone.

    Call it in evaluation mode.

    Args:
        listed: the layer.
        request: which kernels and weights are wanted.
        sampler: takes what is wanted for statistics.
    """
    wanted = listed.name in request.weights | request.kernels
    try:
        if isinstance(listed.part, RawParameter):
            kernel = kernel_of_parameter(listed.part)
            trainable = is_trainable(listed.part.owner, listed.part.attribute)
            sample = sampler.sample(listed.name, kernel, trainable=trainable)
            return ReadWeights((_read(listed.name, kernel, sample, request, wanted=wanted),), {})
        if not wanted and not has_kernel(listed.part):
            return ReadWeights((), {})
        kernels, weights = kernels_and_weights(listed.part)
        names = [listed.name, *(f"{listed.name}.{kernel.name}" for kernel in kernels[1:])]
        return ReadWeights(
            tuple(
                _read(
                    name,
                    kernel,
                    sampler.sample(listed.name, kernel, trainable=is_trainable(listed.part, kernel.name)),
                    request,
                    wanted=wanted,
                )
                for name, kernel in zip(names, kernels, strict=False)
            ),
            {key: to_float32(tensor) for key, tensor in weights.items()}
            if listed.name in request.weights
            else {},
        )
    except Exception as error:  # noqa: BLE001  one odd layer must not hide the others
        return ReadWeights((), {}, f"its weights cannot be read ({type(error).__name__}: {error})")


def layers_of(
    listed: Listed,
    place: int,
    read: ReadWeights,
    heard: Heard | None,
    attentions: Mapping[str, ReadAttention],
    *,
    used: bool,
) -> Iterator[Layer]:
    """The layer, then its further kernels, then its further calls and outputs, then further attentions.

    Args:
        listed: the layer.
        place: its place in the model, from 1 on.
        read: its weights.
        heard: its outputs; None: there are none.
        attentions: its attentions by `Layer.name`.
        used: an operation used its weights, though nothing was heard.
    """
    name, part = listed.name, listed.part
    own = read.kernels[0].fields() if read.kernels else {}
    if isinstance(part, RawParameter):
        statistics = _statistics(None, read.kernels[0].sample if read.kernels else None)
        yield Layer(
            name, "Parameter", place, listed.parameters, refusal=read.refusal, statistics=statistics, **own
        )
        return
    kind, container = kind_of(part), is_container(part)
    heard = heard or Heard()
    yield Layer(
        name, kind, place, listed.parameters, weights=read.weights, container=container,
        refusal=read.refusal or _refusal(part, heard, used=used), **own,
        output_shape=heard.shapes.get(name), output=heard.arrays.get(name),
        output_taken=heard.taken.get(name), **_attention(attentions.get(name)),
        statistics=_statistics(heard.measured.get(name), read.kernels[0].sample if read.kernels else None),
    )  # fmt: skip
    for kernel in read.kernels[1:]:
        statistics = _statistics(None, kernel.sample)
        yield Layer(kernel.name, kind, place, part_of=name, statistics=statistics, **kernel.fields())
    for key in heard.shapes:
        if key != name:
            yield Layer(
                key, kind, place, container=container, part_of=name,
                kernel_shape=own.get("kernel_shape") if key in heard.calls else None,
                output_shape=heard.shapes[key], output=heard.arrays.get(key),
                output_taken=heard.taken.get(key), **_attention(attentions.get(key)),
                statistics=_statistics(heard.measured.get(key), None),
            )  # fmt: skip
    for key, attention in attentions.items():
        if key != name and key not in heard.shapes:
            yield Layer(key, kind, place, container=container, part_of=name, **_attention(attention))


def attention_of_model(
    model: nn.Module, name: str, place: int, attentions: Mapping[str, ReadAttention]
) -> Iterator[Layer]:
    """Attention that the model computes in its own `forward`, as layers; nothing where there is none.

    Args:
        model: the model.
        name: what it is called.
        place: after all its layers.
        attentions: by `Layer.name`.
    """
    for key, attention in attentions.items():
        part_of = "" if key == name else name
        yield Layer(
            key, kind_of(unwrapped(model)), place, container=True, part_of=part_of,
            output_refusal=MODEL_ITSELF, **_attention(attention),
        )  # fmt: skip


def _attention(read: ReadAttention | None) -> dict[str, Any]:
    return {} if read is None else {"attention_shape": read.shape, "attention": read.weights}


def _statistics(output: Measured | None, weights: WeightSample | None) -> LayerStatistics | None:
    if output is None and weights is None:
        return None
    return LayerStatistics(None if output is None else output.statistics(), weights)


def _read(
    name: str, kernel: Kernel, sample: WeightSample | None, request: Request, *, wanted: bool
) -> _ReadKernel:
    shape, array, taken = tuple(kernel.tensor.shape), None, None
    cut = request.kernel_cuts.get(name, KernelCut())
    if wanted and cut == KernelCut():
        array = to_float32(kernel.tensor)
    elif wanted:
        array, taken = take_kernel(kernel.tensor, cut)
    return _ReadKernel(name, shape, kernel.gates, array, taken, sample)


def _refusal(module: nn.Module, heard: Heard, *, used: bool) -> str:
    if heard.shapes:
        return ""
    if heard.refusal:
        return heard.refusal
    if is_fused_projection(module):
        return FUSED_PROJECTION
    if isinstance(module, torch.jit.ScriptModule):
        return SCRIPTED
    return NOT_CALLED_BY_ITSELF if used else ""
