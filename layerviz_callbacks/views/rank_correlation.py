"""How alike two maps are, whatever their units."""

from __future__ import annotations

import numpy as np


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation, from -1 to 1; equal values have the mean of their ranks.

    NaN where one of the two is the same everywhere, or they are not finite or not of one shape.

    Example:
        >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 5000.0]))
        1.0
    """
    if one.shape != other.shape or one.size < 2 or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return float("nan")
    ranks = [_ranks(values.ravel()) for values in (one, other)]
    centred = [rank - rank.mean() for rank in ranks]
    length = float(np.sqrt(np.square(centred[0]).sum() * np.square(centred[1]).sum()))
    return float(np.clip((centred[0] * centred[1]).sum() / length, -1, 1)) if length else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 0 on; of equal values the mean."""
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean = np.cumsum(counts) - (counts + 1) / 2
    return np.asarray(mean[number.reshape(-1)])
