"""A trained Keras model as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerviz_callbacks.inspection import inspected
from layerviz_callbacks.keras.reading import reader_of
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views import View


def inspect(
    model: Any, probe: Any, *, layers: Selector | None = None, views: Sequence[View] | None = None
) -> Snapshot:
    """Read a Keras model: kernels, weights and outputs of its layers as NumPy arrays.

    Args:
        model: a built `keras.Model`, or one of legacy Keras 2 (`tf_keras`).
        probe: a `Probe`, or what one is made of: an array or tensor, a list, tuple or dict of them.
        layers: which layers to read: names, globs, classes, predicates, or a list of these; None: all.
        views: what else is read is what these need, such as gradients for `[views.GradCAM()]`; their
            pictures are `snapshot.pictures(*views)`.

    Returns:
        A `Snapshot`; the layers that were not chosen are listed with their shapes only.

    Raises:
        ArgumentError: `model` is not a Keras model, or is not built yet.
        ProbeError: the model cannot be called with the probe.
        SelectionError: `layers` matches nothing.

    Example:
        >>> snapshot = inspect(model, x_val[:4], layers="conv*")       # doctest: +SKIP
        >>> snapshot["conv2d"].kernel.shape                            # doctest: +SKIP
        (8, 1, 3, 3)
    """
    reader = reader_of(model, Probe.of(probe))
    reader.check_built()
    return inspected(reader, layers=layers, views=views)
