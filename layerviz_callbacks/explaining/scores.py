"""From a model's answer to one number a sample, as weights of a sum: the score that is explained."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from layerviz_callbacks.answers import Truth, channels_last, own_target
from layerviz_callbacks.errors import ArgumentError, DifferentiationError, did_you_mean
from layerviz_callbacks.explaining.target import Target
from layerviz_callbacks.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class Score:
    """What is explained of each sample: `score = sum(weights * logits)`.

    Attributes:
        target: what was asked for.
        output: the name of the output it is of.
        classes: the class of each sample, as a place on the axis of classes.
        values: the scores, one a sample; float32.
        places: for answers with axes of space, how many places each sample's score is the sum of; else ones.
        count: how many classes (or numbers) the model gives; 1: it gives a single number.
        space: the answer's axes of space; empty where it has none.
        weights: in the shape and layout of the model's own output, float32; None where no longer needed.
        region: where the answer has axes of space, the places that are summed, `(sample, *space)`, truth
            values.
        nowhere: by sample, whether the class is predicted at no place, so that its highest one stands in;
            empty where that is not asked.
        several: the model has several outputs, so that `output` tells which.
    """

    target: Target
    output: str
    classes: tuple[int, ...]
    values: np.ndarray
    places: tuple[int, ...]
    count: int
    space: tuple[int, ...] = ()
    weights: np.ndarray | None = None
    region: np.ndarray | None = None
    nowhere: tuple[bool, ...] = ()
    several: bool = False

    def without_weights(self) -> Score:
        """The same without its weights."""
        return replace(self, weights=None)


def score_of(target: Target, answered: Snapshot) -> Score:
    """The score that a target means, found from what the model answered.

    Without axes of space it is the logit of the class (Selvaraju et al. 2017, "Grad-CAM", arXiv:1610.02391);
    where the model gives a single number, it is this number. With axes of space it is the sum of the class's
    logits over the places of a region (Vinogradova, Dibrov and Myers 2020, "Towards Interpretable Semantic
    Segmentation via Gradient-weighted Class Activation Mapping", arXiv:2002.11434). The predicted class of
    such an answer is the one with the most places; class 0, the background by custom, only where there is no
    other.

    Args:
        target: what is to be explained.
        answered: a snapshot with the probe, its inputs, and as `outputs` the model's own outputs before
            their last softmax or sigmoid, in the model's own layout.

    Raises:
        ArgumentError: the target does not fit the answer or the probe; the message says what to type.
        DifferentiationError: the answer is none that can be explained.
    """
    name = output_of(target, answered)
    raw = answered.outputs[name]
    logits = _logits(raw, answered, name)
    samples, space, count = len(logits), logits.shape[1:-1], logits.shape[-1]
    truth = own_target(logits, raw, answered, name)
    classes = _classes(target, logits, truth)
    region, nowhere = _region(target, logits, classes, truth)
    weights = np.zeros(logits.shape, np.float32)
    for sample, number in enumerate(classes):
        weights[sample, ..., number] = region[sample]
    weights_in_layout = _as_raw(weights, raw, answered)
    with np.errstate(invalid="ignore"):  # an answer may hold inf
        values = np.array(
            [logits[one, ..., number][region[one]].sum() for one, number in enumerate(classes)], np.float32
        )
    places = tuple(int(region[one].sum()) for one in range(samples))
    return Score(
        target,
        name,
        classes,
        values,
        places,
        count,
        tuple(space),
        weights_in_layout,
        region=region if space else None,
        nowhere=nowhere,
        several=len(answered.outputs) > 1,
    )


def output_of(target: Target, answered: Snapshot) -> str:
    """The name of the output that a target is of.

    Raises:
        ArgumentError: there is no output of that name.
        DifferentiationError: there is none that can be explained.
    """
    names = list(answered.outputs)
    if target.output is not None:
        if target.output not in names:
            raise ArgumentError(
                f"output={target.output!r} is no output of this model. It has {names}."
                + did_you_mean(target.output, names)
            )
        return target.output
    if "logits" in names:
        return "logits"
    for name in names:
        if _unexplained(answered.outputs[name], answered) == "":
            return name
    reasons = [f"{name}: {_unexplained(array, answered)}" for name, array in answered.outputs.items()]
    raise DifferentiationError("the model gives no scores: " + ("; ".join(reasons) or "it has no outputs"))


def _unexplained(raw: np.ndarray, answered: Snapshot) -> str:
    if raw.dtype.kind != "f":
        return f"its numbers are {raw.dtype}"
    if raw.ndim == 0 or 0 in raw.shape or len(raw) != len(answered.probe):
        return f"its shape {raw.shape} has no axis of the probe's {len(answered.probe)} samples"
    return ""


def _logits(raw: np.ndarray, answered: Snapshot, name: str) -> np.ndarray:
    reason = _unexplained(raw, answered)
    if reason:
        raise DifferentiationError(f"the output {name!r} is no score: {reason}")
    last = channels_last(raw, answered, None)
    if isinstance(last, str):
        raise DifferentiationError(f"the output {name!r} is no score: {last}")
    return np.asarray(last, np.float32)


def _as_raw(weights: np.ndarray, raw: np.ndarray, answered: Snapshot) -> np.ndarray:
    """Weights `(sample, *space, class)` in the layout of the output, by the same rule read backwards."""
    places = np.arange(raw.size).reshape(raw.shape)
    order = channels_last(places, answered, None)
    back = np.empty(raw.size, np.float32)
    back[np.asarray(order).ravel()] = weights.ravel()
    return back.reshape(raw.shape)


def _classes(target: Target, logits: np.ndarray, truth: Truth) -> tuple[int, ...]:
    samples, count = len(logits), logits.shape[-1]
    if isinstance(target.of, int):
        chosen: tuple[int, ...] = (target.of,) * samples
    elif isinstance(target.of, tuple):
        if len(target.of) != samples:
            raise ArgumentError(
                f"target={list(target.of)} has {len(target.of)} classes, and the probe {samples} samples. "
                "Give one a sample, or one number for all."
            )
        chosen = target.of
    elif target.of == "target":
        chosen = _classes_of_truth(truth, logits)
    else:
        chosen = tuple(_predicted(one) for one in logits)
    wrong = [number for number in chosen if number >= count]
    if wrong and count == 1:
        raise ArgumentError(
            f"target: there is no class {wrong[0]}. This model gives a single number"
            f"{' a place' if logits.ndim > 2 else ''}, and that is explained: leave target= out."
        )
    if wrong:
        raise ArgumentError(
            f"target: there is no class {wrong[0]}. This model gives {count} numbers"
            f"{' a place' if logits.ndim > 2 else ''}: 0 to {count - 1}."
        )
    return chosen


def _predicted(logits: np.ndarray) -> int:
    """The class of one sample `(*space, class)`."""
    count = logits.shape[-1]
    if count == 1:
        return 0
    if logits.ndim == 1:
        return int(np.nan_to_num(logits, nan=-np.inf).argmax())
    return _most(np.nan_to_num(logits, nan=-np.inf).argmax(axis=-1), count)


def _most(numbers: np.ndarray, count: int) -> int:
    """The most frequent class but 0; 0 where there is no other."""
    found = numbers[(numbers >= 0) & (numbers < count)]
    counts = np.bincount(found.ravel(), minlength=count)
    return int(counts[1:].argmax()) + 1 if counts[1:].any() else 0


def _classes_of_truth(truth: Truth, logits: np.ndarray) -> tuple[int, ...]:
    count = logits.shape[-1]
    if count == 1:
        return (0,) * len(logits)
    if truth.numbers is not None:
        numbers = truth.numbers
    elif truth.dense is not None:
        numbers = np.nan_to_num(truth.dense, nan=-np.inf).argmax(axis=-1)
    else:
        why = "; ".join(truth.notes) or "the probe has no targets"
        raise ArgumentError(f"target='target': {why}. Pass Probe(x_val[:4], targets=y_val[:4]).")
    if numbers.ndim == 1:
        return tuple(int(number) for number in numbers)
    return tuple(_most(one, count) for one in numbers)


def _region(
    target: Target, logits: np.ndarray, classes: tuple[int, ...], truth: Truth
) -> tuple[np.ndarray, tuple[bool, ...]]:
    """Over which places each sample's score is summed, `(sample, *space)`; and where one place stands in."""
    space, count = logits.shape[1:-1], logits.shape[-1]
    if not space or target.region == "all":
        return np.ones(logits.shape[:-1], bool), ()
    if target.region == "target":
        return _region_of_truth(logits, classes, truth), ()
    region, nowhere = np.zeros(logits.shape[:-1], bool), []
    finite = np.nan_to_num(logits, nan=-np.inf)
    for sample, number in enumerate(classes):
        inside = finite[sample, ..., 0] > 0 if count == 1 else finite[sample].argmax(axis=-1) == number
        nowhere.append(not inside.any())
        if nowhere[-1]:
            inside = np.zeros(space, bool)
            inside.flat[int(finite[sample, ..., number].argmax())] = True
        region[sample] = inside
    return region, tuple(nowhere)


def _region_of_truth(logits: np.ndarray, classes: tuple[int, ...], truth: Truth) -> np.ndarray:
    space = logits.shape[1:-1]
    if truth.dense is not None:
        inside = np.stack([truth.dense[one, ..., number] >= 0.5 for one, number in enumerate(classes)])
    elif truth.numbers is not None and truth.numbers.ndim == len(space) + 1:
        wanted = np.array(classes).reshape(-1, *[1] * len(space))
        inside = truth.numbers == (wanted if logits.shape[-1] > 1 else 1)
        for axis, length in enumerate(space, start=1):  # finer by whole factors
            inside = np.take(inside, np.arange(length) * (inside.shape[axis] // length), axis=axis)
    else:
        why = "; ".join(truth.notes) or "the probe has no targets with the answer's axes of space"
        raise ArgumentError(f"region='target': {why}. Pass Probe(x_val[:4], targets=masks[:4]).")
    return inside
