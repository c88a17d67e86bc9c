"""Hears PyTorch's functions, where Keras runs on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import torch
from torch.overrides import TorchFunctionMode

from layerviz_callbacks.keras.attention import axes_of_einsum, axes_of_matmul
from layerviz_callbacks.keras.attention_hearing import AttentionHearing
from layerviz_callbacks.keras.attention_tensors import dot_product_weights

_EXPONENTIALS = ("exp", "exp_", "softmax")
_HANDED_ON = ("transpose", "contiguous")  # what Keras does with values before fused attention
_MATRIX_PRODUCTS = ("matmul", "bmm", "__matmul__")
_MULTIPLICATIONS = ("mul", "multiply", "__mul__", "__rmul__")


@contextmanager
def torch_heard(hearing: AttentionHearing) -> Iterator[None]:
    """Hear by a mode for functions, which belongs to a thread; nothing is replaced."""
    with _Heard(hearing):
        yield


class _Heard(TorchFunctionMode):
    def __init__(self, hearing: AttentionHearing) -> None:
        super().__init__()
        self._hearing = hearing

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        keywords = kwargs or {}
        output = function(*args, **keywords)
        if not self._hearing.is_deaf:
            self._hear(getattr(function, "__name__", ""), args, keywords, output)
        return output

    def _hear(self, name: str, given: Any, keywords: Any, output: Any) -> None:
        hearing = self._hearing
        tensors = [one for one in given if isinstance(one, torch.Tensor)]
        if name in _EXPONENTIALS:
            hearing.exponential(output if name == "softmax" else None)
        elif name in _HANDED_ON and tensors:
            hearing.handed_on(tensors[0], output)
        elif name == "scaled_dot_product_attention":
            self._fused(*given, **keywords)
        elif len(tensors) == 2:
            left, right = tensors
            if name == "einsum" and len(given) == 3:
                hearing.product(left, right, axes_of_einsum(given[0], left.ndim, right.ndim))
            elif name in _MATRIX_PRODUCTS:
                hearing.product(left, right, axes_of_matmul(left.ndim, right.ndim))
            elif name in _MULTIPLICATIONS:
                hearing.multiplication(left, right)

    def _fused(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        if query.ndim != 4:
            return
        asked = self._hearing.asked
        samples, heads, queries, _ = query.shape
        if samples % asked.total:
            return
        folded = samples // asked.total
        shape = (asked.total, folded * heads, queries, key.shape[2])

        def weights() -> torch.Tensor:
            taken = asked.taken * folded
            part = None if attn_mask is None else attn_mask[:taken] if attn_mask.ndim == 4 else attn_mask
            truth = part is not None and part.dtype == torch.bool
            found: torch.Tensor = dot_product_weights(
                keras.ops,
                query[:taken].transpose(1, 2),
                key[:taken].transpose(1, 2),
                mask=part if truth else None,
                bias=None if truth else part,
                scale=scale,
                causal=is_causal,
            )
            return found.reshape(asked.taken, *shape[1:])

        self._hearing.fused(shape, weights, value)
