"""Numbers over steps, as charts: what training reported, and what the views found of each layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.health import GROUPS

DISTANCE = "distance from start"
"""The kernel's distance from where it was at the first step, as a share of the norm that it had then."""
_HEALTH = frozenset(name.removeprefix("health ") for name in GROUPS.values())


@dataclass(frozen=True, eq=False)
class Chart:
    """Lines that share an axis of values.

    Attributes:
        name: what is measured.
        layer: of which layer; empty where it is of the model.
        lines: by name, the number at each step of the file; None where there is none.
        group: "metrics", what training reported; "health" of layers; or other "numbers" of views.
    """

    name: str
    layer: str
    lines: Mapping[str, Sequence[float | None]]
    group: str = "numbers"


@dataclass(eq=False)
class Curves:
    """Collects numbers step by step.

    Attributes:
        steps: those that were added, in their order.
    """

    steps: list[int] = field(default_factory=list)
    _metrics: dict[str, dict[int, float]] = field(default_factory=dict)
    _numbers: dict[str, dict[int, float]] = field(default_factory=dict)
    _layers: dict[str, str] = field(default_factory=dict)  # the name of a layer by what stands for it in tags

    def add(self, snapshot: Snapshot) -> None:
        """The numbers of one more step."""
        self.steps.append(snapshot.step)
        for numbers, given in ((self._metrics, snapshot.metrics), (self._numbers, snapshot.numbers)):
            for name, value in given.items():
                numbers.setdefault(name, {})[snapshot.step] = float(value)
        self._layers.update(places_in_tags(snapshot))

    def charts(self) -> list[Chart]:
        """What training reported, then the numbers of the views in the order in which they came first."""
        found: dict[tuple[str, str], dict[str, list[float | None]]] = {}
        for name, values in self._metrics.items():
            found.setdefault(("", name.removeprefix("val_")), {})[name] = self._line(values)
        for tag, values in self._numbers.items():
            layer, name, line = self._read(tag)
            found.setdefault((layer, name), {})[line] = self._line(values)
        charts = []
        for (layer, name), lines in found.items():
            group = self._group_of(layer, name, lines)
            alone = group == "metrics" and len(lines) == 1
            charts.append(Chart(next(iter(lines)) if alone else name, layer, lines, group=group))
        return charts

    def _group_of(self, layer: str, name: str, lines: Mapping[str, object]) -> str:
        if not layer and any(line in self._metrics for line in lines):
            return "metrics"
        return "health" if layer and name in _HEALTH else "numbers"

    def _line(self, values: Mapping[int, float]) -> list[float | None]:
        return [values.get(step) for step in self.steps]

    def _read(self, tag: str) -> tuple[str, str, str]:
        """Of a tag the layer, what is measured, and of what part: "entropy/03_block/head 2"."""
        group, _, rest = tag.partition("/")
        family = group.removeprefix("health ")  # at the side of a layer that goes without saying
        words = rest.split("/")
        for count in range(len(words), 0, -1):
            layer = self._layers.get("/".join(words[:count]))
            if layer is not None:
                name = family.removeprefix("health ")
                return layer, name, "/".join(words[count:]) or name
        return "", tag, tag


def places_in_tags(snapshot: Snapshot) -> dict[str, str]:
    """The names of the layers by what stands for them in tags, such as "03_conv2"; see `View.tag`."""
    digits = max(2, len(str(max((layer.place for layer in snapshot), default=0))))
    return {f"{layer.place:0{digits}d}_{layer.name}": layer.name for layer in snapshot}


def distances_from_start(snapshots: Iterable[Snapshot]) -> dict[str, dict[int, float]]:
    """By layer and step, how far its kernel, or the part of it that was kept, is from the first one.

    The L2 norm of the difference, divided by that of the first kernel. Layers whose kernel does not change,
    is zero at first, or of which other parts were kept at later steps, are left out at these.
    """
    first: dict[str, tuple[np.ndarray, Sequence[int] | None]] = {}
    found: dict[str, dict[int, float]] = {}
    for snapshot in snapshots:
        for layer in snapshot:
            kernel = _finite_kernel(layer)
            if kernel is None:
                continue
            channels = None if layer.kernel_taken is None else layer.kernel_taken.channels
            start, known = first.setdefault(layer.name, (kernel, channels))
            norm = float(np.linalg.norm(start))
            if norm > 0 and start.shape == kernel.shape and known == channels:
                distance = float(np.linalg.norm(kernel - start)) / norm
                found.setdefault(layer.name, {})[snapshot.step] = distance
    return {name: steps for name, steps in found.items() if len(steps) > 1}


def _finite_kernel(layer: Layer) -> np.ndarray | None:
    kernel = layer.kernel
    if kernel is None or kernel.dtype.kind != "f" or not np.isfinite(kernel).all():
        return None
    return kernel.astype(np.float64)
