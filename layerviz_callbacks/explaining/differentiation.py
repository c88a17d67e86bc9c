"""What a door does for the core: gradients of a weighted sum of numbers that the model gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class Derivative:
    """A weighted sum of what a model, or one of its layers, gives, differentiated.

    Attributes:
        answer: what it gave: a layer's output `(sample, *space, channel)`, or one of the model's own outputs
            before its last softmax or sigmoid, in the model's own layout; float32.
        gradients: by name of the inputs, the gradient of `sum(weights * answer)`, in the inputs' layout;
            float32. Inputs of whole numbers have none.
    """

    answer: np.ndarray
    gradients: Mapping[str, np.ndarray]


class Differentiate(Protocol):
    """Runs a model on inputs of the caller's choice and differentiates; nothing is left in the model."""

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        weights: Callable[[tuple[int, ...]], np.ndarray],
        *,
        layer: str = "",
        output: str = "",
    ) -> Derivative:
        """The gradient of `sum(weights(answer.shape) * answer)` with respect to each input.

        Args:
            inputs: as `Probe.arrays`, with any number of samples; other sizes of space where the model
                takes them. Whole-number inputs are passed on and not differentiated.
            weights: gives the weights for an answer of that shape; called once for each distinct shape or
                each time, so it must depend on nothing else.
            layer: the `Layer.name` of the output that is summed; the model is run no further than that.
                Empty: one of the model's own outputs.
            output: its name in `Snapshot.outputs`.

        Raises:
            DifferentiationError: there is no gradient, in words why.
        """
