"""Total variation: how much neighbours differ."""

from __future__ import annotations

import numpy as np

_ROUND = 0.1
"""Differences below about this count by their square, so that the gradient is smooth at zero."""


def total_variation(values: np.ndarray) -> np.ndarray:
    """The sum of `sqrt(difference**2 + 0.01) - 0.1` over neighbours along each axis of space.

    Anisotropic, rounded after Charbonnier.

    Args:
        values: `(count, *space, channel)`.

    Returns:
        `(count,)`

    Example:
        >>> total_variation(np.array([0.0, 0.0, 3.0]).reshape(1, 3, 1)).round(2)
        array([2.9])
    """
    total = np.zeros(len(values))
    for axis in range(1, values.ndim - 1):
        rounded = np.sqrt(np.diff(values, axis=axis) ** 2 + _ROUND**2) - _ROUND
        total += rounded.reshape(len(values), -1).sum(axis=1)
    return total


def total_variation_gradient(values: np.ndarray) -> np.ndarray:
    """The gradient of `total_variation`, `(count, *space, channel)`: at most 1 a neighbour."""
    gradient = np.zeros_like(values)
    for axis in range(1, values.ndim - 1):
        difference = np.diff(values, axis=axis)
        slope = difference / np.sqrt(difference**2 + _ROUND**2)
        before = (slice(None),) * axis + (slice(None, -1),)
        after = (slice(None),) * axis + (slice(1, None),)
        gradient[after] += slope
        gradient[before] -= slope
    return gradient
