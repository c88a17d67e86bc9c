"""Maps of any size brought to the size of a panel, so that panels of different maps lie on one another."""

from __future__ import annotations

import numpy as np


def resized(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring `(..., h, w)` to `(..., height, width)`: repeated where that is larger, else means of blocks.

    The same place of a map is at the same place of the panel, whatever the map's size; repeated pixels, and
    blocks, differ in size by one at most. Integers can only be repeated; where they are too many, every so
    many is taken. NaN and infinities are kept.

    Example:
        >>> resized(np.array([[1.0, 3.0, 5.0, 7.0]]), 2, 2)
        array([[2., 6.],
               [2., 6.]])
    """
    return _along(_along(maps, width, -1), height, -2)


def resized_classes(classes: np.ndarray, height: int, width: int, *, count: int) -> np.ndarray:
    """The same for maps of class numbers from 0 to `count - 1`: a block is of the class that most of it has.

    Example:
        >>> resized_classes(np.array([[2, 2, 0, 1, 1, 1]]), 1, 2, count=3)
        array([[2, 1]])
    """
    if classes.shape[-2] <= height and classes.shape[-1] <= width:
        return resized(classes, height, width)
    best = np.zeros((*classes.shape[:-2], height, width), classes.dtype)
    most = np.full(best.shape, -1, np.float32)
    for number in range(count):
        share = resized((classes == number).astype(np.float32), height, width)
        better = share > most
        best[better], most[better] = number, share[better]
    return best


def _along(values: np.ndarray, size: int, axis: int) -> np.ndarray:
    length = values.shape[axis]
    if length == size:
        return values
    if length < size or values.dtype.kind in "iu":
        return np.asarray(np.take(values, np.arange(size) * length // size, axis=axis))
    starts = np.arange(size) * length // size
    counts = np.diff([*starts, length]).astype(values.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.add.reduceat(values, starts, axis=axis)
        return np.asarray(sums / (counts if axis == -1 else counts[:, None]))
