"""What a model's own output is: classes, a segmentation, curves over time, or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.answers import Truth, channels_last, own_target
from layerviz_callbacks.render.scale import as_floats
from layerviz_callbacks.snapshot import Snapshot

KINDS = ("classes", "segmentation", "curves", "numbers")
SCORES = ("probabilities", "logits")
_RANKS: Mapping[str, tuple[int, ...]] = {
    "classes": (0,),
    "numbers": (0,),
    "curves": (1,),
    "segmentation": (2, 3),
}


class Refusal(str):
    """Why an output cannot be drawn, in words."""


@dataclass(frozen=True)
class Reading:
    """How outputs are to be read, where the user says so; None: found from the snapshot.

    Attributes:
        kind: one of `KINDS`.
        class_axis: the axis of the classes in the model's own layout.
        scores: one of `SCORES`.
        labels: the names of the classes or numbers; may be empty.
    """

    kind: str | None = None
    class_axis: int | None = None
    scores: str | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """A model's own output, ready to be drawn.

    Attributes:
        kind: one of `KINDS`.
        values: `(sample, *space, class)`: probabilities of classes and segmentations (of two classes where
            the model gives one number), curves and numbers as they are; float32.
        numbers: the target's class numbers `(sample, *space)`, or None.
        truth: the target as `(sample, *space, class)`, where it is one number (or share) each, or None.
        several: more than one class can be right at once.
        made: how probabilities were made of what the model gave, in words; may be empty.
        notes: what else is to be said, such as that the targets do not fit.
    """

    kind: str
    values: np.ndarray
    numbers: np.ndarray | None = None
    truth: np.ndarray | None = None
    several: bool = False
    made: str = ""
    notes: tuple[str, ...] = ()

    @property
    def space(self) -> tuple[int, ...]:
        """The axes between sample and class."""
        return self.values.shape[1:-1]


def answer_of(snapshot: Snapshot, name: str, reading: Reading) -> Answer | Refusal:
    """Read one of the model's own outputs.

    The kind is found from the number of its axes of space, and from the targets: without space, whole targets
    (one a sample, or one-hot) make classes, others numbers; so do outputs whose rows are a distribution, or
    that were given labels, without any target. One axis of space makes curves, two and three a segmentation.
    """
    raw = snapshot.outputs[name]
    refusal = _unreadable(raw, snapshot)
    if refusal:
        return Refusal(refusal)
    values = channels_last(raw, snapshot, reading.class_axis, reading.kind)
    if isinstance(values, str):
        return Refusal(values)
    rank = values.ndim - 2
    target = own_target(values, raw, snapshot, name, reading.class_axis)
    kind = reading.kind or _kind(values, target, snapshot, reading)
    if kind not in KINDS:
        return Refusal(kind)
    if rank not in _RANKS[kind]:
        return Refusal(f"its shape {raw.shape} is not that of {_WANTED[kind]}")
    values = as_floats(values)
    if kind == "numbers":
        return Answer(kind, values, truth=target.dense, notes=target.notes)
    if kind == "curves":
        return _curves(values, target, reading)
    return _classes(kind, values, target, reading)


_WANTED = {
    "classes": "classes: (sample, class) is needed",
    "numbers": "numbers: (sample, number) is needed",
    "curves": "curves: one axis of time is needed",
    "segmentation": "a segmentation: two or three axes of space are needed",
}


def _unreadable(raw: np.ndarray, snapshot: Snapshot) -> str:
    if raw.ndim == 0 or 0 in raw.shape:
        return f"an output of shape {raw.shape} is not drawn"
    if raw.dtype.kind not in "biuf":
        return f"{raw.dtype} outputs are not drawn"
    if len(raw) != len(snapshot.probe):
        return (
            f"its first axis is not the samples: shape {raw.shape}, and the probe has {len(snapshot.probe)}"
        )
    return ""


def _kind(values: np.ndarray, target: Truth, snapshot: Snapshot, reading: Reading) -> str:
    """One of `KINDS`, or why it is none."""
    rank, count = values.ndim - 2, values.shape[-1]
    if rank == 1:
        return "curves"
    if rank > 3:
        return f"outputs with {rank} axes of space are not drawn"
    if rank == 0:
        return "classes" if _is_classes(values, target, reading) else "numbers"
    if target.numbers is not None or (target.dense is not None and _is_shares(target.dense)):
        return "segmentation"
    alike = any(array.shape == values.shape for array in snapshot.inputs.values())
    if target.dense is not None or (alike and count > 1 and not is_distribution(values)):
        return "pictures as outputs are not drawn; say kind='segmentation' if these are scores of classes"
    return "segmentation"


def _is_classes(values: np.ndarray, target: Truth, reading: Reading) -> bool:
    if target.dense is not None:
        if values.shape[-1] > 1:
            return is_distribution(target.dense) or _is_binary(target.dense)
        return _is_binary(target.dense)
    named = len(reading.labels) > 1 and len(reading.labels) == max(2, values.shape[-1])
    return target.numbers is not None or named or is_distribution(values)


def _curves(values: np.ndarray, target: Truth, reading: Reading) -> Answer:
    truth, made = target.dense, ""
    if target.numbers is not None and values.shape[-1] > 1:
        truth = (target.numbers[..., None] == np.arange(values.shape[-1])).astype(np.float32)
    if reading.scores == "logits":
        exclusive = values.shape[-1] > 1 and (truth is None or is_distribution(truth))
        values, made = (_softmax(values), "softmax") if exclusive else (_sigmoid(values), "sigmoid")
    return Answer("curves", values, truth=truth, made=made and _made(made), notes=target.notes)


def _classes(kind: str, values: np.ndarray, target: Truth, reading: Reading) -> Answer:
    dense, numbers = target.dense, target.numbers
    if values.shape[-1] == 1:
        known = reading.scores == "probabilities" or (reading.scores is None and _is_shares(values))
        share = values if known else _sigmoid(values)
        if dense is not None:
            numbers = np.where(np.isnan(dense[..., 0]), -1, dense[..., 0] >= 0.5).astype(np.int64)
        both = np.concatenate([1 - share, share], axis=-1)
        return Answer(kind, both, numbers, made="" if known else _made("sigmoid"), notes=target.notes)
    several = dense is not None and not is_distribution(dense)
    if several and kind == "classes":
        known = reading.scores == "probabilities" or (reading.scores is None and _is_shares(values))
        shares = values if known else _sigmoid(values)
        made = "" if known else _made("sigmoid")
        return Answer(kind, shares, truth=dense, several=True, made=made, notes=target.notes)
    if dense is not None:
        numbers = dense.argmax(axis=-1)
    known = reading.scores == "probabilities" or (reading.scores is None and is_distribution(values))
    shares = values if known else _softmax(values)
    return Answer(kind, shares, numbers, made="" if known else _made("softmax"), notes=target.notes)


def _made(function: str) -> str:
    return f"{function} of the model's numbers"


def is_distribution(values: np.ndarray) -> bool:
    """Whether the last axis is a distribution: nowhere negative, of the sum 1, and of two at least.

    Example:
        >>> is_distribution(np.array([[0.25, 0.75]])), is_distribution(np.array([[1.0, 1.0]]))
        (True, False)
    """
    if values.shape[-1] < 2:
        return False
    sums = values.sum(axis=-1, dtype=np.float64)
    sound = np.isfinite(sums)
    return bool(sound.any() and (values[sound] >= 0).all() and np.abs(sums[sound] - 1).max() < 1e-2)


def _is_shares(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() >= 0 and finite.max() <= 1)


def _is_binary(values: np.ndarray) -> bool:
    return bool(np.isin(values, (0, 1)).all())


def _softmax(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-values)))
