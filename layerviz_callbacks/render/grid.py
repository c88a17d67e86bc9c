"""Tiles in rows and columns, enlarged or reduced by whole factors."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.render import palette

GAP = 4
"""Pixels between tiles: two of them are left on a card that is shown at half size."""
STRIP_GAP = 2
"""Pixels between the slices of one channel."""
GAP_OF_STRIPS = 12
"""Pixels between channels that are strips of slices: enough to see which slices belong together."""


def mean_blocks(
    values: np.ndarray, factor: int | tuple[int, int], *, axes: tuple[int, int] = (-2, -1)
) -> np.ndarray:
    """Reduce two axes by a whole factor: each pixel is the mean of a block; blocks at the end may be smaller.

    NaN and infinities are kept: a block that holds one is one.

    Example:
        >>> mean_blocks(np.array([[1.0, 3.0, 5.0], [1.0, 3.0, 7.0]]), 2)
        array([[2., 6.]])
    """
    factors = (factor, factor) if isinstance(factor, int) else factor
    for axis, size in zip(axes, factors, strict=True):
        if size > 1:
            values = _mean_along(values, size, axis % values.ndim)
    return values


def _mean_along(values: np.ndarray, factor: int, axis: int) -> np.ndarray:
    # one addition of a strided view a place in the block: an order of magnitude faster than reduceat
    length = values.shape[axis]
    whole, rest = divmod(length, factor)
    shape = list(values.shape)
    shape[axis] = whole + (rest > 0)
    means = np.zeros(shape, values.dtype)
    full = means[_along(axis, values.ndim, slice(0, whole))]
    with np.errstate(invalid="ignore", over="ignore"):
        for place in range(factor):
            full += values[_along(axis, values.ndim, slice(place, whole * factor, factor))]
        full /= factor
        if rest:
            last = means[_along(axis, values.ndim, slice(whole, None))]
            for place in range(whole * factor, length):
                last += values[_along(axis, values.ndim, slice(place, place + 1))]
            last /= rest
    return means


def _along(axis: int, dimensions: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if place == axis else slice(None) for place in range(dimensions))


def enlarge(tiles: np.ndarray, factor: int | tuple[int, int]) -> np.ndarray:
    """Repeat each pixel of `(..., height, width)` by whole factors (rows, columns).

    Example:
        >>> enlarge(np.array([[1, 2]]), 2)
        array([[1, 1, 2, 2],
               [1, 1, 2, 2]])
    """
    rows, columns = (factor, factor) if isinstance(factor, int) else factor
    if columns > 1:
        tiles = np.repeat(tiles, columns, axis=-1)
    return np.repeat(tiles, rows, axis=-2) if rows > 1 else tiles


def strips(slices: np.ndarray) -> np.ndarray:
    """Join the slices `(..., slice, height, width)` of each channel side by side.

    Example:
        >>> strips(np.array([[[1]], [[2]]])).tolist()
        [[1, 239, 239, 2]]
    """
    return grid(slices, slices.shape[-3], gap=STRIP_GAP)


def cross_out(tiles: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The tiles `(..., count, height, width)` with a small cross on the `chosen` ones `(count,)`."""
    if not chosen.any():
        return tiles
    tiles = tiles.copy()
    tiles[..., chosen, :, :] = np.where(cross(*tiles.shape[-2:]), palette.DEAD, tiles[..., chosen, :, :])
    return tiles


def cross(height: int, width: int) -> np.ndarray:
    """A mask `(height, width)` of a cross in the middle, at most 20 pixels large."""
    reach = max(1, min(20, height - 2, width - 2) // 2)
    row = np.arange(height)[:, None] - (height - 1) / 2
    column = np.arange(width)[None, :] - (width - 1) / 2
    near = (np.abs(row) <= reach) & (np.abs(column) <= reach)
    return np.asarray(near & (np.abs(np.abs(row) - np.abs(column)) <= 1.5))


def grid(tiles: np.ndarray, columns: int, *, gap: int = GAP, ground: int = palette.PAPER) -> np.ndarray:
    """Lay tiles out in rows of `columns`.

    ```text
    tile 1 | tile 2 | tile 3
    tile 4 | tile 5 | (ground)
    ```

    Args:
        tiles: `(..., count, height, width)`, or with a last axis of colours where `ground` is a colour.
        columns: tiles in a row.
        gap: pixels between tiles; none at the outer edges.
        ground: the index of gaps and of places without a tile.

    Returns:
        `(..., rows * (height + gap) - gap, columns * (width + gap) - gap)`

    Example:
        >>> grid(np.array([[[1]], [[2]], [[3]]]), 2, gap=1, ground=0)
        array([[1, 0, 2],
               [0, 0, 0],
               [3, 0, 0]])
    """
    *leading, count, height, width = tiles.shape
    rows = -(-count // columns)
    cells = np.full((*leading, rows * columns, height + gap, width + gap), ground, tiles.dtype)
    cells[..., :count, :height, :width] = tiles
    cells = cells.reshape(*leading, rows, columns, height + gap, width + gap)
    sheet = np.swapaxes(cells, -3, -2).reshape(*leading, rows * (height + gap), columns * (width + gap))
    return sheet[..., : sheet.shape[-2] - gap, : sheet.shape[-1] - gap]
