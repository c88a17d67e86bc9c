"""Whether layers are well: statistics of them, what these mean, and what changed since the step before."""

from __future__ import annotations

from layerviz_callbacks.health.follower import HealthFollower
from layerviz_callbacks.health.layer_health import LayerHealth
from layerviz_callbacks.health.statistics import (
    LayerStatistics,
    OutputStatistics,
    WeightSample,
    output_statistics,
    spread,
    weight_sample,
)
from layerviz_callbacks.health.thresholds import Thresholds
from layerviz_callbacks.health.verdict import HealthReport, Verdict

__all__ = [
    "HealthFollower",
    "HealthReport",
    "LayerHealth",
    "LayerStatistics",
    "OutputStatistics",
    "Thresholds",
    "Verdict",
    "WeightSample",
    "output_statistics",
    "spread",
    "weight_sample",
]
