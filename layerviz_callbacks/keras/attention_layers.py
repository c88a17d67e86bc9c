"""Layers that are known to attend: Keras' own, and those that return their weights where a flag says so."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from layerviz_callbacks.keras.attention import arranged
from layerviz_callbacks.keras.attention_hearing import AttentionHearing

FLAGS = ("return_attention", "return_attention_scores", "return_attention_weights")
"""Attributes that make a layer return its weights as its last output, where they are True."""

Replaced = Callable[[Any, str, Any], Any]
"""A context manager that puts an attribute into an object's own dict, see `structure.replaced`."""


@contextmanager
def heard_inside(layer: Any, hearing: AttentionHearing, replaced: Replaced) -> Iterator[None]:
    """Hear the weights that Keras' own attention layers compute: of dot products, scaled, additive, grouped.

    The method of the layer that computes them is wrapped; what it gives is what it would have given. Where it
    gives no weights, because a fused operation hides them, they are computed a second time, by the
    layer's own code for `return_attention_scores=True`.
    """
    with ExitStack() as stack:
        if _has_method(layer, "_compute_attention"):
            method = layer._compute_attention
            stack.enter_context(
                replaced(layer, "_compute_attention", _multi_head(layer, method, hearing, replaced))
            )
        elif _has_method(layer, "_apply_scores"):
            stack.enter_context(replaced(layer, "_apply_scores", _single_head(layer._apply_scores, hearing)))
        yield


def returns_by_flag(layer: Any) -> str:
    """The flag that makes a layer return its weights; "" where it has none.

    Of layers that hold layers of their own, the inner ones are asked.
    """
    members = vars(layer)
    flag = next((name for name in FLAGS if isinstance(members.get(name), bool)), "")
    inner = layer._flatten_layers(include_self=False) if flag else ()
    known = ("_compute_attention", "_apply_scores")
    if any(_has_method(one, name) for one in inner for name in known) or any(map(returns_by_flag, inner)):
        return ""
    return flag


def called_with_flag(
    layer: Any, flag: str, call: Callable[[], Any], hearing: AttentionHearing, replaced: Replaced
) -> Any:
    """What a layer answers, with its weights heard where it returns them with the flag on.

    Returns:
        What it would have answered without.
    """
    was_on = bool(vars(layer)[flag])
    with replaced(layer, flag, True):
        output = call()
    if not isinstance(output, (list, tuple)) or len(output) < 2 or not hasattr(output[-1], "shape"):
        return output
    weights, first = output[-1], output[0]
    sizes = [None if size is None else int(size) for size in weights.shape]
    pooled = len(getattr(first, "shape", ())) == 2
    if len(sizes) >= (2 if pooled else 3):
        axes = [axis for axis in range(1, len(sizes)) if not pooled or sizes[axis] != 1] or [1]
        heads, queries, keys = (axes[:-1], [], axes[-1:]) if pooled else (axes[:-2], axes[-2:-1], axes[-1:])
        if not pooled or len(axes) == len(sizes) - 1:
            hearing.returned(
                weights, arranged(sizes, hearing.asked.total, heads=heads, queries=queries, keys=keys)
            )
    if was_on:
        return output
    return output[0] if len(output) == 2 else type(output)(output[:-1])


def _multi_head(
    layer: Any, compute: Callable[..., Any], hearing: AttentionHearing, replaced: Replaced
) -> Callable[..., Any]:
    signature = inspect.signature(compute)

    @functools.wraps(compute)
    def heard(*arguments: Any, **keywords: Any) -> Any:
        if hearing.is_aside:
            return compute(*arguments, **keywords)
        with hearing.deaf():
            output = compute(*arguments, **keywords)
        if not isinstance(output, tuple) or len(output) != 2:
            return output
        bound = signature.bind(*arguments, **keywords).arguments
        scores = output[1]
        if scores is not None:
            axes = len(getattr(layer, "_attention_axes", None) or (1,))
            rank = len(scores.shape)
            sizes = [None if size is None else int(size) for size in scores.shape]
            places = list(range(rank))
            arrangement = arranged(
                sizes,
                hearing.asked.total,
                heads=places[1 : rank - 2 * axes],
                queries=places[rank - 2 * axes : rank - axes],
                keys=places[rank - axes :],
            )
            hearing.certain(arrangement.shape, lambda: scores, arrangement)
        elif {"query", "key"} <= bound.keys() and len(bound["query"].shape) == 4:
            samples, queries, heads, _ = bound["query"].shape
            folded = max(1, (samples or 1) // hearing.asked.total)
            taken = hearing.asked.taken * folded
            shape = (hearing.asked.total, folded * heads, queries, bound["key"].shape[1])

            def again() -> Any:
                weights = _computed_again(layer, compute, bound, taken, replaced)
                if weights is None:
                    raise ValueError("its _compute_attention() gives no attention scores")
                return hearing.ops.reshape(weights, (hearing.asked.taken, *shape[1:]))

            hearing.certain(shape, again)
        return output

    return heard


def _computed_again(
    layer: Any, compute: Callable[..., Any], bound: dict[str, Any], taken: int, replaced: Replaced
) -> Any:
    """The weights of the first samples, as the layer gives them to who asks for them."""
    given = dict(bound)
    samples = given["query"].shape[0]
    for name in ("query", "key", "value", "attention_mask"):
        tensor = given.get(name)
        if tensor is not None and samples is not None and tensor.shape[0] == samples:
            given[name] = tensor[:taken]
    if "return_attention_scores" in inspect.signature(compute).parameters:
        given["return_attention_scores"] = True
    with ExitStack() as stack:
        for name, value in (("_flash_attention", False), ("_return_attention_scores", True)):
            if hasattr(layer, name):
                stack.enter_context(replaced(layer, name, value))
        return compute(**given)[1]


def _single_head(apply: Callable[..., Any], hearing: AttentionHearing) -> Callable[..., Any]:
    @functools.wraps(apply)
    def heard(*arguments: Any, **keywords: Any) -> Any:
        if hearing.is_aside:
            return apply(*arguments, **keywords)
        with hearing.deaf():
            output = apply(*arguments, **keywords)
        if isinstance(output, tuple) and len(output) == 2 and len(output[1].shape) >= 3:
            weights = output[1]
            sizes = [None if size is None else int(size) for size in weights.shape]
            rank = len(sizes)
            arrangement = arranged(
                sizes,
                hearing.asked.total,
                heads=list(range(1, rank - 2)),
                queries=[rank - 2],
                keys=[rank - 1],
            )
            hearing.certain(arrangement.shape, lambda: weights, arrangement)
        return output

    return heard


def _has_method(layer: Any, name: str) -> bool:
    return callable(getattr(type(layer), name, None))
