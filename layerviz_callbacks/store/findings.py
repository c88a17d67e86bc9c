"""What was found of a step, in numbers and words: scalars, the health of layers, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from layerviz_callbacks.health import LayerHealth
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.store.arrays import ArrayWriter, read_array
from layerviz_callbacks.store.facts import plain, revived


def write_findings(arrays: ArrayWriter, snapshot: Snapshot) -> dict[str, Any]:
    """Write the numbers; what must be known to read them, and the verdicts, is returned as JSON holds it.

    The names are an array of their own, so that one that stays the same is stored once.
    """
    health = {
        (layer, what): value
        for layer, found in snapshot.health.items()
        for what, value in found.numbers.items()
    }
    _write(arrays, "numbers", list(snapshot.numbers), list(snapshot.numbers.values()))
    _write(arrays, "health", list(health), list(health.values()))
    return {"health": list(snapshot.health), "verdicts": plain(snapshot.verdicts)}


def read_findings(group: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
    """By attribute of a `Snapshot`, what `write_findings` wrote; a file of before it knew these has none."""
    health: dict[str, dict[str, float]] = {layer: {} for layer in facts.get("health", ())}
    for (layer, what), value in _read(group, "health"):
        health[str(layer)][str(what)] = value
    return {
        "numbers": {str(tag): value for tag, value in _read(group, "numbers")},
        "health": {layer: LayerHealth(numbers) for layer, numbers in health.items()},
        "verdicts": revived(facts.get("verdicts", [])),
    }


def _write(arrays: ArrayWriter, place: str, names: list[Any], values: list[float]) -> None:
    if names:
        arrays.write(place, "names", np.array(names, np.str_))
        arrays.write(place, "values", np.array(values, np.float64))


def _read(group: Any, place: str) -> list[tuple[Any, float]]:
    held = group.get(place)
    if held is None:
        return []
    return list(zip(read_array(held["names"]), read_array(held["values"]).tolist(), strict=True))
