"""What is wrong with the channels of a layer's output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from layerviz_callbacks.health.finding import Finding, are, counted, percent
from layerviz_callbacks.health.observed import Observed, silent_of
from layerviz_callbacks.health.output_measures import constant_channels
from layerviz_callbacks.health.thresholds import Thresholds

_FEWEST_UNITS = 8
"""A gate or a mask of fewer channels may well be open or shut everywhere."""
_DEAD_ADVICE = "Lower the learning rate, or try a leaky activation; look for large negative biases"


def channel_findings(layers: Sequence[Observed], thresholds: Thresholds) -> Iterator[Finding]:
    """Silent, dead, constant and saturated channels; of what follows from one layer, that layer alone."""
    flat = [_is_flat(one) for one in layers]
    for place, one in enumerate(layers):
        if one.output is None or not one.is_judged:
            continue
        if flat[place]:
            if place == 0 or not flat[place - 1]:
                yield from _flat_layer(one, thresholds, all_after=all(flat[place:]))
            continue
        yield from _dead(one, thresholds)
        yield from _partly_constant(one, thresholds)
        yield from _saturated(one, thresholds)


def _is_flat(one: Observed) -> bool:
    """Every channel is the same at all places of all samples."""
    output = one.output
    if output is None or output.values < 2 or not (output.finite == 1).all():
        return False
    return bool((silent_of(one) | constant_channels(output)).all())


def _flat_layer(one: Observed, thresholds: Thresholds, *, all_after: bool) -> Iterator[Finding]:
    """A layer that answers to all inputs alike: dead, or shut for good."""
    total, silent = len(silent_of(one)), int(silent_of(one).sum())
    many = f"{counted(total, total, 'channel')}{one.where} {are(total)}"
    if one.weights is not None and not one.weights.values.any():
        return  # a branch that begins at zero, on purpose
    if silent == total:
        found = one.dead
        if found is not None and found.proven and found.share < 1:
            yield from _dead(one, thresholds)  # the others' weights move: they answer to other inputs
            return
        if found is not None and found.proven:
            words = f"{many} dead"
        elif one.output is not None and total * one.output.values >= thresholds.evidence and one.samples > 1:
            words = f"{many} silent on all {one.samples} samples"
        else:
            return
        yield Finding(one, "dead channels", words, 0.9, "feature maps", _DEAD_ADVICE, cuts_off=True)
    elif all_after and one.samples > 1:
        yield Finding(
            one,
            "constant channels",
            f"its output{one.where} is the same for all {one.samples} samples, and so are all after it",
            0.85,
            "feature maps",
            "Nothing of the input gets through it: lower the learning rate, and look at the layer before",
            cuts_off=True,
        )


def _dead(one: Observed, thresholds: Thresholds) -> Iterator[Finding]:
    found = one.dead
    if found is None:
        return
    many = counted(found.count, found.total, "channel", exact=found.exact) + one.where
    if found.proven and found.share >= thresholds.dead:
        words = f"{many} {are(found.count)} dead"
    elif not found.proven and found.share >= thresholds.silent and one.output is not None:
        words = f"{many} {are(found.count)} silent at all {one.output.values} places of {one.samples} samples"
    else:
        return
    yield Finding(one, "dead channels", words, 0.5 + 0.35 * found.share, "feature maps", _DEAD_ADVICE)


def _partly_constant(one: Observed, thresholds: Thresholds) -> Iterator[Finding]:
    output = one.output
    if output is None or one.last or not one.learns or output.values < thresholds.evidence:
        return
    constant = int(constant_channels(output).sum())
    total = len(output.mean)
    if one.samples > 1 and "saturated" not in one.numbers and constant >= thresholds.constant * total:
        yield Finding(
            one,
            "constant channels",
            f"{counted(constant, total, 'channel')}{one.where} {are(constant)} constant, though not zero",
            0.4 + 0.3 * constant / total,
            "feature maps",
            "They pass on nothing of the input: use fewer channels, or look for filters that are zero",
        )


def _saturated(one: Observed, thresholds: Thresholds) -> Iterator[Finding]:
    share = one.numbers.get("saturated", 0.0)
    few = one.output is None or len(one.output.mean) < _FEWEST_UNITS
    if few or one.last or share < thresholds.saturated or not one.learns:
        return
    yield Finding(
        one,
        "saturated",
        f"{percent(share)} of its outputs{one.where} are at a bound",
        0.4 + 0.3 * share,
        "feature maps",
        "Hardly any gradient passes: begin with smaller weights, scale the inputs, or normalise before the "
        "activation",
    )
