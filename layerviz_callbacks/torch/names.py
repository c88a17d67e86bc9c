"""A model's layers under the names that its author gave them."""

from __future__ import annotations

from torch import nn

_WRAPPING_ATTRIBUTES = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
_WRAPPING_CLASSES = frozenset({"DistributedDataParallel", "DataParallel", "AveragedModel"})
_LEAVES_WITH_PARTS = (nn.MultiheadAttention,)


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Every module of the model except the root, in `named_modules` order.

    The wrappers of `torch.compile`, DDP, FSDP and activation checkpointing are seen through: the name
    is without them, and the module is the one that they wrap. What `torch.nn.utils.parametrize` adds is
    part of the layer it belongs to.

    Example:
        >>> list(named_layers(nn.DataParallel(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))))
        ['0', '1']
    """
    found = dict(model.named_modules())
    layers: dict[str, nn.Module] = {}
    for path, module in found.items():
        name = _plain_name(path, found)
        if name and "parametrizations" not in name.split("."):
            layers[name] = module  # the wrapped module comes after its wrapper, and takes its place
    return layers


def unwrapped(model: nn.Module) -> nn.Module:
    """The model without the wrappers round it."""
    for attribute in [*_WRAPPING_ATTRIBUTES, "module"]:
        inner = getattr(model, attribute, None) if _is_wrapper(model, attribute) else None
        if isinstance(inner, nn.Module):
            return unwrapped(inner)
    return model


def kind_of(module: nn.Module) -> str:
    """The class name of the layer, without what parametrisation and sharding put before it.

    Example:
        >>> kind_of(nn.utils.parametrizations.weight_norm(nn.Linear(2, 1)))
        'Linear'
    """
    kind = type(module)
    dynamic = hasattr(module, "parametrizations") or kind.__name__.startswith("FSDP")
    return kind.__mro__[1].__name__ if dynamic and len(kind.__mro__) > 2 else kind.__name__


def is_container(module: nn.Module) -> bool:
    """Whether the module only holds others: it has inner layers and is not one layer by itself."""
    inner = [name for name, _ in module.named_children() if name != "parametrizations"]
    return bool(inner) and not isinstance(module, _LEAVES_WITH_PARTS)


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
