"""The health of layers at each step: as it was kept, or found anew from the arrays that were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views import Health
from layerviz_callbacks.views.health_layers import with_statistics


def with_health(snapshots: Iterable[Snapshot]) -> Iterator[Snapshot]:
    """The same snapshots, in their order, with health, verdicts and the numbers of both.

    Where a training recorded them, they are what it found; else they are found from the kernels and outputs
    that were kept, which may be parts, and without gradients and updates.
    """
    view = Health(histograms=False)
    follower = view.follower()
    for snapshot in snapshots:
        if snapshot.health or snapshot.verdicts:
            yield snapshot
            continue
        told = follower.follow(with_statistics(snapshot, view.watched(snapshot)))
        yield replace(
            snapshot,
            health=told.health,
            verdicts=told.verdicts,
            numbers={**view.scalars(told), **snapshot.numbers},
        )
