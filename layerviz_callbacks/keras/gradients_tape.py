"""Gradients on TensorFlow and PyTorch, which record operations while they run (or are traced)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import keras
import numpy as np


class Tape(Protocol):
    """Records operations, and differentiates what was recorded."""

    def recording(self, model: Any) -> AbstractContextManager[None]:
        """Record what this model does with the points."""

    def tensor(self, array: np.ndarray) -> Any:
        """An array as a tensor."""

    def point(self, tensor: Any) -> tuple[Any, Any]:
        """Begin to record with a tensor.

        Returns:
            The point that gradients are taken with respect to, and what takes the tensor's place.
        """

    def gradients(self, answer: Any, weights: Any, points: Sequence[Any]) -> list[Any]:
        """The gradient of `sum(weights * answer)` for each point; None where it does not depend on it."""


def tape_of_backend() -> Tape:
    """The tape of the backend in use: TensorFlow or PyTorch."""
    if keras.backend.backend() == "tensorflow":
        return TensorflowTape()
    from layerviz_callbacks.keras.gradients_torch import TorchTape

    return TorchTape()


def is_floating(tensor: Any) -> bool:
    """Whether a tensor, or an array, holds floating-point numbers."""
    return bool(keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype)))


class TensorflowTape:
    """A `GradientTape` that watches points alone: what does not depend on them is not recorded."""

    def __init__(self) -> None:
        import tensorflow

        self._tensorflow = tensorflow
        self._tape = tensorflow.GradientTape(persistent=True, watch_accessed_variables=False)

    @contextmanager
    def recording(self, model: Any) -> Iterator[None]:
        """Record what this model does with the points."""
        with self._tape:
            yield

    def tensor(self, array: np.ndarray) -> Any:
        """An array as a tensor."""
        return self._tensorflow.convert_to_tensor(array)

    def point(self, tensor: Any) -> tuple[Any, Any]:
        """A tensor of its own: the same one may go another way, past the layer that only hands it on."""
        own = self._tensorflow.identity(tensor)
        self._tape.watch(own)
        return own, own

    def gradients(self, answer: Any, weights: Any, points: Sequence[Any]) -> list[Any]:
        """The gradient of `sum(weights * answer)` for each point; None where it does not depend on it."""
        tensorflow = self._tensorflow
        given = tensorflow.cast(weights, answer.dtype)
        found = self._tape.gradient(answer, list(points), output_gradients=given)
        return [None if one is None else tensorflow.convert_to_tensor(one) for one in found]
