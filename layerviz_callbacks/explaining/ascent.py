"""The steps of gradient ascent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from layerviz_callbacks.explaining.fourier import Frequencies
from layerviz_callbacks.explaining.objective import Activation, Objective
from layerviz_callbacks.explaining.smoothness import total_variation_gradient
from layerviz_callbacks.explaining.starts import starts

if TYPE_CHECKING:
    from layerviz_callbacks.explaining.patterns import PatternRecipe


@dataclass(frozen=True, eq=False)
class Ascended:
    """Where an ascent led.

    Attributes:
        standardised: `(channel, *space, in)`, in standard deviations from the probe's mean.
        before: `(channel,)`, activations at the start.
        after: `(channel,)`, activations at the end.
        dead: `(channel,)`, true where no start gave a gradient.
    """

    standardised: np.ndarray
    before: np.ndarray
    after: np.ndarray
    dead: np.ndarray


def ascend(recipe: PatternRecipe, space: tuple[int, ...], objective: Objective) -> Ascended:
    """All channels of the objective, each for itself, from one start.

    A channel that loses its gradient by a step (it stepped over the edge of a ReLU) goes back, and takes
    half the step from then on.
    """
    standing, active = _begin(recipe, space, objective)
    before, dead = active.values, ~_has_gradient(active)
    random = np.random.default_rng([recipe.seed, 1 << 16])
    frequencies = Frequencies(space) if recipe.start == "fourier" else None
    sizes = np.full(objective.count, recipe.step_size)
    for _ in range(recipe.steps if not dead.all() else 0):
        gradient = active.gradient if frequencies is None else frequencies.direction(active.gradient)
        change = _normalised(gradient)
        if recipe.total_variation and space:
            change -= recipe.total_variation * total_variation_gradient(standing)
        further = standing + np.where(_each(dead, change), 0, _each(sizes, change) * change)
        shift = random.integers(-recipe.jitter, recipe.jitter + 1, len(space)) if recipe.jitter else None
        found = (
            objective(further, active.positive)
            if shift is None
            else _shifted(objective, further, active, shift)
        )
        lost = ~_has_gradient(found) & ~dead
        sizes[lost] /= 2
        standing, active = np.where(_each(lost, further), standing, further), _either(lost, active, found)
    after = active.values if not recipe.jitter else objective(standing, active.positive).values
    return Ascended(standing, before, after, dead)


def _begin(
    recipe: PatternRecipe, space: tuple[int, ...], objective: Objective
) -> tuple[np.ndarray, Activation]:
    """The start, stronger for channels that are stuck at a weaker one, and the activation there."""
    weakest, *stronger = starts(recipe.start, space, objective.width, recipe.seed)
    standing = np.repeat(weakest[None], objective.count, axis=0)
    active = _at(objective, standing)
    for start in [*stronger, weakest]:
        stuck = _stuck(active)
        if not stuck.any():
            break
        standing = np.where(_each(stuck, standing), start[None], standing)
        active = _at(objective, standing)
    return standing, active


def _stuck(active: Activation) -> np.ndarray:
    """Channels without a gradient, and maps that are positive nowhere: after a ReLU these have none."""
    positive = active.positive
    nowhere = ~positive.reshape(len(positive), -1).any(axis=1) & (positive.ndim > 1)
    return np.asarray(nowhere | ~_has_gradient(active))


def _at(objective: Objective, standing: np.ndarray) -> Activation:
    """The activation, its gradient that of the places that are positive just there."""
    active = objective(standing, None)
    return objective(standing, active.positive) if active.mixed else active


def _shifted(objective: Objective, standing: np.ndarray, active: Activation, shift: np.ndarray) -> Activation:
    """The activation of inputs shifted round, seen without the shift."""
    axes = tuple(range(1, len(shift) + 1))
    places = active.positive.shape[1:]
    along = shift * 0
    if len(places) == len(shift):
        along = np.rint(shift * np.array(places) / np.array(standing.shape[1:-1])).astype(int)
    positive = active.positive
    if along.any():
        positive = np.roll(positive, along, axes)
    found = objective(np.roll(standing, shift, axes), positive)
    back = np.roll(found.positive, -along, axes) if along.any() else found.positive
    return Activation(found.values, np.roll(found.gradient, -shift, axes), back, found.mixed)


def _either(first: np.ndarray, one: Activation, other: Activation) -> Activation:
    """Of the channels `first (channel,)` the one activation, of the rest the other."""
    return Activation(
        np.where(first, one.values, other.values),
        np.where(_each(first, one.gradient), one.gradient, other.gradient),
        np.where(_each(first, one.positive), one.positive, other.positive),
        one.mixed or other.mixed,
    )


def _has_gradient(active: Activation) -> np.ndarray:
    return np.asarray((active.gradient != 0).reshape(len(active.gradient), -1).any(axis=1))


def _normalised(gradient: np.ndarray) -> np.ndarray:
    """Each input's gradient with a root mean square of 1; zero where it is zero."""
    size = np.sqrt(np.mean(gradient**2, axis=tuple(range(1, gradient.ndim)), keepdims=True))
    return gradient / np.where(size > 0, size, 1)


def _each(chosen: np.ndarray, like: np.ndarray) -> np.ndarray:
    return chosen.reshape(-1, *[1] * (like.ndim - 1))
