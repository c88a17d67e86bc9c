"""All that a page tells, as what JSON can hold, with the pictures as bytes beside it."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render.layout import MARGIN
from layerviz_callbacks.render.text import LINE_HEIGHT
from layerviz_callbacks.report.curves import DISTANCE, Chart
from layerviz_callbacks.report.films import Film
from layerviz_callbacks.report.findings import Finding
from layerviz_callbacks.report.reels import Reel, reels_of, thinned
from layerviz_callbacks.report.steps import chosen_steps
from layerviz_callbacks.snapshot import Layer, Snapshot

_FEWEST_STEPS = 3
_LISTED = 12
_BEST_SO_FAR = re.compile(r", best (.+) so far$")


class Contents:
    """Collects what stands on a page.

    Args:
        title: of the page.
        steps: the snapshots of the steps that are shown, in their order; their arrays are not looked at.
        best: the step that is the best one; None where none is.

    Attributes:
        facts: what JSON can hold; complete once `finish` was called.
    """

    def __init__(self, title: str, steps: Sequence[Snapshot], *, best: int | None) -> None:
        last = steps[-1]
        numbers = [snapshot.step for snapshot in steps]
        self._places = {step: place for place, step in enumerate(numbers)}
        self._layers = {layer.name: place for place, layer in enumerate(last)}
        self._colours: dict[bytes, int] = {}
        self._best = best
        self._films: list[list[Reel]] = []  # as in `facts`
        self.facts: dict[str, Any] = {
            "title": title,
            "steps": [{"step": one.step, "when": _when(one)} for one in steps],
            "best": self._places.get(best) if best is not None else None,
            "monitor": _monitored(steps),
            "samples": list(last.probe.names),
            "parameters": sum(layer.parameters for layer in last),
            "layers": [_facts_of(layer) for layer in last],
            "title_height": MARGIN + LINE_HEIGHT,
            "films": [],
            "colours": [],
            "charts": [],
            "chart_steps": [],
            "distances": {},
            "findings": [],
            "notes": [],
        }

    def add_film(self, film: Film) -> None:
        """A picture over the steps."""
        pictures = film.pictures
        held = next((one.held for one in pictures.values() if one.held is not None), None)
        captions = list(dict.fromkeys(picture.caption for picture in pictures.values()))
        standings = list(map(list, dict.fromkeys(map(tuple, map(_standing, pictures.values())))))
        numbers = {caption: number for number, caption in enumerate(captions)}
        self.facts["films"].append(
            {
                "tag": film.tag,
                "family": film.family,
                "layer": self._layers.get(film.layer, -1),
                "range": None if held is None else {"limit": held.limit, "signed": held.signed},
                "samples": standings,
                "samples_of": {
                    self._places[step]: standings.index(_standing(picture))
                    for step, picture in pictures.items()
                },
                "captions": captions,
                "caption_of": {
                    self._places[step]: numbers[picture.caption] for step, picture in pictures.items()
                },
            }
        )
        self._films.append(reels_of(pictures))

    def fit(self, most_bytes: float) -> None:
        """Leave out steps of the largest pictures until the page is small enough; the page tells of which."""
        sizes = {place: _size(reels) for place, reels in enumerate(self._films)}
        fewer: dict[int, None] = {}
        while sum(sizes.values()) > most_bytes:
            thinner = [place for place in sizes if _steps_of(self._films[place]) > _FEWEST_STEPS]
            if not thinner:
                break
            largest = max(thinner, key=lambda place: sizes[place])
            self._films[largest] = self._thinned(self._films[largest])
            sizes[largest] = _size(self._films[largest])
            fewer[largest] = None
        if fewer:
            tags = [self.facts["films"][place]["tag"] for place in fewer]
            listed = ", ".join(tags[:_LISTED]) + (f" and {len(tags) - _LISTED} more" * (len(tags) > _LISTED))
            self.add_note(
                "To keep the page small, these are pictured at fewer steps, and stand still in between: "
                f"{listed}."
            )

    def finish(self) -> Iterator[bytes]:
        """Complete the facts with all reels, and give their zlib streams in the order of their numbers."""
        number = 0
        for film, reels in zip(self.facts["films"], self._films, strict=True):
            film["reels"] = []
            for reel in reels:
                film["reels"].append(self._facts_of_reel(reel) | {"number": number})
                number += 1
        return (reel.data for reels in self._films for reel in reels)

    def add_charts(self, steps: Sequence[int], charts: Iterable[Chart]) -> None:
        """Numbers over these steps."""
        self.facts["chart_steps"] = list(steps)
        self.facts["charts"] = [
            {
                "name": chart.name,
                "layer": self._layers.get(chart.layer, -1),
                "group": chart.group,
                "lines": [
                    {"name": name, "values": [_plain(value) for value in line]}
                    for name, line in chart.lines.items()
                ],
            }
            for chart in charts
            if not chart.layer or chart.layer in self._layers
        ]

    def add_distances(self, distances: Mapping[str, Mapping[int, float]]) -> None:
        """By layer and step, how far its kernel is from where it was; a chart where no other tells it."""
        told = {chart["layer"] for chart in self.facts["charts"] if "distance" in chart["name"]}
        steps = self.facts["chart_steps"]
        for name, values in distances.items():
            layer = self._layers.get(name)
            if layer is None:
                continue
            line = [_plain(values.get(step)) for step in steps]
            self.facts["distances"][layer] = line
            if layer not in told:
                lines = [{"name": DISTANCE, "values": line}]
                chart = {"name": DISTANCE, "layer": layer, "group": "health", "lines": lines}
                self.facts["charts"].append(chart)

    def add_findings(self, findings: Iterable[Finding]) -> None:
        """What was wrong, the worst first."""
        self.facts["findings"] = [
            {
                "layer": self._layers.get(one.verdict.layer, -1),
                "name": one.verdict.layer,
                "words": one.verdict.words,
                "advice": one.verdict.advice,
                "severity": one.verdict.severity,
                "since": one.verdict.since,
                "when": one.verdict.when or f"step {one.verdict.since}",
                "until": one.until,
                "tag": one.verdict.tag,
            }
            for one in findings
        ]

    def add_note(self, words: str) -> None:
        """What must be known of the page, in a sentence."""
        self.facts["notes"].append(words)

    def _thinned(self, reels: Sequence[Reel]) -> list[Reel]:
        steps = sorted(step for reel in reels for step in reel.steps)
        kept = chosen_steps(steps, max(_FEWEST_STEPS, len(steps) // 2), best=self._best)
        shorter = (thinned(reel, frozenset(kept)) for reel in reels)
        return [reel for reel in shorter if reel is not None]

    def _facts_of_reel(self, reel: Reel) -> dict[str, Any]:
        return {
            "steps": [self._places[step] for step in reel.steps],
            "width": reel.size[0],
            "height": reel.size[1],
            "values": reel.values,
            "colours": None if reel.colours is None else self._add_colours(reel.colours),
        }

    def _add_colours(self, colours: np.ndarray) -> int:
        raw = colours.tobytes()
        if raw not in self._colours:
            self._colours[raw] = len(self._colours)
            self.facts["colours"].append(base64.b64encode(raw).decode())
        return self._colours[raw]


def _size(reels: Sequence[Reel]) -> int:
    """How many bytes they take on the page."""
    return sum(len(reel.data) * 4 // 3 for reel in reels)


def _steps_of(reels: Sequence[Reel]) -> int:
    return sum(len(reel.steps) for reel in reels)


def _when(snapshot: Snapshot) -> str:
    """When it was; without "best so far": the page knows which step was the best in the end."""
    return _BEST_SO_FAR.sub("", snapshot.when) or f"step {snapshot.step}"


def _monitored(steps: Iterable[Snapshot]) -> str | None:
    """The metric by which a step is the best, as the steps tell it."""
    found = (_BEST_SO_FAR.search(snapshot.when) for snapshot in steps)
    return next((match[1] for match in found if match), None)


def _facts_of(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "place": layer.place,
        "parameters": layer.parameters,
        "kernel": layer.kernel_shape,
        "output": layer.output_shape,
        "attention": layer.attention_shape,
        "refusal": layer.refusal,
    }


def _standing(picture: Picture) -> list[tuple[int, int, int, int]]:
    """Where the samples stand in a picture: text above them may be longer at one step than at another."""
    return [(left, top, width, height) for left, top, width, height in picture.samples]


def _plain(value: float | None) -> float | str | None:
    """Six digits; "nan", "inf" or "-inf" of what is not finite; None where there is none."""
    if value is None:
        return None
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)
