"""A trained model as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from layerviz_callbacks.inspection import inspected
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.torch.reader import TorchReader
from layerviz_callbacks.views import View


def inspect(
    model: nn.Module,
    probe: Any,
    *,
    layers: Selector | None = None,
    views: Sequence[View] | None = None,
    forward: Callable[[nn.Module, Any], Any] | None = None,
) -> Snapshot:
    """Read a trained model: kernels, weights and outputs of its layers as NumPy arrays.

    Args:
        model: any `torch.nn.Module`; it is left as it was.
        probe: a `Probe`, or what one is made of: an array or tensor, a list, tuple or dict of them.
        layers: which layers to read: names, globs, classes, predicates, or a list of these; None: all.
        views: what else is read is what these need, such as gradients for `[views.GradCAM()]`; their
            pictures are `snapshot.pictures(*views)`.
        forward: how the probe is shown, instead of `model(x)`: called as `forward(model, inputs)` with the
            probe's inputs as tensors on the model's device (a tensor, or a tuple or dict of them).

    Returns:
        A `Snapshot`: `summary()`, `["conv1"].kernel` as `(out, in, *space)`, `["conv1"].output` as
        `(sample, *space, channel)`, `pictures()`.

    Raises:
        ArgumentError: `model` is no `torch.nn.Module`, has lazy layers that are not built yet, or has no
            `forward()` and none is given.
        ProbeError: the model cannot be called with the probe.
        SelectionError: `layers` matches nothing.

    Example:
        >>> import torch
        >>> snapshot = inspect(nn.Sequential(nn.Conv2d(3, 8, 5)), torch.zeros(1, 3, 9, 9))
        >>> snapshot["0"].kernel.shape
        (8, 3, 5, 5)
    """
    return inspected(TorchReader(model, probe, forward=forward), layers=layers, views=views)
