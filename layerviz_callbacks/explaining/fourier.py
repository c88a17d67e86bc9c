"""Decorrelated coordinates of an input: its frequencies, the high ones made small as they are in nature.

Olah, Mordvintsev and Schubert 2017, "Feature Visualization", Distill. An ascent in them grows low
frequencies first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Frequencies:
    """Fourier coefficients of inputs `(count, *space, channel)`, divided by their natural size 1/f.

    Without that division the coordinates are orthonormal. Of each pair of conjugate coefficients one is kept.

    Args:
        space: the lengths of the axes of space.
    """

    def __init__(self, space: Sequence[int]) -> None:
        self._space = tuple(space)
        self._axes = tuple(range(1, len(self._space) + 1))
        axes = [np.fft.fftfreq(length) for length in self._space[:-1]] + [np.fft.rfftfreq(self._space[-1])]
        frequency = np.sqrt(sum(part**2 for part in np.meshgrid(*axes, indexing="ij")))
        natural = 1 / np.maximum(frequency, 1 / max(self._space)) / max(self._space)
        last = np.arange(self._space[-1] // 2 + 1)
        alone = (last == 0) | (2 * last == self._space[-1])  # without a conjugate that is not kept
        self._to_space = self._along_axes(natural * np.where(alone, 1, np.sqrt(0.5)))
        self._adjoint = self._along_axes(natural * np.where(alone, 1, np.sqrt(2)))

    def coefficients(self, count: int, channels: int, random: np.random.Generator) -> np.ndarray:
        """Normal noise: complex `(count, *frequency, channel)`."""
        shape = (count, *self._space[:-1], self._space[-1] // 2 + 1, channels)
        return np.asarray(random.standard_normal(shape) + 1j * random.standard_normal(shape))

    def to_space(self, coefficients: np.ndarray) -> np.ndarray:
        """The inputs `(count, *space, channel)` that have these coefficients; float64."""
        scaled = coefficients * self._to_space
        return np.asarray(np.fft.irfftn(scaled, s=self._space, axes=self._axes, norm="ortho"))

    def gradient(self, gradient: np.ndarray) -> np.ndarray:
        """From the gradient with respect to the inputs to that with respect to the coefficients.

        Real and imaginary parts are the derivatives by the coefficients' real and imaginary parts: the
        adjoint of `to_space`.
        """
        return np.asarray(np.fft.rfftn(gradient, axes=self._axes, norm="ortho") * self._adjoint)

    def direction(self, gradient: np.ndarray) -> np.ndarray:
        """How inputs change when their coefficients go along their gradient."""
        return self.to_space(self.gradient(gradient))

    @staticmethod
    def _along_axes(factors: np.ndarray) -> np.ndarray:
        return factors[None, ..., None]
