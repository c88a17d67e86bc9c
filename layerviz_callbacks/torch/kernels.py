"""Which weights of a layer are kernels, each as `(out, in, *space)` and with what its parts are for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn.modules import batchnorm, conv

from layerviz_callbacks.torch.names import class_of, is_container, kind_of
from layerviz_callbacks.torch.weights import current_weights, weight_shapes

_ONE_WEIGHT = (conv._ConvNd, nn.Linear, nn.Bilinear, nn.Embedding, nn.EmbeddingBag)
_TABLES = (nn.Embedding, nn.EmbeddingBag)
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_NO_KERNEL = (batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.PReLU)
_HOLDERS = ("torch.nn.modules.container", "torch.nn.modules.module")  # what users hang parameters on
_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
_GATES = {
    "LSTM": ("input", "forget", "cell", "output"),
    "GRU": ("reset", "update", "candidate"),
}


@dataclass(frozen=True, eq=False)
class Kernel:
    """One kernel of a layer.

    Attributes:
        name: the weight's own name, such as "weight_hh_l0".
        tensor: `(out, in, *space)`; a view of the weight where that can be, not a copy.
        gates: the names of the equal parts of its output axis; empty where it has one meaning.
        parameter: the parameter that it is, laid out; None where it is computed from others.
        lay_out: lays out any tensor of the parameter's shape as the kernel is, as a view where that can be.
    """

    name: str
    tensor: torch.Tensor
    gates: tuple[str, ...] = ()
    parameter: torch.Tensor | None = None
    lay_out: Callable[[torch.Tensor], torch.Tensor] = torch.Tensor.detach


def has_kernel(module: nn.Module) -> bool:
    """Whether the layer has a kernel of its own; nothing is computed.

    Example:
        >>> [has_kernel(layer) for layer in (nn.Conv2d(1, 2, 3), nn.LSTM(3, 2), nn.BatchNorm1d(2))]
        [True, True, False]
    """
    return bool(kernel_names(module))


def kernel_names(module: nn.Module) -> list[str]:
    """Which of the layer's own weights are kernels; the first is the layer's kernel, the others further ones.

    A layer that PyTorch does not know (and that is no container) has a kernel where exactly one of its
    parameters has two or more axes, and that one does not begin with an axis of length 1.
    """
    shapes, kind = weight_shapes(module), class_of(module)
    if issubclass(kind, _ONE_WEIGHT):
        return ["weight"] if "weight" in shapes else []
    if issubclass(kind, _RECURRENT):
        names = [name for name in shapes if name.startswith("weight_")]
        return sorted(names, key=lambda name: name not in ("weight_ih_l0", "weight_ih"))
    if issubclass(kind, nn.MultiheadAttention):
        return [name for name in _PROJECTIONS if name in shapes]
    if is_known_without_kernel(module):
        return []
    if hasattr(module, "kernel_size") and len(shapes.get("weight", ())) > 2:
        return ["weight"]
    if is_container(module):
        return []
    arrays = [name for name, shape in shapes.items() if len(shape) >= 2]
    return arrays if len(arrays) == 1 and shapes[arrays[0]][0] != 1 else []


def is_known_without_kernel(module: nn.Module) -> bool:
    """Whether it is a normalisation, or another layer of PyTorch's own that has no kernel."""
    kind = class_of(module)
    if issubclass(kind, _NO_KERNEL) or "norm" in kind_of(module).lower():
        return True
    return kind.__module__.startswith("torch.nn.modules.") and not (
        kind.__module__ in _HOLDERS or issubclass(kind, (*_ONE_WEIGHT, *_RECURRENT, nn.MultiheadAttention))
    )


def kernels_and_weights(module: nn.Module) -> tuple[list[Kernel], dict[str, torch.Tensor]]:
    """The layer's kernels (the first is its own) and its other weights by name; tensors, not copies.

    Call it in evaluation mode, see `layerviz_callbacks.torch.weights.current_weights`.

    Returns:
        Kernels `(out, in/groups, *space)`. A transposed convolution stores `(in, out/groups, *space)` and is
        turned round group by group; an embedding is `(dimension, vocabulary)`; a bilinear layer
        `(out, 1, in 1, in 2)`, one form an output.

    Example:
        >>> (kernel,), others = kernels_and_weights(nn.ConvTranspose1d(6, 4, 3, groups=2))
        >>> tuple(kernel.tensor.shape), list(others)
        ((4, 3, 3), ['bias'])
    """
    tensors = current_weights(module)
    parameters = dict(module.named_parameters(recurse=False, remove_duplicate=False))
    lay_out = partial(_out_first, module)
    kernels = []
    for name in kernel_names(module):
        if name in tensors:
            tensor = tensors.pop(name)
            parameter = tensor if tensor is parameters.get(name) else None
            kernels.append(Kernel(name, lay_out(tensor), _gates(module, name), parameter, lay_out))
    return kernels, tensors


def _gates(module: nn.Module, name: str) -> tuple[str, ...]:
    kind = class_of(module)
    if name == "in_proj_weight":
        return ("query", "key", "value")
    if not issubclass(kind, _RECURRENT) or name.startswith("weight_hr"):  # hr: the projection of the state
        return ()
    mode = getattr(module, "mode", None) or kind.__name__.removesuffix("Cell")
    return _GATES.get(str(mode), ())


def _out_first(module: nn.Module, weight: torch.Tensor) -> torch.Tensor:
    kind = class_of(module)
    if issubclass(kind, conv._ConvTransposeNd):
        groups = _groups(module, weight)
        grouped = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        return grouped.transpose(1, 2).flatten(0, 1)
    if issubclass(kind, nn.Bilinear):
        return weight[:, None]
    transposed = issubclass(kind, _TABLES) or (hasattr(module, "nf") and weight.ndim == 2)  # GPT-2's Linear
    return weight.t() if transposed else weight


def _groups(module: nn.Module, weight: torch.Tensor) -> int:
    """The groups of a transposed convolution; a traced one has no attributes but its tensors."""
    groups = getattr(module, "groups", None)
    if isinstance(groups, int):
        return groups
    bias = getattr(module, "bias", None)
    return len(bias) // weight.shape[1] if isinstance(bias, torch.Tensor) else 1
