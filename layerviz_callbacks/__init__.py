"""See what a network is learning while it trains: filters, feature maps, films and health in TensorBoard.

    from layerviz_callbacks.keras import LayerVizCallback        # model.fit(callbacks=[...])
    from layerviz_callbacks.lightning import LayerVizCallback    # Trainer(callbacks=[...])
    from layerviz_callbacks.torch import attach                  # any PyTorch loop

Importing this package loads no framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from layerviz_callbacks.errors import (
    ArgumentError,
    CallbackInUseError,
    CheckpointError,
    LayerVizError,
    ProbeError,
    ReadingError,
    SelectionError,
    SinkError,
    SnapshotFileError,
)

if TYPE_CHECKING:
    from layerviz_callbacks import sinks, views
    from layerviz_callbacks.budget import Budget
    from layerviz_callbacks.comparing import Comparison, compare
    from layerviz_callbacks.health import HealthReport, Thresholds, Verdict
    from layerviz_callbacks.picture import Picture
    from layerviz_callbacks.probe import Probe
    from layerviz_callbacks.replaying import Replayed
    from layerviz_callbacks.report import write_report
    from layerviz_callbacks.snapshot import Layer, Snapshot
    from layerviz_callbacks.store import SnapshotFile, Snapshots, SnapshotWriter
    from layerviz_callbacks.verification import Verification

__all__ = [
    "ArgumentError",
    "Budget",
    "CallbackInUseError",
    "CheckpointError",
    "Comparison",
    "HealthReport",
    "Layer",
    "LayerVizError",
    "Picture",
    "Probe",
    "ProbeError",
    "ReadingError",
    "SelectionError",
    "SinkError",
    "Snapshot",
    "SnapshotFile",
    "SnapshotFileError",
    "SnapshotWriter",
    "Snapshots",
    "Thresholds",
    "Verdict",
    "Verification",
    "compare",
    "inspect",
    "replay",
    "sinks",
    "verify",
    "views",
    "write_report",
]


_HOMES = {
    "Budget": "budget",
    "Comparison": "comparing",
    "HealthReport": "health",
    "Layer": "snapshot",
    "Picture": "picture",
    "Probe": "probe",
    "Snapshot": "snapshot",
    "SnapshotFile": "store",
    "SnapshotWriter": "store",
    "Snapshots": "store",
    "Thresholds": "health",
    "Verdict": "health",
    "Verification": "verification",
    "compare": "comparing",
    "write_report": "report",
}
"""Where these names come from: imported when asked for, so that nobody waits for what is not used."""


def __getattr__(name: str) -> Any:
    """A name of the package, imported by need."""
    if name == "__version__":
        return _version()
    if name in ("sinks", "views"):
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        found = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__, "__version__"]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(__name__)
    except PackageNotFoundError:  # used from a folder, not installed
        return "unknown"


def inspect(
    model: Any, probe: Any, *, layers: Any = None, views: Any = None, forward: Any = None
) -> Snapshot:
    """Read a trained model: kernels, outputs and attention of its layers as NumPy arrays.

    Args:
        model: a Keras model or a `torch.nn.Module`; the framework is found from the model.
        probe: a `Probe`, or what one is made of: an array or tensor, a list, tuple or dict of them.
        layers: which layers to read: names, globs, kinds, classes, predicates, or a list of these; None: all.
        views: what else is read is what these need, such as gradients for `[views.GradCAM()]`; their
            pictures are `snapshot.pictures(*views)`.
        forward: for PyTorch: how the probe is shown, instead of `model(x)`: `forward(model, inputs)`.

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

        if forward is not None:
            raise ArgumentError("forward= is for PyTorch modules. A Keras model is called as model(probe).")
        return inspect_keras(model, probe, layers=layers, views=views)
    if "torch" in roots:
        from layerviz_callbacks.torch import inspect as inspect_torch

        return inspect_torch(model, probe, layers=layers, views=views, forward=forward)
    raise ArgumentError(
        f"inspect() was given a {type(model).__module__}.{type(model).__qualname__}. "
        "Allowed: a Keras model or a torch.nn.Module."
    )


def replay(checkpoints: Any, probe: Any, *, log_dir: Any, model: Any = None, **options: Any) -> Replayed:
    """Picture a training that is over and never had the callback, from the checkpoints it left.

    Args:
        checkpoints: a folder, or files: `.keras`, `.weights.h5`, `.ckpt`, `.pt`, `.safetensors` ...
        probe: a `Probe`, or what one is made of: an array or tensor, a list, tuple or dict of them.
        log_dir: the TensorBoard folder, a sink, or several.
        model: a function or class that gives the model, or the model itself, which then takes the weights of
            each checkpoint; may be left out for whole Keras models.
        options: `layers=`, `views=`; `trust=True`: code in the files (pickles, lambda layers) may be run,
            files that hold any are refused without it; and what else a callback takes, such as `snapshots=`.

    Returns:
        `.steps` that were pictured, `.failures` (checkpoint -> why it could not be loaded), `.location`.

    Raises:
        ArgumentError: an argument is not what it may be.
        CheckpointError: no checkpoint can be opened.
        ProbeError: the model cannot be called with the probe.

    Example:
        >>> replay("checkpoints", x_val[:4], model=Net, log_dir="logs").steps      # doctest: +SKIP
        (1, 2, 3, 4, 5)
    """
    from layerviz_callbacks.replaying import replay as replay_checkpoints

    return replay_checkpoints(checkpoints, probe, log_dir=log_dir, model=model, **options)


def verify(make: Any, batches: Any, **options: Any) -> Verification:
    """Prove on a training of your own that it is, with pictures, bit for bit what it is without.

    The framework is found from what `make()` gives, and the `verify` of its door does the rest: two fresh
    models are trained from the same seeds on the same batches, one of them with every layer pictured at every
    step, and everything that is left behind is compared.

    Args:
        make: makes everything new each time it is called: a compiled Keras model, a LightningModule, or, for
            a PyTorch loop, `(model, step)` or `(model, optimizer, loss)`.
        batches: a few batches, as the training takes them, such as `[(x[:8], y[:8]), (x[8:16], y[8:16])]`.
        options: `steps=`, `probe=`, `views=`, and what else the door's own `verify` takes.

    Returns:
        A `Verification`: `.untouched`, `.differences`, and a report to print.

    Raises:
        ArgumentError: `make` gives something else, or the same model twice.
        ProbeError: the model cannot be called with the probe.

    Example:
        >>> print(verify(make_model, [(x[:8], y[:8]), (x[8:16], y[8:16])]))    # doctest: +SKIP
        Training is untouched: after 4 steps and 20 pictures it is, bit for bit, what it is without.
        Identical: 14 weights, 29 optimizer variables, 2 metrics, 9 modes, 4 random states.
    """
    made = make()
    roots = {kind.__module__.partition(".")[0] for kind in type(made).__mro__}
    if roots & {"keras", "tf_keras"}:
        from layerviz_callbacks.keras import verify as verify_keras

        return verify_keras(make, batches, **options)
    if roots & {"lightning", "pytorch_lightning"}:
        from layerviz_callbacks.lightning import verify as verify_lightning

        return verify_lightning(make, batches, **options)
    if isinstance(made, tuple):
        from layerviz_callbacks.torch import verify as verify_torch

        return verify_torch(make, batches, **options)
    raise ArgumentError(
        f"verify() was given a function that makes a {type(made).__module__}.{type(made).__qualname__}. "
        "Allowed: one that makes a compiled Keras model, a LightningModule, or, for a PyTorch loop, "
        "(model, step) or (model, optimizer, loss)."
    )
