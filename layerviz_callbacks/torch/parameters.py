"""Raw parameters: class tokens, position embeddings and other arrays that belong to no layer's kernel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from layerviz_callbacks.torch.kernels import (
    Kernel,
    is_known_without_kernel,
    kernel_names,
    kernels_and_weights,
)
from layerviz_callbacks.torch.names import unwrapped
from layerviz_callbacks.torch.weights import current_weights, weight_shapes


@dataclass(frozen=True, eq=False)
class RawParameter:
    """A parameter that is shown by itself.

    Attributes:
        name: its dotted name in the model, such as "encoder.pos_embedding".
        owner: the module that holds it.
        attribute: its name there.
        parameter: itself.
    """

    name: str
    owner: nn.Module
    attribute: str
    parameter: torch.Tensor


def raw_parameters(model: nn.Module, layers: dict[str, nn.Module]) -> dict[str, list[RawParameter]]:
    """The raw parameters of each module by its name ("" is the model itself).

    Raw are the parameters of two or more axes of containers and of the model itself, and of layers that
    PyTorch does not know and that have several of them. One that is held twice is listed once.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3))
        >>> model.token = nn.Parameter(torch.zeros(1, 1, 2))
        >>> [raw.name for raw in raw_parameters(model, {"0": model[0]})[""]]
        ['token']
    """
    found: dict[str, list[RawParameter]] = {}
    seen: set[int] = set()
    for name, module in {"": unwrapped(model), **layers}.items():
        for attribute in _raw_names(module, root=not name):
            parameter = _stored(module, attribute)
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                full = f"{name}.{attribute}" if name else attribute
                found.setdefault(name, []).append(RawParameter(full, module, attribute, parameter))
    return found


def kernel_of_parameter(raw: RawParameter) -> Kernel:
    """The parameter as `(out, in)`: its last axis, and all others as one; leading axes of length 1 go.

    Where one axis is left, `(1, 1, length)`: a curve. The kernel of a model that is one layer is laid out
    as any layer's. Call it in evaluation mode.

    Example:
        >>> tokens = nn.ParameterList([torch.zeros(1, 4, 5, 8)])
        >>> tuple(kernel_of_parameter(RawParameter("0", tokens, "0", tokens[0])).tensor.shape)
        (8, 20)
    """
    for kernel in kernels_and_weights(raw.owner)[0]:
        if kernel.name == raw.attribute:
            return kernel
    tensor = current_weights(raw.owner)[raw.attribute]
    parameter = tensor if tensor is raw.parameter else None
    return Kernel(raw.attribute, _as_matrix(tensor), parameter=parameter, lay_out=_as_matrix)


def _as_matrix(tensor: torch.Tensor) -> torch.Tensor:
    while tensor.ndim > 1 and tensor.shape[0] == 1:
        tensor = tensor[0]
    return tensor.reshape(1, 1, -1) if tensor.ndim == 1 else tensor.flatten(0, -2).t()


def _raw_names(module: nn.Module, *, root: bool) -> list[str]:
    kernels = kernel_names(module)
    if root and kernels:
        return kernels
    if kernels or is_known_without_kernel(module):
        return []
    return [name for name, shape in weight_shapes(module).items() if len(shape) >= 2]


def _stored(module: nn.Module, attribute: str) -> torch.Tensor | None:
    """The parameter itself; of a parametrised one, what is stored instead."""
    parametrizations = getattr(module, "parametrizations", None)
    if isinstance(parametrizations, nn.ModuleDict) and attribute in parametrizations:
        originals = list(parametrizations[attribute].parameters(recurse=False))
        return max(originals, key=torch.Tensor.numel, default=None)
    own = dict(module.named_parameters(recurse=False, remove_duplicate=False))
    stored = [own[attribute + end] for end in ("", "_orig", "_v") if attribute + end in own]
    return stored[0] if stored else None
