"""A layer's own weights as the next forward pass uses them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from layerviz_callbacks.torch.names import is_quantised

_STORED_PARTS = ("_orig", "_g", "_v")  # what weight_norm, spectral_norm and pruning store instead of a weight


def weight_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of the layer's own weights by name, without computing any of them.

    Example:
        >>> weight_shapes(nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)))
        {'bias': (3,), 'weight': (3, 2)}
    """
    if is_quantised(module):
        return {name: tuple(tensor.shape) for name, tensor in current_weights(module).items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in _plain(dict(_own_parameters(module))).items()}
    for name, stored in _parametrized(module).items():
        originals = [*stored.parameters(recurse=False), *stored.buffers(recurse=False)]
        shapes[name] = max((tuple(tensor.shape) for tensor in originals), key=_count, default=())
    for name, _ in _recomputed_before_each_call(module):
        for part in _STORED_PARTS:
            shapes.pop(name + part, None)
        shapes[name] = tuple(getattr(module, name).shape)
    return shapes


def current_weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """The layer's own weights by name, as the next forward pass uses them; tensors, not copies.

    Parametrised, weight-normed, spectral-normed and pruned weights are computed as the next forward pass
    would, without a power iteration: call it in evaluation mode.
    """
    tensors: dict[str, Any] = dict(_own_parameters(module))
    if is_quantised(module):
        tensors.update(_quantised(module))
    tensors.update({name: getattr(module, name) for name in _parametrized(module)})
    for name, compute in _recomputed_before_each_call(module):
        for part in _STORED_PARTS:
            tensors.pop(name + part, None)
        tensors[name] = compute()
    return _plain(tensors)


def parameter_count(module: nn.Module) -> int:
    """The number of the layer's own parameters; those of inner layers are not counted."""
    own = [tensor for _, tensor in _own_parameters(module)]
    own += [tensor for stored in _parametrized(module).values() for tensor in stored.parameters()]
    return sum(tensor.numel() for tensor in own if not nn.parameter.is_lazy(tensor))


def is_trainable(module: nn.Module, name: str) -> bool:
    """Whether an optimizer may change this weight, or any parameter that it is computed from.

    Example:
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
        >>> is_trainable(layer, "weight"), is_trainable(layer.requires_grad_(False), "weight")
        (True, False)
    """
    own = dict(_own_parameters(module))
    behind = [own[name + part] for part in ("", *_STORED_PARTS) if name + part in own]
    if name in _parametrized(module):
        behind += _parametrized(module)[name].parameters()
    return any(parameter.requires_grad for parameter in behind)


def lazy_layers(layers: dict[str, nn.Module]) -> list[str]:
    """The names of the layers whose weights do not exist before the first batch."""
    return [
        name
        for name, module in layers.items()
        if any(nn.parameter.is_lazy(tensor) for _, tensor in _own_parameters(module))
    ]


def _own_parameters(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return list(module.named_parameters(recurse=False, remove_duplicate=False))


def _parametrized(module: nn.Module) -> dict[str, nn.Module]:
    parametrizations = getattr(module, "parametrizations", None)
    return dict(parametrizations.items()) if isinstance(parametrizations, nn.ModuleDict) else {}


def _recomputed_before_each_call(module: nn.Module) -> list[tuple[str, Callable[[], Any]]]:
    """The weights that a hook sets before each forward pass: those on the module are of the last pass."""
    found: list[tuple[str, Callable[[], Any]]] = []
    for hook in getattr(module, "_forward_pre_hooks", {}).values():
        if hasattr(hook, "compute_weight") and hasattr(hook, "name"):
            options = inspect.signature(hook.compute_weight).parameters
            still = {"do_power_iteration": False} if "do_power_iteration" in options else {}
            found.append((hook.name, partial(hook.compute_weight, module, **still)))
        elif hasattr(hook, "apply_mask") and hasattr(hook, "_tensor_name"):
            found.append((hook._tensor_name, partial(hook.apply_mask, module)))
    return found


def _quantised(module: nn.Module) -> dict[str, Any]:
    """Quantised layers give their weights by a method."""
    if callable(getattr(module, "get_weight", None)):
        found = module.get_weight()  # type: ignore[operator]
        return dict(found) if isinstance(found, dict) else {"weight": found}
    weight = getattr(module, "weight", None)
    return {"weight": weight()} if callable(weight) else {}


def _plain(tensors: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {
        name: value
        for name, value in tensors.items()
        if isinstance(value, torch.Tensor) and not nn.parameter.is_lazy(value)
    }


def _count(shape: tuple[int, ...]) -> tuple[int, int]:
    return len(shape), int(torch.Size(shape).numel())
