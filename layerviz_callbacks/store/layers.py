"""The layers of one step in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from layerviz_callbacks.cut import Taken
from layerviz_callbacks.snapshot import Layer
from layerviz_callbacks.store.arrays import ArrayWriter, read_array, read_layer_array
from layerviz_callbacks.store.facts import plain, revived
from layerviz_callbacks.store.names import escaped
from layerviz_callbacks.store.records import read_record, write_record
from layerviz_callbacks.store.stored_layer import LAZY

CHANNEL_AXES = {"kernels": 0, "outputs": -1, "attention": 1, "gradients": -1}
"""By folder of arrays, which axis has levels of its own in uint8."""
FOLDERS = {"kernel": "kernels", "output": "outputs", "attention": "attention"}
"""By attribute of a layer, the folder of its arrays."""
_TAKEN = {"kernel_taken": "kernels", "output_taken": "outputs"}
_NOT_STORED = "statistics"  # what they mean is stored: `Snapshot.numbers`
_FACTS = tuple(field.name for field in fields(Layer) if field.name not in {*LAZY, _NOT_STORED})


def facts_of(layer: Layer) -> dict[str, Any]:
    """What is known of a layer beside its arrays, as JSON holds it."""
    return {fact: plain(getattr(layer, fact)) for fact in _FACTS}


class KnownFacts:
    """What a file says of a layer.

    Args:
        facts: as JSON holds them.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts
        self._compared: tuple[object, ...] = ()
        self._difference: dict[str, Any] = {}

    def difference(self, layer: Layer) -> dict[str, Any]:
        """What is otherwise in a layer."""
        values = tuple(getattr(layer, fact) for fact in _FACTS)
        if values != self._compared:  # hardly ever
            facts = facts_of(layer)
            self._difference = {
                fact: value for fact, value in facts.items() if self._facts.get(fact) != value
            }
            self._compared = values
        return self._difference


def write_layers(arrays: ArrayWriter, layers: Mapping[str, Layer]) -> dict[str, Any]:
    """Write the arrays of layers; what must be known to read them is returned as JSON holds it.

    Returns:
        "layers": the names; "cuts": by folder and layer, what was taken; "weights": by layer, the names;
        "targets": those of gradients; "patterns": by layer, what belongs to them; "unread": what HDF5 cannot
        hold, with the reason.
    """
    targets = list(dict.fromkeys(target for layer in layers.values() for target in layer.gradients))
    cuts: dict[str, dict[str, Any]] = {folder: {} for folder in _TAKEN.values()}
    weights: dict[str, list[str]] = {}
    patterns: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for name, layer in layers.items():
        key = escaped(name)
        for attribute, folder in FOLDERS.items():
            values = getattr(layer, attribute)
            if values is not None:
                arrays.write_layer_array(folder, key, values, CHANNEL_AXES[folder])
        for attribute, folder in _TAKEN.items():
            taken = getattr(layer, attribute)
            if taken is not None:
                cuts[folder][name] = plain(taken.cut) | {"ranges": str(taken.lowest.dtype)}
                arrays.write(f"{folder}_taken", key, _table(taken))
        for target, gradient in layer.gradients.items():
            place = f"gradients/{targets.index(target)}"
            arrays.write_layer_array(place, key, gradient, CHANNEL_AXES["gradients"])
        if layer.weights:
            reasons = {
                weight: arrays.write(f"weights/{key}", escaped(weight), np.asarray(values))
                for weight, values in layer.weights.items()
            }
            weights[name] = [weight for weight, reason in reasons.items() if not reason]
            refused |= {f"{weight} of {name}": reason for weight, reason in reasons.items() if reason}
        if layer.patterns is not None:
            patterns[name] = write_record(arrays, f"patterns/{key}", layer.patterns)
    return {
        "layers": list(layers),
        "cuts": cuts,
        "weights": weights,
        "targets": [plain(target) for target in targets],
        "patterns": patterns,
        "unread": refused,
    }


def read_attribute(group: Any, facts: Mapping[str, Any], name: str, attribute: str) -> Any:
    """One attribute of a layer of which `write_layers` wrote the arrays.

    Args:
        group: of the step.
        facts: what `write_layers` gave.
        name: of the layer.
        attribute: one of `LAZY`.
    """
    key = escaped(name)
    if attribute in FOLDERS:
        return _read_array(group, FOLDERS[attribute], key)
    if attribute in _TAKEN:
        return _read_taken(group, facts, _TAKEN[attribute], name)
    if attribute == "weights":
        names = facts["weights"].get(name, ())
        return {weight: read_array(group[f"weights/{key}/{escaped(weight)}"]) for weight in names}
    if attribute == "gradients":
        found = {
            revived(target): _read_array(group, f"gradients/{place}", key)
            for place, target in enumerate(facts["targets"])
        }
        return {target: gradient for target, gradient in found.items() if gradient is not None}
    if name not in facts["patterns"]:
        return None
    return read_record(group, f"patterns/{key}", facts["patterns"][name])


def _read_array(group: Any, folder: str, key: str) -> np.ndarray | None:
    dataset = group.get(f"{folder}/{key}")
    if dataset is None:
        return None
    levels = group.get(f"{folder}_levels/{key}")
    return read_layer_array(dataset, levels, CHANNEL_AXES[folder.partition("/")[0]])


def _read_taken(group: Any, facts: Mapping[str, Any], folder: str, name: str) -> Taken | None:
    known = facts["cuts"][folder].get(name)
    if known is None:
        return None
    cut = revived({field: value for field, value in known.items() if field != "ranges"})
    channels, lowest, highest, not_a_number = read_array(group[f"{folder}_taken/{escaped(name)}"])
    return Taken(
        cut,
        tuple(int(channel) for channel in channels),
        lowest.astype(known["ranges"]),
        highest.astype(known["ranges"]),
        not_a_number.astype(bool),
    )


def _table(taken: Taken) -> np.ndarray:
    """`(4, channel)`, float64: the channels, their lowest and highest values, and whether they hold NaN."""
    rows = (taken.channels, taken.lowest, taken.highest, taken.not_a_number)
    return np.stack([np.asarray(row, np.float64) for row in rows])
