"""Which layers class-activation maps are drawn of, and tokens of patches as maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from layerviz_callbacks.answers import channels_last
from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining.scores import output_of
from layerviz_callbacks.explaining.target import Target
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.patches import placement_of


def default_layers(snapshot: Snapshot, target: Target) -> list[Layer]:
    """The layer that is drawn where nothing was chosen, with its further calls; none where there is none.

    It is the last one with a kernel and the input's axes of space before the answer. Where the answer has
    axes of space itself, a later layer only repeats it: then the one with the smallest maps, of these the
    last. Tokens of an image's patches count as maps; in front of the last attention, behind which the answer
    often takes a single token.
    """
    found = [layer for layer in snapshot if layer.kernel_shape is not None and has_space(layer, snapshot)]
    ranks = {rank for array in snapshot.inputs.values() if (rank := _rank_of(array)) > 0}
    firsts = {layer.output_shape: layer for layer in reversed(found)}  # of each shape one tells for all
    folding = {shape for shape, layer in firsts.items() if patch_grid(layer, snapshot) is not None}
    tokens = [layer for layer in found if layer.output_shape in folding]
    plain = [layer for layer in found if len(layer.output_shape or ()) - 2 in ranks]
    attending = [layer.place for layer in snapshot if layer.attention_shape is not None]
    if tokens and attending:
        tokens = [layer for layer in tokens if layer.place < attending[-1]] or tokens
        plain = []
    layers = sorted(tokens + plain, key=lambda layer: layer.place) or found
    answer = _answer_shape(snapshot, target)
    if answer is not None and len(answer) > 2:
        before = [layer for layer in layers if not (layer is layers[-1] and layer.output_shape == answer)]
        smallest = min((_places(layer) for layer in before or layers), default=0)
        layers = [layer for layer in before or layers if _places(layer) == smallest]
    return [layer for layer in found if layers and layer.base_name == layers[-1].base_name]


def has_space(layer: Layer, snapshot: Snapshot) -> bool:
    """Whether a layer has a map, of more than one place, for each sample of the probe."""
    shape = layer.output_shape
    return (
        shape is not None
        and 3 <= len(shape) <= 5
        and shape[0] == len(snapshot.probe)
        and int(np.prod(shape[1:-1])) > 1
    )


def patch_grid(layer: Layer, snapshot: Snapshot) -> tuple[int, ...] | None:
    """How the tokens of an output `(sample, token, channel)` lie on an image or volume; None: they do not."""
    shape = layer.output_shape
    if shape is None or len(shape) != 3:
        return None
    as_keys = replace(layer, attention=None, attention_shape=(shape[0], 1, shape[1], shape[1]))
    placement = placement_of(as_keys, snapshot)
    return None if placement is None or len(placement.grid) < 2 else placement.grid


def folded(tokens: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Tokens `(sample, token, channel)` as maps `(sample, *grid, channel)`, without those in front.

    Example:
        >>> folded(np.arange(5).reshape(1, 5, 1), (2, 2))[0, ..., 0].tolist()
        [[1, 2], [3, 4]]
    """
    count = int(np.prod(grid))
    return tokens[:, tokens.shape[1] - count :].reshape(len(tokens), *grid, tokens.shape[-1])


def _rank_of(array: np.ndarray) -> int:
    return 1 if array.ndim == 2 and array.dtype.kind in "iu" else array.ndim - 2


def _places(layer: Layer) -> int:
    return int(np.prod((layer.output_shape or ())[1:-1]))


def _answer_shape(snapshot: Snapshot, target: Target) -> tuple[int, ...] | None:
    """`(sample, *space, class)` of the answer that is explained; None where there is none."""
    try:
        answer = channels_last(snapshot.outputs[output_of(target, snapshot)], snapshot, None)
    except DifferentiationError:
        return None
    return None if isinstance(answer, str) else answer.shape
