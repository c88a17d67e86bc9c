"""One layer and its partner in the other model: distance, matched channels, correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from layerviz_callbacks.comparing.answer_rows import rows_of
from layerviz_callbacks.comparing.assignment import best_assignment, correlations, paired_cosines
from layerviz_callbacks.comparing.cka import ENOUGH_ROWS
from layerviz_callbacks.comparing.common_parts import (
    CommonKernels,
    CommonOutputs,
    Refusal,
    common_kernels,
    common_outputs,
)
from layerviz_callbacks.comparing.comparison import LayerComparison
from layerviz_callbacks.comparing.weights import (
    Match,
    Order,
    in_input_order,
    match_filters,
    relative_distance,
)
from layerviz_callbacks.snapshot import Layer


def compare_layer(
    one: Layer, other: Layer, *, answers: bool, orders: Sequence[Order] = ()
) -> LayerComparison:
    """Compare two layers but for their CKA, which is found for all at once.

    Channels are matched by the correlation of their activations where the probe is the same and enough rows
    are there (Li et al. 2016, "Convergent Learning", arXiv:1511.07543), else by the magnitude of the cosine
    between their filters.

    Args:
        one: of a.
        other: of b.
        answers: the probe is the same, so that outputs can be compared.
        orders: of earlier layers, in which this layer's inputs may stand.
    """
    base = LayerComparison(one.name, other.name, one.kind, one.place, layer=one)
    kernels = _sound_kernels(one, other)
    outputs = _sound_outputs(one, other) if answers else Refusal("")
    notes = [
        str(part) if isinstance(part, Refusal) else "; ".join(part.notes)
        for part in (kernels, outputs)
        if not (isinstance(part, Refusal) and part in ("", "no kernel"))
    ]
    found = replace(base, notes=tuple(note for note in notes if note))
    if isinstance(outputs, CommonOutputs):
        found = _with_activations(found, outputs)
    if isinstance(kernels, CommonKernels):
        found = _with_filters(found, kernels, orders)
    return found


def order_of(found: LayerComparison, total: int) -> Order | None:
    """The order that a layer's match gives to the inputs of later ones; None where not all were matched."""
    match = found.match
    if match is None or len(match.channels) != total:
        return None
    sorted_places = np.argsort(match.channels)
    return Order(
        found.title,
        tuple(match.partners[place] for place in sorted_places),
        tuple(float(match.signs[place]) for place in sorted_places),
    )


def _sound_kernels(one: Layer, other: Layer) -> CommonKernels | Refusal:
    kernels = common_kernels(one, other)
    if isinstance(kernels, Refusal):
        return kernels
    for part, model in ((kernels.one, "a"), (kernels.other, "b")):
        if part.dtype.kind != "f" or not np.isfinite(part).all():
            return Refusal(f"its kernel holds NaN or infinities in {model}")
    return kernels


def _sound_outputs(one: Layer, other: Layer) -> CommonOutputs | Refusal:
    outputs = common_outputs(one, other)
    if isinstance(outputs, Refusal):
        return outputs
    for part, model in ((outputs.one, "a"), (outputs.other, "b")):
        if not np.isfinite(part).all():
            return Refusal(f"its output holds NaN or infinities in {model}")
    return outputs


def _with_activations(found: LayerComparison, outputs: CommonOutputs) -> LayerComparison:
    space, samples = outputs.one.shape[1:-1], len(outputs.one)
    rows = [rows_of(part, space, samples=samples) for part in (outputs.one, outputs.other)]
    likeness = correlations(*rows)
    found = replace(found, outputs=outputs, correlation=_mean(np.diagonal(likeness)))
    if len(rows[0]) < ENOUGH_ROWS:
        note = (
            f"{len(rows[0])} rows of activations are too few to match channels by ({ENOUGH_ROWS} are needed)"
        )
        return replace(found, notes=(*found.notes, note))
    constant = [(part == part[:1]).all(axis=0) for part in rows]
    dead = constant[0][:, None] & constant[1][None]
    partners = best_assignment(np.where(dead, 1.0, likeness))  # dead channels are each other's partners
    paired = likeness[np.arange(len(partners)), partners]
    match = Match(
        outputs.channels,
        tuple(outputs.channels[place] for place in partners),
        np.ones(len(partners)),
        paired,
        "activations",
    )
    silent = int(np.isnan(paired).sum())
    words = "pair has a channel" if silent == 1 else "pairs have a channel"
    notes = [f"{silent} {words} that is the same everywhere, and no correlation"] if silent else []
    return replace(found, match=match, matched_correlation=_mean(paired), notes=(*found.notes, *notes))


