"""What the tensors of one forward pass were computed from."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from layerviz_callbacks.torch.copying import argument_tensors

INPUT, LEARNED, PRODUCT, EXPONENTIAL = 1, 2, 4, 8
"""It depends on the model's input; on a parameter; on a product of tensors; on a softmax or the like."""

_UNKNOWN = INPUT | LEARNED | PRODUCT | EXPONENTIAL
_PRODUCTS = (
    "matmul __matmul__ bmm mm mv addmm baddbmm einsum linear bilinear conv1d conv2d conv3d conv_transpose1d "
    "conv_transpose2d conv_transpose3d lstm gru rnn_tanh rnn_relu tensordot inner "
    "scaled_dot_product_attention multi_head_attention_forward"
)
_EXPONENTIALS = "softmax log_softmax gumbel_softmax exp exp_ exp2 sigmoid sigmoid_ softplus"
_TO_BE_FILLED = frozenset(("empty", "zeros", "empty_like", "zeros_like", "new_empty", "new_zeros"))
_CONSTANTS = frozenset(("ones_like", "full_like", "rand_like", "randn_like", "new_ones", "new_full"))
_GAINED = {
    **dict.fromkeys(_PRODUCTS.split(), PRODUCT),
    **dict.fromkeys(_EXPONENTIALS.split(), EXPONENTIAL),
}
_FOLDING = frozenset(("reshape", "view", "flatten"))
_JOINING = frozenset(("cat", "concat", "concatenate"))


class Origins:
    """Follows each function of a pass and tells of a tensor what it was computed from.

    So attention is told from other products whose left operand sums to one: an adjacency matrix that comes
    with the input or lies in a buffer, a matrix of means, a mixture that is a parameter. Of a tensor that was
    not seen to be computed (TorchScript computed it), everything is possible.

    Args:
        model: its buffers and other tensors are constants.
        samples: the number of the probe's samples.
    """

    def __init__(self, model: nn.Module, samples: int) -> None:
        self._samples = samples
        self._of: dict[int, tuple[weakref.ref[torch.Tensor], int]] = {}
        self._head_first: dict[int, bool] = {}
        self._used: list[tuple[StorageWeakRef, tuple[int, int]]] = []
        for module in model.modules():
            for value in [*module._buffers.values(), *vars(module).values()]:
                if isinstance(value, torch.Tensor):
                    self._set(value, 0)

    def given(self, values: Iterable[torch.Tensor]) -> None:
        """These are the model's inputs."""
        for value in values:
            self._set(value, INPUT)

    def of(self, tensor: torch.Tensor) -> int:
        """What it was computed from: `INPUT`, `LEARNED`, `PRODUCT` and `EXPONENTIAL`, added up."""
        if isinstance(tensor, nn.Parameter):
            return LEARNED
        reference, origin = self._of.get(id(tensor), (None, _UNKNOWN))
        return origin if reference is not None and reference() is tensor else _UNKNOWN

    def is_of_this_pass(self, tensor: torch.Tensor) -> bool:
        """Whether it was seen to be computed."""
        reference, _ = self._of.get(id(tensor), (None, 0))
        return reference is not None and reference() is tensor

    def may_attend(self, weights: torch.Tensor) -> bool:
        """Whether numbers of such origin can be attention: they depend on what is attended to."""
        origin = self.of(weights)
        by_input = origin & INPUT and origin & (LEARNED | EXPONENTIAL)
        return bool(by_input or (origin & LEARNED and origin & PRODUCT))

    def may_be_attended(self, values: torch.Tensor) -> bool:
        """Whether numbers of such origin can be attended to: no table of parameters, no constants."""
        return bool(self.of(values) & (INPUT | PRODUCT))

    def is_first_use(self, weights: torch.Tensor) -> bool:
        """Whether these numbers, wherever they are seen from, were not asked for before in this pass."""
        storage = StorageWeakRef(weights.untyped_storage())  # type: ignore[no-untyped-call]
        part = (int(weights.storage_offset()), weights.numel())
        used = any(
            other == part and storage == one and not one.expired()  # type: ignore[no-untyped-call]
            for one, other in self._used
        )
        self._used.append((storage, part))
        return not used

    def head_first(self, size: int) -> bool:
        """Whether an axis of so many places was last made of `(head, sample)`, in this order."""
        return self._head_first.get(size, False)

    def follow(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        """A function of that name was called with these arguments."""
        if name == "__setitem__":
            self._set(args[0], self.of(args[0]) | _union(self, args[2:]))
            return
        if not isinstance(result, (torch.Tensor, tuple, list)):
            return
        sources = [*argument_tensors(args), *argument_tensors(kwargs.values())]
        if name in _TO_BE_FILLED:
            origin = _UNKNOWN
        elif not sources or name in _CONSTANTS:
            origin = 0
        else:
            origin = _union(self, sources) | _GAINED.get(name, 0)
        for tensor in argument_tensors([result]):
            self._set(tensor, origin)
        if sources and isinstance(result, torch.Tensor) and name in _FOLDING | _JOINING:
            self._note_order(name, sources, result)

    def _set(self, tensor: torch.Tensor, origin: int) -> None:
        self._of[id(tensor)] = (weakref.ref(tensor), origin)

    def _note_order(self, name: str, sources: list[torch.Tensor], result: Any) -> None:
        """Remember how samples and heads came to share a first axis."""
        size, samples = result.shape[0] if result.ndim else 0, self._samples
        if name in _JOINING:
            if len(sources) > 1 and all(one.ndim and one.shape[0] == samples for one in sources):
                self._head_first[size] = size == samples * len(sources)
            return
        shape = tuple(sources[0].shape)
        for axes in range(2, len(shape)):
            if math.prod(shape[:axes]) == size > samples and samples in shape[:axes]:
                self._head_first[size] = shape[0] != samples and shape[axes - 1] == samples
                return


def _union(origins: Origins, values: Iterable[Any]) -> int:
    origin = 0
    for tensor in argument_tensors(values):
        origin |= origins.of(tensor)
    return origin
