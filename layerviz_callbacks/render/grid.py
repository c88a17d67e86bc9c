"""Tiles in rows and columns, enlarged or reduced by whole factors."""

from __future__ import annotations

from functools import lru_cache

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


@lru_cache(maxsize=128)
def cross(height: int, width: int) -> np.ndarray:
    """A mask `(height, width)` of a cross in the middle, at most 20 pixels large; read-only."""
    reach = max(1, min(20, height - 2, width - 2) // 2)
    row = np.arange(height)[:, None] - (height - 1) / 2
    column = np.arange(width)[None, :] - (width - 1) / 2
    near = (np.abs(row) <= reach) & (np.abs(column) <= reach)
    mask = np.asarray(near & (np.abs(np.abs(row) - np.abs(column)) <= 1.5))
    mask.setflags(write=False)
    return mask


def mark_corners(tiles: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The tiles `(..., count, height, width)`, the `chosen` ones `(count,)` with a triangle in a corner."""
    if not chosen.any():
        return tiles
    tiles = tiles.copy()
    marked = tiles[..., chosen, :, :]
    edge, inside = corner(*tiles.shape[-2:])
    marked[..., edge] = palette.PAPER
    marked[..., inside] = palette.DEAD
    tiles[..., chosen, :, :] = marked
    return tiles


@lru_cache(maxsize=128)
def corner(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks `(height, width)` of a triangle at the upper right: its edge, its inside of at most 16 pixels.

    The edge sets it off from whatever colour lies beside it.
    """
    reach = max(4, min(16, height // 3, width // 3))
    row = np.arange(height)[:, None]
    column = np.arange(width - 1, -1, -1)[None, :]
    inside = np.asarray(row + column < reach)
    edge = np.asarray(row + column < reach + 2) & ~inside
    for mask in (edge, inside):
        mask.setflags(write=False)
    return edge, inside


def crossed_grid(
    tiles: np.ndarray,
    chosen: np.ndarray,
    columns: int,
    *,
    cornered: np.ndarray | None = None,
    gap: int = GAP,
    factor: int = 1,
) -> np.ndarray:
    """Enlarge tiles, cross out the `chosen` ones `(count,)`, mark the `cornered` ones, lay all out."""
    if cornered is not None and cornered.any():
        tiles, factor = mark_corners(enlarge(tiles, factor), cornered), 1
    if chosen.any():
        tiles, factor = cross_out(enlarge(tiles, factor), chosen), 1
    return grid(tiles, columns, gap=gap, factor=factor)


def grid(
    tiles: np.ndarray, columns: int, *, gap: int = GAP, ground: int = palette.PAPER, factor: int = 1
) -> np.ndarray:
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
        factor: by how much tiles are enlarged; gaps are not.

    Returns:
        `(..., rows * (height + gap) - gap, columns * (width + gap) - gap)`, of enlarged heights and widths

    Example:
        >>> grid(np.array([[[1]], [[2]], [[3]]]), 2, gap=1, ground=0)
        array([[1, 0, 2],
               [0, 0, 0],
               [3, 0, 0]])
    """
    if factor > 1:  # rows are repeated last, so that the large array is written only once
        flat, repeats = flat_grid(tiles, columns, gap=gap, ground=ground, factor=factor)
        return np.repeat(flat, repeats, axis=-2)
    sheet = _laid_out(tiles, columns, (gap, gap), ground)
    return sheet[..., : sheet.shape[-2] - gap, : sheet.shape[-1] - gap]


def _laid_out(tiles: np.ndarray, columns: int, gaps: tuple[int, int], ground: int) -> np.ndarray:
    """The grid with gaps (below, at the right) behind the last row and column too."""
    *leading, count, height, width = tiles.shape
    rows, below, beside = -(-count // columns), gaps[0], gaps[1]
    sheet = np.full((*leading, rows * (height + below), columns * (width + beside)), ground, tiles.dtype)
    # the same memory seen as cells, so that each tile is copied once: (..., row, column, height, width)
    cells = sheet.reshape(*leading, rows, height + below, columns, width + beside).swapaxes(-3, -2)
    cells = cells[..., :height, :width]
    whole = count // columns
    full = tiles[..., : whole * columns, :, :]
    cells[..., :whole, :, :, :] = full.reshape(*leading, whole, columns, height, width)
    if whole < rows:
        cells[..., whole, : count - whole * columns, :, :] = tiles[..., whole * columns :, :, :]
    return sheet


def flat_grid(
    tiles: np.ndarray, columns: int, *, gap: int = GAP, ground: int = palette.PAPER, factor: int
) -> tuple[np.ndarray, np.ndarray]:
    """The grid of tiles enlarged from left to right only, and how often each of its rows is to be repeated.

    Example:
        >>> flat, repeats = flat_grid(np.array([[[1]], [[2]]]), 1, gap=1, ground=0, factor=3)
        >>> flat.tolist(), repeats.tolist()
        ([[1, 1, 1], [0, 0, 0], [2, 2, 2]], [3, 1, 3])
    """
    flat = _laid_out(enlarge(tiles, (1, factor)), columns, (1, gap), ground)
    height = tiles.shape[-2]
    repeats = np.full(flat.shape[-2] - 1, factor)
    repeats[height :: height + 1] = gap
    return flat[..., :-1, : flat.shape[-1] - gap], repeats
