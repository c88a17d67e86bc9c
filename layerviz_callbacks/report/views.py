"""Which views draw the films of a page where none are given."""

from __future__ import annotations

from typing import Any

from layerviz_callbacks.explaining import SaliencyRecipe, Target
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views import (
    Attention,
    FeatureMaps,
    Filters,
    GradCAM,
    Health,
    Patterns,
    Predictions,
    Saliency,
    View,
)


def views_for(snapshot: Snapshot) -> list[View]:
    """Views of everything that was kept of a step, also of the classes and methods that were asked for."""
    health = [Health(histograms=False)] if snapshot.health else []
    views: list[View] = [*health, Predictions(), Filters(), FeatureMaps(), Attention()]
    views += [GradCAM(**_of(target)) for target in snapshot.scores]
    views += [_saliency(recipe) for recipe in snapshot.saliency]
    if any(layer.patterns is not None for layer in snapshot):
        views.append(Patterns())
    return views


def _saliency(recipe: SaliencyRecipe) -> Saliency:
    options = _of(recipe.target) | {"method": recipe.method, "seed": recipe.seed}
    if recipe.method in ("smoothgrad", "integrated gradients"):
        options["steps"] = recipe.steps
    if recipe.method == "smoothgrad":
        options["noise"] = recipe.noise
    if recipe.samples is not None:
        options["max_samples"] = recipe.samples
    return Saliency(**options)


def _of(target: Target) -> dict[str, Any]:
    of = list(target.of) if isinstance(target.of, tuple) else target.of
    return {"target": of, "output": target.output, "region": target.region}
