"""How much the score would change with each number of the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining.calling import differentiated, is_differentiable, no_floating_point
from layerviz_callbacks.explaining.differentiation import Derivative, Differentiate
from layerviz_callbacks.explaining.scores import Score
from layerviz_callbacks.explaining.target import Target

METHODS = ("gradient", "gradient x input", "smoothgrad", "integrated gradients")

_NUMBERS_AT_ONCE = 1 << 18
"""Copies of the samples go through the model together, as far as their inputs hold no more numbers."""


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
    """What a recipe finds of each floating-point input, in the input's own layout; float32.

    | method | what is found | source |
    |---|---|---|
    | "gradient" | the gradient of the score | Simonyan et al. 2013, arXiv:1312.6034 |
    | "gradient x input" | the same times the input | Shrikumar et al. 2016, arXiv:1605.01713 |
    | "smoothgrad" | its mean over noisy copies of the input | Smilkov et al. 2017, arXiv:1706.03825 |
    | "integrated gradients" | its mean on the straight path from zero to the input, times the input | Sundararajan et al. 2017, arXiv:1703.01365 |

    All are signed. The score's class and region stay those of the input as it is. Several floating-point
    inputs change together; inputs of whole numbers stay as they are. The path begins where every number is
    zero in the input's own units, and is integrated by Gauss and Legendre's rule: both as Captum does.
    SmoothGrad's noise depends on the seed and the sample's place alone, not on other samples.

    Args:
        recipe: which of them.
        score: of the whole probe, with its weights.
        inputs: the probe's arrays.
        differentiate: of the model.

    Returns:
        By input `(sample, ...)`, of the first `recipe.samples` samples.

    Raises:
        DifferentiationError: there is no gradient, in words why.
    """  # noqa: E501
    path = _Path(recipe, score, inputs, differentiate)
    if recipe.method == "smoothgrad":
        return path.mean(recipe.steps, np.full(recipe.steps, 1 / recipe.steps), path.noisy)
    if recipe.method == "integrated gradients":
        places, shares = _gauss_legendre(recipe.steps)
        mean = path.mean(recipe.steps, shares, lambda step: path.towards(places[step]))
        return {name: (path.inputs[name] * one).astype(np.float32) for name, one in mean.items()}
    gradients = path.mean(1, np.ones(1), lambda step: path.inputs)
    if recipe.method == "gradient x input":
        return {name: (path.inputs[name] * one).astype(np.float32) for name, one in gradients.items()}
    return gradients


def completeness_gap(
    found: Mapping[str, np.ndarray],
    score: Score,
    inputs: Mapping[str, np.ndarray],
    differentiate: Differentiate,
) -> np.ndarray:
    """By how much integrated gradients miss what they should add up to, one number a sample.

    In exact arithmetic their sum is the score's difference between the input and the baseline of zeros; a
    large gap asks for more `steps`. It costs one more pass through the model.

    Args:
        found: integrated gradients, as `saliency_of` gives them.
        score: see `saliency_of`.
        inputs: see `saliency_of`.
        differentiate: see `saliency_of`.
    """
    count = len(next(iter(found.values())))
    path = _Path(SaliencyRecipe(samples=count), score, inputs, differentiate)
    answer = path.differentiated(path.towards(0.0), path.weights).answer
    baseline = (answer * path.weights).reshape(count, -1).sum(axis=1, dtype=np.float64)
    sums = sum(one.reshape(count, -1).sum(axis=1, dtype=np.float64) for one in found.values())
    return np.asarray(sums - (score.values[:count] - baseline))


class _Path:
    """Inputs that differ from the probe's first samples, and the gradients of one score there."""

    def __init__(
        self,
        recipe: SaliencyRecipe,
        score: Score,
        inputs: Mapping[str, np.ndarray],
        differentiate: Differentiate,
    ) -> None:
        if score.weights is None:
            raise DifferentiationError("the score's weights were not kept")
        self.inputs = {name: array[: recipe.samples] for name, array in inputs.items()}
        self.floating = [name for name, array in self.inputs.items() if is_differentiable(array)]
        if not self.floating:
            raise no_floating_point(inputs)
        self.weights = score.weights[: recipe.samples]
        self._recipe = recipe
        self._score = score
        self._differentiate = differentiate

    def towards(self, share: float) -> dict[str, np.ndarray]:
        """The inputs, floating-point ones times this."""
        return {
            name: (array * share).astype(array.dtype) if name in self.floating else array
            for name, array in self.inputs.items()
        }

    def noisy(self, step: int) -> dict[str, np.ndarray]:
        """The inputs with the noise of one step."""
        noisy = dict(self.inputs)
        for place, name in enumerate(self.floating):
            array = self.inputs[name]
            copies = np.empty_like(array)
            for sample, one in enumerate(array):
                random = np.random.default_rng([self._recipe.seed, step, place, sample])
                deviation = self._recipe.noise * (float(one.max()) - float(one.min()))
                copies[sample] = one + deviation * random.standard_normal(one.shape, np.float32)
            noisy[name] = copies
        return noisy

    def mean(
        self, steps: int, shares: np.ndarray, point: Callable[[int], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """The gradients at `point(0)`, `point(1)`, ... summed, each times its share; float32."""
        copies = self._copies(steps)
        weights = np.concatenate([self.weights] * copies)
        sums: dict[str, np.ndarray] = {}
        for first in range(0, steps, copies):
            points = [point(step) for step in range(first, first + copies)]
            batch = {name: np.concatenate([one[name] for one in points]) for name in self.inputs}
            gradients = self.differentiated(batch, weights).gradients
            for name in self.floating:
                if name in gradients:
                    each = gradients[name].reshape(copies, *self.inputs[name].shape).astype(np.float64)
                    sums[name] = sums.get(name, 0) + np.tensordot(shares[first : first + copies], each, 1)
        if not sums:
            raise DifferentiationError("the score does not depend on the inputs")
        return {name: one.astype(np.float32) for name, one in sums.items()}

    def differentiated(self, batch: Mapping[str, np.ndarray], weights: np.ndarray) -> Derivative:
        """The score's derivative at a batch of whole copies."""

        def weights_of(shape: tuple[int, ...]) -> np.ndarray:
            if shape != weights.shape:
                raise DifferentiationError(
                    f"the output {self._score.output!r} of {len(weights)} samples has the shape {shape}, "
                    f"not {weights.shape}: its samples are not apart from one another"
                )
            return weights

        return differentiated(self._differentiate, batch, weights_of, output=self._score.output)

    def _copies(self, steps: int) -> int:
        """How many copies go through the model at once; as many each time, so that shapes stay the same."""
        numbers = sum(array.size for array in self.inputs.values())
        most = max(1, _NUMBERS_AT_ONCE // numbers)
        return next(copies for copies in range(min(steps, most), 0, -1) if steps % copies == 0)


def _gauss_legendre(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Places between 0 and 1, and their shares of the integral."""
    places, shares = np.polynomial.legendre.leggauss(steps)
    return (places + 1) / 2, shares / 2
