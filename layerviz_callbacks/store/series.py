"""The same array of a layer at many steps, as one array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layerviz_callbacks.cut import Taken
from layerviz_callbacks.errors import ArgumentError

_CHANNEL_AXES = {"kernel": 0, "output": -1}


def stacked(
    name: str, attribute: str, arrays: Mapping[int, np.ndarray], taken: Mapping[int, Taken | None]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """One array `(step, ...)`, and which channels it holds.

    Where other channels were taken at each step (the strongest ones), it holds each channel that was taken at
    any step, at its place in ascending order, with NaN where it was not taken.

    Args:
        name: of the layer, for messages.
        attribute: "kernel", "output" or "attention".
        arrays: by step.
        taken: what they hold, by step; None: all.

    Raises:
        ArgumentError: there are none, or they differ in more than their channels.
    """
    if not arrays:
        raise ArgumentError(f"No step of this file holds {_an(attribute)} of {name!r}.")
    axis = _CHANNEL_AXES.get(attribute)
    if axis is None:
        return _equal(name, attribute, arrays, arrays), ()
    held = {step: _channels(array, taken[step], axis) for step, array in arrays.items()}
    if len(set(held.values())) == 1:
        return _equal(name, attribute, arrays, arrays), next(iter(held.values()))
    if any(len(channels) != arrays[step].shape[axis] for step, channels in held.items()):
        raise _unequal(name, attribute, arrays)  # rows are means of several channels
    every = tuple(sorted({channel for channels in held.values() for channel in channels}))
    placed = {step: _placed(array, held[step], every, axis) for step, array in arrays.items()}
    return _equal(name, attribute, placed, arrays), every


def named_axes(attribute: str, rank: int) -> tuple[str, ...]:
    """The names of the axes of an array over steps.

    Example:
        >>> named_axes("output", 5)
        ('step', 'sample', 'space_1', 'space_2', 'channel')
    """
    if attribute == "attention":
        return "step", "sample", "head", "query", "key"
    if attribute == "kernel":
        return "step", "out", "in", *_space("kernel_space", rank - 3)
    return "step", "sample", *_space("space", rank - 3), "channel"


def _space(word: str, count: int) -> list[str]:
    return [word] if count == 1 else [f"{word}_{axis}" for axis in range(1, count + 1)]


def _channels(array: np.ndarray, taken: Taken | None, axis: int) -> tuple[int, ...]:
    return tuple(range(array.shape[axis])) if taken is None else taken.channels


def _placed(array: np.ndarray, had: Sequence[int], every: Sequence[int], axis: int) -> np.ndarray:
    moved = np.moveaxis(array, axis, 0)
    whole = np.full((len(every), *moved.shape[1:]), np.nan, array.dtype)
    whole[np.searchsorted(every, had)] = moved
    return np.moveaxis(whole, 0, axis)


def _equal(
    name: str, attribute: str, placed: Mapping[int, np.ndarray], given: Mapping[int, Any]
) -> np.ndarray:
    if len({array.shape for array in placed.values()}) > 1:
        raise _unequal(name, attribute, given)
    return np.stack(list(placed.values()))


def _unequal(name: str, attribute: str, arrays: Mapping[int, np.ndarray]) -> ArgumentError:
    shapes: dict[tuple[int, ...], list[int]] = {}
    for step, array in arrays.items():
        shapes.setdefault(array.shape, []).append(step)
    told = "; ".join(f"{shape} at {steps[0]} to {steps[-1]}" for shape, steps in shapes.items())
    step = next(iter(arrays))
    return ArgumentError(
        f"{_an(attribute).capitalize()} of {name!r} was not taken alike at all steps, and cannot be one "
        f"array: {told}. Choose steps= of one shape, or read one by one: "
        f"file.layer({name!r}, step={step}).{attribute}"
    )


def _an(attribute: str) -> str:
    return f"an {attribute}" if attribute[0] in "ao" else f"a {attribute}"
