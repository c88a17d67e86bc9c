"""How alike two representations are, whatever their axes: linear centred kernel alignment (CKA)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

FEWEST_ROWS = 4
"""The debiased estimate is not defined for fewer."""
ENOUGH_ROWS = 32
"""Below, CKA is printed but nothing is concluded from it: of independent Gaussian features its standard
deviation is 0.05 with 32 rows, 0.1 with 16 and 0.2 with 8, with 3 to 64 features."""
FEW_ROWS = 512
"""Up to here the kernel of all rows is made where that is less work: it has the square of so many numbers."""


@dataclass(frozen=True, eq=False)
class Representation:
    """What a layer answers, prepared for `debiased_cka`.

    Attributes:
        features: `(row, feature)`, centred, float64.
        diagonal: `(row,)`: of the linear kernel, `features @ features.T`.
        sums: `(row,)`: of that kernel's rows without the diagonal.
        own: its HSIC with itself.
    """

    features: np.ndarray
    diagonal: np.ndarray
    sums: np.ndarray
    own: float

    @cached_property
    def kernel(self) -> np.ndarray:
        """`(row, row)`: the linear kernel, zero on the diagonal; made when it is first asked for."""
        kernel = self.features @ self.features.T
        np.fill_diagonal(kernel, 0.0)
        return np.asarray(kernel)

    @classmethod
    def of(cls, rows: np.ndarray) -> Representation:
        """Prepare `(row, feature)`, whose values are finite.

        They are brought to one overall size first, which CKA does not depend on, so that nothing overflows.
        """
        values = rows.astype(np.float64)
        largest = float(np.abs(values).max(initial=0.0))
        values /= largest or 1.0
        values -= values.mean(axis=0)
        diagonal = np.einsum("ij,ij->i", values, values)
        sums = values @ values.sum(axis=0) - diagonal
        bare = cls(values, diagonal, sums, 0.0)
        own = debiased_hsic(bare, bare) if len(values) >= FEWEST_ROWS else 0.0
        return cls(values, diagonal, sums, own)


def debiased_hsic(one: Representation, other: Representation) -> float:
    """The unbiased estimate of the Hilbert-Schmidt independence criterion, of linear kernels.

    Song et al. 2012, "Feature Selection via Dependence Maximization", Journal of Machine Learning Research
    13, equation 5: with kernels K and L whose diagonals are zero,
    (tr(KL) + sum(K) sum(L) / ((n - 1)(n - 2)) - 2 / (n - 2) sum(KL)) / (n (n - 3)). tr(KL) is found from the
    features, so that no kernel of all rows is made; from the kernels where rows are few and features many.
    """
    count = len(one.features)
    if count <= FEW_ROWS and one.features.shape[1] * other.features.shape[1] > count:
        trace = np.vdot(one.kernel, other.kernel)
    else:
        crossed = one.features.T @ other.features
        trace = np.square(crossed).sum() - one.diagonal @ other.diagonal
    both = one.sums.sum() * other.sums.sum() / ((count - 1) * (count - 2))
    between = 2 / (count - 2) * (one.sums @ other.sums)
    return float((trace + both - between) / (count * (count - 3)))


def debiased_cka(one: Representation, other: Representation) -> float:
    """Linear CKA by the unbiased estimate of HSIC; about 0 for what has nothing in common, 1 for the same.

    Rotations of the features, and one factor for all of them, change nothing. Nguyen, Raghu and Kornblith
    2021, "Do Wide and Deep Networks Learn the Same Things?", arXiv:2010.15327, equations 2 and 3. It is an
    estimate: of what has nothing in common it may be a little below 0.

    Returns:
        NaN where there are fewer than four rows, or one of the two is the same in all rows.
    """
    if len(one.features) < FEWEST_ROWS or one.own <= 0 or other.own <= 0:
        return float("nan")
    return debiased_hsic(one, other) / float(np.sqrt(one.own) * np.sqrt(other.own))


def biased_cka(one: Representation, other: Representation) -> float:
    """Linear CKA as it was first defined: near 1 for whatever has more features than rows.

    Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited", arXiv:1905.00414,
    section 3, for linear kernels: |Y^T X|^2 / (|X^T X| |Y^T Y|), X and Y centred, Frobenius norms.

    Returns:
        NaN where one of the two is the same in all rows.
    """
    between, own, others = (
        float(np.linalg.norm(first.features.T @ second.features))
        for first, second in ((one, other), (one, one), (other, other))
    )
    return between / own * (between / others) if own > 0 and others > 0 else float("nan")


def linear_cka(one: np.ndarray, other: np.ndarray, *, debiased: bool = True) -> float:
    """Linear CKA of `(row, feature)` and `(row, other feature)`: answers to the same rows.

    Args:
        one: floats, all finite.
        other: likewise.
        debiased: by the unbiased estimate of HSIC, see `debiased_cka`; else see `biased_cka`.

    Example:
        >>> rows = np.arange(8.0)[:, None] % 5
        >>> round(linear_cka(rows, 3 - 2 * rows), 6)
        1.0
    """
    first, second = Representation.of(one), Representation.of(other)
    return debiased_cka(first, second) if debiased else biased_cka(first, second)
