"""How values are spread, as counts between edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 30


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of values between edges.

    Attributes:
        edges: `(n + 1,)`, in ascending order.
        counts: `(n,)`.

    Example:
        >>> Histogram.of(np.array([0.0, 0.0, 1.0, np.nan]), bins=2).counts.tolist()
        [2.0, 1.0]
    """

    edges: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, *, bins: int = BINS, scale: float = 1.0) -> Histogram:
        """The histogram of the finite values, each counted `scale` times."""
        finite = values[np.isfinite(values)].astype(np.float64)
        counts, edges = np.histogram(finite, bins=bins)
        return cls(edges, counts * scale)
