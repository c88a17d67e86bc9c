"""How much the score would change with each number of the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from layerviz_callbacks.explaining.differentiation import Differentiate
from layerviz_callbacks.explaining.scores import Score
from layerviz_callbacks.explaining.target import Target

METHODS = ("gradient", "gradient x input", "smoothgrad", "integrated gradients")


@dataclass(frozen=True)
class SaliencyRecipe:
    """What is found of the gradient of a score with respect to the inputs.

    Attributes:
        method: one of `METHODS`.
        target: whose score.
        samples: of the first so many samples; None: all.
        steps: SmoothGrad's noisy copies of a sample; integrated gradients' steps from the baseline.
        noise: SmoothGrad's standard deviation, as a share of the range of each sample's input.
        seed: of SmoothGrad's noise.
    """

    method: str = "gradient"
    target: Target = field(default_factory=Target)
    samples: int | None = None
    steps: int = 16
    noise: float = 0.15
    seed: int = 0


def saliency_of(
    recipe: SaliencyRecipe, score: Score, inputs: Mapping[str, np.ndarray], differentiate: Differentiate
) -> dict[str, np.ndarray]:
    """What a recipe finds of each floating-point input, in the input's own layout; float32."""
    raise NotImplementedError
