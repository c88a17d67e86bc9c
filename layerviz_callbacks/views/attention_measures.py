"""What is computed from attention weights: what each key receives, distance, rollout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.health.attention_measures import mean_of_rows
from layerviz_callbacks.views.patches import Placement


def received(weights: np.ndarray, further: int) -> tuple[np.ndarray, str]:
    """The weight that each key receives, `(sample, head, key)` without the further tokens, and of what.

    With a class token, it is what that token gives; where there is one query, its weights themselves; else
    the mean over queries, without those that are NaN.

    Args:
        weights: `(sample, head, query, key)`.
        further: how many of the first keys are further tokens, of which the first is the class token.

    Example:
        >>> values, words = received(np.array([[[[0.9, 0.1], [0.5, 0.5]]]]), 0)
        >>> values.round(3).tolist(), words
        ([[[0.7, 0.3]]], 'mean over 2 queries')
    """
    queries, keys = weights.shape[-2:]
    if queries == 1:
        return weights[:, :, 0, further:], "weights of the one query"
    if further and queries == keys:
        return weights[:, :, 0, further:], "weights of the class token (query 0)"
    shown = weights[..., further:]
    known = ~np.isnan(shown)
    sums = np.add.reduce(shown, axis=2, where=known, dtype=np.float64)
    counts = known.sum(axis=2)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means.astype(weights.dtype), f"mean over {queries} queries"


def distances(weights: np.ndarray, placement: Placement | None) -> np.ndarray:
    """How far each head looks, `(head,)`: the mean over samples and queries of the weighted distance.

    It is counted in places of the sequence; on a grid of patches, it is Euclidean and in patches. Further
    tokens (a class token) have no place and are left out, as queries and as keys; so are rows as in
    `entropies`. Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", arXiv:2010.11929, figure 7.

    Args:
        weights: `(sample, head, query, key)`, as many queries as keys.
        placement: where the keys stand; None: one after the other.

    Example:
        >>> distances(np.array([[[[1.0, 0.0], [1.0, 0.0]]]]), None).tolist()
        [0.5]
    """
    if placement is None:
        placement = Placement("", (weights.shape[-1],))
    places = placement.coordinates()

    def of_rows(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
        squares = np.zeros(rows.shape, np.float32)
        for axis in range(places.shape[1]):
            squares += (places[queries, axis][:, None] - places[:, axis]) ** 2
        return np.asarray((rows * np.sqrt(squares)).sum(axis=1))

    return mean_of_rows(weights[..., placement.further :, placement.further :], of_rows)


def rollout(attentions: Sequence[np.ndarray], start: np.ndarray | None = None) -> np.ndarray:
    """Attention through several layers.

    Each layer's heads are averaged to W; A = 0.5 W + 0.5 I stands for attention and the residual connection
    beside it; its rows are divided by their sums, and these matrices are multiplied, the last layer's first.
    Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers", arXiv:2005.00928. A query
    whose row is NaN (fully masked) attends to itself.

    Args:
        attentions: of each layer in the model's order, `(sample, head, token, token)`.
        start: weights of the last layer's tokens `(token,)` whose sources alone are wanted; None: each one's.

    Returns:
        `(sample, token, token)`: how much each token of the last layer holds of each input token; with
        `start` `(sample, token)`.

    Example:
        >>> attention = np.array([[[[0.0, 1.0], [0.0, 1.0]]]])
        >>> rollout([attention, attention]).tolist()
        [[[0.25, 0.75], [0.0, 1.0]]]
    """
    samples = min(len(attention) for attention in attentions)
    tokens = attentions[0].shape[-1]
    first = np.eye(tokens) if start is None else np.asarray(start, np.float64)[None]
    flow = np.broadcast_to(first, (samples, *first.shape))
    for attention in reversed(attentions):
        flow = flow @ _with_residual(attention[:samples])
    return flow if start is None else flow[:, 0]


def _with_residual(attention: np.ndarray) -> np.ndarray:
    joined = attention.mean(axis=1, dtype=np.float64)
    own = np.eye(attention.shape[-1])
    joined = np.where(np.isfinite(joined).all(axis=-1, keepdims=True), joined, own)
    joined = 0.5 * joined + 0.5 * own
    sums = joined.sum(axis=-1, keepdims=True)
    return np.asarray(joined / np.where(sums == 0, 1, sums))


def sums_of_rows(weights: np.ndarray) -> np.ndarray:
    """The sums of all rows without NaN or infinities, in one row."""
    sums = weights.sum(axis=-1, dtype=np.float64).ravel()
    return np.asarray(sums[np.isfinite(sums)])
