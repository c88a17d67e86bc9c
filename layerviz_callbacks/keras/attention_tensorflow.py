"""Hears TensorFlow's operations: each one that this thread runs eagerly, or puts into a graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tensorflow.python.framework import op_callbacks

from layerviz_callbacks.keras.attention import axes_of_einsum, axes_of_matmul
from layerviz_callbacks.keras.attention_hearing import AttentionHearing

_MATRIX_PRODUCTS = ("BatchMatMulV2", "BatchMatMul", "BatchMatMulV3", "MatMul")


@contextmanager
def tensorflow_heard(hearing: AttentionHearing) -> Iterator[None]:
    """Hear by TensorFlow's own callbacks for operations, which belong to a thread; nothing is replaced."""

    def heard(kind: str, inputs: Any, attributes: Any, outputs: Any, *_: Any, **__: Any) -> None:
        if hearing.is_deaf:
            return
        name = kind.decode() if isinstance(kind, bytes) else kind
        if name == "Exp":
            hearing.exponential()
        elif name == "Softmax":
            hearing.exponential(outputs[0])
        elif name == "Mul":
            hearing.multiplication(inputs[0], inputs[1])
        elif name in _MATRIX_PRODUCTS:
            told = _attributes(attributes)
            left, right = inputs[:2]
            axes = axes_of_matmul(
                _rank(left),
                _rank(right),
                left_transposed=bool(told.get("adj_x", told.get("transpose_a", False))),
                right_transposed=bool(told.get("adj_y", told.get("transpose_b", False))),
            )
            hearing.product(left, right, axes)
        elif name == "Einsum" and len(inputs) == 2:
            left, right = inputs
            equation = _attributes(attributes).get("equation")
            hearing.product(left, right, axes_of_einsum(equation, _rank(left), _rank(right)))

    op_callbacks.add_op_callback(heard)
    try:
        yield
    finally:
        op_callbacks.remove_op_callback(heard)


def _rank(tensor: Any) -> int:
    return tensor.shape.rank or 0


def _attributes(flat: Any) -> dict[str, Any]:
    """By name; inside a graph each is a message, whose one field is the value."""
    return {name: _plain(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _plain(value: Any) -> Any:
    if hasattr(value, "WhichOneof"):
        field = value.WhichOneof("value")
        return getattr(value, field) if field else None
    return value
