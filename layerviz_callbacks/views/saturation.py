"""Saturated channels: those of a bounded activation whose values crowd at its bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.cut import VALUES_A_STRETCH, OutputCut, Taken, stretch_starts
from layerviz_callbacks.health.statistics import NEAR_ZERO, OutputStatistics

NEAR = NEAR_ZERO
"""So far from a bound a value counts as lying at it."""
SATURATED_FROM = 0.9
"""The share of its values at the bounds from which on a channel is saturated."""
_SUM = 1e-3


@dataclass(frozen=True, eq=False)
class Saturation:
    """Which channels are saturated.

    Attributes:
        channels: `(channel,)`, truth values.
        bounds: the smallest and largest value that the activation can have.
    """

    channels: np.ndarray
    bounds: tuple[int, int]

    @property
    def words(self) -> str:
        """What the mark means."""
        return saturation_words(self.bounds)


def saturation_words(bounds: tuple[int, int]) -> str:
    """What the mark of a saturated channel means.

    Example:
        >>> saturation_words((-1, 1))
        'saturated: 90 % or more of the values within 0.02 of -1 or 1'
    """
    low, high = bounds
    return (
        f"saturated: {SATURATED_FROM:.0%} or more of the values within {NEAR:g} of {low} or {high}".replace(
            "%", " %"
        )
    )


def saturation_of(
    part: np.ndarray, taken: Taken, full: tuple[int, ...], statistics: OutputStatistics | None = None
) -> Saturation | None:
    """The saturated channels of what was taken of an output; None where its values have no known bounds.

    Values from -1 to 1 with negative ones are taken for those of a tanh, values above 0 that come up to 1
    for those of a sigmoid. Exact zeros are not a sigmoid's, but a ReLU's; and probabilities of classes,
    which sum to 1, are not saturated where they are sure.

    Of means of blocks and of stretches of curves the least share is counted that the values behind them can
    have, so that no channel is marked that is not saturated; `statistics` count each value.

    Args:
        part: `(sample, *space, channel)`, floats.
        taken: what it is of the output.
        full: the output's shape.
        statistics: of the whole output, where they were read; used where all samples and places are drawn.

    Example:
        >>> from layerviz_callbacks.cut import cut_output
        >>> output = np.tanh(np.float32([[5, 0.1], [-6, 0.2], [7, -9]]))
        >>> saturation_of(*cut_output(output, OutputCut()), output.shape).channels.tolist()
        [True, False]
    """
    cut = taken.cut
    bounds = bounds_of(taken)
    if bounds is None or not isinstance(cut, OutputCut) or _sums_to_one(part, taken, full, cut, bounds):
        return None
    whole = cut.slices is None and (cut.samples is None or cut.samples >= full[0])
    if statistics is not None and whole and statistics.values == int(np.prod(full[:-1])):
        near = statistics.near_one if bounds[0] < 0 else statistics.near_one + statistics.near_zero
        shares = near[list(taken.channels)]
    else:
        shares = least_shares(part, bounds, full, cut)
    return Saturation(np.asarray(shares >= SATURATED_FROM), bounds)


def bounds_of(taken: Taken) -> tuple[int, int] | None:
    """The bounds of an activation whose values these are; None where they look like those of no such one."""
    some = taken.lowest <= taken.highest  # not only NaN
    if not some.any():
        return None
    low, high = float(taken.lowest[some].min()), float(taken.highest[some].max())
    if -1 <= low < 0 and high <= 1:
        return -1, 1
    return (0, 1) if low > 0 and 1 - NEAR <= high <= 1 else None


def least_shares(
    part: np.ndarray, bounds: tuple[int, int], full: tuple[int, ...], cut: OutputCut
) -> np.ndarray:
    """Of each channel the share of values within `NEAR` of the bounds `(channel,)`, or less."""
    low, high = bounds
    axes = tuple(range(part.ndim - 1))
    with np.errstate(invalid="ignore"):
        if part.ndim == 3 and cut.stretches is not None and full[1] > part.shape[1]:
            least, most = part[:, 1::VALUES_A_STRETCH], part[:, 2::VALUES_A_STRETCH]
            near = (least >= high - NEAR) | (most <= low + NEAR)
            starts = stretch_starts(full[1], near.shape[1])
            lengths = np.diff(starts, append=full[1])
            return np.asarray(np.average(near, axis=1, weights=lengths).mean(axis=0))
        distance = np.minimum(np.abs(part - low), np.abs(high - part))
        if part.ndim < 4 or cut.block == 1:
            return np.asarray((distance <= NEAR).mean(axis=axes))
        # no value lies beyond the bounds: where the mean of a block is off by d, at most the share d / NEAR
        # of its values is off by more than NEAR (Markov's inequality)
        near = np.nan_to_num(np.clip(1 - distance / NEAR, 0, 1))
        for axis, length in ((part.ndim - 3, full[-3]), (part.ndim - 2, full[-2])):
            sizes = np.diff(np.append(np.arange(0, length, cut.block), length))
            near = np.average(near, axis=axis, weights=sizes, keepdims=True)
        return np.asarray(near.mean(axis=axes))


def _sums_to_one(
    part: np.ndarray, taken: Taken, full: tuple[int, ...], cut: OutputCut, bounds: tuple[int, int]
) -> bool:
    """Whether the channels look like probabilities of classes; of some classes, which sum to 1 at most."""
    if bounds[0] < 0 or full[-1] == 1:
        return False
    if part.ndim == 3 and cut.stretches is not None and full[1] > part.shape[1]:
        part = part[:, ::VALUES_A_STRETCH]
    sums = part.sum(axis=-1, dtype=np.float64)
    if len(taken.channels) < full[-1]:
        return bool((sums <= 1 + _SUM).all())
    return bool((np.abs(sums - 1) <= _SUM).all())
