"""A trained model as arrays: what the doors' `inspect` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from layerviz_callbacks.explaining.explain import explained
from layerviz_callbacks.messages import logger
from layerviz_callbacks.plan import checked_views, plan_of, request_of
from layerviz_callbacks.reader import Reader, select_entries
from layerviz_callbacks.request import Request
from layerviz_callbacks.selection import Selector, check_selector
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views import View


def inspected(reader: Reader, *, layers: Selector | None, views: Sequence[View] | None) -> Snapshot:
    """Read kernels, weights, outputs and attention of layers whole, and what these views need beside.

    Args:
        reader: reads the model.
        layers: which layers; None: all.
        views: whose further needs (gradients, saliency, patterns) are read; None: no further ones.

    Raises:
        SelectionError: a selector matches nothing.
        ProbeError: the model cannot be called with the probe.
        ArgumentError: a view's argument does not fit the model or the probe.
    """
    check_selector(layers)
    entries = reader.entries()
    chosen = None if layers is None else select_entries(layers, entries)
    names = frozenset(entry.name for entry in entries) if chosen is None else chosen
    request = Request(weights=names, outputs=names, attention=names)
    if views is not None:
        plan = plan_of(checked_views(views), layers, entries)
        shapes = reader.read(Request(model_outputs=True))
        for planned in plan:
            planned.view.check(shapes)
        request |= request_of(plan, shapes)
    request = replace(request, kernel_cuts={}, output_cuts={}, attention_samples=None)
    snapshot = explained(reader, reader.read(request), request)
    for what, why in snapshot.unread.items():
        logger().warning("There is no %s: %s", what, why)
    return snapshot.choose(chosen)
