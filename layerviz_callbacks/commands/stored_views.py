"""Which views a stored snapshot can be drawn with, and why not with the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from layerviz_callbacks.commands.view_names import kebab, views_named, views_of_one_step
from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.plan import PlannedView
from layerviz_callbacks.selection import select
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views import View, default_views

_OF_LAYERS: Mapping[str, Callable[[Layer], bool]] = {
    "kernels": lambda layer: layer.kernel is not None,
    "weights": lambda layer: layer.kernel is not None or bool(layer.weights),
    "outputs": lambda layer: layer.output is not None,
    "attention": lambda layer: layer.attention is not None,
    "gradients": lambda layer: bool(layer.gradients),
    "patterns": lambda layer: layer.patterns is not None,
}
_OF_THE_MODEL: Mapping[str, Callable[[Snapshot], bool]] = {
    "model outputs": lambda snapshot: bool(snapshot.outputs),
    "saliency": lambda snapshot: bool(snapshot.saliency),
    "health": lambda snapshot: bool(snapshot.health),
}


def plan_for(
    snapshot: Snapshot,
    names: Sequence[str] | None,
    layers: Sequence[str] | None,
    *,
    name: str,
    films: bool,
) -> list[PlannedView]:
    """The views with their layers.

    Args:
        snapshot: a step of the file.
        names: of the views, as they are typed; None: the usual ones, as far as the file holds them.
        layers: names, globs and kinds; None: those that views choose.
        name: of the file, for messages.
        films: the usual views are also those that show several steps.

    Raises:
        ArgumentError: the file holds nothing that a view needs.
        SelectionError: a layer is not there.
    """
    chosen = None
    if layers is not None:
        found = select(layers, [(layer.name, layer) for layer in snapshot])
        chosen = frozenset(found)
    usual = default_views() if films else views_of_one_step()
    views = usual if names is None else views_named(names)
    plan = [PlannedView(view, chosen if view.per_layer else None) for view in views]
    refusals = {planned.key: _refusal(planned, snapshot, name) for planned in plan}
    if names is None:
        drawn = [planned for planned in plan if not refusals[planned.key]]
        if drawn:
            return drawn
    for planned in plan:
        if refusals[planned.key]:
            raise ArgumentError(refusals[planned.key])
    return plan


def _refusal(planned: PlannedView, snapshot: Snapshot, name: str) -> str:
    """Why a view draws nothing of this step, in words; empty where it may draw something."""
    view, typed = planned.view, kebab(type(planned.view).__name__)
    shown = snapshot.choose(planned.names)
    if view.per_layer and not view.drawn(shown):
        asked = view.chosen(shown)
        why = "; ".join(dict.fromkeys(view.refusal(layer) for layer in asked))
        return f"--view {typed} draws none of {'these' if planned.names else 'the'} layers" + (
            f": {why}." if why else f" of {name}: none is of the kind that it draws."
        )
    lacking = _lacking(view, shown)
    if not lacking:
        return ""
    unread = "".join(f" No {what}: {why}." for what, why in snapshot.unread.items())
    return (
        f"--view {typed} needs {' and '.join(lacking)}, and {name} holds none"
        f"{' of these layers' if planned.names is not None else ''}.{unread} A file holds what the views of "
        f"its recording needed: record with views=[..., views.{type(view).__name__}()]."
    )


def _lacking(view: View, snapshot: Snapshot) -> list[str]:
    """What the view needs and no layer that it draws has."""
    layers = view.drawn(snapshot) if view.per_layer else list(snapshot)
    lacking = [
        what for what, holds in _OF_LAYERS.items() if what in view.needs and not any(map(holds, layers))
    ]
    lacking += [what for what, holds in _OF_THE_MODEL.items() if what in view.needs and not holds(snapshot)]
    if {"kernels", "outputs"} <= view.needs and "gradients" not in view.needs:  # it draws what there is
        both = {"kernels", "outputs"}
        return lacking if both <= set(lacking) else [what for what in lacking if what not in both]
    return lacking
