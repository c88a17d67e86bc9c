"""One step, read, on its way to be drawn and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from layerviz_callbacks.plan import PlannedView
from layerviz_callbacks.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be drawn and written of one step.

    Attributes:
        snapshot: the arrays, with their step.
        plan: the views that are due.
        probe: the probe itself is pictured too.
        keep: it is never dropped, however late the drawing is.
        best: it is the best step so far, and not dropped as long as it is.
    """

    snapshot: Snapshot
    plan: Sequence[PlannedView]
    probe: bool = False
    keep: bool = False
    best: bool = False

    @cached_property
    def held_bytes(self) -> int:
        """The memory of its arrays."""
        arrays: list[np.ndarray | None] = list(self.snapshot.outputs.values())
        for layer in self.snapshot:
            arrays += [layer.kernel, layer.output, layer.attention, *layer.gradients.values()]
            arrays += layer.weights.values()
            arrays += [] if layer.patterns is None else [layer.patterns.inputs]
            if layer.statistics is not None and layer.statistics.weights is not None:
                weights = layer.statistics.weights
                arrays += [weights.values, weights.gradient, weights.update]
        for found in self.snapshot.saliency.values():
            arrays += found.values()
        return sum(array.nbytes for array in arrays if array is not None)
