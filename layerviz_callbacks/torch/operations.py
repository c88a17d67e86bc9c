"""Hearing layers that call no hooks, by the operations that use their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules import batchnorm, conv
from torch.utils._python_dispatch import TorchDispatchMode

from layerviz_callbacks.torch.kernels import has_kernel
from layerviz_callbacks.torch.names import class_of, is_container

CONVOLUTION, PRODUCT, EMBEDDING, NORMALISATION = "convolution", "product", "embedding", "normalisation"

_OPERATIONS = {
    CONVOLUTION: "convolution _convolution convolution_overrideable mkldnn_convolution cudnn_convolution "
    "cudnn_convolution_transpose conv_transpose1d conv_transpose2d conv_transpose3d conv1d conv2d conv3d",
    PRODUCT: "linear addmm mm bmm baddbmm matmul _addmm_activation mkldnn_linear",
    EMBEDDING: "embedding _embedding_bag _embedding_bag_forward_only",
    NORMALISATION: "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training "
    "_batch_norm_with_update cudnn_batch_norm miopen_batch_norm native_layer_norm native_group_norm rms_norm "
    "_fused_rms_norm batch_norm",
}
_RESHAPES = ("view", "_unsafe_view", "reshape", "_reshape_alias")
_RIGHT_OPERAND = {"mm": 1, "bmm": 1, "matmul": 1, "addmm": 2, "baddbmm": 2, "_addmm_activation": 2}

Note = Callable[[str, torch.Tensor, tuple[int, ...]], None]


@dataclass(frozen=True)
class _Owner:
    """Whose weight it is, and which operations with it give the layer's output (none: no one does)."""

    name: str
    forms: frozenset[str]


class OperationListener(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Matches operations to layers by the storage of the weights that they are given.

    So are heard: layers inside TorchScript, layers whose `forward` is called directly, and layers of which
    only the weight is used, as in `F.conv2d(x, self.conv.weight)`. A tensor that is computed from a weight
    and has its shape (cast by autocast, masked, scaled) counts as that weight.

    Args:
        silent: the layers that hooks do not hear, by name; no others are matched.
        note: called with a layer's name, its output and the shape of its input, at once.
        calling: gives the layer that is being called now, which a hook will tell of (None: there is none).

    Attributes:
        used: the names of the layers whose weights were used, heard or not.
    """

    def __init__(
        self, silent: Mapping[str, nn.Module], note: Note, calling: Callable[[], nn.Module | None]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._note = note
        self._calling = calling
        self._owners: dict[int, list[_Owner]] = {}
        self._kept: list[torch.Tensor] = []  # computed weights: their storage must not be used anew
        self._flattened: tuple[torch.Tensor, tuple[int, ...]] | None = None
        self._forms = _forms_by_operation()
        self.used: set[str] = set()
        for name, module in silent.items():
            owner = _Owner(name, _forms_of(module))
            for tensor in _weights_of(module, owner.forms):
                self._owners.setdefault(_address(tensor), []).append(owner)

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        self._listen(operation, [*args, *(kwargs or {}).values()], result)
        return result

    def _listen(self, operation: Any, arguments: list[Any], result: Any) -> None:
        output = result[0] if isinstance(result, (tuple, list)) and result else result
        if not _has_storage(output):
            return
        packet = operation.overloadpacket.__name__
        source = arguments[0] if arguments else None
        if packet in _RESHAPES and isinstance(source, torch.Tensor):
            if output.ndim == 2 and source.ndim > 2 and source.shape[-1] == output.shape[-1]:
                self._flattened = (output, tuple(source.shape))
            return
        owned = [
            (place, argument, self._owners[_address(argument)])
            for place, argument in enumerate(arguments)
            if _has_storage(argument) and _address(argument) in self._owners
        ]
        for place, weight, owners in owned:
            self.used.update(owner.name for owner in owners)
            for owner in owners:  # tied weights have several; one operation is one layer's
                fits = self._forms.get(packet) in owner.forms
                if fits and place == _RIGHT_OPERAND.get(packet, place) and not self._is_tied(weight):
                    self._hear(owner.name, packet, arguments, output)
                    return
            if packet not in self._forms and output.ndim > 1 and output.shape == weight.shape:
                self._follow(output, owners)

    def _is_tied(self, weight: torch.Tensor) -> bool:
        """Whether the weight is that of the layer that is being called, too."""
        called = self._calling()
        own = [] if called is None else called.parameters(recurse=False)
        return any(_has_storage(tensor) and _address(tensor) == _address(weight) for tensor in own)

    def _follow(self, computed: torch.Tensor, owners: list[_Owner]) -> None:
        """A tensor that is computed from a weight, and has its shape, is that weight."""
        if _address(computed) not in self._owners:
            self._owners[_address(computed)] = owners
            self._kept.append(computed)

    def _hear(self, name: str, packet: str, arguments: list[Any], output: torch.Tensor) -> None:
        form = self._forms[packet]
        data = arguments[_RIGHT_OPERAND.get(packet, 1) - 1] if form == PRODUCT else arguments[0]
        given = tuple(arguments[1].shape if form == EMBEDDING else data.shape)
        if self._flattened is not None and data is self._flattened[0]:
            given = self._flattened[1]  # a Linear on several axes is computed on one
            output = output.reshape(*given[:-1], output.shape[-1])
        self._note(name, output, given)


def can_be_silent(module: nn.Module) -> bool:
    """Whether operations could tell of the layer: it has weights of its own, and is no container."""
    if is_fused_projection(module):
        return False
    return not is_container(module) and any(True for _ in _weights_of(module, _forms_of(module)))


def is_fused_projection(module: nn.Module) -> bool:
    """Whether it is the last Linear of `nn.MultiheadAttention`, which is never called by itself."""
    return type(module).__name__ == "NonDynamicallyQuantizableLinear"


def _forms_of(module: nn.Module) -> frozenset[str]:
    kind = class_of(module)
    if issubclass(kind, conv._ConvNd):
        return frozenset({CONVOLUTION})
    if issubclass(kind, nn.Linear) or hasattr(module, "nf"):
        return frozenset({PRODUCT})
    if issubclass(kind, (nn.Embedding, nn.EmbeddingBag)):
        return frozenset({EMBEDDING})
    if issubclass(kind, (batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)):
        return frozenset({NORMALISATION})
    if kind.__module__.startswith("torch.nn.") or not has_kernel(module):
        return frozenset()
    return frozenset({CONVOLUTION, PRODUCT})


def _weights_of(module: nn.Module, forms: frozenset[str]) -> Iterable[torch.Tensor]:
    """The tensors that tell the layer: kernels; of a normalisation, all that it has."""
    for tensor in [*module.parameters(), *module.buffers()]:
        if _has_storage(tensor) and tensor.ndim >= (1 if NORMALISATION in forms else 2):
            yield tensor


def _forms_by_operation() -> dict[str, str]:
    return {packet: form for form, packets in _OPERATIONS.items() for packet in packets.split()}


def _has_storage(value: Any) -> bool:
    plain = type(value) in (torch.Tensor, nn.Parameter)
    return plain and value.layout is torch.strided and not value.is_meta and value.numel() > 0


def _address(tensor: torch.Tensor) -> int:
    return tensor.data_ptr()
