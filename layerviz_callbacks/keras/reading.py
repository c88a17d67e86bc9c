"""Finds out which reader reads a model: that of Keras 3, or that of legacy Keras 2."""

from __future__ import annotations

from typing import Any, Protocol

from layerviz_callbacks.keras.reader import KerasReader
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.reader import Reader


class BuildingReader(Reader, Protocol):
    """A Reader of a model that may have no weights yet.

    Attributes:
        learning_rate: see `KerasReader`.
    """

    learning_rate: float | None

    def unbuilt(self) -> str:
        """The name of a layer whose weights are not made yet and that the probe would need; else ""."""

    def check_built(self) -> None:
        """Raise `ArgumentError`, with what to type, where the model's weights are not made yet."""


def reader_of(model: Any, probe: Probe) -> BuildingReader:
    """The reader for a Keras model, of Keras 3 or of `tf_keras`; only the latter imports `tf_keras`.

    Raises:
        ArgumentError: `model` is no Keras model.
    """
    if is_legacy(model):
        from layerviz_callbacks.keras.legacy import LegacyReader

        return LegacyReader(model, probe)
    return KerasReader(model, probe)


def is_legacy(model: Any) -> bool:
    """Whether something is of legacy Keras 2, found without importing it."""
    return any(kind.__module__.partition(".")[0] == "tf_keras" for kind in type(model).__mro__)
