"""Hears what each layer answers during one forward pass, run eagerly or traced for compilation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import keras

from layerviz_callbacks.cut import OutputCut
from layerviz_callbacks.keras.attention import Asked, Attended
from layerviz_callbacks.keras.attention_hearing import AttentionHearing
from layerviz_callbacks.keras.attention_layers import called_with_flag, heard_inside, returns_by_flag
from layerviz_callbacks.keras.attention_operations import operations_heard
from layerviz_callbacks.keras.cutting import output_tensors
from layerviz_callbacks.keras.kernels import copied, is_recurrent
from layerviz_callbacks.keras.names import Node
from layerviz_callbacks.keras.statistics import WHOLE, measured_tensors
from layerviz_callbacks.keras.structure import parts_of, replaced, with_parts

Replace = Callable[["Heard", Any, int], Any]
"""Gives what takes the place of an output: the heard output, its tensor, the axis of its channels."""


@dataclass(frozen=True, eq=False)
class Heard:
    """One output of one call of a layer.

    Attributes:
        node: the layer's name.
        call: 1 for the first call of the layer in the pass, 2 for the second.
        part: "" for the first output of that call, ".1" or ".key" for another.
        shape: `(sample, *space, channel)`; a size that is known only when the pass is run is None.
        cut: the cut that was made of it; None: it is whole.
        tensors: what is wanted of it, see `cutting.output_tensors` and `statistics.measured_tensors`; empty
            where nothing is.
        attended: this is no output, but attention in that call, and the shape is that of its weights; part is
            ".attention" with a number, and tensors are those of `Attended`.
    """

    node: str
    call: int
    part: str
    shape: tuple[int | None, ...]
    cut: OutputCut | None
    tensors: Mapping[str, Any]
    attended: Attended | None = None

    @property
    def name(self) -> str:
        """As in `Layer.name`."""
        return self.node + ("" if self.call == 1 else f"#{self.call}") + self.part

    def without_arrays(self) -> Heard:
        """The shapes alone."""
        return replace(self, cut=None, tensors={})


class Listener:
    """Hears the calls of layers while its `listening` scope is open.

    Only what is called in the pass itself is heard: the body of a compiled loop (the cell of an LSTM) has
    no output that could be brought out of it.

    Args:
        nodes: the layers of the model.
        wanted: the names of those whose outputs are wanted; of the others only shapes are kept.
        cuts: by `Heard.name`, the part of an output that is enough.
        take: what is done at once with a tensor that is wanted, see `cutting.output_tensors`.
        model_outputs: whether the model's own outputs are wanted.
        replace: gives what takes the place of each output in the pass; None: all stay.
        attention: what is wanted of attention; None: attention is not heard.
        statistics: the names of the layers whose first outputs are measured.
        measure: how, at once, see `statistics.measured_tensors`.

    Attributes:
        wants_outputs: whether the model's own outputs are wanted.
        heard: what the layers answered, in the order of the calls; then how they attended.
        channels_first_inputs: shapes of tensors that a layer took as `(sample, channel, *space)`.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        wanted: frozenset[str] = frozenset(),
        cuts: Mapping[str, OutputCut] | None = None,
        take: Callable[..., Mapping[str, Any]] = output_tensors,
        *,
        model_outputs: bool = False,
        replace: Replace | None = None,
        attention: Asked | None = None,
        statistics: frozenset[str] = frozenset(),
        measure: Callable[..., Mapping[str, Any]] = measured_tensors,
    ) -> None:
        self._nodes = nodes
        self._wanted = wanted
        self._measured = statistics
        self._measure = measure
        self._cuts = cuts or {}
        self._take = take
        self._replace = replace
        self._counts: dict[str, int] = {}
        self._channels_first: dict[int, Any] = {}  # by id; holds the tensor, so that no other gets its id
        self._place: Any = None
        self._attention = None if attention is None or not nodes else self._hearing(attention)
        self.wants_outputs = bool(wanted) or model_outputs
        self.heard: list[Heard] = []
        self.channels_first_inputs: set[tuple[int, ...]] = set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Wrap `call` of each layer object; on leaving, everything is as it was."""
        self._place = _traced_place()
        with ExitStack() as stack:
            for node in self._nodes:
                if not node.is_called:
                    continue
                quantized = getattr(node.layer, "quantization_mode", None) is not None
                name = "quantized_call" if quantized else "call"
                wrapper = self._wrapped(node, getattr(node.layer, name))
                stack.enter_context(replaced(node.layer, name, wrapper))
                if getattr(node.layer, "_remat_mode", None) is not None:  # recomputed in a trace of its own
                    stack.enter_context(replaced(node.layer, "_remat_mode", None))
                if self._attention is not None:
                    stack.enter_context(heard_inside(node.layer, self._attention, replaced))
            if self._attention is not None and self._attention.listens_to_operations:
                stack.enter_context(operations_heard(self._attention))
            yield
        if self._attention is not None:
            self.heard += [_attention_heard(one) for one in self._attention.attended]

    def _wrapped(self, node: Node, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def listened(*arguments: Any, **keywords: Any) -> Any:
            if _traced_place() != self._place or (self._attention is not None and self._attention.is_aside):
                return call(*arguments, **keywords)
            inputs = [tensor for _, tensor in parts_of(arguments)]
            if self._attention is None:
                return self._hear(node, inputs, call(*arguments, **keywords))
            given = inputs + [tensor for _, tensor in parts_of(keywords)]
            return self._called(self._attention, node, inputs, given, lambda: call(*arguments, **keywords))

        return listened

    def _called(
        self,
        attention: AttentionHearing,
        node: Node,
        inputs: list[Any],
        given: list[Any],
        call: Callable[[], Any],
    ) -> Any:
        """Call a layer whose attention is heard, too."""
        number = self._counts.get(node.name, 0) + 1
        loops = is_recurrent(node.layer) or isinstance(node.layer, keras.layers.TimeDistributed)
        with attention.call(node.name, number, node.layer, given, loops=loops) as now:
            flag = returns_by_flag(node.layer)
            output = called_with_flag(node.layer, flag, call, attention, replaced) if flag else call()
            with attention.deaf():
                output = self._hear(node, inputs, output)
            attention.answered(now, [tensor for _, tensor in parts_of(output)])
        return output

    def _hearing(self, asked: Asked) -> AttentionHearing:
        return AttentionHearing(
            asked,
            ops=keras.ops,
            copied=lambda tensor: copied(tensor).copy(),
            has_value=_has_value,
            heard_here=lambda: bool(_traced_place() == self._place),
        )

    def _hear(self, node: Node, inputs: list[Any], output: Any) -> Any:
        """Hear an output, and give what the layer is to answer: the same, or what takes its place."""
        self._counts[node.name] = call = self._counts.get(node.name, 0) + 1
        others: dict[str, Any] = {}
        for place, (path, tensor) in enumerate(parts_of(output)):
            first = self._is_channels_first(node.layer, inputs, tensor)
            shape = tuple(None if size is None else int(size) for size in tensor.shape)
            shape = (shape[0], *shape[2:], shape[1]) if first else shape
            one = Heard(node.name, call, "" if place == 0 else f".{path}", shape, None, {})
            axis = 1 if first else len(shape) - 1
            if node.name in self._wanted:
                cut = self._cuts.get(one.name)
                one = replace(one, cut=cut, tensors=self._take(tensor, cut, channel_axis=axis))
            if node.name in self._measured and place == 0:
                measured = self._measure(tensor, channel_axis=axis)
                one = replace(one, tensors={**one.tensors, **measured})
            self.heard.append(one)
            if self._replace is not None:
                other = self._replace(one, tensor, axis)
                if other is not tensor:
                    others[path] = other
                    if first:
                        self._channels_first[id(other)] = other
        return with_parts(output, others) if others else output

    def _is_channels_first(self, layer: Any, inputs: list[Any], output: Any) -> bool:
        """Whether this output is `(sample, channel, *space)`: the layer says so, or its inputs were."""
        if len(output.shape) < 3:
            return False
        marked = id(output) in self._channels_first
        layout = getattr(layer, "data_format", None)
        if layout in ("channels_first", "channels_last"):
            marked = marked or layout == "channels_first"
            if layout == "channels_first" and inputs:
                self.channels_first_inputs.add(tuple(int(size or 0) for size in inputs[0].shape))
        elif inputs and not isinstance(layer, (keras.layers.Reshape, keras.layers.Permute, keras.Model)):
            same_rank = all(len(tensor.shape) == len(output.shape) for tensor in inputs)
            marked = marked or (same_rank and all(id(tensor) in self._channels_first for tensor in inputs))
        if marked:
            self._channels_first[id(output)] = output
        return marked


def complete(heard: Heard, arrays: Mapping[str, Any]) -> Heard:
    """The same with arrays for tensors, and with the sizes that are known only now."""
    shape = heard.shape
    if heard.attended is not None:
        shape = tuple(int(size) for size in arrays["shape"]) if "shape" in arrays else shape
        return replace(heard, shape=shape, tensors=arrays)
    if None in shape and WHOLE in arrays:
        shape = arrays[WHOLE].shape
    elif None in shape and "part" in arrays and "lowest" not in arrays:  # then it is whole
        shape = arrays["part"].shape
    return Heard(heard.node, heard.call, heard.part, shape, heard.cut, arrays)


def _traced_place() -> Any:
    """Which function is being traced now; another inside a compiled loop. One and the same eagerly."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        return id(tensorflow.compat.v1.get_default_graph())
    if backend == "jax":
        from jax.extend import core

        return core.get_opaque_trace_state(convention="nnx")  # type: ignore[no-untyped-call]
    return None


def _has_value(tensor: Any) -> bool:
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return hasattr(tensor, "numpy")
    if backend == "jax":
        import jax

        return not isinstance(tensor, jax.core.Tracer)
    return True


def _attention_heard(one: Attended) -> Heard:
    part = f".attention {one.place}"
    return Heard(one.node, one.call, part, one.shape, None, one.tensors, replace(one, tensors={}))
