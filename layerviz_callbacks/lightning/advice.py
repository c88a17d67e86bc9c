"""What to type where it cannot be found out how a module is shown a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from layerviz_callbacks.torch.copying import tensors_in

_NOT_A_NETWORK = ("torchmetrics",)


def forward_for_batch(module: nn.Module, batch: Any) -> str:
    """A `forward=` to type for a batch from the data, with the name of a network that the module has.

    Example:
        >>> module = nn.Module()
        >>> module.generator = nn.Linear(2, 2)
        >>> forward_for_batch(module, (torch.zeros(1, 2), torch.zeros(1)))
        'LayerVizCallback(forward=lambda module, batch: module.generator(batch[0]))'
    """
    return f"LayerVizCallback(forward=lambda module, batch: {_network(module)}({_input('batch', batch)}))"


def forward_for_probe(module: nn.Module, inputs: Any) -> str:
    """A `forward=` to type for a probe that is given."""
    call = f"{_network(module)}({_input('x', inputs)})"
    return f"LayerVizCallback(x_val[:4], forward=lambda module, x: {call})"


def _network(module: nn.Module) -> str:
    """The expression for the first child with weights, `module.generator`."""
    for name, child in module.named_children():
        learns = next(child.parameters(), None) is not None
        if learns and not type(child).__module__.startswith(_NOT_A_NETWORK):
            return f"module.{name}{_member(child)}"
    return "module.network"


def _member(child: nn.Module) -> str:
    """A list or dict of networks cannot be called, its first member can."""
    if isinstance(child, nn.ModuleList) and len(child):
        return f"[0]{_member(child[0])}"
    if isinstance(child, nn.ModuleDict) and len(child):
        first = next(iter(child))
        return f"[{first!r}]{_member(child[first])}"
    return ""


def _input(name: str, value: Any) -> str:
    """The expression for the first tensor in a batch: `batch[0]`, `batch['image']`."""
    if isinstance(value, Mapping):
        parts: Any = value.items()
    elif isinstance(value, (list, tuple)):
        parts = enumerate(value)
    else:
        return name
    for key, part in parts:
        if _is_array(part) or any(tensors_in(part)):
            return _input(f"{name}[{key!r}]", part)
    return name


def _is_array(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or hasattr(value, "__array__")
