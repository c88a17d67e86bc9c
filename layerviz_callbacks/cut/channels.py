"""Which channels a cut takes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from layerviz_callbacks.cut.cuts import KernelCut, OutputCut
from layerviz_callbacks.render.scale import as_floats


def chosen_channels(
    cut: OutputCut | KernelCut, total: int, strengths: Callable[[], np.ndarray]
) -> tuple[int, ...]:
    """The channels that a cut takes of `total`; `strengths()` gives one number a channel, where needed.

    Example:
        >>> chosen_channels(OutputCut(strongest=2), 3, lambda: np.array([1.0, 5.0, 2.0]))
        (1, 2)
    """
    if cut.strongest is not None:
        parts = equal_parts(cut, total)
        units = total // parts
        strength = np.asarray(strengths(), np.float64).reshape(parts, units)
        joined = np.sqrt(np.square(strength).sum(axis=0)) if parts > 1 else strength[0]
        order = np.argsort(-np.where(np.isnan(joined), np.inf, joined), kind="stable")[: cut.strongest]
        return tuple(int(part * units + unit) for part in range(parts) for unit in order)
    if cut.channels is not None:
        return tuple(channel for channel in cut.channels if channel < total)
    return tuple(range(total))


def strength_of_outputs(output: np.ndarray) -> np.ndarray:
    """The mean magnitude of each channel of `(sample, *space, channel)`."""
    axes = tuple(range(output.ndim - 1))
    return np.asarray(np.abs(as_floats(output)).mean(axis=axes, dtype=np.float64))


def strength_of_kernels(kernel: np.ndarray) -> np.ndarray:
    """The root of the sum of squares of each output channel of `(out, in, *space)`."""
    flat = as_floats(kernel).reshape(len(kernel), -1)
    with np.errstate(over="ignore"):
        return np.asarray(np.sqrt(np.einsum("oi,oi->o", flat, flat)))


def equal_parts(cut: OutputCut | KernelCut, total: int) -> int:
    """Into how many parts `total` channels fall; 1 where they cannot."""
    return cut.parts if isinstance(cut, KernelCut) and total % cut.parts == 0 else 1
