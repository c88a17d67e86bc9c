"""From what was observed of a layer to its numbers, and to what is remembered of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from layerviz_callbacks.health.dead import dead_channels, quiet_filters
from layerviz_callbacks.health.observed import Earlier, Observed
from layerviz_callbacks.health.output_measures import output_numbers
from layerviz_callbacks.health.statistics import WeightSample
from layerviz_callbacks.health.thresholds import Thresholds
from layerviz_callbacks.health.weight_measures import (
    SMALLEST_MATRIX,
    duplicate_share,
    effective_rank,
    has_not_moved,
    norm_in_full,
    ratio,
)


def complete_numbers(one: Observed, thresholds: Thresholds, *, with_rank: bool) -> Observed:
    """The layer with its numbers, and with how long its weights have not moved, or moved too far.

    Args:
        one: as it was observed.
        thresholds: from which numbers on weights have not moved, and updates are too large.
        with_rank: measure the effective rank, which is dear.
    """
    numbers: dict[str, float] = {}
    own = None if one.layer.statistics is None else one.layer.statistics.output
    if own is not None:
        numbers |= output_numbers(own, one.layer.kind)
    if one.activation is not None and one.output is not None:
        bent = output_numbers(one.output, one.activation.kind)
        numbers.pop("saturated", None)
        numbers |= {name: value for name, value in bent.items() if name not in ("mean", "spread")}
    if one.weights is not None:
        numbers |= _weight_numbers(one.weights, one.earlier, one, thresholds, with_rank=with_rank)
    one = replace(one, numbers=numbers, earlier=_counted(one, numbers, thresholds))
    one = replace(one, quiet=quiet_filters(one))
    dead = dead_channels(one, thresholds)
    if dead is not None:
        numbers["dead"] = dead.share
    return replace(one, dead=dead)


def remembered(one: Observed) -> Earlier:
    """What the next step must know of this one."""
    earlier, weights, numbers = one.earlier, one.weights, one.numbers
    gradient = numbers.get("gradient norm")
    if gradient is not None and np.isfinite(gradient) and earlier.gradients < 2:
        earlier = replace(
            earlier,
            gradients=earlier.gradients + 1,
            largest_gradient=max(earlier.largest_gradient, gradient),
        )
    first = one.step == 0 and weights is not None
    rank = numbers.get("effective rank share")
    return replace(
        earlier,
        initial=weights.values if first and weights is not None else earlier.initial,
        before=earlier.before if weights is None else weights.values,
        without_gradient=one.quiet,
        initial_rank=rank if first else earlier.initial_rank,
        steps=earlier.steps + 1,
    )


def _weight_numbers(
    weights: WeightSample, earlier: Earlier, one: Observed, thresholds: Thresholds, *, with_rank: bool
) -> dict[str, float]:
    values, shape = weights.values, weights.shape
    bad = 1 - float(np.isfinite(values).mean()) if values.size else 0.0
    if bad:
        return {"not finite weights": bad}
    norm = norm_in_full(values, shape)
    numbers: dict[str, float | None] = {"weight norm": norm}
    if weights.gradient is not None:
        numbers["gradient norm"] = norm_in_full(weights.gradient, shape)
        numbers["gradient"] = numbers["gradient norm"] / np.sqrt(shape[0] * shape[1])
    if weights.update is not None:
        numbers["update ratio"] = _log10(ratio(weights.update, values - weights.update))
    if earlier.before is not None and earlier.before.shape == values.shape:
        numbers["change"] = _log10(ratio(values - earlier.before, earlier.before))
    if earlier.initial is not None and earlier.initial.shape == values.shape:
        numbers["distance"] = ratio(values - earlier.initial, earlier.initial)
        numbers["growth"] = ratio(values, earlier.initial)
    if one.is_judged:
        numbers["duplicates"] = duplicate_share(weights, thresholds.duplicate)
        if with_rank and min(shape) >= SMALLEST_MATRIX:
            rank = effective_rank(values)
            if rank is not None:
                numbers["effective rank"] = rank * min(shape)
                numbers["effective rank share"] = rank
    return {name: value for name, value in numbers.items() if value is not None}


def _counted(one: Observed, numbers: dict[str, float], thresholds: Thresholds) -> Earlier:
    """How many steps in a row weights have not moved, or moved too far."""
    earlier, weights = one.earlier, one.weights
    if weights is None or not weights.trainable:
        return replace(earlier, unmoved=0, large_updates=0)
    before = earlier.before
    unmoved = before is not None and has_not_moved(weights.values, before, thresholds.still)
    large = numbers.get("update ratio", -np.inf) >= np.log10(thresholds.update)
    large = large or numbers.get("growth", 0.0) >= thresholds.growth
    return replace(
        earlier,
        unmoved=earlier.unmoved + 1 if unmoved else 0,
        large_updates=earlier.large_updates + 1 if large and one.is_judged else 0,
    )


def _log10(value: float | None) -> float | None:
    """None for a ratio of zero, too: nothing moved."""
    return float(np.log10(value)) if value else None
