"""Which layers' health is told, and what must be read for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from layerviz_callbacks.cut import Taken
from layerviz_callbacks.health import LayerStatistics, output_statistics, weight_sample
from layerviz_callbacks.health.observed import family_of, is_activation
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Layer, Snapshot

ATTENTION_SAMPLES = 2
_MOST_ATTENTION = 1 << 22
"""Attention of more weights than these a sample is not read for its entropy."""


def is_watched(layer: Layer) -> bool:
    """Whether its health is told: it has a kernel, is an activation layer, or computes attention."""
    return measures(layer) or attends(layer)


def measures(layer: Layer) -> bool:
    """Whether its statistics are needed: those of a raw parameter, which has no output, are not."""
    if layer.refusal or family_of(layer) == "parameter":
        return False
    return layer.kernel_shape is not None or (is_activation(layer) and layer.output_shape is not None)


def attends(layer: Layer) -> bool:
    """Whether it computes attention that is not too large to be read at every step."""
    shape = layer.attention_shape
    return shape is not None and len(shape) == 4 and 0 < shape[1] * shape[2] * shape[3] <= _MOST_ATTENTION


def health_request(layers: list[Layer]) -> Request:
    """Statistics of these layers, and the attention of a few samples."""
    return Request(
        statistics=frozenset(layer.base_name for layer in layers if measures(layer)),
        attention=frozenset(layer.base_name for layer in layers if attends(layer)),
        attention_samples=ATTENTION_SAMPLES,
    )


def with_statistics(snapshot: Snapshot, layers: list[Layer]) -> Snapshot:
    """The snapshot with statistics of these layers, as far as their kernels and outputs were read whole."""
    measured = {layer.name: replace(layer, statistics=_statistics_of(layer)) for layer in layers}
    return replace(snapshot, layers={**snapshot.layers, **measured})


def _statistics_of(layer: Layer) -> LayerStatistics | None:
    if layer.statistics is not None or not measures(layer):
        return layer.statistics
    output = layer.output if _is_whole(layer.output, layer.output_taken, layer.output_shape) else None
    kernel = layer.kernel if _is_whole(layer.kernel, layer.kernel_taken, layer.kernel_shape) else None
    if output is None and kernel is None:
        return None
    return LayerStatistics(
        None if output is None else output_statistics(output),
        None if kernel is None else weight_sample(kernel),
    )


def _is_whole(array: np.ndarray | None, taken: Taken | None, shape: Sequence[int] | None) -> bool:
    """Whether all was read, in its order; also where a part was asked for that is all of it."""
    if array is None or taken is None:
        return array is not None
    return shape is not None and array.shape == tuple(shape) and [*taken.channels] == sorted(taken.channels)
