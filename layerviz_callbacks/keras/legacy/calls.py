"""Hears what each layer of a Keras 2 model answers during one forward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow
import tf_keras

from layerviz_callbacks.cut import OutputCut, Taken
from layerviz_callbacks.health import OutputStatistics
from layerviz_callbacks.keras.attention import Asked, Attended
from layerviz_callbacks.keras.attention_hearing import AttentionHearing
from layerviz_callbacks.keras.attention_layers import called_with_flag, heard_inside, returns_by_flag
from layerviz_callbacks.keras.attention_tensorflow import tensorflow_heard
from layerviz_callbacks.keras.hearing import Heard as HeardNow
from layerviz_callbacks.keras.hearing import Replace
from layerviz_callbacks.keras.legacy.attention import hearing_of
from layerviz_callbacks.keras.legacy.cutting import copied_part
from layerviz_callbacks.keras.legacy.names import Node
from layerviz_callbacks.keras.legacy.statistics import measured
from layerviz_callbacks.keras.structure import refusal_to_build, replaced, with_parts


@dataclass(frozen=True, eq=False)
class Heard:
    """One output of one call of a layer.

    Attributes:
        suffix: "" for the first output of the first call, else such as "#2", ".1", "#2.key".
        shape: `(sample, *space, channel)`, in full.
        output: float32, where it was asked for, as far as the cut leaves it.
        taken: what the cut left; None: all.
        statistics: where they were asked for; None where there is nothing to measure.
    """

    suffix: str
    shape: tuple[int, ...]
    output: np.ndarray | None = None
    taken: Taken | None = None
    statistics: OutputStatistics | None = None


class Listener:
    """Hears the calls of layers while its `listening` scope is open.

    Args:
        nodes: the layers of the model.
        wanted: the names of those whose outputs are to be copied; of the others only shapes are kept.
        cuts: by name with suffix, the part of an output that is enough.
        attention: what is wanted of attention; None: it is not heard.
        replace: gives what takes the place of each output, as in Keras 3; None: all stay.
        statistics: the names of the layers whose first outputs are measured.

    Attributes:
        heard: what each layer answered, by node name, in the order of the calls.
        attended: how layers attended, in that order.
        refusals: why nothing could be read of a layer that was called, by node name.
        channels_first_inputs: shapes of tensors that a layer took as `(sample, channel, *space)`.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        wanted: frozenset[str],
        cuts: Mapping[str, OutputCut],
        *,
        attention: Asked | None = None,
        replace: Replace | None = None,
        statistics: frozenset[str] = frozenset(),
    ) -> None:
        self._nodes = nodes
        self._wanted = wanted
        self._measured = statistics
        self._cuts = cuts
        self._replace = replace
        self._counts: dict[str, int] = {}
        self._channels_first: dict[int, Any] = {}  # by id; holds the tensor, so that no other gets its id
        self._attention = None if attention is None or not nodes else hearing_of(attention)
        self.attended: list[Attended] = []
        self.heard: dict[str, list[Heard]] = {}
        self.refusals: dict[str, str] = {}
        self.channels_first_inputs: set[tuple[int, ...]] = set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Wrap `call` of each layer object; on leaving, everything is as it was."""
        with ExitStack() as stack:
            for node in self._nodes:
                if node.per_step:
                    self.refusals[node.name] = "it is run once for each time step: see the layer it stands in"
                elif not node.is_parameter:
                    wrapper = self._wrapped(node, node.layer.call)
                    stack.enter_context(replaced(node.layer, "call", wrapper))
                    if self._attention is not None:
                        stack.enter_context(heard_inside(node.layer, self._attention, replaced))
            if self._attention is not None and self._attention.listens_to_operations:
                stack.enter_context(tensorflow_heard(self._attention))
            yield
        if self._attention is not None:
            self.attended = self._attention.attended

    def shapes(self) -> Listener:
        """What was heard without its arrays."""
        silent = Listener(self._nodes, frozenset(), {})
        silent.heard = {
            name: [Heard(one.suffix, one.shape) for one in all_] for name, all_ in self.heard.items()
        }
        silent.attended = [replace(one, tensors={}) for one in self.attended]
        silent.refusals = self.refusals
        silent.channels_first_inputs = self.channels_first_inputs
        return silent

    def _wrapped(self, node: Node, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def listened(*arguments: Any, **keywords: Any) -> Any:
            if self._attention is None:
                return hear(arguments, call(*arguments, **keywords))
            if self._attention.is_aside:
                return call(*arguments, **keywords)
            return self._called(
                self._attention, node, arguments, keywords, lambda: call(*arguments, **keywords), hear
            )

        def hear(arguments: Any, output: Any) -> Any:
            parts = parts_of(output)
            if not parts:
                self.refusals[node.name] = f"its output is no tensor, but {type(output).__name__}"
            elif tensorflow.executing_eagerly() and all(hasattr(tensor, "numpy") for _, tensor in parts):
                others = self._hear(node, [tensor for _, tensor in parts_of(arguments)], parts)
                return with_parts(output, others) if others else output
            else:
                self.refusals[node.name] = "it is called inside a TensorFlow graph only, which has no values"
            return output

        return listened

    def _called(
        self,
        attention: AttentionHearing,
        node: Node,
        arguments: Any,
        keywords: Any,
        call: Callable[[], Any],
        hear: Callable[[Any, Any], Any],
    ) -> Any:
        """Call a layer whose attention is heard, too."""
        number = self._counts.get(node.name, 0) + 1
        loops = hasattr(node.layer, "cell") or isinstance(node.layer, tf_keras.layers.TimeDistributed)
        given = [tensor for _, tensor in parts_of([arguments, keywords])]
        with attention.call(node.name, number, node.layer, given, loops=loops) as now:
            flag = returns_by_flag(node.layer)
            output = called_with_flag(node.layer, flag, call, attention, replaced) if flag else call()
            with attention.deaf():
                output = hear(arguments, output)
            attention.answered(now, [tensor for _, tensor in parts_of(output)])
        return output

    def _hear(self, node: Node, inputs: list[Any], parts: list[tuple[str, Any]]) -> dict[str, Any]:
        """Hear outputs, and give what takes the place of some, by path."""
        others: dict[str, Any] = {}
        self._counts[node.name] = number = self._counts.get(node.name, 0) + 1
        call = "" if number == 1 else f"#{number}"
        for place, (path, tensor) in enumerate(parts):
            suffix = call if place == 0 else f"{call}.{path}"
            first = self._is_channels_first(node.layer, inputs, tensor)
            shape = tuple(int(size) for size in tensor.shape)
            heard = Heard(suffix, (shape[0], *shape[2:], shape[1]) if first else shape)
            if self._replace is not None:
                one = HeardNow(node.name, number, "" if place == 0 else f".{path}", heard.shape, None, {})
                other = self._replace(one, tensor, 1 if first else len(shape) - 1)
                if other is not tensor:
                    others[path] = other
                    if first:
                        self._channels_first[id(other)] = other
            asked, is_measured = node.name in self._wanted, node.name in self._measured and place == 0
            if first and (asked or is_measured):
                tensor = tensorflow.experimental.numpy.moveaxis(tensor, 1, -1)
            if asked:
                cut = self._cuts.get(node.name + suffix)
                heard = Heard(suffix, heard.shape, *copied_part(tensor, cut))
            if is_measured:
                heard = replace(heard, statistics=measured(tensor))
            self.heard.setdefault(node.name, []).append(heard)
        return others

    def _is_channels_first(self, layer: Any, inputs: list[Any], output: Any) -> bool:
        """Whether this output is `(sample, channel, *space)`: the layer says so, or its inputs were."""
        if len(output.shape) < 3:
            return False
        marked = id(output) in self._channels_first
        layout = getattr(layer, "data_format", None)
        mixing = (tf_keras.layers.Reshape, tf_keras.layers.Permute, tf_keras.Model)
        if layout in ("channels_first", "channels_last"):
            marked = marked or layout == "channels_first"
            if layout == "channels_first" and inputs:
                self.channels_first_inputs.add(tuple(int(size) for size in inputs[0].shape))
        elif inputs and not isinstance(layer, mixing):
            same_rank = all(len(tensor.shape) == len(output.shape) for tensor in inputs)
            marked = marked or (same_rank and all(id(tensor) in self._channels_first for tensor in inputs))
        if marked:
            self._channels_first[id(output)] = output
        return marked


@contextmanager
def nothing_built(model: Any) -> Iterator[None]:
    """Raise `NotBuiltError` where a pass would make weights: that belongs to the training."""
    with ExitStack() as stack:
        for layer in model._flatten_layers():
            if layer.built:
                continue
            inner = layer._flatten_layers(include_self=False, recursive=False)
            makes_state = not hasattr(layer.build, "_is_default") or isinstance(layer, tf_keras.Sequential)
            if makes_state or any(not one.built for one in inner):
                stack.enter_context(replaced(layer, "_maybe_build", refusal_to_build(layer.name)))
        yield


def parts_of(output: Any, path: str = "") -> list[tuple[str, Any]]:
    """The tensors in a nest of dicts, lists and tuples, each with its path: "0", "scores", "1.mask"."""
    if isinstance(output, Mapping):
        inner: list[tuple[Any, Any]] = list(output.items())
    elif isinstance(output, (list, tuple)):
        inner = list(enumerate(output))
    else:
        plain = isinstance(output, tensorflow.Tensor) and (
            output.dtype.is_floating or output.dtype.is_integer
        )
        return [(path, output)] if plain or _is_truth(output) else []
    return [part for key, value in inner for part in parts_of(value, f"{path}.{key}" if path else str(key))]


def _is_truth(output: Any) -> bool:
    return isinstance(output, tensorflow.Tensor) and output.dtype == tensorflow.bool
