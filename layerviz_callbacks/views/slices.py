"""Which slices of a volume are drawn."""

from __future__ import annotations

import numpy as np


def evenly_spaced(length: int, count: int) -> tuple[int, ...] | None:
    """`count` places in the middle of as many equal stretches of `length`; None where that is all of them.

    Example:
        >>> evenly_spaced(16, 3), evenly_spaced(16, 1), evenly_spaced(3, 5)
        ((2, 8, 13), (8,), None)
    """
    if count >= length:
        return None
    return tuple(((2 * np.arange(count) + 1) * length // (2 * count)).tolist())
