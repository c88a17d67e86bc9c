"""What attention weights say of their heads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

OfRows = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From rows `(row, key)` that sum to one, and the queries they are of, to one number a row."""
_AT_ONCE = 1 << 20
"""So many weights at once: what is made on the way stays small."""


def entropies(weights: np.ndarray) -> np.ndarray:
    """The entropy of each head, `(head,)`: 1 where it attends evenly, 0 where each query attends to one key.

    The mean over samples and queries of `-sum(p * log(p)) / log(keys)`, where p is a query's row divided by
    its sum. Rows that hold NaN or negative weights, or sum to zero, are left out; NaN where none is left, and
    where there is only one key.

    Args:
        weights: `(sample, head, query, key)`.

    Example:
        >>> entropies(np.array([[[[0.5, 0.5], [1.0, 0.0]]]])).tolist()
        [0.5]
    """
    keys = weights.shape[-1]

    def of_rows(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(rows > 0, -rows * np.log(rows), 0).sum(axis=1) / np.log(keys))

    if keys == 1:
        return np.full(weights.shape[1], np.nan)
    return mean_of_rows(weights, of_rows)


def shares_of_one_key(weights: np.ndarray) -> np.ndarray:
    """How much of each head's attention goes to a single key, over all queries, `(head,)`.

    Of each sample the largest of its keys' mean weights; the least of these over samples. NaN where a head
    has one query or one key, or NaN in its weights.

    Args:
        weights: `(sample, head, query, key)`.

    Example:
        >>> shares_of_one_key(np.array([[[[1.0, 0.0], [0.5, 0.5]]]])).tolist()
        [0.75]
    """
    if weights.shape[-2] == 1 or weights.shape[-1] == 1:
        return np.full(weights.shape[1], np.nan)
    return np.asarray(weights.mean(axis=2, dtype=np.float64).max(axis=-1).min(axis=0))


def mean_of_rows(weights: np.ndarray, of_rows: OfRows) -> np.ndarray:
    """The mean over samples and queries of a number a row, `(head,)`; of rows that sum to one."""
    sums, counts = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
    for head, rows, queries in _blocks_of_rows(weights):
        total = rows.sum(axis=1)
        sound = np.isfinite(total) & (total > 0) & (rows >= 0).all(axis=1)
        values = of_rows(rows[sound] / total[sound, None], queries[sound])
        sums[head] += values.sum()
        counts[head] += sound.sum()
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _blocks_of_rows(weights: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Head, some of its rows as float64, and the queries that these are of."""
    samples, heads, queries, keys = weights.shape
    step = max(1, _AT_ONCE // max(1, keys))
    for head in range(heads):
        for sample in range(samples):
            for first in range(0, queries, step):
                places = np.arange(first, min(first + step, queries))
                yield head, weights[sample, head, first : first + step].astype(np.float64), places
