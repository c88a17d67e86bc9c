"""From maps of any size to rows that can be compared: one a sample and place."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.cut import VALUES_A_STRETCH, OutputCut
from layerviz_callbacks.render.scale import as_floats
from layerviz_callbacks.snapshot import Layer

MOST_ROWS = 2048
_GOLDEN = (np.sqrt(5) - 1) / 2


def maps_of(layer: Layer) -> np.ndarray:
    """What is held of a layer's output, `(sample, *space, channel)`, with values that belong together.

    Of a curve that is kept as the first, smallest and largest value of each stretch, these are the first
    ones: at one point in time for all channels, which the extremes are not.
    """
    output = np.asarray(layer.output)
    cut = None if layer.output_taken is None else layer.output_taken.cut
    if isinstance(cut, OutputCut) and cut.stretches is not None and output.ndim == 3:
        full = (layer.output_shape or output.shape)[1]
        if output.shape[1] == VALUES_A_STRETCH * cut.stretches < full:
            return output[:, ::VALUES_A_STRETCH]
    return output


def common_grid(one: np.ndarray, other: np.ndarray) -> tuple[int, ...]:
    """The space on which two outputs can be compared place by place: the coarser one along each axis.

    Where they have different numbers of axes of space, it is none: each sample's mean over space is compared.

    Example:
        >>> common_grid(np.zeros((4, 28, 28, 8)), np.zeros((4, 14, 14, 16)))
        (14, 14)
    """
    first, second = one.shape[1:-1], other.shape[1:-1]
    if len(first) != len(second):
        return ()
    return tuple(min(lengths) for lengths in zip(first, second, strict=True))


def rows_of(output: np.ndarray, grid: tuple[int, ...], *, samples: int, most: int = MOST_ROWS) -> np.ndarray:
    """Rows `(sample and place, channel)` of the first samples, means over blocks on this grid.

    Of more than `most` so many are taken: one of each of as many equal stretches, at places within them
    that fall into no rhythm with a map's lines. The same samples and grid always give the same rows.

    Args:
        output: `(sample, *space, channel)`.
        grid: the space that is wanted; none: the mean over all places.
        samples: the first so many.
        most: rows.
    """
    values = as_floats(output[:samples])
    if len(grid) == values.ndim - 2:
        for axis, size in enumerate(grid, start=1):
            values = _means(values, size, axis)
    else:
        values = values.mean(axis=tuple(range(1, values.ndim - 1)), dtype=np.float64)
    flat = values.reshape(-1, values.shape[-1])
    return flat if len(flat) <= most else flat[_spread(len(flat), most)]


def _means(values: np.ndarray, size: int, axis: int) -> np.ndarray:
    length = values.shape[axis]
    if length == size:
        return values
    starts = np.arange(size) * length // size
    shape = [1] * values.ndim
    shape[axis] = -1
    counts = np.diff([*starts, length]).reshape(shape)
    return np.asarray(np.add.reduceat(values.astype(np.float64), starts, axis=axis) / counts)


def _spread(total: int, count: int) -> np.ndarray:
    edges = np.arange(count + 1) * total // count
    share = np.arange(count) * _GOLDEN % 1
    return np.asarray(edges[:-1] + np.floor(share * np.diff(edges)).astype(int))
