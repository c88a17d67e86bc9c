"""In which call of which layer a tensor of a pass was made."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

_HANDED_ON = {"Dropout", "Flatten", "Identity", "Permute", "RepeatVector", "Reshape"}
"""Layers that give the values that they were given, in other places at most."""


@dataclass
class Call:
    """A call of a layer.

    Attributes:
        node: the layer's name; "" for what is outside of all layers.
        number: 1 for the layer's first call in the pass.
        layer: itself.
        arguments: the tensors it is called with.
        graph: it only runs the layers that stand in it.
        silent: it runs what is inside it once a time step, so that nothing in it is heard.
        exponential: an exponential was heard in it, or in a layer inside it.
        attends: it, or a layer inside it, attends for certain.
        shapes: of what was heard and may be attention, in it or inside it.
        places: how many operations in it may be attention.
        certain_places: how often it said so itself.
    """

    node: str
    number: int
    layer: Any
    arguments: list[Any]
    graph: bool = False
    silent: bool = False
    exponential: bool = False
    attends: bool = False
    shapes: set[tuple[int | None, ...]] = field(default_factory=set)
    places: int = 0
    certain_places: int = 0

    def ended(self, outer: Call) -> None:
        """It is over, and was made inside another."""
        outer.exponential |= self.exponential
        outer.attends |= self.attends
        outer.shapes |= self.shapes


class Origins:
    """Remembers where the tensors of a pass come from, as long as somebody else holds them."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Callable[[], Any], Call]] = {}
        self._normalized: dict[int, Callable[[], Any]] = {}
        self._met: dict[int, Callable[[], Any]] = {}

    def answered(self, call: Call, tensors: Sequence[Any]) -> None:
        """A call gave these tensors; where it only handed its input on, they are of who made that."""
        maker = call
        if type(call.layer).__name__.removeprefix("Spatial").rstrip("123D") in _HANDED_ON:
            makers = [self.maker(tensor) for tensor in call.arguments]
            maker = next((one for one in makers if one is not None), call)
        for tensor in tensors:
            if not any(tensor is argument for argument in call.arguments):
                self._made[id(tensor)] = (_reference(tensor), maker)

    def handed_on(self, given: Any, made: Any) -> None:
        """An operation only put the values of one tensor in other places."""
        maker = self.maker(given)
        if maker is not None:
            self._made[id(made)] = (_reference(made), maker)

    def normalized(self, tensor: Any) -> None:
        """A softmax gave this tensor."""
        self._normalized[id(tensor)] = _reference(tensor)

    def was_met(self, tensor: Any) -> bool:
        """Whether the same weights were asked about before."""
        known = _is(self._met.get(id(tensor)), tensor)
        self._met[id(tensor)] = _reference(tensor)
        return known

    def maker(self, tensor: Any) -> Call | None:
        """The call that gave this tensor; None: no layer's."""
        reference, call = self._made.get(id(tensor), (None, None))
        return call if _is(reference, tensor) else None

    def owner(self, call: Call, weights: Any, values: Any) -> Call | None:
        """The call in which weights were computed that meet values now; None: they are no attention.

        It is the layer that multiplies. Where it was handed the weights, and in the graph of a model, it is
        the layer that gave the weights; in the graph of the model itself at last the one that gave the
        values.

        Args:
            call: in which they meet.
            weights: one side of the product.
            values: the other.
        """
        if not call.graph:
            if call.exponential:
                return call
            givers = [self.maker(argument) for argument in call.arguments]
            given = [giver for giver in givers if giver is not None and giver.exponential]
            softmaxed = any(_is(self._normalized.get(id(one)), one) for one in call.arguments)
            return given[0] if given else call if softmaxed else None
        giver = self.maker(weights)
        if giver is not None:
            return giver if giver.exponential else None
        return self.in_graph(call, values) if call.exponential else None

    def in_graph(self, call: Call, values: Any) -> Call:
        """Where attention belongs that is computed in the graph of a model, and by no layer in it."""
        return call if call.node else self.maker(values) or call


def _is(reference: Callable[[], Any] | None, tensor: Any) -> bool:
    return reference is not None and reference() is tensor


def _reference(tensor: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(tensor)
    except TypeError:
        return lambda: tensor
