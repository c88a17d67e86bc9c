"""What is wrong with the weights of a layer, and with how they move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from layerviz_callbacks.health.finding import Finding, counted, listed, percent
from layerviz_callbacks.health.observed import Observed
from layerviz_callbacks.health.thresholds import Thresholds

_STEPS_UNMOVED = 2
_STEPS_OF_LARGE_UPDATES = 2
_FILTERS = "filters"


def weight_findings(layers: Sequence[Observed], thresholds: Thresholds) -> Iterator[Finding]:
    """Weights that do not move, move too far, are there twice, or lost their variety."""
    yield from _unmoved(layers)
    yield from _large_updates(layers, thresholds)
    for one in layers:
        if one.learns and one.is_judged and not one.last:
            yield from _duplicates(one, thresholds)


def _unmoved(layers: Sequence[Observed]) -> Iterator[Finding]:
    learning = [one for one in layers if one.learns]
    still = [one for one in learning if one.earlier.unmoved >= _STEPS_UNMOVED]
    if still and len(still) == len(learning):
        yield Finding(
            None,
            "weights do not move",
            f"the weights of {counted(len(still), len(still), 'trainable layer')} have not moved",
            0.8,
            advice="See that the optimizer was given these weights, and that its learning rate is not zero",
        )
        return
    if still:
        others = [one.layer.name for one in still[1:]]
        also = f"; nor have those of {listed(others)}" if others else ""
        yield Finding(
            still[0],
            "weights do not move",
            f"its weights have not moved, though they are trainable{also}",
            0.55,
            _FILTERS,
            "If it is meant to be frozen, say so (trainable=False, requires_grad_(False)); else see that the "
            "optimizer has its weights and that the loss depends on it",
        )


def _large_updates(layers: Sequence[Observed], thresholds: Thresholds) -> Iterator[Finding]:
    large = [one for one in layers if one.earlier.large_updates >= _STEPS_OF_LARGE_UPDATES]
    learning = [one for one in layers if one.learns]
    if not large:
        return
    updates = [_update(one) / thresholds.update for one in large]
    growths = [_growth(one) / thresholds.growth for one in large]
    if max(updates) >= max(growths):
        worst = large[updates.index(max(updates))]
        words = f"one optimizer step changes its weights by {percent(_update(worst))} of their norm"
    else:
        worst = large[growths.index(max(growths))]
        words = f"its weights have {_growth(worst):.3g} times the norm they had before training"
    if len(large) > 1:
        words += f"; too large in {len(large)} of {len(learning)} layers"
    yield Finding(
        worst, "updates too large", words, 0.75, _FILTERS, "Lower the learning rate, or clip the gradients"
    )


def _update(one: Observed) -> float:
    return float(10 ** one.numbers.get("update ratio", -100.0))


def _growth(one: Observed) -> float:
    return one.numbers.get("growth", 0.0)


def _duplicates(one: Observed, thresholds: Thresholds) -> Iterator[Finding]:
    share = one.numbers.get("duplicates", 0.0)
    rank, before = one.numbers.get("effective rank share"), one.earlier.initial_rank
    if share >= thresholds.duplicates:
        yield Finding(
            one,
            "duplicate filters",
            f"{percent(share)} of its filters are the same as another one",
            0.3 + 0.2 * share,
            _FILTERS,
            "Begin with random weights that differ from filter to filter, or use fewer filters",
        )
    elif rank is not None and before is not None and rank <= min(thresholds.rank, before / 2):
        yield Finding(
            one,
            "rank collapse",
            f"the effective rank of its weights is {percent(rank)} of the largest, and was {percent(before)}",
            0.35,
            _FILTERS,
            "Its filters are mixtures of a few: lower weight decay or learning rate, or use fewer filters",
        )
