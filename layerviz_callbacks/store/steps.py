"""One step in a file: everything of a Snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from layerviz_callbacks.snapshot import Initial, Layer, Snapshot
from layerviz_callbacks.store.arrays import ArrayWriter, read_array
from layerviz_callbacks.store.facts import from_text, plain, revived, to_text
from layerviz_callbacks.store.findings import write_findings
from layerviz_callbacks.store.layers import KnownFacts, facts_of, write_layers
from layerviz_callbacks.store.names import escaped, unescaped
from layerviz_callbacks.store.probes import write_probe
from layerviz_callbacks.store.records import read_record, write_record


class StepWriter:
    """Writes steps into an open file; remembers what is the same in each of them.

    Args:
        precision: of the layers' arrays.
    """

    def __init__(self, precision: str) -> None:
        self._precision = precision
        self._known: dict[str, KnownFacts] = {}  # what the file says of layers
        self._glimpses: dict[str, bytes] = {}
        self._last: int | None = None  # the step that was written last
        self._shared: dict[str, tuple[object, int, str]] = {}  # as it was given, step, what was refused

    def forget(self) -> None:
        """Rely on nothing that was written: it may have been undone."""
        self._known.clear()
        self._glimpses.clear()
        self._last = None
        self._shared.clear()

    def write(self, file: Any, snapshot: Snapshot) -> None:
        """Write a snapshot as a step; an earlier one of that number is replaced.

        Its `history` is not written: that is the steps before it.
        """
        steps, name = file["steps"], str(snapshot.step)
        group = steps.create_group(None)  # in nobody's sight, until it is complete
        earlier = self._earlier(steps, snapshot.step)
        arrays = ArrayWriter(group, earlier, self._precision, self._glimpses)
        facts = write_layers(arrays, snapshot.layers)
        facts |= {
            "step": snapshot.step,
            "when": snapshot.when,
            "chosen": None if snapshot.chosen is None else sorted(snapshot.chosen),
            "input_axes": plain(snapshot.input_axes),
            "ranges": plain(snapshot.ranges),
            "best": snapshot.best,
            "changed": self._write_layer_facts(file["layers"], snapshot),
            "inputs": _write_named(arrays, "inputs", snapshot.inputs),
            "model_outputs": _write_named(arrays, "model_outputs", snapshot.outputs),
            "scores": _write_scores(arrays, snapshot.scores),
            "saliency": [
                {"recipe": plain(recipe), "inputs": _write_named(arrays, f"saliency/{place}", found)}
                for place, (recipe, found) in enumerate(snapshot.saliency.items())
            ],
        }
        facts |= write_findings(arrays, snapshot)
        refusal = self._write_shared(steps, group, arrays, "probe", snapshot)
        if snapshot.initial is not None:
            self._write_shared(steps, group, arrays, "initial", snapshot)
        facts["unread"] |= dict(snapshot.unread) | ({"targets": refusal} if refusal else {})
        if snapshot.metrics:
            metrics = group.create_group("metrics")
            for metric, value in snapshot.metrics.items():
                metrics.attrs[escaped(metric)] = float(value)
            facts["metrics"] = list(snapshot.metrics)
        arrays.write("", "facts", to_text(facts))
        if name in steps:
            del steps[name]
        steps[name] = group
        self._last = snapshot.step
        if snapshot.best:
            file.attrs["best_step"] = snapshot.step
        elif file.attrs.get("best_step") == snapshot.step:  # what was the best has been replaced
            del file.attrs["best_step"]

    def _earlier(self, steps: Any, step: int) -> Any:
        """The group of the step that was written last; else of the last one before this, or of any other."""
        if self._last is None:
            known = sorted(int(name) for name in steps)
            before = [other for other in known if other < step] or known
            return steps[str(before[-1])] if before else None
        return steps.get(str(self._last))

    def _write_shared(
        self, steps: Any, group: Any, arrays: ArrayWriter, what: str, snapshot: Snapshot
    ) -> str:
        """Write the probe or the initial model; a link, where an earlier step has the very same."""
        value: Any = getattr(snapshot, what)
        known = self._shared.get(what)
        if known is not None and known[0] is value and f"{known[1]}/{what}" in steps:
            group[what] = steps[f"{known[1]}/{what}"]
            return known[2]
        if what == "probe":
            refusal = write_probe(arrays, value)
        else:
            refusal = ""
            _write_initial(group, self._earlier(steps, snapshot.step), value, self._precision)
        self._shared[what] = (value, snapshot.step, refusal)
        return refusal

    def _write_layer_facts(self, group: Any, snapshot: Snapshot) -> dict[str, Any]:
        """Write what is known of layers that are new; what has changed of others is returned."""
        changed = {}
        for name, layer in snapshot.layers.items():
            known = self._known.get(name)
            if known is None:
                known = self._known[name] = _known_facts(group, name, layer)
            difference = known.difference(layer)
            if difference:
                changed[name] = difference
        return changed


def _known_facts(group: Any, name: str, layer: Layer) -> KnownFacts:
    """What the file says of a layer, written where it says nothing."""
    key, facts = escaped(name), facts_of(layer)
    if key not in group:
        group.create_dataset(key, data=to_text(facts | {"number": len(group) + 1}))
        return KnownFacts(facts)
    return KnownFacts(from_text(group[key][()]))


def read_facts(group: Any) -> dict[str, Any]:
    """What is no array in a step, or in its initial model."""
    facts: dict[str, Any] = from_text(group["facts"][()])
    return facts


def read_named(group: Any, place: str, names: list[str]) -> dict[str, np.ndarray]:
    """Arrays by name, in the order in which they were written."""
    return {name: read_array(group[f"{place}/{escaped(name)}"]) for name in names}


def read_scores(group: Any, facts: dict[str, Any]) -> dict[Any, Any]:
    """Scores by target."""
    return {
        revived(entry["target"]): read_record(group, f"scores/{place}", entry["score"])
        for place, entry in enumerate(facts["scores"])
    }


def read_saliency(group: Any, facts: dict[str, Any]) -> dict[Any, Any]:
    """Saliency by recipe."""
    return {
        revived(entry["recipe"]): read_named(group, f"saliency/{place}", entry["inputs"])
        for place, entry in enumerate(facts["saliency"])
    }


def read_metrics(group: Any) -> dict[str, float]:
    """The metrics of a step by name."""
    metrics = group.get("metrics")
    return {} if metrics is None else {unescaped(name): float(metrics.attrs[name]) for name in metrics.attrs}


def _write_named(arrays: ArrayWriter, place: str, values: Mapping[str, np.ndarray]) -> list[str]:
    return [
        name for name, array in values.items() if not arrays.write(place, escaped(name), np.asarray(array))
    ]


def _write_scores(arrays: ArrayWriter, scores: Mapping[Any, Any]) -> list[dict[str, Any]]:
    return [
        {"target": plain(target), "score": write_record(arrays, f"scores/{place}", score)}
        for place, (target, score) in enumerate(scores.items())
    ]


def _write_initial(group: Any, earlier: Any, initial: Initial, precision: str) -> None:
    """The same arrays stand in step 0 as a rule: these become links."""
    source = None if earlier is None else earlier.get("initial")
    arrays = ArrayWriter(group.create_group("initial"), earlier if source is None else source, precision, {})
    facts = write_layers(arrays, initial.layers)
    facts["scores"] = _write_scores(arrays, initial.scores)
    arrays.write("", "facts", to_text(facts))
