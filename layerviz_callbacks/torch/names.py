"""A model's layers under the names that its author gave them."""

from __future__ import annotations

import torch
from torch import nn

_WRAPPING_ATTRIBUTES = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
_WRAPPING_CLASSES = frozenset({"DistributedDataParallel", "DataParallel", "AveragedModel"})
_LEAVES_WITH_PARTS = (nn.MultiheadAttention,)
_PARAMETER_LISTS = (nn.ParameterList, nn.ParameterDict)
_QUANTISED = "torch.ao.nn."


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Every module of the model except the root, in `named_modules` order.

    The wrappers of `torch.compile`, DDP, FSDP and activation checkpointing are seen through: the name
    is without them, and the module is the one that they wrap. What `torch.nn.utils.parametrize` adds, and
    what a quantised layer holds its weights in, is part of the layer it belongs to.

    Example:
        >>> list(named_layers(nn.DataParallel(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))))
        ['0', '1']
    """
    found = dict(model.named_modules())
    layers: dict[str, nn.Module] = {}
    for path, module in found.items():
        name = _plain_name(path, found)
        if name and not _is_part_of_layer(path, found):
            layers[name] = module  # the wrapped module comes after its wrapper, and takes its place
    return layers


def unwrapped(model: nn.Module) -> nn.Module:
    """The model without the wrappers round it."""
    for attribute in [*_WRAPPING_ATTRIBUTES, "module"]:
        inner = getattr(model, attribute, None) if _is_wrapper(model, attribute) else None
        if isinstance(inner, nn.Module):
            return unwrapped(inner)
    return model


def in_this_process(model: nn.Module) -> nn.Module:
    """The model without what makes processes wait for each other in a forward pass.

    `DistributedDataParallel` sends buffers round before each one, in evaluation mode too; the module inside
    it is whole in every process.
    """
    inner = getattr(model, "_orig_mod", None)
    if isinstance(inner, nn.Module) and type(inner).__name__ in _WRAPPING_CLASSES:
        return in_this_process(inner)
    wrapped = getattr(model, "module", None)
    if isinstance(wrapped, nn.Module) and type(model).__name__ in _WRAPPING_CLASSES:
        return in_this_process(wrapped)
    return model


def kind_of(module: nn.Module) -> str:
    """The class name of the layer, without what parametrisation and sharding put before it.

    A module that was compiled by TorchScript has the name of the class that it was compiled from.

    Example:
        >>> kind_of(nn.utils.parametrizations.weight_norm(nn.Linear(2, 1)))
        'Linear'
    """
    if isinstance(module, torch.jit.ScriptModule):
        return str(module.original_name)
    kind = type(module)
    dynamic = hasattr(module, "parametrizations") or kind.__name__.startswith("FSDP")
    bases = [base.__name__ for base in kind.__mro__[1:] if base.__name__ != "FSDPModule"]
    return bases[0] if dynamic and len(bases) > 1 else kind.__name__


def class_of(module: nn.Module) -> type:
    """The class that says what a layer does: for TorchScript and quantised layers, the one in `torch.nn`.

    Example:
        >>> class_of(torch.jit.script(nn.Conv1d(1, 2, 3))) is nn.Conv1d        # doctest: +SKIP
        True
    """
    kind = type(module)
    if isinstance(module, torch.jit.ScriptModule):
        return _class_in_nn(str(module.original_name)) or kind
    for base in kind.__mro__:
        if base.__module__.startswith(_QUANTISED):
            known = _class_in_nn(base.__name__)
            if known is not None:
                return known
    return kind


def is_container(module: nn.Module) -> bool:
    """Whether the module only holds others: it has inner layers and is not one layer by itself."""
    if isinstance(module, _PARAMETER_LISTS):
        return True
    inner = [name for name, _ in module.named_children() if name != "parametrizations"]
    return bool(inner) and not isinstance(module, _LEAVES_WITH_PARTS) and not is_quantised(module)


def is_quantised(module: nn.Module) -> bool:
    """Whether it is a layer of `torch.ao.nn` that computes with quantised weights."""
    return any(".quantized" in base.__module__ for base in type(module).__mro__)


def _class_in_nn(name: str) -> type | None:
    found = getattr(nn, name, None)
    return found if isinstance(found, type) else None


def _is_part_of_layer(path: str, found: dict[str, nn.Module]) -> bool:
    parts = path.split(".")
    if "parametrizations" in parts:
        return True
    parents = (found.get(".".join(parts[:place])) for place in range(len(parts)))
    return any(parent is not None and is_quantised(parent) for parent in parents)


def _plain_name(path: str, found: dict[str, nn.Module]) -> str:
    parts = path.split(".")
    kept = []
    for place, part in enumerate(parts):
        parent = found.get(".".join(parts[:place]))
        if parent is None or not _is_wrapper(parent, part):
            kept.append(part)
    return ".".join(kept)


def _is_wrapper(parent: nn.Module, attribute: str) -> bool:
    if attribute in _WRAPPING_ATTRIBUTES:
        return attribute in parent._modules
    return attribute == "module" and type(parent).__name__ in _WRAPPING_CLASSES
