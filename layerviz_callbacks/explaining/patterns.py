"""Gradient ascent on the input: what each channel of a layer answers to most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.explaining.differentiation import Differentiate


@dataclass(frozen=True)
class PatternRecipe:
    """How the inputs are found that channels of a layer answer to most.

    Attributes:
        channels: whose patterns, all in one batch.
        steps: of gradient ascent.
        step_size: of each step, in standard deviations of the probe's input; gradients are L2-normalised.
        start: "noise" around the probe's mean, or "fourier": decorrelated noise, ascended in frequencies.
        jitter: the input is shifted at random by at most so many places at each step.
        total_variation: weight of the penalty on differences between neighbours.
        size: the input's axes of space; None: those of the probe.
        seed: of start and jitter.
    """

    channels: tuple[int, ...]
    steps: int = 30
    step_size: float = 0.25
    start: str = "noise"
    jitter: int = 0
    total_variation: float = 0.0
    size: tuple[int, ...] | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class FoundPatterns:
    """What gradient ascent found.

    Attributes:
        recipe: how it was found.
        input: the name of the input that was changed; the others stayed at the probe's first sample.
        inputs: `(channel, *space, in)`, channels last; float32.
        before: `(channel,)`, the channel's mean activation at the start.
        after: `(channel,)`, the same at the end.
    """

    recipe: PatternRecipe
    input: str
    inputs: np.ndarray
    before: np.ndarray
    after: np.ndarray


def find_patterns(
    recipe: PatternRecipe,
    layer: str,
    inputs: Mapping[str, np.ndarray],
    axes: Mapping[str, tuple[int, ...]],
    differentiate: Differentiate,
) -> FoundPatterns:
    """Ascend from the same start for every channel, all in one batch.

    Args:
        recipe: how.
        layer: the `Layer.name` of the output.
        inputs: the probe's arrays.
        axes: `Snapshot.input_axes`.
        differentiate: of the model.
    """
    raise NotImplementedError
