"""Attention weights as tensors: arranged, cut to a few samples, looked at, recomputed."""

from __future__ import annotations

from typing import Any

from layerviz_callbacks.keras.attention import Arrangement

_NEARLY = {"float64": 1e-3, "float32": 1e-3, "float16": 2e-2, "bfloat16": 5e-2}


def arranged_tensor(ops: Any, tensor: Any, arrangement: Arrangement) -> Any:
    """A tensor as `(sample, head, query, key)`, float32.

    Args:
        ops: `keras.ops`, or what has the same functions.
        tensor: any.
        arrangement: how it is brought to that.
    """
    shape = arrangement.shape
    tensor = ops.cast(tensor, "float32")
    if arrangement.order != tuple(range(len(arrangement.order))):
        tensor = ops.transpose(tensor, arrangement.order)
    if arrangement.alike:
        tensor = tensor[..., :1]
    known = tuple(int(size) for size in tensor.shape) if None not in tuple(tensor.shape) else None
    if known == shape:
        return tensor
    unknown = [place for place, size in enumerate(shape) if size is None]
    if len(unknown) <= 1:
        return ops.reshape(tensor, tuple(-1 if size is None else size for size in shape))
    return ops.reshape(tensor, _dynamic_shape(ops, tensor, shape))


def is_attention(ops: Any, tensor: Any, arrangement: Arrangement, weights: Any) -> Any:
    """Whether weights are non-negative with rows that sum to one: a truth value, as a tensor.

    Some rows may be all zeros: where everything is masked. Weights that are all 0 or 1 choose, and do not
    attend.

    Args:
        ops: as above.
        tensor: the tensor as it was met.
        arrangement: how it was arranged.
        weights: the same, arranged.
    """
    nearly = _NEARLY.get(_name_of_dtype(tensor), 1e-3)
    sums = ops.sum(weights, axis=-1)
    ones = ops.abs(sums - 1.0) <= nearly
    answer = ops.all(ops.logical_or(ones, sums == 0.0))
    answer = ops.logical_and(answer, ops.mean(ops.cast(ones, "float32")) >= 0.5)
    answer = ops.logical_and(answer, ops.min(weights) >= 0.0)
    answer = ops.logical_and(answer, ops.any(ops.logical_and(weights > 0.0, weights < 1.0)))
    if arrangement.alike:
        along = ops.cast(ops.transpose(tensor, arrangement.order), "float32")
        apart = ops.max(ops.max(along, axis=-1) - ops.min(along, axis=-1))
        answer = ops.logical_and(answer, apart <= 1e-6)
    return answer


def dot_product_weights(
    ops: Any,
    query: Any,
    key: Any,
    *,
    bias: Any = None,
    mask: Any = None,
    scale: Any = None,
    causal: bool = False,
) -> Any:
    """`softmax(query key' * scale + bias)`, masked: what fused attention does not give away.

    Args:
        ops: as above.
        query: `(sample, query, head, channel)`.
        key: `(sample, key, head, channel)`; several heads of the queries may share one of the keys.
        bias: broadcast to `(sample, head, query, key)`, added to the scores.
        mask: likewise, True where a query may look.
        scale: of the scores; None: one over the root of the channels.
        causal: no query looks at a later key.

    Returns:
        `(sample, head, query, key)`, float32.
    """
    query, key = ops.cast(query, "float32"), ops.cast(key, "float32")
    if key.shape[2] != query.shape[2]:
        key = ops.repeat(key, query.shape[2] // key.shape[2], axis=2)
    scores = ops.matmul(ops.transpose(query, (0, 2, 1, 3)), ops.transpose(key, (0, 2, 3, 1)))
    scores = scores * (float(query.shape[-1]) ** -0.5 if scale is None else ops.cast(scale, "float32"))
    if bias is not None:
        scores = scores + ops.cast(bias, "float32")
    if mask is not None:
        scores = ops.where(ops.cast(mask, "bool"), scores, -1e30)
    if causal:
        rows, columns = scores.shape[-2:]
        earlier = ops.reshape(ops.arange(rows), (rows, 1)) >= ops.reshape(ops.arange(columns), (1, columns))
        scores = ops.where(earlier, scores, -1e30)
    return ops.softmax(scores, axis=-1)


def _name_of_dtype(tensor: Any) -> str:
    return str(getattr(tensor.dtype, "name", tensor.dtype)).rpartition(".")[2]


def _dynamic_shape(ops: Any, tensor: Any, shape: tuple[int | None, ...]) -> Any:
    sizes = ops.shape(tensor)
    if len(tensor.shape) != len(shape):
        raise ValueError(f"of a tensor of shape {tuple(tensor.shape)}, {shape} is not known before it is run")
    return tuple(sizes[place] if size is None else size for place, size in enumerate(shape))
