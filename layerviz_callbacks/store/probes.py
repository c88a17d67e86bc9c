"""The probe in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layerviz_callbacks.probe import Probe
from layerviz_callbacks.store.arrays import ArrayWriter, read_array
from layerviz_callbacks.store.facts import from_text, to_text
from layerviz_callbacks.store.names import escaped


def write_probe(arrays: ArrayWriter, probe: Probe) -> str:
    """Write a probe; why its targets could not be written, in words, or nothing."""
    for name, values in probe.arrays.items():
        arrays.write("probe/arrays", escaped(name), values)
    refusal = "" if probe.targets is None else arrays.write("probe", "targets", probe.targets)
    arrays.write("probe", "facts", to_text(_facts(probe)))
    return refusal


def read_probe(group: Any) -> Probe:
    """The probe that `write_probe` wrote in a step; how it is displayed is kept as the step's inputs."""
    facts = from_text(group["probe/facts"][()])
    arrays = {name: read_array(group[f"probe/arrays/{escaped(name)}"]) for name in facts["inputs"]}
    targets = group.get("probe/targets")
    given: Any = arrays
    if facts["given_as"] == "array":
        (given,) = arrays.values()
    elif facts["given_as"] != "dict":
        given = tuple(arrays.values()) if facts["given_as"] == "tuple" else list(arrays.values())
    return Probe(given, names=facts["names"], targets=None if targets is None else read_array(targets))


def _facts(probe: Probe) -> dict[str, Any]:
    if isinstance(probe.inputs, Mapping):
        given_as = "dict"
    elif list(probe.arrays) == ["input"]:
        given_as = "array"
    else:
        given_as = "tuple" if isinstance(probe.inputs, tuple) else "list"
    return {"given_as": given_as, "inputs": list(probe.arrays), "names": list(probe.names)}
