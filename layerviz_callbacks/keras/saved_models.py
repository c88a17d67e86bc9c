"""Saved Keras models: opened without running code of theirs, unless somebody says that they are trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from layerviz_callbacks.errors import CheckpointError
from layerviz_callbacks.keras.fitting import model_inputs
from layerviz_callbacks.keras.reading import is_legacy
from layerviz_callbacks.probe import Probe


def load_model(path: Path, *, trust: bool = False) -> Any:
    """Open a whole saved model, `.keras` or `.h5`; it is not compiled.

    Args:
        path: the file.
        trust: code that stands in the file (lambda layers) may be run.

    Raises:
        CheckpointError: the file holds code and is not trusted, is no saved model, or cannot be read.
    """
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:  # whatever comes of a damaged or strange file
        raise CheckpointError(_why_not_opened(path, error, trust=trust)) from error


def load_weights(model: Any, path: Path) -> None:
    """Load weights into a built model, of Keras 3 or `tf_keras`, from `.keras`, `.weights.h5` or `.h5`.

    Raises:
        CheckpointError: the weights are of another model, or the file cannot be read.
    """
    try:
        model.load_weights(str(path))
    except Exception as error:
        raise CheckpointError(
            f"{path.name} does not fit the model {model.name!r}: {type(error).__name__}: {_line(error)}"
        ) from error


def make_built(model: Any, probe: Probe) -> None:
    """Show a model that has no weights yet the probe once, so that it makes them."""
    layers = getattr(model, "_flatten_layers", None)
    if not model.built or (layers is not None and not all(layer.built for layer in layers())):
        model(model_inputs(model, probe), training=False)


def input_shape(model: Any) -> tuple[int | None, ...] | None:
    """The shape of the one input that a model declares, with the axis of samples; None where it has none.

    Example:
        >>> input_shape(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]))
        (None, 8, 8, 3)
    """
    inputs: Any = getattr(model, "inputs", None) or []
    return tuple(inputs[0].shape) if len(inputs) == 1 else None


def has_channels_first(model: Any) -> bool:
    """Whether its images are `(sample, channel, height, width)`: what most of its layers say."""
    formats = [getattr(layer, "data_format", None) for layer in model._flatten_layers()]
    known = [one for one in formats if one in ("channels_first", "channels_last")]
    return known.count("channels_first") > len(known) / 2


def is_keras(model: Any) -> bool:
    """Whether something is a Keras model, of Keras 3 or `tf_keras`."""
    return isinstance(model, keras.Model) or is_legacy(model)


def _why_not_opened(path: Path, error: Exception, *, trust: bool) -> str:
    said = f"What Keras said: {type(error).__name__}: {_line(error)}"
    words = str(error).lower()
    if not trust and ("safe_mode" in words or "unsafe" in words or "safe mode" in words):
        return (
            f"{path.name} holds code, such as a lambda layer, and opening it would run that code. Type "
            "--trust if you trust who wrote the file. Or type --model package.module:build: the weights "
            f"alone are taken from the file. {said}"
        )
    return (
        f"{path.name} cannot be opened as a Keras model. If it holds weights alone, or classes of your own, "
        f"type --model package.module:build, a function that builds the model. {said}"
    )


def _line(error: Exception) -> str:
    """The beginning of what an error says, on one line."""
    words = " ".join(str(error).split())
    return words if len(words) <= 300 else words[:300] + " ..."
