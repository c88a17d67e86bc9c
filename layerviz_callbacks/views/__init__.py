"""What to draw: one small file per family of pictures."""

from __future__ import annotations

from layerviz_callbacks.views.attention import Attention
from layerviz_callbacks.views.base import ModelView, View
from layerviz_callbacks.views.composite import Composite
from layerviz_callbacks.views.feature_maps import FeatureMaps
from layerviz_callbacks.views.film import FilmStrip
from layerviz_callbacks.views.filters import Filters
from layerviz_callbacks.views.grad_cam import GradCAM
from layerviz_callbacks.views.health import Health
from layerviz_callbacks.views.patterns import Patterns
from layerviz_callbacks.views.predictions import Predictions
from layerviz_callbacks.views.probe_input import draw_probe, probe_refusal
from layerviz_callbacks.views.saliency import Saliency

__all__ = [
    "Attention",
    "Composite",
    "FeatureMaps",
    "FilmStrip",
    "Filters",
    "GradCAM",
    "Health",
    "ModelView",
    "Patterns",
    "Predictions",
    "Saliency",
    "View",
    "default_views",
    "draw_probe",
    "probe_refusal",
]


def default_views() -> list[View]:
    """What is drawn where no views are given: filters, feature maps, if any attention, film strips, health.

    Example:
        >>> [view.family for view in default_views()]
        ['filters', 'feature maps', 'attention', '1 film strip', 'health']
    """
    return [Filters(), FeatureMaps(), Attention(), FilmStrip(), Health()]
