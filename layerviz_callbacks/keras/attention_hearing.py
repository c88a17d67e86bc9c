"""Hears attention during one forward pass, and tells in which call of which layer it is computed.

Attention is known for certain from layers that say so (see `attention_layers`), and from fused operations.
By hand it is a softmax, or an exponential that is divided by its sum, and then a product with values: such
products are heard as operations (see `attention_operations`), and count where the values of one side are
non-negative, with rows that sum to one, and both sides have the samples as their first axis. So these are
none: class probabilities (nothing is multiplied with them), mixtures of a layer's own vectors and one-hot
rows before an embedding matrix (these vectors have no samples), means over a mask and the adjacency of a
graph (there is no exponential). Gates that mix what several experts answer to the same sample are such
weights, with the experts as keys.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from layerviz_callbacks.errors import is_out_of_memory
from layerviz_callbacks.keras.attention import (
    MOST_WEIGHTS,
    Arrangement,
    Asked,
    Attended,
    Labels,
    weights_in_multiplication,
    weights_in_product,
    weights_of_output,
)
from layerviz_callbacks.keras.attention_origins import Call, Origins
from layerviz_callbacks.keras.attention_tensors import arranged_tensor, is_attention

_TOO_MANY = "it has {count} weights; more than {most} are not read"


def _stops_nothing(hear: Callable[..., None]) -> Callable[..., None]:
    """What is odd in a layer must not stop the pass: then its attention is not read, and it is told why."""

    @functools.wraps(hear)
    def heard(self: AttentionHearing, *arguments: Any, **keywords: Any) -> None:
        try:
            hear(self, *arguments, **keywords)
        except Exception as error:  # noqa: BLE001  whatever a layer's own code raises
            short = is_out_of_memory(error)
            self.refuse("there is not enough memory for it" if short else f"{type(error).__name__}: {error}")

    return heard


class AttentionHearing:
    """Hears attention while a pass runs.

    Args:
        asked: what is wanted.
        ops: `keras.ops`, or what has the same functions for the tensors of the pass.
        copied: gives a NumPy copy of a tensor that has values.
        has_value: whether a tensor's values are there, or only its shape (in a trace).
        heard_here: whether the pass itself is running now, not the body of a loop.

    Attributes:
        asked: what is wanted.
        ops: see above.
        attended: what was heard, call by call.
        is_aside: what runs now is no part of the pass.
    """

    def __init__(
        self,
        asked: Asked,
        *,
        ops: Any,
        copied: Callable[[Any], Any],
        has_value: Callable[[Any], bool],
        heard_here: Callable[[], bool],
    ) -> None:
        self.asked = asked
        self.ops = ops
        self.attended: list[Attended] = []
        self.is_aside = False
        self._copied = copied
        self._has_value = has_value
        self._heard_here = heard_here
        self._calls = [Call("", 1, None, [], graph=True)]
        self._deaf = 0
        self._origins = Origins()

    @property
    def listens_to_operations(self) -> bool:
        """Whether products are to be heard: not where it is known that there are none."""
        known = self.asked.known
        return known is None or any(place > 0 for _, _, place in known)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Operations are not heard: our own, or those of a layer that is known."""
        self._deaf += 1
        try:
            yield
        finally:
            self._deaf -= 1

    @property
    def is_deaf(self) -> bool:
        """Whether operations are not to be heard now."""
        return self._deaf > 0

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What runs inside is no part of the pass: layers are not heard, either."""
        was_aside, self.is_aside = self.is_aside, True
        try:
            with self.deaf():
                yield
        finally:
            self.is_aside = was_aside

    @contextmanager
    def call(
        self, node: str, number: int, layer: Any, arguments: list[Any], *, loops: bool
    ) -> Iterator[Call]:
        """A call of a layer.

        Args:
            node: the layer's name.
            number: 1 for its first call.
            layer: itself.
            arguments: the tensors it is called with.
            loops: it runs once a time step what is inside it.
        """
        outer = self._calls[-1]
        graph = hasattr(layer, "_nodes_by_depth") or type(layer).__name__ == "Sequential"
        one = Call(node, number, layer, arguments, graph=graph, silent=outer.silent or loops)
        self._calls.append(one)
        try:
            yield one
        finally:
            self._calls.pop()
            one.ended(outer)

    @_stops_nothing
    def answered(self, call: Call, tensors: Sequence[Any]) -> None:
        """Take in what a call gave: which layer made a tensor, and weights among further outputs."""
        if call.graph or not self.listens_to_operations:
            return
        self._origins.answered(call, tensors)
        if len(tensors) > 1 and not (call.attends or call.silent):
            self._further_outputs(call, tensors)

    @_stops_nothing
    def certain(
        self,
        shape: tuple[int | None, ...],
        compute: Callable[[], Any],
        arrangement: Arrangement | None = None,
    ) -> None:
        """The layer that is being called now attends, for certain.

        Args:
            shape: `(sample, head, query, key)`.
            compute: gives the weights of the samples that are taken, or of all.
            arrangement: how these are brought to that shape; None: they have it.
        """
        call = self._calls[-1]
        if call.silent:
            return
        call.certain_places += 1
        call.attends = True
        self._add(call, shape, compute, arrangement, place=-call.certain_places, test=None)

    @_stops_nothing
    def returned(self, weights: Any, arrangement: Arrangement) -> None:
        """The layer that is being called now gave its weights, which may have been heard in a product."""
        call = self._calls[-1]
        if call.silent:
            return
        heard = (call.node, call.number, arrangement.shape)
        self.attended = [one for one in self.attended if (one.node, one.call, one.shape) != heard]
        self.certain(arrangement.shape, lambda: weights, arrangement)

    @_stops_nothing
    def fused(self, shape: tuple[int | None, ...], compute: Callable[[], Any], values: Any) -> None:
        """A fused operation was heard that attends to these values for certain; see `certain`."""
        call = self._calls[-1]
        if self.is_deaf or not self._heard_here() or call.silent:
            return
        call = self._origins.in_graph(call, values) if call.graph else call
        call.places += 1
        call.attends = True
        self._add(call, shape, compute, None, place=call.places, test=None)

    def refuse(self, why: str) -> None:
        """The layer that is being called now attends, and its weights cannot be read."""
        call = self._calls[-1]
        self.attended.append(Attended(call.node, call.number, 0, (), certain=True, refusal=why))

    def exponential(self, output: Any = None) -> None:
        """An exponential was heard; `output`: what it gave, where it is a softmax."""
        if self.is_deaf or not self._heard_here():
            return
        self._calls[-1].exponential = True
        if output is not None:
            self._origins.normalized(output)

    def handed_on(self, given: Any, made: Any) -> None:
        """An operation was heard that only puts the values of a tensor in other places."""
        if self._calls[-1].graph and not self.is_deaf:
            self._origins.handed_on(given, made)

    @_stops_nothing
    def product(self, left: Any, right: Any, axes: tuple[Labels, Labels, Labels] | None) -> None:
        """A product was heard, summed over the axes that both have and the result has not."""
        if axes is None or not self._may_attend():
            return
        with self.deaf():
            one, other, result = axes
            sizes, others = _sizes(left), _sizes(right)
            if len(one) != len(sizes) or len(other) != len(others):
                return
            total = self.asked.total
            self._candidate(left, right, weights_in_product(one, other, result, sizes, others, total))
            self._candidate(right, left, weights_in_product(other, one, result, others, sizes, total))

    @_stops_nothing
    def multiplication(self, left: Any, right: Any) -> None:
        """Two tensors were multiplied place by place."""
        if not hasattr(left, "shape") or not hasattr(right, "shape") or not self._may_attend():
            return
        with self.deaf():
            for weights, values in ((left, right), (right, left)):
                found = weights_in_multiplication(_sizes(weights), _sizes(values), self.asked.total)
                if found is not None and not (found.alike and not self._multiplies_what_it_is_given()):
                    self._candidate(weights, values, found)

    def _may_attend(self) -> bool:
        if self.is_deaf or not self._heard_here() or self._calls[-1].silent:
            return False
        return any(call.exponential for call in self._calls)

    def _multiplies_what_it_is_given(self) -> bool:
        return type(self._calls[-1].layer).__name__ == "Multiply"

    def _candidate(self, weights: Any, values: Any, arrangement: Arrangement | None) -> None:
        """A side of a product that may hold attention weights."""
        if arrangement is None:
            return
        call = self._origins.owner(self._calls[-1], weights, values)
        if call is None or self._origins.was_met(weights):
            return
        call.places += 1
        key = (call.node, call.number, call.places)
        if self.asked.known is not None and key not in self.asked.known:
            return

        def test(made: Any) -> Any:
            return is_attention(self.ops, weights, arrangement, made)

        wanted = None if self.asked.known is not None else test
        self._add(call, arrangement.shape, lambda: weights, arrangement, place=call.places, test=wanted)

    def _add(
        self,
        call: Call,
        shape: tuple[int | None, ...],
        compute: Callable[[], Any],
        arrangement: Arrangement | None,
        *,
        place: int,
        test: Callable[[Any], Any] | None,
    ) -> None:
        one = Attended(call.node, call.number, place, shape, certain=test is None)
        wanted = call.node in self.asked.layers
        count = math.prod(size or 1 for size in (self.asked.taken, *shape[1:]))
        tensors: dict[str, Any] = {}
        refusal = ""
        with self.aside():
            made = None
            fits = count <= MOST_WEIGHTS
            if test is not None or (wanted and fits) or (arrangement is not None and None in shape):
                made = compute()
                if arrangement is not None:
                    made = arranged_tensor(self.ops, made, arrangement)
            if test is not None:
                answer = test(made)
                if self._has_value(answer):
                    if not bool(answer):
                        return
                    one = replace(one, certain=True)
                else:
                    tensors["is_attention"] = answer
            if wanted and not fits:
                refusal = _TOO_MANY.format(count=f"{count:,}", most=f"{MOST_WEIGHTS:,}")
            elif wanted and made is not None:
                part = made if self.asked.samples is None else made[: self.asked.samples]
                part = self.ops.cast(part, "float32")
                tensors["weights"] = self._copied(part) if self._has_value(part) else part
            if None in shape and made is not None:
                tensors["shape"] = self.ops.stack([*self.ops.shape(made)])
        call.shapes.add(shape)
        self.attended.append(replace(one, shape=shape, tensors=tensors, refusal=refusal))

    def _further_outputs(self, call: Call, parts: Sequence[Any]) -> None:
        inputs = [_sizes(argument) for argument in call.arguments]
        first = _sizes(parts[0])
        for tensor in parts[1:]:
            if "int" in str(tensor.dtype) or "bool" in str(tensor.dtype):
                continue
            found = weights_of_output(_sizes(tensor), first, inputs, self.asked.total)
            if found is None or found.shape in call.shapes:
                continue
            call.places += 1
            known = self.asked.known
            if known is not None and (call.node, call.number, call.places) not in known:
                continue

            def test(made: Any, tensor: Any = tensor, found: Arrangement = found) -> Any:
                return is_attention(self.ops, tensor, found, made)

            self._add(
                call,
                found.shape,
                lambda tensor=tensor: tensor,  # type: ignore[misc]
                found,
                place=call.places,
                test=None if known is not None else test,
            )


def _sizes(tensor: Any) -> tuple[int | None, ...]:
    shape = tensor.shape
    if getattr(shape, "rank", 0) is None:
        return ()
    return tuple(None if size is None else int(size) for size in shape)
