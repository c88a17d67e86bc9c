"""What a Reader is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from layerviz_callbacks.cut import KernelCut, OutputCut
from layerviz_callbacks.explaining import PatternRecipe, SaliencyRecipe, Target

_Cut = TypeVar("_Cut", KernelCut, OutputCut)


@dataclass(frozen=True)
class Request:
    """What a Reader is asked for, so that nobody pays for what no view draws.

    Attributes:
        kernels: the names of the layers whose kernels are needed.
        weights: the names of the layers whose kernels and all other weights are needed.
        outputs: the names of the layers whose outputs are needed.
        kernel_cuts: by `Layer.name` (that of a further kernel too), the part of a kernel that is enough.
        output_cuts: by `Layer.name` (that of a further call or output too), the part that is enough. What
            is not named in the two is copied whole.
        model_outputs: the model's own outputs are needed. Where `outputs` are asked for, they come anyway.
        attention: the names of the layers whose attention is needed.
        attention_samples: of the first so many samples; None: of all.
        gradients: for each target, the names of the layers with respect to whose outputs the gradient of
            its score is needed.
        gradient_samples: of the first so many samples; None: of all.
        saliency: what is needed of gradients with respect to the inputs.
        patterns: by `Layer.name`, the gradient ascent that is needed.
        statistics: the names of the layers whose statistics are needed.
    """

    kernels: frozenset[str] = frozenset()
    weights: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()
    kernel_cuts: Mapping[str, KernelCut] = field(default_factory=dict)
    output_cuts: Mapping[str, OutputCut] = field(default_factory=dict)
    model_outputs: bool = False
    attention: frozenset[str] = frozenset()
    attention_samples: int | None = None
    gradients: Mapping[Target, frozenset[str]] = field(default_factory=dict)
    gradient_samples: int | None = None
    saliency: frozenset[SaliencyRecipe] = frozenset()
    patterns: Mapping[str, PatternRecipe] = field(default_factory=dict)
    statistics: frozenset[str] = frozenset()

    @property
    def runs_model(self) -> bool:
        """Whether the model must be run on the probe for it."""
        return bool(self.outputs or self.model_outputs or self.attention or self.targets or self.statistics)

    @property
    def targets(self) -> list[Target]:
        """The targets whose scores are needed, each once."""
        return list(dict.fromkeys([*self.gradients, *(recipe.target for recipe in self.saliency)]))

    def __or__(self, other: Request) -> Request:
        """What is needed for both."""
        gradients = dict(self.gradients)
        for target, names in other.gradients.items():
            gradients[target] = gradients.get(target, frozenset()) | names
        return Request(
            kernels=self.kernels | other.kernels,
            weights=self.weights | other.weights,
            outputs=self.outputs | other.outputs,
            kernel_cuts=_either(self.kernel_cuts, other.kernel_cuts),
            output_cuts=_either(self.output_cuts, other.output_cuts),
            model_outputs=self.model_outputs or other.model_outputs,
            attention=self.attention | other.attention,
            attention_samples=_most(
                (self.attention, self.attention_samples), (other.attention, other.attention_samples)
            ),
            gradients=gradients,
            gradient_samples=_most(
                (self.gradients, self.gradient_samples), (other.gradients, other.gradient_samples)
            ),
            saliency=self.saliency | other.saliency,
            patterns={**self.patterns, **other.patterns},
            statistics=self.statistics | other.statistics,
        )


def _either(one: Mapping[str, _Cut], other: Mapping[str, _Cut]) -> dict[str, _Cut]:
    """Cuts from which those of both can still be made."""
    both = dict(one)
    for name, cut in other.items():
        both[name] = both[name].union(cut) if name in both else cut
    return both


def _most(*asked: tuple[object, int | None]) -> int | None:
    """The greatest number of samples of those who ask for anything; None: all."""
    counts = [count for names, count in asked if names]
    return None if not counts or None in counts else max(count for count in counts if count is not None)
