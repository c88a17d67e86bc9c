"""Gradient ascent on the input: what each channel of a layer answers to most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining.ascent import Ascended, ascend
from layerviz_callbacks.explaining.calling import is_differentiable, no_floating_point
from layerviz_callbacks.explaining.differentiation import Differentiate
from layerviz_callbacks.explaining.objective import ChangedInput, Objective
from layerviz_callbacks.explaining.starts import START_NAMES

STARTS = START_NAMES
NUMBERS_AT_ONCE = 1 << 19
"""Channels go through the model together, as far as their inputs hold no more numbers."""


@dataclass(frozen=True)
class PatternRecipe:
    """How the inputs are found that channels of a layer answer to most.

    Attributes:
        channels: whose patterns, all in one batch.
        steps: of gradient ascent.
        step_size: of each step: the root mean square of its changes, in standard deviations of the probe's
            input.
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
        inputs: `(channel, *space, in)`, channels last; float32, in the input's own units, not clipped.
        before: `(channel,)`, the channel's activation at the start; see `find_patterns`.
        after: `(channel,)`, the same at the end.
        dead: `(channel,)`, true where no start gave a gradient; the pattern is then the start itself.
        mean: `(in,)`, of the probe's input.
        deviation: `(in,)`, the standard deviation of the probe's input.
    """

    recipe: PatternRecipe
    input: str
    inputs: np.ndarray
    before: np.ndarray
    after: np.ndarray
    dead: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @property
    def standardised(self) -> np.ndarray:
        """The patterns as standard deviations from the probe's mean, `(channel, *space, in)`."""
        return np.asarray((self.inputs - self.mean) / np.where(self.deviation > 0, self.deviation, 1))


def find_patterns(
    recipe: PatternRecipe,
    layer: str,
    inputs: Mapping[str, np.ndarray],
    axes: Mapping[str, tuple[int, ...]],
    differentiate: Differentiate,
) -> FoundPatterns:
    """Ascend from the same start for every channel, all in one batch.

    After Chollet 2016, "How convolutional neural networks see the world" (blog.keras.io): each step goes
    along the gradient of the channel's activation, divided by its root mean square, so that every step
    changes the input by as much.

    - The activation is the mean over the places where the channel is positive, others counting as zero; the
      2 places next to each border are left out where there are 9 or more. So it makes no difference whether
      the ReLU is part of the layer or follows it. Of a channel that is positive nowhere it is the mean.
    - All is measured in standard deviations of the probe's input, each of its channels for itself; the start
      is its mean with a little noise. What is constant in the probe stays as it is.
    - A channel that has no gradient at the start (a dead ReLU), or a map that is positive nowhere, is tried
      again from noise of one standard deviation, then from noise with a spectrum of 1/f of one and of three.
      One that loses its gradient on the way goes back a step, and takes half the step from then on.

    A channel's pattern depends on the seed and the recipe, not on which other channels are asked for.

    Args:
        recipe: how.
        layer: the `Layer.name` of the output.
        inputs: the probe's arrays.
        axes: `Snapshot.input_axes`.
        differentiate: of the model.

    Raises:
        DifferentiationError: there are no patterns, in words why.
    """
    name = _changed(inputs, axes)
    given = inputs[name]
    order = axes.get(name, tuple(range(given.ndim)))
    changed = ChangedInput.of(name, given, order)
    space = _space(recipe, given.transpose(order).shape[1:-1])
    numbers = int(np.prod(space)) * len(changed.mean)
    found = []
    for channels in _groups(recipe.channels, max(1, NUMBERS_AT_ONCE // numbers)):
        objective = Objective(layer, channels, changed, inputs, differentiate)
        found.append(ascend(recipe, space, objective))
    whole = _joined(found, len(recipe.channels))
    return FoundPatterns(
        recipe,
        name,
        changed.values(whole.standardised),
        whole.before,
        whole.after,
        whole.dead,
        changed.mean,
        changed.deviation,
    )


def _changed(inputs: Mapping[str, np.ndarray], axes: Mapping[str, tuple[int, ...]]) -> str:
    """The first floating-point input with axes of space; where there is none, the first one of vectors."""
    floating = [name for name, array in inputs.items() if is_differentiable(array) and array.ndim > 1]
    if not floating:
        raise no_floating_point(inputs)
    return next((name for name in floating if inputs[name].ndim > 2), floating[0])


def _space(recipe: PatternRecipe, own: tuple[int, ...]) -> tuple[int, ...]:
    if recipe.size is not None and len(recipe.size) != len(own):
        raise DifferentiationError(
            f"size={recipe.size} has {len(recipe.size)} axes, and the input {len(own)} of space: {own}"
        )
    if recipe.start == "fourier" and not own:
        raise DifferentiationError("start='fourier' needs an input with axes of space; type start='noise'")
    return own if recipe.size is None else recipe.size


def _groups(channels: tuple[int, ...], most: int) -> list[tuple[int, ...]]:
    """As few groups as possible, all of one length: the last channel may be repeated."""
    count = -(-len(channels) // most)
    length = -(-len(channels) // count)
    padded = channels + channels[-1:] * (count * length - len(channels))
    return [padded[first : first + length] for first in range(0, len(padded), length)]


def _joined(found: list[Ascended], count: int) -> Ascended:
    return Ascended(
        np.concatenate([one.standardised for one in found])[:count],
        np.concatenate([one.before for one in found])[:count],
        np.concatenate([one.after for one in found])[:count],
        np.concatenate([one.dead for one in found])[:count],
    )
