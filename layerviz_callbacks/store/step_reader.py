"""From one step in a file to a Snapshot that reads its layers' arrays when they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from layerviz_callbacks.errors import ArgumentError, SnapshotFileError
from layerviz_callbacks.snapshot import Initial, Layer, Snapshot
from layerviz_callbacks.store.facts import from_text, revived
from layerviz_callbacks.store.findings import read_findings
from layerviz_callbacks.store.layers import read_attribute
from layerviz_callbacks.store.library import h5py_library
from layerviz_callbacks.store.names import escaped, unescaped
from layerviz_callbacks.store.opened import OpenedFile
from layerviz_callbacks.store.probes import read_probe
from layerviz_callbacks.store.steps import read_facts, read_metrics, read_named, read_saliency, read_scores
from layerviz_callbacks.store.stored_layer import StoredLayer

_Found = TypeVar("_Found")


class StepReader:
    """Reads steps; what many steps have in common is read once, and is the same object in each.

    Args:
        opened: the file.
    """

    def __init__(self, opened: OpenedFile) -> None:
        self._opened = opened
        self._layers: dict[str, dict[str, Any]] = {}  # facts
        self._shared: dict[tuple[str, int], Any] = {}  # by place in the file

    def look_at(self, step: int, find: Callable[[Any], _Found]) -> _Found:
        """What `find(group)` gives of the group of a step.

        Raises:
            ArgumentError: the file does not hold that step.
        """

        def found(file: Any) -> _Found:
            steps, whole = file["steps"], isinstance(step, (int, np.integer)) and not isinstance(step, bool)
            if not whole or str(step) not in steps:
                raise ArgumentError(
                    f"There is no step {step!r} in {str(self._opened.path)!r}. It has "
                    f"{_listed(steps_in(file))}."
                )
            return find(steps[str(step)])

        return self._opened.look(found)

    def snapshot(self, step: int) -> Snapshot:
        """One step."""

        def find(group: Any) -> Snapshot:
            facts = read_facts(group)
            metrics, ranges = read_metrics(group), facts["ranges"]
            return Snapshot(
                self._layers_of(group, facts, step),
                probe=self._read_once(group, "probe", lambda: read_probe(group)),
                inputs=read_named(group, "inputs", facts["inputs"]),
                outputs=read_named(group, "model_outputs", facts["model_outputs"]),
                step=facts["step"],
                when=facts["when"],
                metrics={name: metrics[name] for name in facts.get("metrics", ())},
                chosen=None if facts["chosen"] is None else frozenset(facts["chosen"]),
                input_axes={name: tuple(axes) for name, axes in facts["input_axes"].items()},
                scores=read_scores(group, facts),
                saliency=read_saliency(group, facts),
                unread=facts["unread"],
                initial=self._initial(group, step),
                best=facts["best"],
                ranges=ranges and {tag: revived(held) for tag, held in ranges.items()},
                **read_findings(group, facts),
            )

        return self.look_at(step, find)

    def layers(self, step: int) -> dict[str, Layer]:
        """The layers of one step by name."""
        return self.look_at(step, lambda group: self._layers_of(group, read_facts(group), step))

    def names(self) -> tuple[str, ...]:
        """The names of all layers that any step has, in the model's order."""

        def find(file: Any) -> tuple[str, ...]:
            numbers = {name: int(from_text(file["layers"][name][()])["number"]) for name in file["layers"]}
            return tuple(unescaped(name) for name in sorted(numbers, key=lambda name: numbers[name]))

        return self._opened.look(find)

    def _initial(self, group: Any, step: int) -> Initial | None:
        if "initial" not in group:
            return None

        def read() -> Initial:
            facts = read_facts(group["initial"])
            layers = self._layers_of(group, facts, step, part="initial")
            return Initial(layers, read_scores(group["initial"], facts))

        return self._read_once(group, "initial", read)

    def _layers_of(self, group: Any, facts: Mapping[str, Any], step: int, part: str = "") -> dict[str, Layer]:
        changed = facts.get("changed", {})
        layers: dict[str, Layer] = {}
        for name in facts["layers"]:
            if name not in self._layers:
                self._layers[name] = from_text(group.file["layers"][escaped(name)][()])
            known = self._layers[name] | changed.get(name, {})
            about = {fact: revived(value) for fact, value in known.items() if fact != "number"}
            layers[name] = StoredLayer.lazily(about, self._reading(name, facts, step, part, _place_of(group)))
        return layers

    def _reading(
        self, name: str, facts: Mapping[str, Any], step: int, part: str, place: int
    ) -> Callable[[str], Any]:
        def find(group: Any, attribute: str) -> Any:
            if _place_of(group) != place:
                raise SnapshotFileError(
                    f"Step {step} of {str(self._opened.path)!r} was written again since this was read; read "
                    f"it again: file[{step}]."
                )
            return read_attribute(group[part] if part else group, facts, name, attribute)

        return lambda attribute: self.look_at(step, lambda group: find(group, attribute))

    def _read_once(self, group: Any, what: str, read: Callable[[], _Found]) -> _Found:
        key = what, _place_of(group[what])
        if key not in self._shared:
            self._shared[key] = read()
        found: _Found = self._shared[key]
        return found


def steps_in(file: Any) -> tuple[int, ...]:
    """The numbers of the steps, in ascending order."""
    return tuple(sorted(int(name) for name in file["steps"]))


def _place_of(group: Any) -> int:
    """Where it stands in the file: links to the same group have the same."""
    return int(h5py_library().h5o.get_info(group.id).addr)


def _listed(steps: Iterable[int]) -> str:
    listed = [str(step) for step in steps]
    if not listed:
        return "none yet"
    return ", ".join(listed if len(listed) <= 12 else [*listed[:6], "...", *listed[-3:]])
