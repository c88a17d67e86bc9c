"""The activation of a channel as a function of one input of the model, with its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining.calling import differentiated
from layerviz_callbacks.explaining.differentiation import Differentiate

_BORDER = 2
"""Places next to each border of an output that are left out, where it is large enough."""


@dataclass(frozen=True, eq=False)
class ChangedInput:
    """The input that is changed, in standard deviations of the probe from the probe's mean.

    Attributes:
        name: of the input.
        order: how the model's own layout is transposed to `(sample, *space, channel)`.
        dtype: of the input.
        mean: `(channel,)`
        deviation: `(channel,)`; 0 where the probe is constant: these are not changed.
    """

    name: str
    order: tuple[int, ...]
    dtype: np.dtype[np.floating]
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, name: str, given: np.ndarray, order: tuple[int, ...]) -> ChangedInput:
        """From the probe's array in the model's own layout."""
        values = given.transpose(order).reshape(-1, given.shape[order[-1]]).astype(np.float64)
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        if not (deviation > 0).any():
            deviation = np.ones_like(deviation)
        return cls(name, order, given.dtype, mean.astype(np.float32), deviation.astype(np.float32))

    def values(self, standardised: np.ndarray) -> np.ndarray:
        """`(count, *space, channel)` in the input's own units, float32."""
        return np.asarray(self.mean + self.deviation * standardised, np.float32)

    def as_given(self, standardised: np.ndarray) -> np.ndarray:
        """The same in the model's own layout and number format."""
        return np.ascontiguousarray(
            self.values(standardised).astype(self.dtype).transpose(np.argsort(self.order))
        )

    def gradient(self, given: np.ndarray) -> np.ndarray:
        """A gradient in the model's own layout, with respect to the standardised input; float64."""
        return np.asarray(given.transpose(self.order).astype(np.float64) * self.deviation)


@dataclass(frozen=True, eq=False)
class Activation:
    """What channels answer to their inputs.

    Attributes:
        values: `(channel,)`, their activations.
        gradient: of their sum, `(channel, *space, in)`, float64; not finite numbers are zero.
        positive: `(channel, *place)`, where they are positive; not next to borders.
        mixed: some channel is positive at some places and negative at others.
    """

    values: np.ndarray
    gradient: np.ndarray
    positive: np.ndarray
    mixed: bool


class Objective:
    """The mean of the positive part of each channel, each at an input of its own.

    Args:
        layer: the `Layer.name` of the output.
        channels: one an input.
        changed: the input that is changed.
        inputs: the probe's arrays; those not changed stay at their first sample.
        differentiate: of the model.
    """

    def __init__(
        self,
        layer: str,
        channels: tuple[int, ...],
        changed: ChangedInput,
        inputs: Mapping[str, np.ndarray],
        differentiate: Differentiate,
    ) -> None:
        self._layer = layer
        self._channels = channels
        self._changed = changed
        self._others = {
            name: np.repeat(array[:1], len(channels), axis=0)
            for name, array in inputs.items()
            if name != changed.name
        }
        self._order = tuple(inputs)
        self._differentiate = differentiate

    @property
    def count(self) -> int:
        """How many channels."""
        return len(self._channels)

    @property
    def width(self) -> int:
        """How many channels the input has."""
        return len(self._changed.mean)

    def __call__(self, standardised: np.ndarray, positive: np.ndarray | None) -> Activation:
        """The activations, and their gradients.

        Args:
            standardised: `(channel, *space, in)`.
            positive: the places that count, `(channel, *place)`, as the last activation found them; None:
                all.
        """
        given = {**self._others, self._changed.name: self._changed.as_given(standardised)}

        def weights(shape: tuple[int, ...]) -> np.ndarray:
            return self._weights(shape, positive)

        derivative = differentiated(
            self._differentiate, {name: given[name] for name in self._order}, weights, layer=self._layer
        )
        if self._changed.name not in derivative.gradients:
            raise DifferentiationError(f"the layer does not depend on the input {self._changed.name!r}")
        gradient = self._changed.gradient(derivative.gradients[self._changed.name])
        gradient[~np.isfinite(gradient)] = 0
        return self._activation(derivative.answer, gradient)

    def _weights(self, shape: tuple[int, ...], positive: np.ndarray | None) -> np.ndarray:
        if len(shape) < 2 or shape[0] != self.count:
            raise DifferentiationError(
                f"of {self.count} samples the output has the shape {shape}: its first axis is not the samples"
            )
        if max(self._channels) >= shape[-1]:
            raise DifferentiationError(f"there is no channel {max(self._channels)} of {shape[-1]}")
        inner = _inner(shape[1:-1])
        weights = np.zeros(shape, np.float32)
        for place, channel in enumerate(self._channels):
            counted = inner if positive is None else inner & positive[place]
            weights[place, ..., channel] = (counted if counted.any() else inner) / inner.sum()
        return weights

    def _activation(self, answer: np.ndarray, gradient: np.ndarray) -> Activation:
        own = np.stack([answer[place, ..., channel] for place, channel in enumerate(self._channels)])
        inner = _inner(own.shape[1:])
        inside = own[:, inner].astype(np.float64)
        with np.errstate(invalid="ignore"):
            positive, negative = own > 0, (inside < 0).any(axis=1)
            some = (inside > 0).any(axis=1)
            means = np.where(some, np.maximum(inside, 0).mean(axis=1), inside.mean(axis=1))
        mixed = bool((some & negative).any())
        return Activation(means.astype(np.float32), gradient, positive & inner, mixed)


def _inner(space: tuple[int, ...]) -> np.ndarray:
    """False next to the borders: 2 places from a length of 9 on, 1 from 5 on."""
    inner = np.zeros(space, bool)
    margins = [min(_BORDER, (length - 1) // 4) for length in space]
    inner[tuple(slice(margin, length - margin) for margin, length in zip(margins, space, strict=True))] = True
    return inner
