"""What a reading is completed by: saliency and patterns, found with a reader's gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining.differentiation import Differentiate
from layerviz_callbacks.explaining.patterns import find_patterns
from layerviz_callbacks.explaining.saliency import SaliencyRecipe, saliency_of
from layerviz_callbacks.snapshot import Layer, Snapshot

if TYPE_CHECKING:
    from layerviz_callbacks.reader import Reader
    from layerviz_callbacks.request import Request


def explained(reader: Reader, snapshot: Snapshot, request: Request) -> Snapshot:
    """A snapshot that `reader` has just read for `request`, with the saliency and the patterns asked for.

    What cannot be found stands in `Snapshot.unread`. The weights of scores are not kept.
    """
    if request.saliency or request.patterns:
        try:
            with reader.differentiating() as differentiate:
                snapshot = _with_saliency(snapshot, request, differentiate)
                snapshot = _with_patterns(snapshot, request, differentiate)
        except DifferentiationError as error:  # the model as a whole
            missing = ["saliency"] if request.saliency else []
            missing += [_patterns_of(name) for name in request.patterns]
            snapshot = _unread(snapshot, dict.fromkeys(missing, str(error)))
    return replace(
        snapshot, scores={target: score.without_weights() for target, score in snapshot.scores.items()}
    )


def _with_saliency(snapshot: Snapshot, request: Request, differentiate: Differentiate) -> Snapshot:
    found = dict(snapshot.saliency)
    unread: dict[str, str] = {}
    for recipe in sorted(request.saliency, key=repr):  # the same one fails first each time
        try:
            found[recipe] = _saliency(recipe, snapshot, differentiate)
        except DifferentiationError as error:
            unread.setdefault("saliency", str(error))
    return _unread(replace(snapshot, saliency=found), unread)


def _saliency(
    recipe: SaliencyRecipe, snapshot: Snapshot, differentiate: Differentiate
) -> dict[str, np.ndarray]:
    if recipe.target not in snapshot.scores:
        why = snapshot.unread.get(f"the score of {recipe.target}", "the model gave none")
        raise DifferentiationError(f"there is no score of {recipe.target}: {why}")
    arrays = snapshot.probe.arrays
    found = saliency_of(recipe, snapshot.scores[recipe.target], arrays, differentiate)
    axes = snapshot.input_axes
    return {name: one.transpose(axes.get(name, range(one.ndim))) for name, one in found.items()}


def _with_patterns(snapshot: Snapshot, request: Request, differentiate: Differentiate) -> Snapshot:
    layers: dict[str, Layer] = dict(snapshot.layers)
    unread: dict[str, str] = {}
    for name, recipe in request.patterns.items():
        try:
            found = find_patterns(recipe, name, snapshot.probe.arrays, snapshot.input_axes, differentiate)
        except DifferentiationError as error:
            unread[_patterns_of(name)] = str(error)
        else:
            layers[name] = replace(layers[name], patterns=found)
    return _unread(replace(snapshot, layers=layers), unread)


def _patterns_of(name: str) -> str:
    return f"patterns of {name}"


def _unread(snapshot: Snapshot, reasons: Mapping[str, str]) -> Snapshot:
    return replace(snapshot, unread={**snapshot.unread, **reasons})
