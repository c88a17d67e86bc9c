"""Which view draws which layers, and what must be read for it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.reader import LayerEntry, select_entries
from layerviz_callbacks.request import Request
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.snapshot import Initial, Layer, Snapshot
from layerviz_callbacks.views import View, default_views


@dataclass
class PlannedView:
    """A view with the layers that it draws in one training.

    Attributes:
        view: what is drawn.
        names: the layers the user chose for it; None: it chooses by itself.
        reads: the layers whose arrays it needs.
        off: it failed and was switched off.
    """

    view: View
    names: frozenset[str] | None
    reads: frozenset[str] = frozenset()
    off: bool = False

    @property
    def key(self) -> Hashable:
        """The same for a view that draws less of the same."""
        return type(self.view), self.view.family, self.reads


def checked_views(views: Sequence[View] | None) -> list[View]:
    """The views to draw.

    Raises:
        ArgumentError: something is not a view, or two would draw the same pictures.
    """
    if views is None:
        return default_views()
    if isinstance(views, View):
        return [views]
    if isinstance(views, (str, type)) or not isinstance(views, Sequence) or not views:
        raise ArgumentError(
            f"views={views!r} is not a list of views. "
            "Pass for example views=[views.Filters(), views.FeatureMaps()]."
        )
    for view in views:
        if isinstance(view, type) and issubclass(view, View):
            raise ArgumentError(f"views=[{view.__name__}] is a class. Type views.{view.__name__}().")
        if not isinstance(view, View):
            raise ArgumentError(
                f"views=[... {view!r} ...] is not a view. Allowed: objects from layerviz_callbacks.views, "
                "such as views.Filters()."
            )
    for place, view in enumerate(views):
        for other in views[:place]:
            if other is view or view.repeats(other):
                raise ArgumentError(
                    f"views holds {type(view).__name__} twice: both would draw the same pictures. "
                    f"Leave one out, or give each its own {view.told_apart_by}."
                )
    return list(views)


def plan_of(
    views: Sequence[View], layers: Selector | None, entries: Sequence[LayerEntry]
) -> list[PlannedView]:
    """Resolve which layers each view reads.

    Raises:
        SelectionError: a selector matches no layer.
        ArgumentError: two views of one family have a layer in common.
    """
    kernels = frozenset(entry.name for entry in entries if entry.has_kernel)
    plan: list[PlannedView] = []
    for view in views:
        if not view.per_layer:
            plan.append(PlannedView(view, None))
            continue
        selector = view.layers if view.layers is not None else layers
        names = None if selector is None else select_entries(selector, entries)
        reads = kernels if names is None else names
        for other in plan:
            both = sorted(other.reads & reads)
            if other.view.family == view.family and both:
                raise ArgumentError(
                    f"views holds {type(view).__name__} twice for the layers {both}. "
                    "Give each its own layers=."
                )
        plan.append(PlannedView(view, names, reads))
    return plan


def request_of(plan: Sequence[PlannedView], shapes: Snapshot) -> Request:
    """What these views need, and of each layer no more than the part that they draw."""
    request = Request()
    for one in plan:
        seen = shapes.choose(one.names)
        request |= one.view.request(_layers_of(one, shapes), seen)
    return request


def request_to_keep(
    request: Request, plan: Sequence[PlannedView], shapes: Snapshot, *, everything: bool
) -> Request:
    """What is read where a file keeps it, too: the model's answers beside what the views need.

    Args:
        request: see `request_of`.
        plan: the views that are due.
        shapes: what there is, without arrays.
        everything: of the layers that are drawn, kernels, weights, outputs and attention are read whole.
    """
    request |= Request(model_outputs=True)
    if not everything:
        return request
    names = frozenset(layer.base_name for one in plan for layer in _layers_of(one, shapes))
    request |= Request(kernels=names, weights=names, outputs=names)
    return replace(request, kernel_cuts={}, output_cuts={}, attention_samples=None)


def initial_of(plan: Sequence[PlannedView], shapes: Snapshot, snapshot: Snapshot) -> Initial | None:
    """What later steps are compared with, by the views that do so; None where none does."""
    comparing = [one for one in plan if "initial" in one.view.needs]
    if not comparing:
        return None
    names = {layer.name for one in comparing for layer in _layers_of(one, shapes)} & set(snapshot.layers)
    return Initial({name: snapshot.layers[name] for name in names}, snapshot.scores)


def _layers_of(one: PlannedView, shapes: Snapshot) -> list[Layer]:
    return one.view.drawn(shapes.choose(one.names)) if one.view.per_layer else []
