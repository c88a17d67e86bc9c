"""Nests of tensors, and attributes that are replaced for the length of a pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
from keras.src import utils


class NotBuiltError(Exception):
    """The pass came to a layer that has no weights yet; nothing was changed."""

    _keras_call_info_injected = True  # so Keras hands it through instead of making another exception of it

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def parts_of(output: Any, path: str = "") -> list[tuple[str, Any]]:
    """The tensors of numbers in a nest of dicts, lists and tuples, each with its path: "0", "1.mask"."""
    if isinstance(output, dict):
        inner: list[tuple[Any, Any]] = list(output.items())
    elif isinstance(output, (list, tuple)):
        inner = list(enumerate(output))
    else:
        return [(path, output)] if _is_array(output) else []
    return [part for key, value in inner for part in parts_of(value, f"{path}.{key}" if path else str(key))]


def with_parts(output: Any, others: Mapping[str, Any], path: str = "") -> Any:
    """A nest as `parts_of` takes it, with other tensors at some paths.

    Example:
        >>> with_parts((1, {"mask": 2}), {"1.mask": 3})
        (1, {'mask': 3})
    """

    def other(key: Any, value: Any) -> Any:
        return with_parts(value, others, f"{path}.{key}" if path else str(key))

    if isinstance(output, dict):
        changed = copy.copy(output)  # an OrderedDict stays one
        changed.update({key: other(key, value) for key, value in output.items()})
        return changed
    if isinstance(output, (list, tuple)):
        values = [other(place, value) for place, value in enumerate(output)]
        return type(output)(*values) if hasattr(output, "_fields") else type(output)(values)
    return others.get(path, output)


@contextmanager
def nothing_built(model: Any) -> Iterator[None]:
    """Raise `NotBuiltError` where a pass would make weights: that belongs to the training."""
    unbuilt = [layer for layer in model._flatten_layers() if not layer.built]
    with ExitStack() as stack:
        for layer in unbuilt:
            has_state = not utils.is_default(layer.build)
            if has_state or any(not inner.built for inner in layer._layers):
                stack.enter_context(replaced(layer, "_maybe_build", refusal_to_build(layer.name)))
        yield


@contextmanager
def replaced(layer: Any, name: str, value: Any) -> Iterator[None]:
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


def _is_array(output: Any) -> bool:
    if not keras.ops.is_tensor(output) or hasattr(output, "row_splits"):  # ragged: no array
        return False
    return "string" not in str(output.dtype) and getattr(output.shape, "rank", 0) is not None


def refusal_to_build(name: str) -> Callable[..., None]:
    """What takes the place of a layer's building in a pass: it raises `NotBuiltError`."""

    def refuse(*_: Any, **__: Any) -> None:
        raise NotBuiltError(name)

    return refuse
