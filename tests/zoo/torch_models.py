"""PyTorch models: ways of writing a model x the number of axes of space, with what is to be read of each.

All of them compute the same: a first layer, a normalisation, an activation and a head. What the oracle
expects is written with `torch.nn.functional` and arithmetic alone.
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

RANKS = (0, 1, 2, 3)
_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_NORMS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_FUNCTIONS = {0: functional.linear, 1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_SPACES = {0: (), 1: (9,), 2: (6, 5), 3: (5, 4, 6)}


@dataclasses.dataclass(frozen=True)
class Way:
    """A way of writing a model.

    Attributes:
        build: makes it from the number of axes of space.
        prefix: what stands before the names of the layers.
        probe: makes the probe from the input.
        forward: how it is called where `model(x)` does not do.
        silent: the layers that cannot be heard.
        tolerance: of the outputs, relative and absolute.
    """

    build: Callable[[int], nn.Module]
    prefix: str = ""
    probe: Callable[[torch.Tensor], Any] = lambda x: x
    forward: Callable[[nn.Module, Any], Any] | None = None
    silent: tuple[str, ...] = ()
    tolerance: float = 1e-6


def first(rank, channels_in=3, channels=4):
    return nn.Linear(channels_in, channels) if rank == 0 else _CONVOLUTIONS[rank](channels_in, channels, 3)


def head(rank):
    return nn.Linear(4, 2) if rank == 0 else _CONVOLUTIONS[rank](4, 2, 1)


class Parts(nn.Module):
    """The layers, with statistics that are not those of a new model."""

    def __init__(self, rank, *, inplace=False):
        super().__init__()
        torch.manual_seed(rank)
        self.first = first(rank)
        self.norm = _NORMS[rank](4)
        self.act = nn.ReLU(inplace=inplace)
        self.head = head(rank)
        self.norm.running_mean.uniform_(-0.2, 0.2)
        self.norm.running_var.uniform_(0.5, 2.0)

    def forward(self, x):
        return self.head(self.act(self.norm(self.first(x))))


def inputs(rank, samples=3):
    generator = torch.Generator().manual_seed(rank)
    return torch.rand(samples, 3, *_SPACES[rank], generator=generator) - 0.3


def expected_outputs(rank, x):
    """The outputs of the four layers, channels last, without calling a module."""
    parts = Parts(rank)
    state = {name: value.detach() for name, value in parts.state_dict().items()}
    function = _FUNCTIONS[rank]
    channels = (1, 4, *(1 for _ in _SPACES[rank]))
    y = function(x, state["first.weight"], state["first.bias"])
    deviation = (state["norm.running_var"].view(channels) + 1e-5).sqrt()
    n = (y - state["norm.running_mean"].view(channels)) / deviation
    n = n * state["norm.weight"].view(channels) + state["norm.bias"].view(channels)
    a = n.clamp(min=0)
    found = {"first": y, "norm": n, "act": a, "head": function(a, state["head.weight"], state["head.bias"])}
    return {name: value.movedim(1, -1).contiguous() for name, value in found.items()}


def expected_kernels(rank):
    state = Parts(rank).state_dict()
    return {"first": state["first.weight"], "head": state["head.weight"]}


class Nested(nn.Module):
    def __init__(self, rank):
        super().__init__()
        self.backbone = nn.ModuleDict({"stage": Parts(rank)})

    def forward(self, x):
        return self.backbone["stage"](x)


class Twice(Parts):
    """Calls all a second time with other values: the first call has the plain names."""

    def forward(self, x):
        super().forward(x)
        return super().forward(-x)


@dataclasses.dataclass
class Result:
    low: torch.Tensor
    high: torch.Tensor


class Gives(Parts):
    """Layers inside a block that gives back something else than a tensor."""

    def __init__(self, rank, form):
        super().__init__(rank)
        self.form = form

    def forward(self, x):
        y = super().forward(x)
        return self.form(y, y + 1)


class Holding(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, *arguments, **named):
        return self.inner(*arguments, **named)


class WithAutocast(Parts):
    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x)


class Checkpointed(Parts):
    def __init__(self, rank, *, reentrant):
        super().__init__(rank)
        self.reentrant = reentrant

    def forward(self, x):
        return checkpoint(super().forward, x, use_reentrant=self.reentrant)


class TwoArguments(Parts):
    def forward(self, left, right):
        return super().forward(left + right)


class KeywordOnly(Parts):
    def forward(self, *, wave, offset):
        return super().forward(wave + offset)


class TakesDict(Parts):
    def forward(self, batch):
        return super().forward(batch["wave"])


class CallsForward(Parts):
    """`layer.forward(x)` calls no hooks."""

    def forward(self, x):
        return self.head.forward(self.act(self.norm.forward(self.first.forward(x))))


class UsesWeights(Parts):
    """The layers only hold the weights."""

    def __init__(self, rank):
        super().__init__(rank)
        self.function = _FUNCTIONS[rank]

    def forward(self, x):
        y = self.act(self.norm(self.function(x, self.first.weight, self.first.bias)))
        return self.function(y, self.head.weight, self.head.bias)


class UsesWeightsInBfloat16(UsesWeights):
    """Autocast casts the weights: other storages than those of the layers."""

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x)


class MethodOnly(Parts):
    """As GANs and models with a `training_step` alone: nothing to call the model by."""

    forward = nn.Module.forward

    def generate(self, x):
        return self.head(self.act(self.norm(self.first(x))))


class Looped(nn.Module):
    def __init__(self, rank):
        super().__init__()
        parts = Parts(rank)
        self.layers = nn.ModuleDict(
            {"first": parts.first, "norm": parts.norm, "act": parts.act, "head": parts.head}
        )

    def forward(self, x):
        for layer in self.layers.values():
            x = layer(x)
        return x


def _sequential(rank):
    parts = Parts(rank)
    return nn.Sequential(OrderedDict(first=parts.first, norm=parts.norm, act=parts.act, head=parts.head))


def _compiled_and_run(rank, *, by_method):
    model = Parts(rank)
    compiled = model if by_method else torch.compile(model, backend="eager")
    if by_method:
        model.compile(backend="eager")
    compiled.eval()
    with torch.no_grad():
        compiled(inputs(rank))
    compiled.train()
    return compiled


def _weight_normed(rank):
    model = Parts(rank)
    parametrizations.weight_norm(model.first)
    parametrizations.weight_norm(model.head)
    return model


def _in_channels_last_memory(rank):
    formats = {2: torch.channels_last, 3: torch.channels_last_3d}
    return Parts(rank).to(memory_format=formats.get(rank, torch.preserve_format))


def _traced(rank):
    return torch.jit.trace(Parts(rank).eval(), inputs(rank))


def _model_output(low, high):
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    return BaseModelOutputWithPooling(last_hidden_state=low, pooler_output=high)


WAYS: Mapping[str, Way] = {
    "sequential": Way(_sequential),
    "subclass": Way(Parts),
    "nested": Way(Nested, "backbone.stage."),
    "loop over a dict of layers": Way(Looped, "layers."),
    "called twice": Way(Twice),
    "activation in place": Way(lambda rank: Parts(rank, inplace=True)),
    "gives a tuple": Way(lambda rank: Holding(Gives(rank, lambda a, b: (a, b))), "inner."),
    "gives a dict": Way(lambda rank: Holding(Gives(rank, lambda a, b: {"a": a, "b": b})), "inner."),
    "gives a dataclass": Way(lambda rank: Holding(Gives(rank, Result)), "inner."),
    "gives a ModelOutput": Way(lambda rank: Holding(Gives(rank, _model_output)), "inner."),
    "several arguments": Way(TwoArguments, probe=lambda x: [x, torch.zeros_like(x)]),
    "keyword-only arguments": Way(KeywordOnly, probe=lambda x: {"wave": x, "offset": torch.zeros_like(x)}),
    "takes a dict": Way(TakesDict, probe=lambda x: {"wave": x}),
    "weight-normed": Way(_weight_normed),
    "compiled": Way(lambda rank: torch.compile(Parts(rank), backend="eager")),
    "compiled and run before": Way(lambda rank: _compiled_and_run(rank, by_method=False)),
    "compiled by its method and run before": Way(lambda rank: _compiled_and_run(rank, by_method=True)),
    "autocast": Way(WithAutocast, tolerance=0.02),
    "channels_last memory": Way(_in_channels_last_memory),
    "checkpointed": Way(lambda rank: Checkpointed(rank, reentrant=False)),
    "checkpointed, reentrant": Way(lambda rank: Checkpointed(rank, reentrant=True)),
    "scripted": Way(lambda rank: torch.jit.script(Parts(rank)), silent=("act",)),
    "scripted sub-module": Way(
        lambda rank: Holding(torch.jit.script(Parts(rank, inplace=True))), "inner.", silent=("act",)
    ),
    "traced": Way(_traced, silent=("act",)),
    "traced sub-module": Way(lambda rank: Holding(_traced(rank)), "inner.", silent=("act",)),
    "forward called directly": Way(CallsForward),
    "weights used directly": Way(UsesWeights),
    "weights used directly under autocast": Way(UsesWeightsInBfloat16, tolerance=0.02),
    "another method than forward": Way(MethodOnly, forward=lambda model, x: model.generate(x)),
}  # fmt: skip
