"""Listening to the attention of one forward pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from layerviz_callbacks.errors import is_out_of_memory
from layerviz_callbacks.torch.attention_axes import BatchAxes, Order, Shape, batch_axes
from layerviz_callbacks.torch.attention_kept import kept_weights, lengths_of, weights_at
from layerviz_callbacks.torch.attention_origins import Origins
from layerviz_callbacks.torch.attention_places import OPERATION, Attention, Call, Place, ReadAttention
from layerviz_callbacks.torch.attention_products import (
    PRODUCTS,
    WEIGHTINGS,
    candidates,
    is_attention,
    sum_to_one,
)
from layerviz_callbacks.torch.attention_scores import MultiHead, ScaledDotProduct
from layerviz_callbacks.torch.copying import tensors_in, to_float32

MOST_WEIGHTS = 1 << 26
"""Of one attention, with all samples that are asked for; more are not read."""

FLEX = (
    "flex_attention changes its scores by functions of its own inside its kernel, so that they cannot be "
    "computed again; use scaled_dot_product_attention to see them"
)

Weigh = Callable[[BatchAxes, int], np.ndarray]
"""Gives the weights `(sample, head, query, key)` of the first so many samples."""


class AttentionListener(TorchFunctionMode):
    """Hears the attention of one pass; `entering` and `leaving` tell it which layer is being called.

    Args:
        model: the model, without wrappers.
        own_name: the name of what it computes outside of every layer.
        wanted: the names of the layers whose weights are copied.
        samples: the number of the probe's samples.
        taken: of the first so many of them.
        known: what an earlier pass found; None: this one searches.

    Attributes:
        found: by its place, each attention.
        read: by `Layer.name`, what was read.
        unread: by `Layer.name`, why it could not be read.
    """

    def __init__(
        self, model: nn.Module, own_name: str, wanted: frozenset[str],
        *, samples: int, taken: int, known: Mapping[Place, Attention] | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._model = model
        self._wanted = wanted
        self._samples = samples
        self._taken = taken
        self._origins = Origins(model, samples) if known is None else None
        self._calls = [Call(own_name, 1, model)]
        self._counts: Counter[str] = Counter()
        self._hearers: dict[str, Callable[..., None]] = {
            "scaled_dot_product_attention": self._hear_scaled,
            "multi_head_attention_forward": self._hear_multi_head,
            "flex_attention": self._hear_flex,
            **dict.fromkeys(PRODUCTS | WEIGHTINGS, self._hear_product),
        }
        self._kept: dict[tuple[str, int], list[str]] = {}
        for layer, number, what in known or ():
            if layer in wanted and not what.startswith(OPERATION):
                self._kept.setdefault((layer, number), []).append(what)
        self.found: dict[Place, Attention] = dict(known or {})
        self.read: dict[str, ReadAttention] = {}
        self.unread: dict[str, str] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen while the scope is open."""
        handles: list[Any] = []
        if not isinstance(self._model, torch.jit.ScriptModule):
            handles.append(self._model.register_forward_pre_hook(self._begin, with_kwargs=True))
            handles.append(self._model.register_forward_hook(self._end))
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()
        for one in self.found.values():
            if one.layer in self._wanted and one.name not in self.read:
                self.unread.setdefault(one.name, one.refusal or "it was not computed in this pass")
            elif one.refusal and self._origins is not None:
                self.unread[one.name] = one.refusal

    def entering(self, layer: str, module: nn.Module, given: Any) -> None:
        """A layer is being called with these arguments."""
        self._counts[layer] += 1
        lengths = frozenset() if self._origins is None else lengths_of(given)
        self._calls.append(Call(layer, self._counts[layer], module, lengths))

    def leaving(self, layer: str, output: Any) -> None:
        """A layer gave this back."""
        while len(self._calls) > 1:
            call = self._calls.pop()  # others on top of it failed, and the model went on
            if call.layer == layer:
                self._hear_kept(call, output)
                self._calls[-1].attends |= call.attends
                return

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called for each function of PyTorch; the model gets what it would have got."""
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        name = getattr(function, "__name__", "")
        hear = self._hearers.get(name)
        if self._origins is not None:
            self._origins.follow(name, args, kwargs, result)
        if hear is not None:
            call = self._calls[-1]
            call.operations += 1
            if self._origins is not None or call.layer in self._wanted:
                with torch.no_grad():
                    hear(call, name, args, kwargs, result)
        return result

    def _begin(self, model: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        if self._origins is not None:
            self._origins.given(tensor for _, tensor in tensors_in([arguments, named]))
            self._calls[0].lengths |= lengths_of([arguments, named])

    def _end(self, model: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        self._hear_kept(self._calls[0], output)

    def _hear_scaled(self, call: Call, name: str, args: Any, kwargs: Any, result: Any) -> None:
        self._hear_fused(call, partial(ScaledDotProduct, *args, **kwargs))

    def _hear_multi_head(self, call: Call, name: str, args: Any, kwargs: Any, result: Any) -> None:
        self._hear_fused(call, partial(MultiHead, args, kwargs, result))

    def _hear_fused(self, call: Call, made: Callable[[], ScaledDotProduct | MultiHead]) -> None:
        try:
            fused = made()
        except Exception as error:  # noqa: BLE001  what is odd in a model must not stop it
            self._refuse(call, _words(error))
            return
        self._attend(call, call.operation(), fused.batch, fused.sizes, fused.weights)

    def _hear_flex(self, call: Call, name: str, args: Any, kwargs: Any, result: Any) -> None:
        self._refuse(call, FLEX)

    def _hear_product(self, call: Call, name: str, args: Any, kwargs: Any, result: Any) -> None:
        known = self.found.get(call.operation())
        if known is None and self._origins is None:
            return
        try:
            for one in candidates(name, args, kwargs, self._samples):
                if known is None and self._is_attention(one.weights, one.operand, one.values):
                    self._attend_with(call, call.operation(), one.weights, side=one.side)
                    return
                if known is not None and known.side == one.side and sum_to_one(one.weights):
                    self._attend_with(call, call.operation(), one.weights)
        except Exception as error:  # noqa: BLE001  what is odd in a model must not stop it
            if known is not None:
                self.unread[known.name] = _words(error)

    def _is_attention(
        self, weights: torch.Tensor, operand: torch.Tensor, values: torch.Tensor | None
    ) -> bool:
        """Whether it is, and has not been heard before."""
        origins = self._origins
        if origins is None or not origins.may_attend(operand):
            return False
        if values is not None and not origins.may_be_attended(values):
            return False
        return is_attention(weights) and origins.is_first_use(operand)

    def _hear_kept(self, call: Call, output: Any) -> None:
        """Weights that a layer gives back or keeps; where any were heard in its call, it may be those."""
        try:
            if self._origins is None:
                for what in self._kept.get((call.layer, call.number), ()):
                    weights = weights_at(what, call.module, output)
                    if weights is not None:
                        self._attend_with(call, (call.layer, call.number, what), weights)
            elif not call.attends:
                for what, weights in kept_weights(call.module, output, call.lengths):
                    computed = self._origins.is_of_this_pass(weights)
                    if computed and self._is_attention(weights, weights, None):
                        self._attend_with(call, (call.layer, call.number, what), weights)
        except Exception as error:  # noqa: BLE001  what is odd in a model must not stop it
            self.unread.setdefault(call.layer, _words(error))

    def _attend_with(self, call: Call, place: Place, weights: torch.Tensor, *, side: str = "") -> None:
        """There is attention with weights `(*batch, query, key)`."""
        sizes = (weights.shape[-2], weights.shape[-1])

        def weigh(axes: BatchAxes, count: int) -> np.ndarray:
            return to_float32(axes.taken(weights.detach(), count))

        self._attend(call, place, tuple(weights.shape[:-2]), sizes, weigh, side=side)

    def _attend(
        self, call: Call, place: Place, batch: Shape, sizes: tuple[int, int], weigh: Weigh, *, side: str = ""
    ) -> None:
        """There is attention; copy its weights where they are wanted."""
        call.attends = True
        known = self.found.get(place)
        if known is None and self._origins is not None:
            known = Attention(call.layer, call.next_name(), side=side)
        if known is None or (known.refusal and self._origins is None):
            return
        axes = known.axes
        if axes is None or axes.batch != batch:
            found = batch_axes(
                batch, self._samples, call.module, head_first=self._is_head_first(batch, known)
            )
            if isinstance(found, str):
                self._keep(place, replace(known, refusal=found + _time_first(sizes, self._samples)))
                return
            axes = found
        shape = (self._samples, axes.heads, *sizes)
        self._keep(place, replace(known, shape=shape, axes=axes))
        if call.layer in self._wanted:
            self._read(known.name, shape, partial(weigh, axes, self._taken))

    def _is_head_first(self, batch: Shape, known: Attention) -> bool:
        if self._origins is None:
            return known.axes is not None and known.axes.order is Order.HEAD_TIMES_SAMPLE
        return len(batch) == 1 and self._origins.head_first(batch[0])

    def _read(self, name: str, shape: Shape, weigh: Callable[[], np.ndarray]) -> None:
        count = self._taken * math.prod(shape[1:])
        if count > MOST_WEIGHTS:
            sizes = " x ".join(f"{size:,}" for size in (self._taken, *shape[1:]))
            self.unread[name] = f"it has {sizes} weights, and no more than {MOST_WEIGHTS:,} are read"
            return
        try:
            self.read[name] = ReadAttention(shape, weigh())
        except Exception as error:  # noqa: BLE001  what is odd in a model must not stop it
            short = is_out_of_memory(error)
            self.unread[name] = "there is not enough memory for its weights" if short else _words(error)

    def _refuse(self, call: Call, why: str) -> None:
        call.attends = True
        place = call.operation()
        if self._origins is not None:
            self._keep(place, Attention(call.layer, call.next_name(), refusal=why))
        elif place in self.found:
            self.unread[self.found[place].name] = why

    def _keep(self, place: Place, attention: Attention) -> None:
        """Later passes are told by the first one alone."""
        if self._origins is not None:
            self.found[place] = attention
        elif attention.refusal:
            self.unread[attention.name] = attention.refusal


def _words(error: Exception) -> str:
    if isinstance(error, NotImplementedError):
        return str(error)
    return f"its weights cannot be read ({type(error).__name__}: {error})"


def _time_first(sizes: tuple[int, int], samples: int) -> str:
    if samples > 1 and sizes[0] == samples:
        return "; it attends from sample to sample: is batch_first=True missing?"
    return ""
