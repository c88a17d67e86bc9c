"""What to draw: one small file per family of pictures."""

from __future__ import annotations

from layerviz_callbacks.views.base import View
from layerviz_callbacks.views.composite import Composite
from layerviz_callbacks.views.feature_maps import FeatureMaps
from layerviz_callbacks.views.filters import Filters
from layerviz_callbacks.views.predictions import Predictions
from layerviz_callbacks.views.probe_input import draw_probe, probe_refusal

__all__ = [
    "Composite",
    "FeatureMaps",
    "Filters",
    "Predictions",
    "View",
    "default_views",
    "draw_probe",
    "probe_refusal",
]


def default_views() -> list[View]:
    """What is drawn where no views are given: filters and feature maps.

    Example:
        >>> [view.family for view in default_views()]
        ['filters', 'feature maps']
    """
    return [Filters(), FeatureMaps()]