@dataclass(frozen=True, eq=False)
class _Filters:
    """A match of filters with the inputs of b in one order."""

    match: Match
    other: np.ndarray
    cosines: np.ndarray


def _with_filters(found: LayerComparison, kernels: CommonKernels, orders: Sequence[Order]) -> LayerComparison:
    standing = relative_distance(kernels.one, kernels.other)
    found = replace(found, kernels=kernels, distance=standing)
    if kernels.channels is None:
        return found
    flat = [part.reshape(len(part), -1) for part in (kernels.one, kernels.other)]
    found = replace(found, cosine=float(paired_cosines(*flat).mean()))
    match = found.match if _is_of(found, kernels) else None
    held = {channel: place for place, channel in enumerate(kernels.channels)}
    channels = [
        channel for channel in (kernels.channels if match is None else match.channels) if channel in held
    ]
    best: _Filters | None = None
    for inputs_of, other in in_input_order(kernels.other, orders if kernels.whole_inputs else ()):
        tried = _tried(match, kernels.one, other, channels, held, inputs_of)
        if tried is not None and (best is None or np.abs(tried.cosines).mean() > _better(best)):
            best = tried
    if best is None:
        return found
    first = kernels.one[[held[channel] for channel in best.match.channels]]
    second = best.other[[held[channel] for channel in best.match.partners]]
    signs = best.match.signs.reshape(-1, *[1] * (first.ndim - 1))
    return replace(
        found,
        match=best.match if match is None else replace(match, inputs_of=best.match.inputs_of),
        kernels=replace(kernels, other=best.other),
        matched_cosine=float((best.match.signs * best.cosines).mean()),
        matched_distance=relative_distance(first, second * signs),
    )


def _tried(
    match: Match | None,
    one: np.ndarray,
    other: np.ndarray,
    channels: Sequence[int],
    held: dict[int, int],
    inputs_of: str,
) -> _Filters | None:
    """The match of activations, seen on the filters; where there is none, a match of the filters."""
    if match is None:
        match = match_filters(one, other, list(held), inputs_of)
        return _Filters(match, other, match.signs * match.likeness)
    kept = [
        place
        for place, (channel, partner) in enumerate(zip(match.channels, match.partners, strict=True))
        if channel in held and partner in held
    ]
    if not kept:
        return None
    match = Match(
        tuple(match.channels[place] for place in kept),
        tuple(match.partners[place] for place in kept),
        match.signs[kept],
        match.likeness[kept],
        match.by,
        inputs_of,
    )
    first = one[[held[channel] for channel in match.channels]].reshape(len(kept), -1)
    second = other[[held[channel] for channel in match.partners]].reshape(len(kept), -1)
    return _Filters(match, other, paired_cosines(first, second))


def _better(best: _Filters) -> float:
    """What another order of the inputs must reach: more than what rounding gives."""
    return float(np.abs(best.cosines).mean()) + 1e-9


def _is_of(found: LayerComparison, kernels: CommonKernels) -> bool:
    """Whether the channels of the output are the channels of the kernel."""
    return found.match is not None and found.outputs is not None and found.outputs.total == kernels.total


def _mean(values: np.ndarray) -> float | None:
    sound = values[np.isfinite(values)]
    return float(sound.mean()) if sound.size else None
