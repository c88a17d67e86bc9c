"""The first samples of a batch, of whatever form it is, as copies of their own."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch

from layerviz_callbacks.torch.copying import tensors_in


def first_samples(batch: Any, count: int) -> Any:
    """A copy of the batch with its first `count` samples.

    Every tensor, and every list of other things, that is as long as the batch is cut; the rest is kept.
    The batch's length is the most common first axis of its tensors.

    Example:
        >>> first_samples({"x": torch.zeros(9, 3), "name": list("abcdefghi"), "scale": 2.0}, 2)
        {'x': tensor([[0., 0., 0.],
                [0., 0., 0.]]), 'name': ['a', 'b'], 'scale': 2.0}
    """
    return copied(_with_samples(batch, lambda part: part[:count]))


def repeated(batch: Any, count: int) -> Any:
    """The batch with `count` samples: its own, over and over; see `first_samples` for what is cut.

    Example:
        >>> repeated((torch.tensor([1, 2]), ["a", "b"]), 3)
        (tensor([1, 2, 1]), ['a', 'b', 'a'])
    """

    def over_and_over(part: Any) -> Any:
        places = [place % len(part) for place in range(count)]
        if isinstance(part, torch.Tensor):
            return part[places]
        return type(part)([part[place] for place in places])

    return _with_samples(batch, over_and_over)


def copied(value: Any, device: torch.device | None = None) -> Any:
    """The same with copies of its tensors, on that device (None: where they are)."""

    def copy(part: Any) -> Any:
        if isinstance(part, torch.Tensor):
            own = _own_copy(part)
            return own if device is None else own.to(device)
        return None

    return _rebuilt(value, copy)


def input_of(batch: Any) -> Any:
    """The x of (x, y, ...); any other batch as a whole."""
    return batch[0] if isinstance(batch, (list, tuple)) and batch else batch


def with_input(batch: Any, value: Any) -> Any:
    """The batch with another `input_of`."""
    if not isinstance(batch, (list, tuple)) or not batch:
        return value
    if hasattr(batch, "_fields"):
        return batch._replace(**{batch._fields[0]: value})  # type: ignore[union-attr]
    return type(batch)([value, *batch[1:]])


def targets_of(batch: Any) -> torch.Tensor | None:
    """The y of (x, y, ...), where it is a tensor with one entry a sample."""
    if isinstance(batch, (list, tuple)) and len(batch) > 1:
        x, y = next((tensor for _, tensor in tensors_in(batch[0])), None), batch[1]
        if x is not None and isinstance(y, torch.Tensor) and y.ndim and y.shape[0] == x.shape[0]:
            return y
    return None


def is_restorable(value: Any) -> bool:
    """Whether a checkpoint can hold it: tensors, numbers and words in lists, tuples and dicts."""
    if isinstance(value, dict):
        return type(value) is dict and all(is_restorable(part) for part in (*value, *value.values()))
    if isinstance(value, (list, tuple)):
        return type(value) in (list, tuple) and all(is_restorable(part) for part in value)
    return value is None or type(value) in (torch.Tensor, int, float, bool, str)


def _with_samples(batch: Any, choose: Callable[[Any], Any]) -> Any:
    """The batch with other samples chosen of every tensor, and of every list, that is as long as it."""
    lengths = Counter(tensor.shape[0] for _, tensor in tensors_in(batch) if tensor.ndim)
    if not lengths:
        return batch
    length = lengths.most_common(1)[0][0]

    def change(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return choose(value) if value.ndim and value.shape[0] == length else value
        return choose(value) if len(value) == length and not any(tensors_in(value)) else None

    return _rebuilt(batch, change)


def _own_copy(tensor: torch.Tensor) -> torch.Tensor:
    """Validation runs in inference mode, whose tensors cannot be used outside it."""
    with torch.inference_mode(False):
        return tensor.detach().clone()


def _rebuilt(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same structure with `change(part)` where that is not None; asked for tensors and sequences."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        parts = {key: _rebuilt(part, change) for key, part in value.items()}
        return parts if type(value) is dict else _like(value, parts)
    if isinstance(value, (list, tuple)):
        changed = change(value)
        if changed is not None:
            return changed
        made = [_rebuilt(part, change) for part in value]
        if hasattr(value, "_fields"):
            return type(value)(*made)
        return type(value)(made)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(value, **{name: _rebuilt(getattr(value, name), change) for name in fields})
    return value


def _like(mapping: Any, parts: dict[Any, Any]) -> Any:
    """A mapping of the same class, where that can be made; else a dict."""
    try:
        return type(mapping)(parts)
    except TypeError:
        return parts
