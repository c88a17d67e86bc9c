"""Goes through the steps of a training, and tells at each how well the layers are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from layerviz_callbacks.health.attention_findings import attention_findings
from layerviz_callbacks.health.attention_measures import entropies
from layerviz_callbacks.health.channel_findings import channel_findings
from layerviz_callbacks.health.consequences import without_consequences
from layerviz_callbacks.health.finding import Finding
from layerviz_callbacks.health.gradient_findings import gradient_findings
from layerviz_callbacks.health.layer_health import LayerHealth
from layerviz_callbacks.health.not_finite import not_finite
from layerviz_callbacks.health.numbers import complete_numbers, remembered
from layerviz_callbacks.health.observed import Earlier, observe
from layerviz_callbacks.health.resuming import taken_over
from layerviz_callbacks.health.thresholds import Thresholds
from layerviz_callbacks.health.verdict import Verdict
from layerviz_callbacks.health.weight_findings import weight_findings

if TYPE_CHECKING:
    from layerviz_callbacks.snapshot import Snapshot

_SAMPLES = 2
"""Of the first so many samples attention is measured."""
_RARER = 8
"""Once training is long, what is dear is measured again when an eighth of the steps have been added."""
_STEPS_TO_SEE = 2
"""Some illnesses are seen at the second step only: so long is kept since when a resumed training has them."""


class HealthFollower:
    """Tells of each step how well the layers are, and remembers for it the first step and the one before.

    Args:
        thresholds: from which numbers on something is told; None: the defaults.

    Example:
        >>> follower = HealthFollower(Thresholds(dead=0.5))
        >>> follower.follow(snapshot).verdicts                         # doctest: +SKIP
        (Verdict(layer='conv3', illness='dead channels', words='41 of 64 channels are dead', since=5, ...),)
    """

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self._thresholds = thresholds or Thresholds()
        self._earlier: dict[str, Earlier] = {}
        self._since: dict[tuple[str, str], tuple[int, str]] = {}
        self._resumed: dict[tuple[str, str], tuple[int, str]] = {}  # since when, in an earlier training
        self._judged = 0  # steps since it was gone on with
        self._last_step: int | None = None
        self._steps = 0
        self._next_rank = 0

    def follow(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with `health` and `verdicts`, the worst first.

        Steps come in their order; where one is lower than that before it, everything before is forgotten.
        """
        if self._last_step is not None and snapshot.step < self._last_step:
            self._earlier, self._since, self._steps, self._next_rank = {}, {}, 0, 0
        self._last_step = snapshot.step
        with_rank = self._steps >= self._next_rank
        if with_rank:
            self._next_rank = self._steps + 1 + self._steps // _RARER
        self._steps += 1
        findings: list[Finding] = []
        layers = observe(snapshot, self._earlier)
        for place, one in enumerate(layers):
            layers[place] = complete_numbers(one, self._thresholds, with_rank=with_rank)
            if one.layer.attention is not None and one.layer.attention.ndim == 4:
                weights = one.layer.attention[:_SAMPLES]
                heads = entropies(weights)
                layers[place].numbers.update(_entropy_numbers(heads))
                findings += attention_findings(layers[place], heads, self._thresholds)
        findings += not_finite(layers, snapshot.metrics)
        findings += channel_findings(layers, self._thresholds)
        findings += weight_findings(layers, self._thresholds)
        findings += gradient_findings(layers, snapshot.metrics, self._thresholds)
        for one in layers:
            self._earlier[one.layer.name] = remembered(one)
        return replace(
            snapshot,
            health={one.layer.name: LayerHealth(one.numbers) for one in layers if one.numbers},
            verdicts=self._verdicts(without_consequences(findings), snapshot),
        )

    def resume(self, snapshot: Snapshot) -> None:
        """Take over a step of an earlier training, out of its file: one after the other, in their order."""
        self._last_step, self._steps = snapshot.step, self._steps + 1
        self._resumed = {(one.layer, one.illness): (one.since, one.when) for one in snapshot.verdicts}
        self._judged = 0
        for name, health in snapshot.health.items():
            earlier = self._earlier.get(name, Earlier())
            self._earlier[name] = taken_over(earlier, snapshot[name], health.numbers, snapshot.step)

    def _verdicts(self, findings: Iterable[Finding], snapshot: Snapshot) -> tuple[Verdict, ...]:
        """With the step since when each was found without a break; the worst first."""
        moment = snapshot.step, snapshot.when.partition(", best ")[0]  # not that it was the best one then
        now = {(found.layer, found.illness): moment for found in findings}
        known = {**self._resumed, **self._since}
        self._since = {key: known.get(key, then) for key, then in now.items()}
        self._judged += 1
        if self._judged >= _STEPS_TO_SEE:
            self._resumed = {}
        verdicts = [
            Verdict(
                found.layer,
                found.illness,
                found.words,
                *self._since[found.layer, found.illness],
                severity=min(found.severity, 1.0),
                tag=found.tag(snapshot),
                advice=found.advice,
            )
            for found in findings
        ]
        return tuple(sorted(verdicts, key=lambda verdict: -verdict.severity))


def _entropy_numbers(heads: np.ndarray) -> dict[str, float]:
    known = heads[np.isfinite(heads)]
    if not known.size:
        return {}
    each = {f"attention entropy, head {head}": float(value) for head, value in enumerate(heads)}
    return {"attention entropy": float(known.mean()), **{k: v for k, v in each.items() if np.isfinite(v)}}
