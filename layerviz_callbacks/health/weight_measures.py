"""What the even part of a kernel says of its filters."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.health.statistics import WeightSample, spread

SHORTEST_FILTER = 16
"""Cosines of shorter filters tell little: those of a trained 3x3 kernel on one channel are often alike."""
SMALLEST_MATRIX = 16
"""The rank of a smaller matrix tells little."""
_COLUMNS = 64
"""So many weights of a filter tell whether it moves."""
_SIDE = 64
"""The singular values are those of an even part of so many rows and columns at most: larger ones are dear."""
_ALONG = 0.01
"""A filter that moves less than this share of what the others move (the median) stands still."""


def norm_in_full(part: np.ndarray, shape: tuple[int, int]) -> float:
    """The L2 norm of a whole matrix of this shape, estimated from an even part of it.

    The norm of the part times the square root of how many times more values the whole has.
    """
    share = shape[0] * shape[1] / max(part.size, 1)
    return _norm(part) * float(np.sqrt(share))


def ratio(part: np.ndarray, of: np.ndarray) -> float | None:
    """L2 norm divided by L2 norm; None where there is none, as of weights that are all zero."""
    below, above = _norm(of), _norm(part)
    return above / below if 0 < below < np.inf and np.isfinite(above) else None


def duplicate_share(weights: WeightSample, cosine: float) -> float | None:
    """The share of filters whose cosine with another one has a magnitude above `cosine`.

    Filters that are all zero count as none. None where filters are shorter than 16 weights, there are fewer
    than two, or something is not finite.

    Example:
        >>> from layerviz_callbacks.health.statistics import weight_sample
        >>> duplicate_share(weight_sample(np.concatenate([np.eye(20)[:2], 2 * np.eye(20)[:1]])), 0.99)
        0.6666666666666666
    """
    if weights.shape[1] < SHORTEST_FILTER or len(weights.values) < 2:
        return None
    largest = np.abs(weights.values).max(axis=1, keepdims=True)
    if not np.isfinite(largest).all():
        return None
    rows = weights.values / np.where(largest == 0, 1, largest)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
    cosines = np.abs(rows @ rows.T)
    np.fill_diagonal(cosines, 0)
    return float((cosines.max(axis=1) > cosine).mean())


def effective_rank(matrix: np.ndarray) -> float | None:
    """How many dimensions a matrix effectively has, as a share of the most it could have: its smaller side.

    The exponential of the entropy of its singular values, divided by their sum. Roy and Vetterli 2007, "The
    effective rank: a measure of effective dimensionality", EUSIPCO; of an even part of at most 64 x 64. None
    where the matrix is all zero, or something is not finite.

    Example:
        >>> round(effective_rank(np.eye(4)), 3), round(effective_rank(np.ones((4, 4))), 3)
        (1.0, 0.25)
    """
    part = _wide(matrix[np.ix_(spread(len(matrix), _SIDE), spread(matrix.shape[1], _SIDE))])
    if not np.isfinite(part).all() or not part.any():
        return None
    values = np.linalg.svd(part / np.abs(part).max(), compute_uv=False)
    shares = values[values > 0] / values.sum()
    rank = float(np.exp(-(shares * np.log(shares)).sum()))
    return float(rank / min(part.shape))


def still_filters(now: np.ndarray, before: np.ndarray, silent: np.ndarray) -> np.ndarray | None:
    """Which filters have not moved since the step before, though others have: `(row,)`.

    A change of length alone does not count: weight decay shortens dead filters, too.

    Args:
        now: `(row, column)`.
        before: the same at the step before.
        silent: `(row,)`: their channels are silent; the others tell how far filters move.

    Returns:
        None where no filter that is not silent has moved: then none was trained.
    """
    now, before = _wide(_narrow(now)), _wide(_narrow(before))
    moved, lengths = _across(now - before, before), np.linalg.norm(before, axis=1)
    unmoved = moved <= 1e-6 * lengths
    if silent.all():
        return np.asarray(unmoved)
    usual = float(np.median(moved[~silent]))
    if unmoved[~silent].all():
        return None
    return np.asarray(unmoved | (moved <= _ALONG * usual))


def has_not_moved(now: np.ndarray, before: np.ndarray, still: float) -> bool:
    """Whether the L2 norm of the change is at most the share `still` of what the weights had before."""
    if now.shape != before.shape or not np.isfinite(now).all():
        return False
    return _norm(now - before) <= still * _norm(before)


def filters_without_gradient(weights: WeightSample) -> np.ndarray | None:
    """Which filters get no gradient, but perhaps that of a penalty on their length: `(row,)`.

    None where gradients are not known, or no filter has any.
    """
    gradient = weights.gradient
    if gradient is None or not np.isfinite(gradient).all() or not gradient.any():
        return None
    gradient = _wide(_narrow(gradient))
    across = _across(gradient, _wide(_narrow(weights.values)))
    lengths = np.linalg.norm(gradient, axis=1)
    return np.asarray(across <= 1e-4 * lengths)


def _wide(values: np.ndarray) -> np.ndarray:
    """In float64, whose squares do not overflow."""
    return values.astype(np.float64)


def _narrow(rows: np.ndarray) -> np.ndarray:
    """Some columns of it, spread evenly."""
    return rows[:, :: -(-rows.shape[1] // _COLUMNS) or 1]


def _norm(values: np.ndarray) -> float:
    """The L2 norm, whatever the magnitude."""
    flat = values.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        square = float(np.dot(flat, flat))
    if 1e-30 < square < np.inf:
        return float(np.sqrt(square))
    return float(np.linalg.norm(_wide(flat)))


def _across(change: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The length of the part of each row of a change that is orthogonal to the row itself."""
    squares = np.square(rows).sum(axis=1)
    along = (change * rows).sum(axis=1) / np.where(squares == 0, 1, squares)
    return np.asarray(np.linalg.norm(change - along[:, None] * rows, axis=1))
