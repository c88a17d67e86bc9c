"""See what a network is learning while it trains: filters and feature maps in TensorBoard.

    from layerviz_callbacks.keras import LayerVizCallback        # model.fit(callbacks=[...])
    from layerviz_callbacks.lightning import LayerVizCallback    # Trainer(callbacks=[...])
    from layerviz_callbacks.torch import attach                  # any PyTorch loop

Importing this package loads no framework.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from layerviz_callbacks import sinks, views
from layerviz_callbacks.errors import (
    ArgumentError,
    CallbackInUseError,
    LayerVizError,
    ProbeError,
    ReadingError,
    SelectionError,
    SinkError,
)
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.snapshot import Layer, Snapshot

try:
    __version__ = version("layerviz_callbacks")
except PackageNotFoundError:  # used from a folder, not installed
    __version__ = "unknown"

__all__ = [
    "ArgumentError",
    "CallbackInUseError",
    "Layer",
    "LayerVizError",
    "Picture",
    "Probe",
    "ProbeError",
    "ReadingError",
    "SelectionError",
    "SinkError",
    "Snapshot",
    "inspect",
    "sinks",
    "views",
]


def inspect(model: Any, probe: Any, *, layers: Any = None) -> Snapshot:
    """Read a trained model: kernels and outputs of its layers as NumPy arrays.

    Args:
        model: a Keras model or a `torch.nn.Module`; the framework is found from the model.
        probe: a `Probe`, or what one is made of: an array or tensor, a list, tuple or dict of them.
        layers: which layers to read: names, globs, classes, predicates, or a list of these; None: all.

    Returns:
        A `Snapshot`: `summary()`, `["conv1"].kernel`, `["conv1"].output`, `pictures()`.

    Raises:
        ArgumentError: the model is of neither framework, or is not built yet.
        ProbeError: the model cannot be called with the probe.
        SelectionError: `layers` matches nothing.

    Example:
        >>> snapshot = inspect(model, x_val[:4], layers="conv*")       # doctest: +SKIP
        >>> print(snapshot.summary())                                  # doctest: +SKIP
        >>> snapshot.pictures(views.FeatureMaps())[0].save("conv1.png")  # doctest: +SKIP
    """
    roots = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    if roots & {"keras", "tf_keras"}:  # first: a Keras model on the PyTorch backend is a torch module too
        from layerviz_callbacks.keras import inspect as inspect_keras

        return inspect_keras(model, probe, layers=layers)
    if "torch" in roots:
        from layerviz_callbacks.torch import inspect as inspect_torch

        return inspect_torch(model, probe, layers=layers)
    raise ArgumentError(
        f"inspect() was given a {type(model).__module__}.{type(model).__qualname__}. "
        "Allowed: a Keras model or a torch.nn.Module."
    )
