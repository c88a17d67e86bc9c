"""What the statistics of an output say of its channels."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.health.statistics import OutputStatistics


def silent_channels(output: OutputStatistics) -> np.ndarray:
    """`(channel,)`: exactly zero at all places of all samples."""
    return np.asarray(output.zeros == 1)


def constant_channels(output: OutputStatistics) -> np.ndarray:
    """`(channel,)`: one value other than zero at all places of all samples; none where there is one value."""
    same = (output.lowest == output.highest) & (output.lowest != 0) & (output.finite == 1)
    return np.asarray(same & (output.values > 1))


def saturated_share(output: OutputStatistics, kind: str) -> float | None:
    """The share of the finite values within 0.02 of a bound; None where the output is not bounded.

    An output is bounded where it is tanh-like: within [-1, 1] on both sides of zero; or sigmoid-like: within
    [0, 1] and never exactly zero; and where a value is near one, or the layer is called so: small numbers of
    any layer lie within these bounds. Shares that sum to one (a softmax) are neither.

    Args:
        output: the statistics.
        kind: the layer's class name.

    Example:
        >>> from layerviz_callbacks.health.statistics import output_statistics
        >>> saturated_share(output_statistics(np.float32([[1, -1], [0.5, 0.99]])), "Tanh")
        0.75
    """
    finite = float(output.finite.sum())
    if not finite:
        return None
    low, high = float(output.lowest.min()), float(output.highest.max())
    if low < -1 or high > 1 or is_softmax(output, kind):
        return None
    near_one = float(output.near_one.sum())
    if low < 0 < high and (near_one or "tanh" in kind.lower()):
        return near_one / finite
    if low > 0 and (near_one or "sigmoid" in kind.lower()):
        return (near_one + float(output.near_zero.sum())) / finite
    return None


def is_softmax(output: OutputStatistics, kind: str) -> bool:
    """Whether its channels are shares that sum to one, or it is called so."""
    if "softmax" in kind.lower():
        return True
    shares = len(output.mean) > 1 and output.lowest.min() >= 0 and output.highest.max() <= 1
    return bool(shares and abs(float(output.mean.sum(dtype=np.float64)) - 1) < 1e-3)


def output_numbers(output: OutputStatistics, kind: str) -> dict[str, float]:
    """The numbers of an output by name; those that are not defined are left out."""
    known = output.finite > 0
    numbers = {
        "not finite": 1 - float(output.finite.mean(dtype=np.float64)),
        "silent": float(silent_channels(output).mean()),
        "constant": float(constant_channels(output).mean()),
        "sparsity": float(output.zeros.mean(dtype=np.float64)),
    }
    if known.any():
        mean = output.mean[known].astype(np.float64)
        deviation = output.deviation[known].astype(np.float64)
        numbers["mean"] = float(mean.mean())
        numbers["spread"] = float(np.sqrt((np.square(deviation) + np.square(mean - mean.mean())).mean()))
    saturated = saturated_share(output, kind)
    return numbers if saturated is None else {**numbers, "saturated": saturated}
