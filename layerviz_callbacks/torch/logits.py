"""What a model computes before its last softmax or sigmoid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from layerviz_callbacks.torch.copying import argument_tensors
from layerviz_callbacks.torch.differentiable import NoGraphError

_LAST = frozenset({"_softmax", "_log_softmax", "sigmoid", "sigmoid_", "log_sigmoid_forward"})
_IN_PLACE = frozenset({"sigmoid_"})
_OF_SHAPE = frozenset({
    "view", "_unsafe_view", "_reshape_alias", "permute", "transpose", "t", "squeeze", "unsqueeze", "expand",
    "select", "slice", "clone", "_to_copy", "alias", "cat", "stack", "unbind", "split",
    "split_with_sizes",
})  # fmt: skip
_RESHAPES = frozenset({"view", "_unsafe_view", "_reshape_alias"})
_OF_VALUE = frozenset({"log", "exp", "clamp", "clamp_min", "clamp_max"})
"""What often follows a softmax, and keeps the order of its numbers."""


@dataclass(frozen=True, eq=False)
class _Made:
    """How a tensor was made: the operation, its arguments, and which of its results the tensor is."""

    operation: Any
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    place: int | None

    @property
    def kind(self) -> str:
        """The operation's name."""
        return _name_of(self.operation)

    def again(self, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Its result for changed arguments."""
        if self.kind in _RESHAPES:  # changed arguments may lie in memory in another way
            return change(self.arguments[0]).reshape(self.arguments[1])
        result = self.operation(*[_changed(one, change) for one in self.arguments], **self.named)
        chosen: torch.Tensor = result if self.place is None else result[self.place]
        return chosen


@dataclass(frozen=True, eq=False)
class _Source(_Made):
    """A last softmax or sigmoid, with the numbers it was given and where these stand in the graph."""

    given: torch.Tensor
    edge: GradientEdge | None


@dataclass(frozen=True, eq=False)
class Logits:
    """Numbers that a model gives, before a last softmax or sigmoid, in the layout in which it gives them."""

    _computed: torch.Tensor
    _starts: tuple[tuple[torch.Tensor, GradientEdge | None], ...]

    @classmethod
    def of(cls, answer: torch.Tensor) -> Logits:
        """The answer itself."""
        values = answer.detach()
        return cls(values, ((values, get_gradient_edge(answer) if answer.requires_grad else None),))

    @property
    def values(self) -> torch.Tensor:
        """The numbers, without a graph."""
        return self._computed.detach()

    def weighted(self, weights: torch.Tensor) -> tuple[list[GradientEdge], list[torch.Tensor]]:
        """What `torch.autograd.grad` differentiates for `sum(weights * values)`: `outputs`, `grad_outputs`.

        Raises:
            NoGraphError: the numbers are outside the graph.
        """
        weights = weights.to(self._computed)
        starts = [start for start, _ in self._starts]
        gradients: tuple[torch.Tensor | None, ...] = (weights,)
        if starts[0] is not self._computed:
            gradients = torch.autograd.grad(
                self._computed, starts, weights, retain_graph=True, allow_unused=True
            )
        edges, given = [], []
        for (_, edge), gradient in zip(self._starts, gradients, strict=True):
            if edge is not None and gradient is not None:
                edges.append(edge)
                given.append(gradient)
        if not edges:
            raise NoGraphError(
                "the model's answer cannot be differentiated: it is computed without a graph (inside "
                "torch.no_grad() or torch.inference_mode(), after detach(), or by an operation that has no "
                "gradient)"
            )
        return edges, given


class LogitsFinder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes, while a model runs, what its softmaxes and sigmoids were given.

    It sees the operations that really run, so it does not matter how a softmax is written: a layer, a
    function, a method, in place, in TorchScript. What follows it may change the shape, cut, join, clamp or
    take logarithms.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._made: Any = WeakTensorKeyDictionary()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        packet = _name_of(operation)
        kept = _source(operation, packet, args, named) if packet in _LAST else None
        result = operation(*args, **named)
        if kept is not None:
            self._made[result[0] if isinstance(result, tuple) else result] = kept
        elif packet in _OF_SHAPE or packet in _OF_VALUE:
            self._follow(operation, args, named, result)
        return result

    def _follow(self, operation: Any, args: Any, named: Mapping[str, Any], result: Any) -> None:
        if operation is torch.ops.aten.view.dtype or not all(
            one in self._made for one in argument_tensors(args)
        ):
            return
        if isinstance(result, torch.Tensor):
            self._made[result] = _Made(operation, tuple(args), named, None)
        elif isinstance(result, (tuple, list)):
            for place, one in enumerate(result):
                self._made[one] = _Made(operation, tuple(args), named, place)

    def logits_of(self, answer: torch.Tensor) -> Logits:
        """The numbers before the last softmax or sigmoid, where the answer is the result of one; else itself.

        Call it after the forward pass.
        """
        if answer in self._made:
            sources = self._sources(answer)
            with torch.enable_grad():
                leaves = {id(one): one.given.detach().clone().requires_grad_() for one in sources}
                values = self._again(answer, lambda source: leaves[id(source)], whole=False)
            with torch.no_grad():
                answered = self._again(
                    answer, lambda source: source.again(lambda _: source.given), whole=True
                )
            if _same(answered, answer):  # nothing was changed in place since
                return Logits(values, tuple((leaves[id(one)], one.edge) for one in sources))
        return Logits.of(answer)

    def _sources(self, tensor: torch.Tensor) -> list[_Source]:
        made = self._made[tensor]
        if isinstance(made, _Source):
            return [made]
        found = {id(one): one for part in argument_tensors(made.arguments) for one in self._sources(part)}
        return list(found.values())

    def _again(
        self, tensor: torch.Tensor, start: Callable[[_Source], torch.Tensor], *, whole: bool
    ) -> torch.Tensor:
        """The tensor made again from its sources; without what changes values unless `whole`."""
        made = self._made[tensor]
        if isinstance(made, _Source):
            return start(made)
        if made.kind in _OF_VALUE and not whole:
            return self._again(made.arguments[0], start, whole=whole)
        remade: torch.Tensor = made.again(lambda part: self._again(part, start, whole=whole))
        return remade


def _source(operation: Any, packet: str, args: Any, named: Mapping[str, Any]) -> _Source:
    given = args[0]
    edge = get_gradient_edge(given) if given.requires_grad else None
    place = 0 if packet == "log_sigmoid_forward" else None
    if packet in _IN_PLACE:
        return _Source(torch.ops.aten.sigmoid.default, (given,), {}, None, given.detach().clone(), edge)
    return _Source(operation, tuple(args), named, place, given, edge)


def _name_of(operation: Any) -> str:
    return str(getattr(getattr(operation, "overloadpacket", None), "__name__", ""))


def _changed(argument: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(argument, torch.Tensor):
        return change(argument)
    if isinstance(argument, (list, tuple)):
        return [_changed(one, change) for one in argument]
    return argument


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(
        one.float(), other.detach().float(), rtol=1e-3, atol=1e-4, equal_nan=True
    )
