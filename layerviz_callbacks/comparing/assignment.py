"""Which channel of one network is which of another: the assignment with the greatest likeness."""

from __future__ import annotations

from typing import Any

import numpy as np

from layerviz_callbacks.store import MissingLibraryError

_PREFERENCE = 1e-9
"""For a channel's own number, where several are exactly as like."""


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each row of `one (row, value)` with each of `other`: `(row, other row)`, from -1 to 1.

    Two rows of zeros are alike (1); a row of zeros is like no other (0).

    Example:
        >>> cosines(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[-2.0, 0.0], [0.0, 0.0]])).tolist()
        [[-1.0, 0.0], [0.0, 1.0]]
    """
    first, first_zero = _unit(one.astype(np.float64))
    second, second_zero = _unit(other.astype(np.float64))
    found = np.clip(first @ second.T, -1, 1)
    found[first_zero[:, None] & second_zero[None]] = 1
    return np.asarray(found)


def paired_cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each row of `one (row, value)` with the same row of `other`: the diagonal of `cosines`.

    Example:
        >>> paired_cosines(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[-2.0, 0.0], [0.0, 0.0]])).tolist()
        [-1.0, 1.0]
    """
    first, first_zero = _unit(one.astype(np.float64))
    second, second_zero = _unit(other.astype(np.float64))
    found = np.clip(np.einsum("ij,ij->i", first, second), -1, 1)
    found[first_zero & second_zero] = 1
    return np.asarray(found)


def correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each column of `one (row, channel)` with each of `other`: `(channel, other channel)`.

    NaN where one of the two, or both, are the same in all rows: that has no correlation.
    """
    columns = []
    for rows in (one, other):
        values = rows.astype(np.float64)
        constant = (values == values[:1]).all(axis=0)
        values = values - values.mean(axis=0)
        unit, zero = _unit(values.T)
        unit[constant | zero] = np.nan
        columns.append(unit)
    return np.asarray(np.clip(columns[0] @ columns[1].T, -1, 1))


def best_assignment(likeness: np.ndarray) -> np.ndarray:
    """For each row the column that it is matched with, so that the sum of likeness is the greatest.

    Of assignments that are as good, channels keep their own number. NaN counts as 0.

    Args:
        likeness: `(channel, channel)`.

    Returns:
        A permutation `(channel,)`: row i belongs to column `found[i]`.

    Raises:
        MissingLibraryError: scipy is not installed.

    Example:
        >>> best_assignment(np.array([[0.1, 0.9], [0.8, 0.7]])).tolist()
        [1, 0]
    """
    sound = np.nan_to_num(likeness) + _PREFERENCE * np.eye(len(likeness))
    return np.asarray(_optimize().linear_sum_assignment(sound, maximize=True)[1])


def _unit(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of length one, and which had none."""
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    scaled = rows / np.where(largest == 0, 1, largest)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled / np.where(lengths == 0, 1, lengths), largest[:, 0] == 0


def _optimize() -> Any:
    try:
        from scipy import optimize
    except ImportError as error:
        raise MissingLibraryError(
            f"Channels are matched by scipy, and scipy cannot be imported ({error}). "
            "Type: pip install 'layerviz_callbacks[compare]'"
        ) from error
    return optimize
