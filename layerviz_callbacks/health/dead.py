"""Which channels are dead, and how that is known."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.health.observed import DeadChannels, Observed, silent_of
from layerviz_callbacks.health.thresholds import Thresholds
from layerviz_callbacks.health.weight_measures import filters_without_gradient, still_filters


def dead_channels(observed: Observed, thresholds: Thresholds) -> DeadChannels | None:
    """Count the dead channels; None where it cannot be known.

    A channel is dead where it is silent on the probe and its weights no longer move: since the step before,
    or by having had no gradient then and now. A channel whose weights move answers to other inputs than the
    probe's, however silent it is. Where nothing is known of the weights, the silence itself must be long
    enough (`Thresholds.evidence`).

    Args:
        observed: with its `quiet` filters.
        thresholds: from which numbers on.
    """
    output = observed.output
    if output is None or not observed.is_judged:
        return None
    silent, total = silent_of(observed), len(output.mean)
    rows, still = observed.rows, _standing_still(observed)
    if rows is not None and still is not None:
        dead = still & _seems_dead(observed, silent)[rows] & ~_pruned(observed)
        return DeadChannels(round(float(dead.mean()) * total), total, len(rows) == total, proven=True)
    if observed.samples > 1 and output.values >= thresholds.evidence and _may_be_told_by_silence(observed):
        return DeadChannels(int(silent.sum()), total, exact=True, proven=False)
    return None


def quiet_filters(observed: Observed) -> np.ndarray | None:
    """`(row,)`: silent, and without a gradient at this step; None where that is not known."""
    rows, weights = observed.rows, observed.weights
    lacking = None if weights is None else filters_without_gradient(weights)
    if rows is None or lacking is None:
        return None
    return np.asarray(lacking & _seems_dead(observed, silent_of(observed))[rows])


def _standing_still(observed: Observed) -> np.ndarray | None:
    """`(row,)`: the weights of a filter no longer move; None where that is not known."""
    weights, earlier, rows = observed.weights, observed.earlier, observed.rows
    if weights is None or rows is None or not weights.trainable:
        return None
    known = []
    if earlier.before is not None and earlier.before.shape == weights.values.shape:
        known.append(still_filters(weights.values, earlier.before, silent_of(observed)[rows]))
    if observed.quiet is not None and earlier.without_gradient is not None:
        known.append(observed.quiet & earlier.without_gradient)
    told = [mask for mask in known if mask is not None]
    return np.logical_or.reduce(told) if told else None


def _seems_dead(observed: Observed, silent: np.ndarray) -> np.ndarray:
    """`(channel,)`: silent, or never above zero: a rectifier that is no layer would leave nothing of it."""
    output = observed.output
    return silent if output is None else silent | ((output.highest <= 0) & (output.finite == 1))


def _pruned(observed: Observed) -> np.ndarray:
    """`(row,)`: filters that are all zero were taken out on purpose."""
    weights = observed.weights
    return np.zeros(0, bool) if weights is None else np.asarray(~weights.values.any(axis=1))


def _may_be_told_by_silence(observed: Observed) -> bool:
    """Not at a later step of weights whose movement would be known if there were any."""
    return observed.weights is None or observed.weights.trainable
