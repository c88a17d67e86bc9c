"""Which axis of a model's own output holds the classes, and which targets belong to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.probe import to_numpy
from layerviz_callbacks.render.scale import as_floats
from layerviz_callbacks.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class Truth:
    """What an output should have been.

    Attributes:
        numbers: class numbers `(sample, *space)`, where the targets are these.
        dense: `(sample, *space, class)`, float32, where there is a target for each of the model's numbers.
        whole: the targets were given as integers or truth values.
        notes: that there are targets which do not belong to this output, in words.
    """

    numbers: np.ndarray | None = None
    dense: np.ndarray | None = None
    whole: bool = False
    notes: tuple[str, ...] = ()


def channels_last(
    raw: np.ndarray, snapshot: Snapshot, class_axis: int | None, kind: str | None = None
) -> np.ndarray | str:
    """A model's own output as `(sample, *space, class)`, or why that cannot be told.

    1. `class_axis` says it.
    2. Two axes are `(sample, class)`, or `(sample, time)` where the inputs are as long.
    3. What is left of a sample's shape without its first axis, its last, or none, is the space of the inputs
       or of the targets.
    4. Else, or where two of these hold, the classes stand where the inputs have their channels: second, where
       the reader had to move those, else last.
    """
    if class_axis is not None:
        if not -raw.ndim < class_axis < raw.ndim or class_axis % raw.ndim == 0:
            return f"class_axis={class_axis} is no axis of its classes: its shape is {raw.shape}"
        return np.moveaxis(raw, class_axis, -1)
    if raw.ndim == 1:
        return raw[:, None]
    if raw.ndim == 2:
        targets = snapshot.probe.targets
        one_each = targets is not None and np.shape(targets)[1:] in ((), (1,))
        lengths = {array.shape[1] for array in snapshot.inputs.values() if array.ndim == 3}
        over_time = kind is None and raw.shape[1] > 1 and raw.shape[1] in lengths and not one_each
        return raw[..., None] if over_time or kind == "curves" else raw
    shape, spaces = raw.shape[1:], _spaces(snapshot)
    last, second = shape[:-1] in spaces, shape[1:] in spaces
    if last != second:
        return raw if last else np.moveaxis(raw, 1, -1)
    if not last and shape in spaces:
        return raw[..., None]
    return np.moveaxis(raw, 1, -1) if _channels_are_second(snapshot) else raw


def own_target(
    values: np.ndarray, raw: np.ndarray, snapshot: Snapshot, name: str, class_axis: int | None = None
) -> Truth:
    """The targets of one output `values (sample, *space, class)`, which the model gave as `raw`.

    They may have its shape; its shape without the classes, as class numbers; or, where several outputs have
    one class each, an axis of that many, in the order of the outputs.
    """
    if snapshot.probe.targets is None:
        return Truth()
    given = to_numpy(snapshot.probe.targets)
    if given.dtype.kind not in "biuf":
        return Truth(notes=(f"targets of {given.dtype} are not shown",))
    whole = given.dtype.kind in "biu"
    place, names = list(snapshot.outputs).index(name), list(snapshot.outputs)
    count, space = values.shape[-1], values.shape[1:-1]
    if given.shape == values.shape:
        dense = given
    elif count == 1 and given.shape == values.shape[:-1]:
        dense = given[..., None]
    elif given.shape == raw.shape:
        dense = np.moveaxis(given, 1 if class_axis is None else class_axis, -1)
    elif count == 1 and len(names) > 1 and given.shape == (*values.shape[:-1], len(names)):
        dense = given[..., place : place + 1]
    elif count == 1 and len(names) > 1 and given.shape == (len(values), len(names), *space):
        dense = given[:, place, ..., None]
    else:
        numbers = _numbers(given, space, count)
        if numbers is not None:
            return Truth(numbers=numbers, whole=True)
        words = f"targets of shape {given.shape} do not fit this output of shape {raw.shape}"
        return Truth(notes=(words,))
    return Truth(dense=as_floats(dense), whole=whole)


def _numbers(given: np.ndarray, space: tuple[int, ...], count: int) -> np.ndarray | None:
    """Class numbers `(sample, *space)`, or finer by whole factors; None where these are none."""
    rank = len(space)
    for shaped in (given, given[..., 0] if given.shape[-1:] == (1,) else None, _squeezed(given)):
        if shaped is None or shaped.ndim != rank + 1:
            continue
        finer = all(
            length % own == 0 and length >= own for length, own in zip(shaped.shape[1:], space, strict=True)
        )
        factors = {length // own for length, own in zip(shaped.shape[1:], space, strict=True)}
        if not finer or len(factors) > 1 or (rank == 1 and factors != {1}):
            continue
        if shaped.dtype.kind == "f" and not (np.isfinite(shaped).all() and (shaped == np.rint(shaped)).all()):
            continue
        numbers = np.asarray(shaped).astype(np.int64)
        if count > 1 and rank == 0 and not ((numbers >= 0) & (numbers < count)).all():
            continue
        return numbers
    return None


def _squeezed(given: np.ndarray) -> np.ndarray | None:
    """`(sample, 1, *space)` without its second axis."""
    return given[:, 0] if given.ndim > 2 and given.shape[1] == 1 else None


def _spaces(snapshot: Snapshot) -> set[tuple[int, ...]]:
    """The space of each input, and of targets that are class numbers."""
    spaces = {array.shape[1:-1] for array in snapshot.inputs.values() if array.ndim > 2}
    spaces |= {
        array.shape[1:] for array in snapshot.inputs.values() if array.ndim == 2 and array.dtype.kind in "iu"
    }
    targets = snapshot.probe.targets
    if targets is not None:
        shape = np.shape(targets)
        if np.asarray(targets).dtype.kind in "biu" and len(shape) > 2:
            spaces |= {
                shape[1:],
                shape[1:-1] if shape[-1] == 1 else shape[1:],
                shape[2:] if shape[1] == 1 else shape[1:],
            }
    return {space for space in spaces if space}


def _channels_are_second(snapshot: Snapshot) -> bool:
    """Whether the model takes its inputs as `(sample, channel, *space)`: the reader had to move them."""
    for name, shown in snapshot.inputs.items():
        given = snapshot.probe.arrays.get(name)
        if given is not None and given.ndim == shown.ndim > 2 and given.shape != shown.shape:
            return True
    return False
