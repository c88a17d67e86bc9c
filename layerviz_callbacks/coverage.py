"""Which layers are pictured, and why the others are not: told once, at train begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views import probe_refusal
from layerviz_callbacks.views.words import escape_markdown

if TYPE_CHECKING:
    from layerviz_callbacks.views import View

NO_KERNEL = "no kernel of their own; add their names to layers= to see their outputs"


@dataclass(frozen=True)
class Coverage:
    """What is drawn of a model.

    Attributes:
        pictured: the names of the layers with at least one picture.
        missing: the others with the reason.
        partial: pictured layers that one of the views had to leave out, as `(name, family)` with the reason.
        chosen: whether the user chose the layers; then the ones not chosen are not counted.
        inputs: the probe's inputs that cannot be pictured, with the reason.
        others: what else a view had to leave out, as `(name, family)` with the reason.
        families: of the views, where none of them pictures layers.
    """

    pictured: tuple[str, ...]
    missing: Mapping[str, str]
    partial: Mapping[tuple[str, str], str] = field(default_factory=dict)
    chosen: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[tuple[str, str], str] = field(default_factory=dict)
    families: tuple[str, ...] = ()

    def line(self) -> str:
        """One line for the log.

        Example:
            >>> Coverage(("conv1", "head"), {"lstm": "its kernels are gated"}).line()
            '2 of 3 layers pictured; 1 not: lstm (its kernels are gated)'
        """
        total = len(self.pictured) + len(self.missing)
        kind = "chosen layers" if self.chosen else "layers"
        parts = [f"{len(self.pictured)} of {total} {kind} pictured" if total else self._without_layers()]
        if self.missing:
            reasons = [f"{_listed(names)} ({reason})" for reason, names in _by_reason(self.missing).items()]
            parts.append(f"{len(self.missing)} not: " + ", ".join(reasons))
        for (family, reason), names in _names_by_reason({**self.partial, **self.others}).items():
            parts.append(f"no {family} of {_listed(names)} ({reason})")
        parts += [f"no picture of the probe's {name} ({reason})" for name, reason in self.inputs.items()]
        return "; ".join(parts)

    def _without_layers(self) -> str:
        if not self.families:
            return "no layers to be pictured"
        return f"{' and '.join(self.families)} of the whole model, no pictures of single layers"

    def markdown(self) -> str:
        """The same in full, as a Markdown table for TensorBoard's text tab."""
        rows = [f"| {escape_markdown(name)} | pictured |" for name in self.pictured]
        rows += [
            f"| {escape_markdown(name)} | not pictured: {escape_markdown(reason)} |"
            for name, reason in self.missing.items()
        ]
        rows += [
            f"| {escape_markdown(name)} | no {family}: {escape_markdown(reason)} |"
            for (name, family), reason in [*self.partial.items(), *self.others.items()]
        ]
        return "\n".join([escape_markdown(self.line()), "", "| layer | |", "|---|---|", *rows])


def coverage(snapshot: Snapshot, plan: Sequence[tuple[View, frozenset[str] | None]]) -> Coverage:
    """Find out what these views draw of a snapshot.

    Args:
        snapshot: shapes are enough, no arrays are needed.
        plan: each view with the names of its layers (None: it chooses by itself).
    """
    others = {
        (name, view.family): reason
        for view, names in plan
        for name, reason in view.refusals(snapshot.choose(names)).items()
    }
    families = tuple(dict.fromkeys(view.family for view, _ in plan))
    plan = [(view, names) for view, names in plan if view.per_layer]
    if not plan:
        return Coverage((), {}, inputs=_unpictured(snapshot), others=others, families=families)
    chosen = all(names is not None for _, names in plan)
    pictured: list[str] = []
    missing: dict[str, str] = {}
    partial: dict[tuple[str, str], str] = {}
    drawn_by = [{layer.name for layer in view.chosen(snapshot.choose(names))} for view, names in plan]
    for layer in snapshot:
        wanted = [view for (view, _), names in zip(plan, drawn_by, strict=True) if layer.name in names]
        if layer.part_of or (not wanted and (chosen or layer.container)):
            continue
        refusals = {view.family: reason for view in wanted if (reason := view.refusal(layer))}
        if not wanted:
            missing[layer.name] = layer.refusal or _not_wanted(layer, plan)
        elif len(refusals) == len(wanted):
            missing[layer.name] = _joined(layer, refusals)
        else:
            pictured.append(layer.name)
            expected = {view.family for view in wanted if _expects(view, layer)}
            partial.update(
                {(layer.name, family): why for family, why in refusals.items() if family in expected}
            )
    return Coverage(tuple(pictured), missing, partial, chosen, _unpictured(snapshot), others)


def _unpictured(snapshot: Snapshot) -> dict[str, str]:
    """The probe's inputs that cannot be pictured, with the reason."""
    return {name: why for name, array in snapshot.inputs.items() if (why := probe_refusal(array))}


def _not_wanted(layer: Layer, plan: Sequence[tuple[View, frozenset[str] | None]]) -> str:
    """Why no view chose a layer by itself."""
    by_default = [view for view, names in plan if names is None]
    if len(by_default) < len(plan) and all(view.leaves_out for view in by_default):
        return "in the layers= of no view"
    if by_default and all(view.leaves_out for view in by_default):
        return "; ".join(dict.fromkeys(view.leaves_out for view in by_default))
    refusals = [view.refusal(layer) for view, _ in plan] if layer.kernel_shape is not None else []
    return "; ".join(dict.fromkeys(reason for reason in refusals if reason)) or NO_KERNEL


def _expects(view: View, layer: Layer) -> bool:
    """A pooling layer has no filters, and nobody misses them; nor the output of a raw parameter."""
    if view.needs & {"kernels", "weights"}:
        return layer.kernel_shape is not None
    return "outputs" in view.needs and not view.leaves_out and layer.kind != "Parameter"


def _joined(layer: Layer, refusals: Mapping[str, str]) -> str:
    if layer.refusal:
        return layer.refusal
    return "; ".join(dict.fromkeys(refusals.values()))


def _names_by_reason(left_out: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], list[str]]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for (name, family), reason in left_out.items():
        grouped.setdefault((family, reason), []).append(name)
    return grouped


def _by_reason(missing: Mapping[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, reason in missing.items():
        grouped.setdefault(reason, []).append(name)
    return grouped


def _listed(names: Sequence[str], limit: int = 6) -> str:
    listed = ", ".join(names[:limit])
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} more"
