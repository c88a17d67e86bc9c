"""Replacing tensors inside a nested result, whatever holds them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from layerviz_callbacks.torch.copying import parts_of

Change = Callable[[torch.Tensor], torch.Tensor]


def replaced(value: Any, changes: Mapping[str, Change], path: str = "") -> Any:
    """The same nested result with the tensors at these paths changed; what holds none of them stays itself.

    Args:
        value: see `layerviz_callbacks.torch.copying.tensors_in`, whose paths these are. The tensor of a
            packed sequence is its packed data.
        changes: by path, what is made of a tensor.
        path: of `value` itself.

    Example:
        >>> replaced({"a": torch.zeros(1), "b": [torch.ones(1)]}, {"b.0": lambda tensor: tensor * 2})
        {'a': tensor([0.]), 'b': [tensor([2.])]}
    """
    if isinstance(value, torch.Tensor):
        return changes[path](value) if path in changes else value
    if isinstance(value, PackedSequence):
        return value._replace(data=changes[path](value.data)) if path in changes else value
    before = dict(parts_of(value))
    after = {
        key: replaced(part, changes, f"{path}.{key}" if path else str(key)) for key, part in before.items()
    }
    if all(after[key] is before[key] for key in before):
        return value
    return _rebuilt(value, after)


def _rebuilt(value: Any, parts: dict[Any, Any]) -> Any:
    if isinstance(value, Mapping):
        try:
            made: Any = copy.copy(value)
            for key, part in parts.items():
                made[key] = part
        except TypeError:  # one that cannot be written to
            return parts
        return made
    if hasattr(value, "_fields"):
        return value._replace(**parts)
    if isinstance(value, (list, tuple)):
        return type(value)(parts.values())
    made = copy.copy(value)  # of a dataclass
    for key, part in parts.items():
        object.__setattr__(made, key, part)
    return made
