"""From a Probe to the arguments of a PyTorch model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from layerviz_callbacks.probe import Probe, to_numpy
from layerviz_callbacks.torch.names import unwrapped


def call_arguments(
    model: nn.Module, probe: Probe, tensors: Mapping[str, torch.Tensor] | None = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the model is called with: positional and keyword arguments, as tensors of its own.

    One array is one argument; a list or tuple of arrays is one argument each; a dict of them is keyword
    arguments where `forward` accepts these names, else one dict. All go to the model's device;
    floating-point ones get the type of its first floating-point parameter, integers keep theirs.

    Args:
        model: what is called.
        probe: says how inputs are given.
        tensors: other inputs by name, given as the probe's are; None: the probe's own.

    Example:
        >>> import numpy as np
        >>> (x,), named = call_arguments(nn.Linear(2, 1), Probe(np.ones((4, 2))))
        >>> x.dtype, named
        (torch.float32, {})
    """
    given = own_tensors(model, probe, tensors)
    if isinstance(given, dict):
        return ((), given) if _accepts_names(model, list(given)) else ((given,), {})
    return (given, {}) if isinstance(given, tuple) else ((given,), {})


def own_tensors(model: nn.Module, probe: Probe, others: Mapping[str, torch.Tensor] | None = None) -> Any:
    """The probe's inputs as tensors on the model's device, in its floating-point type.

    Args:
        model: its device and type are the tensors'.
        probe: says in which form inputs are given.
        others: what is given instead of the probe's, by the names in `Probe.arrays`; None: the probe's own.

    Returns:
        A tensor where the probe is one array; a dict of tensors where it is a dict; a tuple of them where it
        is a list or tuple.

    Example:
        >>> import numpy as np
        >>> own_tensors(nn.Linear(2, 1), Probe({"x": np.ones((4, 2))}))["x"].dtype
        torch.float32
    """
    tensors = _named_tensors(model, probe) if others is None else others
    if isinstance(probe.inputs, Mapping):
        return {name: tensors[str(name)] for name in probe.inputs}
    if "input" in probe.arrays:
        return tensors["input"]
    return tuple(tensors[name] for name in probe.arrays)


def other_tensors(
    model: nn.Module, probe: Probe, inputs: Mapping[str, np.ndarray]
) -> dict[str, torch.Tensor]:
    """Arrays as `Probe.arrays` has them, as tensors of the model's own: as the probe's own would be.

    Example:
        >>> probe = Probe({"x": np.ones((4, 2), np.float32)})
        >>> tensors = other_tensors(nn.Linear(2, 1).double(), probe, {"x": np.ones((9, 2), np.float32)})
        >>> tensors["x"].dtype, tuple(tensors["x"].shape)
        (torch.float64, (9, 2))
    """
    device, _ = _device_and_dtype(model)
    return {
        name: torch.from_numpy(np.array(inputs[name])).to(device, own.dtype)
        for name, own in _named_tensors(model, probe).items()
    }


def _named_tensors(model: nn.Module, probe: Probe) -> dict[str, torch.Tensor]:
    """The probe's inputs as the model's own tensors, by their names in `Probe.arrays`."""
    inputs = probe.inputs
    if isinstance(inputs, Mapping):
        return {str(name): own_tensor(model, value) for name, value in inputs.items()}
    if "input" in probe.arrays:
        return {"input": own_tensor(model, inputs)}
    return {name: own_tensor(model, value) for name, value in zip(probe.arrays, inputs, strict=True)}


def own_tensor(model: nn.Module, value: Any) -> torch.Tensor:
    """A copy of the array or tensor on the model's device and in its floating-point type."""
    if isinstance(value, torch.Tensor):
        tensor = value.detach()
    elif hasattr(value, "__array__") or not hasattr(value, "detach"):
        tensor = torch.from_numpy(to_numpy(value))
    else:
        tensor = torch.as_tensor(value)
    device, dtype = _device_and_dtype(model)
    if tensor.is_floating_point() and dtype is not None:
        return tensor.to(device, dtype, copy=True)
    return tensor.to(device, copy=True)


def _device_and_dtype(model: nn.Module) -> tuple[torch.device, torch.dtype | None]:
    parameters = list(model.parameters())
    device = next((tensor.device for tensor in [*parameters, *model.buffers()]), torch.device("cpu"))
    dtype = next((tensor.dtype for tensor in parameters if tensor.is_floating_point()), None)
    return device, dtype


def has_forward(model: nn.Module) -> bool:
    """Whether somebody wrote a `forward` for it.

    Example:
        >>> has_forward(nn.Linear(2, 1)), has_forward(nn.ModuleList())
        (True, False)
    """
    forward = getattr(unwrapped(model), "forward", None)
    name = getattr(forward, "__qualname__", "")
    return callable(forward) and name not in ("_forward_unimplemented", "LightningModule.forward")


def _accepts_names(model: nn.Module, names: list[str]) -> bool:
    inner = unwrapped(model)
    if isinstance(inner, torch.jit.ScriptModule):
        schema: Any = getattr(inner.forward, "schema", None)
        return {argument.name for argument in schema.arguments}.issuperset(names)
    parameters = inspect.signature(inner.forward).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return True
    accepted = {
        name
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    return accepted.issuperset(names)
