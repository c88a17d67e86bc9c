"""Hears JAX's functions, where Keras runs on it.

JAX has no callbacks for what is called: the functions that Keras and users call stand as attributes in
`jax.numpy`, `jax.nn` and `jax.lax`, and are replaced there for the length of a trace. Other threads get what
they would have got: only calls from the thread that opened the scope are listened to.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import jax.numpy
import keras

from layerviz_callbacks.keras.attention import axes_of_einsum, axes_of_matmul
from layerviz_callbacks.keras.attention_hearing import AttentionHearing
from layerviz_callbacks.keras.attention_tensors import dot_product_weights

_KNOWN_ARGUMENTS = frozenset({"bias", "mask", "scale", "is_causal", "implementation"})


@contextmanager
def jax_heard(hearing: AttentionHearing) -> Iterator[None]:
    """Hear what this thread calls."""
    thread = threading.get_ident()

    def exponential(_: Any, output: Any, *__: Any, **___: Any) -> None:
        hearing.exponential()

    def softmax(_: Any, output: Any, *__: Any, **___: Any) -> None:
        hearing.exponential(output)

    def matmul(given: Any, *_: Any, **__: Any) -> None:
        if len(given) >= 2 and all(hasattr(one, "ndim") for one in given[:2]):
            left, right = given[:2]
            hearing.product(left, right, axes_of_matmul(left.ndim, right.ndim))

    def reverse_matmul(given: Any, *_: Any, **__: Any) -> None:
        matmul(given[1::-1])

    def einsum(given: Any, *_: Any, **__: Any) -> None:
        if len(given) == 3 and all(hasattr(one, "ndim") for one in given[1:]):
            equation, left, right = given
            hearing.product(left, right, axes_of_einsum(equation, left.ndim, right.ndim))

    def multiply(given: Any, *_: Any, **__: Any) -> None:
        if len(given) == 2:
            hearing.multiplication(*given)

    def fused(given: Any, _: Any, keywords: Any) -> None:
        _hear_fused(hearing, given, keywords)

    heard: list[tuple[Any, str, Callable[..., None]]] = [
        (jax.numpy, "exp", exponential),
        (jax.lax, "exp", exponential),
        (jax.nn, "softmax", softmax),
        (jax.numpy, "matmul", matmul),
        (jax.lax, "batch_matmul", matmul),
        (jax.numpy, "einsum", einsum),
        (jax.numpy, "multiply", multiply),
        (jax.nn, "dot_product_attention", fused),
        *((holder, name, hear) for name, hear in (
            ("_matmul", matmul), ("_rmatmul", reverse_matmul), ("_mul", multiply), ("_rmul", multiply),
        ) for holder in _operators(name)),
    ]  # fmt: skip
    with ExitStack() as stack:
        for holder, name, hear in heard:
            stack.enter_context(_replaced(holder, name, hear, hearing, thread))
        yield


def _operators(name: str) -> list[Any]:
    """What holds the operators of traced arrays, such as `@`."""
    from jax._src import core

    return [core.ShapedArray] if isinstance(vars(core.ShapedArray).get(name), staticmethod) else []


@contextmanager
def _replaced(
    holder: Any, name: str, hear: Callable[..., None], hearing: AttentionHearing, thread: int
) -> Iterator[None]:
    before = vars(holder).get(name)
    function = getattr(holder, name, None)
    if before is None or function is None:
        yield
        return

    def listened(*given: Any, **keywords: Any) -> Any:
        output = function(*given, **keywords)
        if threading.get_ident() == thread and not hearing.is_deaf:
            hear(given, output, keywords)
        return output

    ours = staticmethod(listened) if isinstance(before, staticmethod) else _Like(function, listened)
    setattr(holder, name, ours)
    try:
        yield
    finally:
        if (
            vars(holder).get(name) is ours
        ):  # else somebody replaced it again, and calls ours: it is deaf by now
            setattr(holder, name, before)
        thread = -1


class _Like:
    """A function that calls another one, with all the attributes of the first: `jnp.multiply.reduce`."""

    def __init__(self, function: Any, call: Callable[..., Any]) -> None:
        self._function = function
        self._call = call
        functools.update_wrapper(self, function)

    def __call__(self, *given: Any, **keywords: Any) -> Any:
        return self._call(*given, **keywords)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def _hear_fused(hearing: AttentionHearing, given: Any, keywords: Any) -> None:
    names = ("query", "key", "value", "bias", "mask")
    told = {**dict(zip(names, given, strict=False)), **keywords}
    query, key = told["query"], told["key"]
    unknown = [name for name in told if told[name] is not None and name not in {*names, *_KNOWN_ARGUMENTS}]
    asked = hearing.asked
    if getattr(query, "ndim", 0) != 4 or unknown or query.shape[0] % asked.total:
        return
    samples, queries, heads, _ = query.shape
    folded = samples // asked.total
    taken = asked.taken * folded
    shape = (asked.total, folded * heads, queries, key.shape[1])

    def part(tensor: Any) -> Any:
        return tensor if tensor is None or tensor.shape[0] != samples else tensor[:taken]

    def weights() -> Any:
        found = dot_product_weights(
            keras.ops,
            query[:taken],
            key[:taken],
            bias=part(told.get("bias")),
            mask=part(told.get("mask")),
            scale=told.get("scale"),
            causal=bool(told.get("is_causal")),
        )
        return keras.ops.reshape(found, (asked.taken, *shape[1:]))

    hearing.fused(shape, weights, told["value"])
