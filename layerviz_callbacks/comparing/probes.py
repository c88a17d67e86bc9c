"""Whether two snapshots are of the same probe."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.snapshot import Snapshot


def probe_refusal(one: Snapshot, other: Snapshot) -> str:
    """Why answers of two models cannot be compared, in words; empty where both were shown the same inputs.

    The layout may differ: an image that Keras takes as `(height, width, channel)` and PyTorch as
    `(channel, height, width)` is the same.
    """
    first, second = _arrays(one), _arrays(other)
    if len(first) == len(second) == 1:
        first, second = [dict(zip(["the input"], known.values(), strict=True)) for known in (first, second)]
    if list(first) != list(second):
        return f"the probes differ: inputs {', '.join(first)} in a, {', '.join(second)} in b"
    for name, array in first.items():
        if array.shape != second[name].shape:
            return f"the probes differ: {name} is {array.shape} in a, {second[name].shape} in b"
        if not np.array_equal(_rounded(array), _rounded(second[name])):
            return f"the probes differ: {name} has the same shape {array.shape}, and other values"
    return ""


def _arrays(snapshot: Snapshot) -> dict[str, np.ndarray]:
    """The inputs as the model takes them, in the layout they are displayed in."""
    arrays = {}
    for name, array in snapshot.probe.arrays.items():
        axes = snapshot.input_axes.get(name)
        arrays[name] = array if axes is None or len(axes) != array.ndim else array.transpose(axes)
    return arrays


def _rounded(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.kind == "f" else array
