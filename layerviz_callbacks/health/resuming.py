"""What a resumed training knows of the health of a layer at an earlier step, out of the file of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from layerviz_callbacks.health.observed import Earlier
from layerviz_callbacks.health.statistics import weight_sample

if TYPE_CHECKING:
    from layerviz_callbacks.snapshot import Layer


def taken_over(earlier: Earlier, layer: Layer, numbers: Mapping[str, float], step: int) -> Earlier:
    """What is remembered of a layer after an earlier step, as far as its file tells.

    Its weights before training are known where its kernel was kept whole at step 0. How long weights have not
    moved, and which filters were silent, is counted anew.

    Args:
        earlier: after the steps before.
        layer: at that step, with the arrays that were kept.
        numbers: see `LayerHealth`.
        step: see `Snapshot.step`.
    """
    gradient = numbers.get("gradient norm")
    if gradient is not None and np.isfinite(gradient) and earlier.gradients < 2:
        largest = max(earlier.largest_gradient, gradient)
        earlier = replace(earlier, gradients=earlier.gradients + 1, largest_gradient=largest)
    if step == 0:
        kernel = layer.kernel if layer.kernel_taken is None else None
        sample = None if kernel is None else weight_sample(kernel).values
        rank = numbers.get("effective rank share")
        earlier = replace(earlier, initial=sample, initial_rank=rank)
    return replace(earlier, steps=earlier.steps + 1)
