"""Tiles in red, green and blue."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.grid import cross, enlarge, flat_grid
from layerviz_callbacks.render.scale import Scale


def signed_colours(values: np.ndarray, scale: Scale, *, factor: int = 1) -> np.ndarray:
    """Signed red, green and blue as colours: zero is mid grey (128), the ends of the scale 0 (1) and 255.

    Args:
        values: `(count, 3, height, width)`, floats. Where one of the three is NaN or infinite, the pixel has
            the colour of that.
        scale: a symmetric range.
        factor: by how much pixels are enlarged.

    Returns:
        `(count, 3, height * factor, width * factor)`, uint8

    Example:
        >>> signed_colours(np.array([1.0, 0.0, -1.0]).reshape(1, 3, 1, 1), Scale(1.0, signed=True)).ravel()
        array([255, 128,   1], dtype=uint8)
    """
    limit = np.where(np.asarray(scale.limit) == 0, 1, scale.limit).astype(values.dtype)
    with np.errstate(invalid="ignore"):
        share = np.nan_to_num(np.clip(values / limit, -1, 1))
    colours = np.rint(128 + 127 * share).astype(np.uint8)
    if np.isfinite(values).all():
        return enlarge(colours, factor)
    for index, found in (
        (palette.PLUS_INFINITY, values == np.inf),
        (palette.MINUS_INFINITY, values == -np.inf),
        (palette.NOT_A_NUMBER, np.isnan(values)),
    ):
        mark = palette.diverging()[index].reshape(3, 1, 1)
        colours = np.where(found.any(axis=1, keepdims=True), mark, colours)
    return enlarge(colours, factor)


def cross_out_colours(tiles: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The tiles `(count, 3, height, width)` with a small cross on the `chosen` ones `(count,)`."""
    mark = palette.diverging()[palette.DEAD].reshape(3, 1, 1)
    return np.where(chosen[:, None, None, None] & cross(*tiles.shape[-2:]), mark, tiles)


def crossed_grid_colours(
    tiles: np.ndarray, chosen: np.ndarray, columns: int, *, factor: int = 1
) -> np.ndarray:
    """Enlarge tiles `(count, 3, height, width)`, cross the `chosen` ones out, lay them out.

    Returns:
        RGB `(height, width, 3)`
    """
    if chosen.any():
        tiles, factor = cross_out_colours(enlarge(tiles, factor), chosen), 1
    paper = palette.diverging()[palette.PAPER]
    planes = [
        flat_grid(tiles[:, place], columns, ground=int(paper[place]), factor=factor) for place in range(3)
    ]
    return np.repeat(np.stack([flat for flat, _ in planes], axis=-1), planes[0][1], axis=0)
