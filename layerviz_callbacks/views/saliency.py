"""Saliency: how much the score would change with each number of the input."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from layerviz_callbacks.errors import ArgumentError, DifferentiationError, check_choice, check_count
from layerviz_callbacks.explaining import SaliencyRecipe, Target, score_of
from layerviz_callbacks.explaining.calling import is_differentiable
from layerviz_callbacks.explaining.saliency import METHODS
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.base import ModelView
from layerviz_callbacks.views.labels import checked_names
from layerviz_callbacks.views.saliency_sheets import draw_saliency

_STEPS = {"smoothgrad": 16, "integrated gradients": 32}
_NOISE = 0.15


class Saliency(ModelView):
    """How much the score would change with each number of the input, under the input itself.

    | tag | what is drawn |
    |---|---|
    | `saliency/input` | a block a sample: the input and its saliency; in 1-D curves on one axis, in 3-D slices |
    | `saliency/NAME` | each of several inputs |

    The group is named for the method and for the class or output, where these are others than the defaults:
    `saliency smoothgrad of class 3/input`, `saliency of P/input`.

    It shows every place the score reacts to, at the input's full resolution, where class-activation maps are
    coarse. It is noisy, and strong at edges whatever was learnt; a gradient tells what a small change would do,
    not what the input as it is contributed: "integrated gradients" answers the latter.

    | method | what is drawn | source |
    |---|---|---|
    | "gradient" | the largest magnitude of the gradient over the channels | Simonyan et al. 2013, arXiv:1312.6034 |
    | "gradient x input" | the sum over channels, with its sign | Shrikumar et al. 2016, arXiv:1605.01713 |
    | "smoothgrad" | as "gradient", of the mean gradient over noisy copies of the input | Smilkov et al. 2017, arXiv:1706.03825 |
    | "integrated gradients" | the sum over channels, with its sign; over all numbers of all inputs it is the score's difference to that of an input of zeros | Sundararajan et al. 2017, arXiv:1703.01365 |

    Colours end at each sample's 99th percentile, so that single numbers do not darken all others.

    Args:
        every_n_epochs: how often; None: as often as the callback records. "smoothgrad" and "integrated
            gradients" run the model forwards and backwards `steps` times.
        method: see above.
        target: whose score: "predicted", "target" (the probe's), a class number, or a list of one a sample.
        output: which of several outputs; None: the first with scores.
        region: of answers with axes of space, the places that are summed: where the class is "predicted",
            those of the probe's "target", or "all".
        steps: for "smoothgrad" how many noisy copies, 16 where nothing is said; for "integrated gradients" how
            many steps from zeros to the input, 32 where nothing is said.
        noise: for "smoothgrad" its standard deviation, as a share of each sample's range; 0.15 where nothing is
            said.
        seed: of SmoothGrad's noise.
        max_samples: at most so many samples are drawn, the first ones.
        labels: the names of the classes, in their order.

    Raises:
        ArgumentError: an argument is not one of these; at train begin, if it does not fit the model.

    Example:
        >>> Saliency(method="smoothgrad", steps=8).family
        'saliency smoothgrad'
    """  # noqa: E501

    family = "saliency"
    needs = frozenset({"saliency"})
    told_apart_by = "method= or target="

    def __init__(
        self,
        *,
        every_n_epochs: int | None = None,
        method: str = "gradient",
        target: str | int | Sequence[int] = "predicted",
        output: str | None = None,
        region: str = "predicted",
        steps: int | None = None,
        noise: float | None = None,
        seed: int = 0,
        max_samples: int = 4,
        labels: Sequence[str] | None = None,
    ) -> None:
        super().__init__(every_n_epochs=every_n_epochs)
        check_choice("method", method, METHODS)
        check_count("steps", steps, optional=True)
        check_count("max_samples", max_samples)
        _check_together(method, steps, noise)
        _check_noise(noise)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ArgumentError(f"seed={seed!r} is no seed. Allowed: a whole number from 0 on.")
        self.method = method
        self.target = Target.checked(target, output=output, region=region)
        self.steps = steps or _STEPS.get(method, 1)
        self.noise = _NOISE if noise is None else float(noise)
        self.seed = seed
        self.max_samples = max_samples
        self.labels = checked_names("labels", labels) or ()
        kind = "saliency" if method == "gradient" else f"saliency {method}"
        self.family = (kind if self.target == Target() else f"{kind} of {self.target}").replace("/", ".")

    def recipe(self, count: int) -> SaliencyRecipe:
        """What is asked for of a probe with so many samples."""
        samples = self._fewer(min(count, self.max_samples))
        return SaliencyRecipe(self.method, self.target, samples, self.steps, self.noise, self.seed)

    def check(self, shapes: Snapshot) -> None:
        """Raise `ArgumentError` where the target does not fit what this model gives, or the probe."""
        try:
            score_of(self.target, shapes)
        except DifferentiationError:  # told by `refusals`
            return

    def refusals(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The inputs that have no saliency, or none that can be drawn, with the reason in words."""
        found = {}
        if snapshot.outputs:
            try:
                score_of(self.target, snapshot)
            except DifferentiationError as error:
                return {name: str(error) for name in snapshot.inputs}
        for name in snapshot.inputs:
            why = _refusal(name, snapshot)
            found.update({name: why} if why else {})
        return found

    def request(self, layers: Sequence[Layer], shapes: Snapshot) -> Request:
        """What is found of the gradients of the first samples; nothing where no input can be drawn."""
        if not any(not _refusal(name, shapes) for name in shapes.inputs):
            return Request()
        return Request(saliency=frozenset({self.recipe(len(shapes.probe))}))

    def draw(self, snapshot: Snapshot) -> list[Picture]:
        """A sheet for each input whose saliency was read."""
        recipe, single = self.recipe(len(snapshot.probe)), len(snapshot.inputs) == 1
        score = snapshot.scores.get(self.target)
        return [
            draw_saliency(
                f"{self.family}/{'input' if single else name}",
                values,
                snapshot,
                name=name,
                recipe=recipe,
                score=score,
                labels=self.labels,
            )
            for name, values in snapshot.saliency.get(recipe, {}).items()
            if not _refusal(name, snapshot)
        ]


def _check_together(method: str, steps: int | None, noise: float | None) -> None:
    if steps is not None and method not in _STEPS:
        raise ArgumentError(
            f"steps={steps} goes with method='smoothgrad' or 'integrated gradients', not with {method!r}. "
            "Leave it out."
        )
    if noise is not None and method != "smoothgrad":
        raise ArgumentError(
            f"noise={noise!r} goes with method='smoothgrad', not with {method!r}. Leave it out."
        )


def _check_noise(noise: object) -> None:
    if noise is None:
        return
    if isinstance(noise, bool) or not isinstance(noise, (int, float)) or not 0 < noise < math.inf:
        raise ArgumentError(
            f"noise={noise!r} is no share of the input's range. Allowed: a number above 0, such as 0.15."
        )


def _refusal(name: str, snapshot: Snapshot) -> str:
    given, shown = snapshot.probe.arrays.get(name), snapshot.inputs[name]
    if given is not None and not is_differentiable(given):
        return (
            f"its numbers are {given.dtype}, which no gradient can change; of tokens, see GradCAM of a layer"
        )
    if not 3 <= shown.ndim <= 5:
        return f"saliency of inputs of shape {shown.shape} is not drawn: an axis of space is needed"
    return ""
