"""Which views work on which model: what `zoo.py --views` prints."""

import time

from layerviz_callbacks import ArgumentError, views
from layerviz_callbacks.explaining.explain import explained
from layerviz_callbacks.plan import plan_of, request_of
from layerviz_callbacks.request import Request

HEADER = ["model", "filters", "maps", "attention", "composite", "predict", "grad-cam", "saliency", "patterns",
          "seconds"]  # fmt: skip


def all_views():
    """One of each family, with as little work as shows whether it works."""
    return [
        views.Filters(),
        views.FeatureMaps(),
        views.Attention(),
        views.Composite(),
        views.Predictions(),
        views.GradCAM(),
        views.Saliency(),
        views.Patterns(max_channels=2, steps=2),
    ]


def pictured(reader, name):
    """A row: how many pictures each view draws of a model, and the reasons of those that draw none."""
    began = time.perf_counter()
    entries = reader.entries()
    shapes = reader.read(Request(model_outputs=True))
    cells, reasons = [], {}
    for view, column in zip(all_views(), HEADER[1:], strict=False):
        try:
            view.check(shapes)
        except ArgumentError as error:
            cells.append("-")
            reasons[column] = str(error)
            continue
        (planned,) = plan_of([view], None, entries)
        request = request_of([planned], shapes)
        if view.per_layer and column == "patterns":  # each layer is as much work as a training step
            request = Request(patterns=dict(list(request.patterns.items())[:2]))
        snapshot = explained(reader, reader.read(request), request)
        drawn = view.draw(snapshot.choose(planned.names))
        cells.append(str(len(drawn)) if drawn else "-")
        if not drawn:
            why = {**view.refusals(shapes), **snapshot.unread}
            reasons[column] = (
                "; ".join(f"{what}: {reason}" for what, reason in why.items()) or "nothing to draw"
            )
    return [name, *cells, f"{time.perf_counter() - began:.1f}"], reasons
