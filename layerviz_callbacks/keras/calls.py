"""Hears what each layer answers during one forward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras.src import utils

from layerviz_callbacks.keras.kernels import copied
from layerviz_callbacks.keras.names import Node


class NotBuiltError(Exception):
    """The pass came to a layer that has no weights yet; nothing was changed."""

    _keras_call_info_injected = True  # so Keras hands it through instead of making another exception of it

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True, eq=False)
class Heard:
    """One output of one call of a layer.

    Attributes:
        call: 1 for the first call of the layer in the pass, 2 for the second.
        part: "" for the first output of that call, ".1" or ".key" for another.
        shape: `(sample, *space, channel)`.
        output: float32 of that shape, where it was asked for.
    """

    call: int
    part: str
    shape: tuple[int, ...]
    output: np.ndarray | None


class Listener:
    """Hears the calls of layers while its `listening` scope is open.

    Args:
        nodes: the layers of the model.
        wanted: the names of those whose outputs are to be copied; of the others only shapes are kept.

    Attributes:
        heard: what each layer answered, by node name, in the order of the calls.
        channels_first_inputs: shapes of tensors that a layer took as `(sample, channel, *space)`.
    """

    def __init__(self, nodes: Sequence[Node], wanted: frozenset[str]) -> None:
        self._nodes = nodes
        self._wanted = wanted
        self._counts: dict[str, int] = {}
        self._channels_first: dict[int, Any] = {}  # by id; holds the tensor, so that no other gets its id
        self.heard: dict[str, list[Heard]] = {}
        self.channels_first_inputs: set[tuple[int, ...]] = set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Wrap `call` of each layer object; on leaving, everything is as it was."""
        with ExitStack() as stack:
            for node in self._nodes:
                if not node.per_step:
                    quantized = getattr(node.layer, "quantization_mode", None) is not None
                    name = "quantized_call" if quantized else "call"
                    wrapper = self._wrapped(node, getattr(node.layer, name))
                    stack.enter_context(_replaced(node.layer, name, wrapper))
            yield

    def _wrapped(self, node: Node, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def listened(*arguments: Any, **keywords: Any) -> Any:
            output = call(*arguments, **keywords)
            tensors = [tensor for _, tensor in parts_of(output)]
            if all(_is_concrete(tensor) for tensor in tensors):
                self._hear(node, [tensor for _, tensor in parts_of(arguments)], output)
            return output

        return listened

    def _hear(self, node: Node, inputs: list[Any], output: Any) -> None:
        self._counts[node.name] = call = self._counts.get(node.name, 0) + 1
        for place, (path, tensor) in enumerate(parts_of(output)):
            first = self._is_channels_first(node.layer, inputs, tensor)
            array = None
            if node.name in self._wanted:
                array = np.asarray(copied(tensor), np.float32)
                array = np.ascontiguousarray(np.moveaxis(array, 1, -1)) if first else array
            shape = tuple(int(size) for size in tensor.shape)
            shape = (shape[0], *shape[2:], shape[1]) if first else shape
            part = "" if place == 0 else f".{path}"
            self.heard.setdefault(node.name, []).append(Heard(call, part, shape, array))

    def _is_channels_first(self, layer: Any, inputs: list[Any], output: Any) -> bool:
        """Whether this output is `(sample, channel, *space)`: the layer says so, or its inputs were."""
        if len(output.shape) < 3:
            return False
        marked = id(output) in self._channels_first
        layout = getattr(layer, "data_format", None)
        if layout in ("channels_first", "channels_last"):
            marked = marked or layout == "channels_first"
            if layout == "channels_first" and inputs:
                self.channels_first_inputs.add(tuple(int(size) for size in inputs[0].shape))
        elif inputs and not isinstance(layer, (keras.layers.Reshape, keras.layers.Permute, keras.Model)):
            same_rank = all(len(tensor.shape) == len(output.shape) for tensor in inputs)
            marked = marked or (same_rank and all(id(tensor) in self._channels_first for tensor in inputs))
        if marked:
            self._channels_first[id(output)] = output
        return marked


@contextmanager
def nothing_built(model: Any) -> Iterator[None]:
    """Raise `NotBuiltError` where a pass would make weights: that belongs to the training."""
    unbuilt = [layer for layer in model._flatten_layers() if not layer.built]
    with ExitStack() as stack:
        for layer in unbuilt:
            has_state = not utils.is_default(layer.build)
            if has_state or any(not inner.built for inner in layer._layers):
                stack.enter_context(_replaced(layer, "_maybe_build", _refusal_to_build(layer.name)))
        yield


def parts_of(output: Any, path: str = "") -> list[tuple[str, Any]]:
    """The tensors in a nest of dicts, lists and tuples, each with its path: "0", "scores", "1.mask"."""
    if isinstance(output, dict):
        inner: list[tuple[Any, Any]] = list(output.items())
    elif isinstance(output, (list, tuple)):
        inner = list(enumerate(output))
    else:
        plain = keras.ops.is_tensor(output) and not hasattr(output, "row_splits")  # ragged: no array
        return [(path, output)] if plain else []
    return [part for key, value in inner for part in parts_of(value, f"{path}.{key}" if path else str(key))]


def _is_concrete(tensor: Any) -> bool:
    """Whether a tensor holds values, not a symbol inside a traced function or loop."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        return bool(tensorflow.executing_eagerly())
    if backend == "jax":
        import jax

        return not isinstance(tensor, jax.core.Tracer)
    return True


@contextmanager
def _replaced(layer: Any, name: str, value: Any) -> Iterator[None]:
    """Put a value into the object's own dict: past Keras' and PyTorch's tracking of attributes."""
    members = vars(layer)
    had, before = name in members, members.get(name)
    members[name] = value
    try:
        yield
    finally:
        if had:
            members[name] = before
        else:
            members.pop(name, None)


def _refusal_to_build(name: str) -> Callable[..., None]:
    def refuse(*_: Any, **__: Any) -> None:
        raise NotBuiltError(name)

    return refuse
