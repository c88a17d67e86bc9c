"""A layer's kernel as `(out, in, *space)`, and its other weights, as they are used now."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

_STORED_PARTS = ("_orig", "_g", "_v")  # what weight_norm, spectral_norm and pruning store instead of a weight


def has_kernel(module: nn.Module) -> bool:
    """Whether the layer has a kernel of its own: convolutions of all kinds, and Linear."""
    if isinstance(module, (_ConvNd, nn.Linear)):
        return True
    weight = vars(module).get("_parameters", {}).get("weight")
    if not isinstance(weight, torch.Tensor) or nn.parameter.is_lazy(weight):
        return False
    return (hasattr(module, "kernel_size") and weight.ndim > 2) or _is_transposed_linear(module, weight)


def kernel_and_weights(module: nn.Module) -> tuple[torch.Tensor | None, dict[str, torch.Tensor]]:
    """The layer's kernel (None: it has none) and its other weights by name; tensors, not copies.

    Parametrised, weight-normed, spectral-normed and pruned weights are computed as the next forward pass
    would, without a power iteration: call it in evaluation mode.

    Returns:
        The kernel `(out, in/groups, *space)`. A transposed convolution stores `(in, out/groups, *space)`
        and is turned round group by group.

    Example:
        >>> kernel, others = kernel_and_weights(nn.ConvTranspose1d(6, 4, 3, groups=2))
        >>> tuple(kernel.shape), list(others)
        ((4, 3, 3), ['bias'])
    """
    tensors = _current_tensors(module)
    if not has_kernel(module):
        return None, tensors
    weight = tensors.pop("weight", None)
    if weight is None:
        weight = getattr(module, "weight", None)
    if callable(weight) and not isinstance(weight, torch.Tensor):
        weight = weight()  # quantised layers
    if not isinstance(weight, torch.Tensor) or nn.parameter.is_lazy(weight):
        return None, tensors
    return _out_first(module, weight), tensors


def parameter_count(module: nn.Module) -> int:
    """The number of the layer's own parameters; those of inner layers are not counted."""
    own = list(module.parameters(recurse=False))
    parametrizations = getattr(module, "parametrizations", None)
    if isinstance(parametrizations, nn.ModuleDict):
        own += list(parametrizations.parameters())
    return sum(tensor.numel() for tensor in own if not nn.parameter.is_lazy(tensor))


def lazy_layers(layers: dict[str, nn.Module]) -> list[str]:
    """The names of the layers whose weights do not exist before the first batch."""
    return [
        name
        for name, module in layers.items()
        if any(nn.parameter.is_lazy(tensor) for tensor in module.parameters(recurse=False))
    ]


def _out_first(module: nn.Module, weight: torch.Tensor) -> torch.Tensor:
    if getattr(module, "transposed", False) and isinstance(module, _ConvNd):
        groups = module.groups
        grouped = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        return grouped.transpose(1, 2).flatten(0, 1)
    return weight.t() if _is_transposed_linear(module, weight) else weight


def _is_transposed_linear(module: nn.Module, weight: torch.Tensor) -> bool:
    """GPT-2's Conv1D: a Linear that stores `(in, out)`."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf") and weight.ndim == 2


def _current_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    tensors: dict[str, Any] = dict(module.named_parameters(recurse=False))
    parametrizations = getattr(module, "parametrizations", None)
    if isinstance(parametrizations, nn.ModuleDict):
        tensors.update({name: getattr(module, name) for name in parametrizations})
    for hook in module._forward_pre_hooks.values():
        name, value = _recomputed(module, hook)
        if value is not None:
            for part in _STORED_PARTS:
                tensors.pop(name + part, None)
            tensors[name] = value
    return {
        name: value
        for name, value in tensors.items()
        if isinstance(value, torch.Tensor) and not nn.parameter.is_lazy(value)
    }


def _recomputed(module: nn.Module, hook: Any) -> tuple[str, torch.Tensor | None]:
    """The weight that this hook sets before each forward pass: the one on the module is of the last pass."""
    if hasattr(hook, "compute_weight") and hasattr(hook, "name"):
        options = inspect.signature(hook.compute_weight).parameters
        still = {"do_power_iteration": False} if "do_power_iteration" in options else {}
        return hook.name, hook.compute_weight(module, **still)
    if hasattr(hook, "apply_mask") and hasattr(hook, "_tensor_name"):
        return hook._tensor_name, hook.apply_mask(module)
    return "", None
