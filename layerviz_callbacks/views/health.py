"""How well the layers are: numbers, histograms, and verdicts in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.health import HealthFollower, Thresholds, spread
from layerviz_callbacks.histogram import Histogram
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.request import Request
from layerviz_callbacks.selection import Selector, select
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.base import Follower, ModelView
from layerviz_callbacks.views.health_layers import health_request, is_watched, with_statistics
from layerviz_callbacks.views.health_sheet import draw_health
from layerviz_callbacks.views.words import escape_markdown

LOOK_HERE_FIRST = "health/look here first"
VERDICTS = "health/verdicts"
"""Another tag than the picture's: of a tag that has both, TensorBoard shows what was written first alone."""
GROUPS = {
    "dead": "health dead share",
    "silent": "health silent share",
    "saturated": "health saturated share",
    "sparsity": "health sparsity",
    "mean": "health output mean",
    "spread": "health output spread",
    "not finite": "health not finite share",
    "weight norm": "health weight norm",
    "gradient norm": "health gradient norm",
    "update ratio": "health update to weight ratio, log10",
    "change": "health change since the step before, log10",
    "distance": "health distance from initialisation",
    "duplicates": "health duplicate filters share",
    "effective rank": "health effective rank",
    "attention entropy": "health attention entropy, mean over heads",
}
"""By the name of a number in `LayerHealth`, its group in TensorBoard's scalars; they stand together there."""
_HISTOGRAM_VALUES = 2048


class Health(ModelView):
    """How well each layer is: numbers and histograms of it, and what is wrong in words, the worst first.

    | tag | what |
    |---|---|
    | `health/look here first` | a picture: verdicts in words, and the layers as a table of numbers, the redder the nearer to a verdict |
    | `health/verdicts` | a text: the verdicts in full, and what usually helps |
    | `health dead share/NN_layer`, `health gradient norm/NN_layer`, `health update to weight ratio, log10/NN_layer` ... | a scalar a measure and layer |
    | `weights/NN_layer`, `outputs/NN_layer` | histograms |

    A verdict says what is wrong, since which step without a break, at which picture to look and what usually
    helps; it is logged once. Where too little is known it says nothing: a unit that is silent on four samples is
    not dead as long as its weights move. Every measure and verdict is described in `docs/health.md`.

    The gradient of the weights and the last update are known where the optimizer is.

    Args:
        layers: which layers; None: every layer with a kernel, activation layers, and those with attention.
        every_n_epochs: how often; None: as often as the callback records.
        thresholds: from which numbers on there is a verdict; None: the defaults of `Thresholds`.
        histograms: write histograms.

    Raises:
        ArgumentError: an argument is not one of these.

    Example:
        >>> Health(thresholds=Thresholds(dead=0.5)).family
        'health'
    """  # noqa: E501

    family = "health"
    needs = frozenset({"statistics"})
    told_apart_by: ClassVar[str] = "layers="

    def __init__(
        self,
        *,
        layers: Selector | None = None,
        every_n_epochs: int | None = None,
        thresholds: Thresholds | None = None,
        histograms: bool = True,
    ) -> None:
        super().__init__(layers=layers, every_n_epochs=every_n_epochs)
        if thresholds is not None and not isinstance(thresholds, Thresholds):
            raise ArgumentError(
                f"thresholds={thresholds!r} is none. Pass for example thresholds=Thresholds(dead=0.5)."
            )
        if not isinstance(histograms, bool):
            raise ArgumentError(f"histograms={histograms!r} is not an option. Allowed: True, False.")
        self.thresholds = thresholds or Thresholds()
        self.histograms_too = histograms

    def repeats(self, other: ModelView) -> bool:  # type: ignore[override]
        """One is enough: all write under the same tags."""
        return self.family == other.family

    def request(self, layers: Sequence[Layer], shapes: Snapshot) -> Request:
        """Statistics of the watched layers, and the attention of a few samples."""
        return health_request(self.watched(shapes))

    def watched(self, snapshot: Snapshot) -> list[Layer]:
        """The layers whose health is told."""
        layers = [layer for layer in snapshot if is_watched(layer)]
        if self.layers is None:
            return layers
        names = select(self.layers, [(layer.base_name, layer) for layer in layers])
        return [layer for layer in layers if layer.base_name in names]

    def follower(self) -> Follower:
        """Goes through the steps, and fills `Snapshot.health` and `Snapshot.verdicts`."""
        return HealthFollower(self.thresholds)

    def scalars(self, snapshot: Snapshot) -> Mapping[str, float]:
        """The numbers of each layer, a group a measure."""
        snapshot = self._told(snapshot)
        found: dict[str, float] = {}
        for name, group in GROUPS.items():
            for layer in snapshot:
                health = snapshot.health.get(layer.name)
                if health is not None and name in health.numbers:
                    found[f"{group}/{self._place_and_name(layer, snapshot)}"] = health.numbers[name]
        return found

    def histograms(self, snapshot: Snapshot) -> Mapping[str, Histogram]:
        """How weights and outputs are spread; counts are those of the whole, estimated from an even part."""
        found: dict[str, Histogram] = {}
        for layer in self.watched(snapshot) if self.histograms_too else []:
            if layer.statistics is None:
                continue
            name = self._place_and_name(layer, snapshot)
            weights, output = layer.statistics.weights, layer.statistics.output
            if weights is not None:
                found[f"weights/{name}"] = _histogram(weights.values, weights.shape[0] * weights.shape[1])
            if output is not None:
                found[f"outputs/{name}"] = _histogram(output.sample, output.values * len(output.mean))
        return {tag: one for tag, one in found.items() if one.counts.any()}

    def texts(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The verdicts as a Markdown table."""
        verdicts = self._told(snapshot).verdicts
        if not verdicts:
            return {VERDICTS: "Nothing is wrong with the layers, as far as was looked."}
        rows = [
            f"| {place} | {escape_markdown(verdict.layer or 'model')} | {escape_markdown(verdict.words)} "
            f"| {escape_markdown(verdict.when or f'step {verdict.since}')} | {escape_markdown(verdict.tag)} "
            f"| {escape_markdown(verdict.advice)} |"
            for place, verdict in enumerate(verdicts, start=1)
        ]
        heading = (
            "| | layer | what is wrong | since | look at | what usually helps |\n|---|---|---|---|---|---|"
        )
        return {VERDICTS: "\n".join([heading, *rows])}

    def draw(self, snapshot: Snapshot) -> list[Picture]:
        """One sheet; none where no layer was measured."""
        snapshot = self._told(snapshot)
        return [draw_health(LOOK_HERE_FIRST, snapshot, self.thresholds)] if snapshot.health else []

    def _told(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with its health: that which was followed, or what a single step tells."""
        if snapshot.health:
            return snapshot
        return HealthFollower(self.thresholds).follow(with_statistics(snapshot, self.watched(snapshot)))

    def _place_and_name(self, layer: Layer, snapshot: Snapshot) -> str:
        return self.tag(layer, snapshot).partition("/")[2]


def _histogram(values: np.ndarray, total: int) -> Histogram:
    """Of some values, spread evenly, with counts as of all."""
    flat = values.ravel()
    some = flat[spread(flat.size, _HISTOGRAM_VALUES)]
    return Histogram.of(some, scale=total / max(some.size, 1))
