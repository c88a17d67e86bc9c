"""Scores of a model's answer and their gradients, whatever computes them: what all backends share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining import Score, Target, score_of
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Snapshot

_HALF_PRECISION_SCALE = 1024.0
"""By how much weights are multiplied where numbers of 16 bits would lose small gradients."""

NO_PATH = "the score does not depend on it, or not in a way that can be differentiated"
NOT_CALLED = "the model does not come by it on the probe"


@dataclass(frozen=True, eq=False)
class Explained:
    """What was found of scores in one pass.

    Attributes:
        scores: by target, with their weights.
        gradients: by `Layer.name` and target; `(sample, *space, channel)`, float32.
        unread: see `Snapshot.unread`.
    """

    scores: Mapping[Target, Score] = field(default_factory=dict)
    gradients: Mapping[str, Mapping[Target, np.ndarray]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)


Differentiated = tuple[Mapping[str, np.ndarray], Mapping[str, str]]
"""Gradients by `Layer.name`, and by layer why there is none."""


def explained_pass(
    request: Request,
    probe: Probe,
    inputs: Mapping[str, np.ndarray],
    answers: Mapping[str, np.ndarray],
    differentiate: Callable[[Score, frozenset[str]], Differentiated],
) -> Explained:
    """Find the score of each target, and its gradients.

    Args:
        request: says which.
        probe: the batch that was shown.
        inputs: as they are displayed.
        answers: the model's own outputs before their last softmax or sigmoid.
        differentiate: gives the gradients of a score with respect to the outputs of layers.

    Raises:
        ArgumentError: a target does not fit the model or the probe.
    """
    scores: dict[Target, Score] = {}
    gradients: dict[str, dict[Target, np.ndarray]] = {}
    unread: dict[str, str] = {}
    answered = Snapshot(layers={}, probe=probe, inputs=inputs, outputs=answers)
    for target in request.targets:
        try:
            scores[target] = score_of(target, answered)
        except DifferentiationError as error:
            unread[f"the score of {target}"] = str(error)
            continue
        names = request.gradients.get(target, frozenset())
        if not names:
            continue
        found, missing = differentiate(scores[target], names)
        for name, array in found.items():
            gradients.setdefault(name, {})[target] = array
        for name, why in missing.items():
            unread.setdefault(f"gradients of {name}", why)
    return Explained(scores, gradients, unread)


def unexplained(request: Request, why: str) -> Explained:
    """Nothing was found of what was asked for."""
    unread = {f"the score of {target}": why for target in request.targets}
    return Explained(unread=unread | {f"gradients of {name}": why for name in wanted_layers(request)})


def wanted_layers(request: Request) -> frozenset[str]:
    """The layers with respect to whose outputs any gradient is needed."""
    return frozenset().union(*request.gradients.values())


def without_gradients(names: Iterable[str], error: Exception) -> Differentiated:
    """What is said of layers where differentiating failed."""
    return {}, dict.fromkeys(names, f"the model cannot be differentiated: {said(error)}")


def failed_recording(error: Exception) -> str:
    """Why there are no gradients of a model that fails while it is recorded for them."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    return f"the model fails while it is recorded for gradients: {said(cause)}"


def said(error: Exception) -> str:
    """What an error says, in one line."""
    lines = [line.strip() for line in str(error).replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()]
    lines = [line for line in lines if line and not line.startswith("Exception encountered when calling")]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def scaled(
    run: Callable[[np.ndarray], Sequence[np.ndarray | None]], weights: np.ndarray, *, half_precision: bool
) -> list[np.ndarray | None]:
    """Gradients in float32 that numbers of 16 bits on their way have not lost.

    Args:
        run: gives gradients for weights.
        weights: of the sum that is differentiated.
        half_precision: something on the way is float16.
    """
    if half_precision:
        arrays = [as_float32(array) for array in run(weights * np.float32(_HALF_PRECISION_SCALE))]
        if all(array is None or np.isfinite(array).all() for array in arrays):
            factor = np.float32(1 / _HALF_PRECISION_SCALE)
            return [None if array is None else array * factor for array in arrays]
    return [as_float32(array) for array in run(weights)]


def as_float32(array: np.ndarray | None) -> np.ndarray | None:
    """The same as contiguous float32."""
    return None if array is None else np.ascontiguousarray(array, np.float32)
