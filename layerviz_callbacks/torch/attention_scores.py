"""The weights of fused attention, computed again from what it was given."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional

from layerviz_callbacks.torch.attention_axes import BatchAxes, Shape
from layerviz_callbacks.torch.copying import plain_tensor, to_float32

_AT_ONCE = 1 << 24  # weights; of more, each sample by itself


class ScaledDotProduct:
    """One call of `scaled_dot_product_attention`, by its own arguments. Dropout is left out.

    Attributes:
        batch: the sizes of the axes before `(query, key)`.
        sizes: the number of queries and of keys.
    """

    def __init__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        if query.is_nested or key.is_nested:
            raise NotImplementedError("its sequences are nested tensors, of a length of their own each")
        self._query, self._key, self._mask = plain_tensor(query), plain_tensor(key), attn_mask
        self._causal = is_causal
        self._scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        self._group = query.shape[-3] // key.shape[-3] if enable_gqa else 1
        key_batch = list(key.shape[:-2])
        if enable_gqa:
            key_batch[-1] *= self._group
        self.batch: Shape = _broadcast(query.shape[:-2], key_batch)
        self.sizes = (query.shape[-2], key.shape[-2])

    def weights(self, axes: BatchAxes, count: int) -> np.ndarray:
        """`(sample, head, query, key)` of the first samples."""
        device = self._query.device.type
        query, key = self._query, self._key
        if torch.is_autocast_enabled(device):  # then the call itself casts
            query, key = (one.to(torch.get_autocast_dtype(device)) for one in (query, key))
        if self._group > 1:
            key = key.repeat_interleave(self._group, -3)
        query, key = (axes.taken(one.expand(*self.batch, *one.shape[-2:]), count) for one in (query, key))
        mask = self._mask
        if mask is not None:
            mask = axes.taken(plain_tensor(mask).expand(*self.batch, *self.sizes), count)
        with torch.autocast(device, enabled=False):
            if query.shape[:2].numel() * math.prod(self.sizes) <= _AT_ONCE:
                return to_float32(self._softmax(query, key, mask))
            parts = [
                to_float32(self._softmax(query[one], key[one], None if mask is None else mask[one]))
                for one in range(len(query))
            ]
        return np.stack(parts)

    def _softmax(self, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        precision = torch.float64 if query.dtype is torch.float64 else torch.float32
        scores = query.to(precision) @ key.to(precision).mT * self._scale
        if self._causal:
            seen = torch.ones(self.sizes, dtype=torch.bool, device=scores.device).tril()
            scores = scores.masked_fill(~seen, -math.inf)
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf) if mask.dtype is torch.bool else scores + mask
        nothing = (scores == -math.inf).all(-1, keepdim=True)  # to be seen: the weights are 0, not NaN
        return scores.softmax(-1).masked_fill(nothing, 0.0)


class MultiHead:
    """One call of `multi_head_attention_forward`, the function behind `nn.MultiheadAttention`.

    Attributes:
        batch: `(sample, head)`; empty where there is no axis of samples.
        sizes: the number of queries and of keys.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        bound = _signature().bind(*args, **kwargs)
        bound.apply_defaults()
        self._given = given = bound.arguments
        self._result = result[1] if given["need_weights"] and not given["average_attn_weights"] else None
        query, key, fixed = given["query"], given["key"], given["static_k"]
        keys = (key if fixed is None else fixed.transpose(0, 1)).shape[0]
        keys += (given["bias_k"] is not None) + bool(given["add_zero_attn"])
        self.batch: Shape = (query.shape[1], given["num_heads"]) if query.ndim == 3 else ()
        self.sizes = (query.shape[0], keys)

    def weights(self, axes: BatchAxes, count: int) -> np.ndarray:
        """`(sample, head, query, key)` of the first samples."""
        if self._result is not None:
            return to_float32(axes.taken(self._result.detach(), count))
        given, rows = dict(self._given), count * self._given["num_heads"]
        for name, end in (("attn_mask", rows), ("static_k", rows), ("static_v", rows)):
            if given[name] is not None and given[name].ndim == 3:
                given[name] = given[name][:end]
        if given["key_padding_mask"] is not None:
            given["key_padding_mask"] = given["key_padding_mask"][:count]
        parts = {id(given[name]): given[name][:, :count] for name in ("query", "key", "value")}
        for name in ("query", "key", "value"):
            given[name] = parts[id(given[name])]  # what is one and the same tensor stays so
        given.update(need_weights=True, average_attn_weights=False, training=False)
        return to_float32(cast(torch.Tensor, functional.multi_head_attention_forward(**given)[1]).detach())


def _broadcast(one: Sequence[int], other: Sequence[int]) -> Shape:
    return tuple(torch.broadcast_shapes(tuple(one), tuple(other)))  # type: ignore[no-untyped-call]


@lru_cache(maxsize=1)
def _signature() -> inspect.Signature:
    return inspect.signature(functional.multi_head_attention_forward)
