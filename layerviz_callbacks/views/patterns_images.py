"""Patterns of images and volumes: tiles in colour or grey."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.explaining import FoundPatterns
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.grid import STRIP_GAP, cross
from layerviz_callbacks.render.layout import BODY_HEIGHTS, LARGEST_TILE
from layerviz_callbacks.render.resize import resized
from layerviz_callbacks.views.patterns_drawings import (
    DrawnPatterns,
    block_of,
    blocks_in_rows,
    reach_key,
    reach_of,
    room_for,
    shown_values,
)
from layerviz_callbacks.views.slices import evenly_spaced
from layerviz_callbacks.views.thumbnails import sees_colours
from layerviz_callbacks.views.words import listed

MOST_COLUMNS = 6
MOST_PLANES = 3
"""Slices of a volume, or bands of an image, side by side."""
LARGE_ENOUGH = 96
"""A sheet grows higher until its tiles have this many pixels on their longer side."""
SMALLEST_SIDE = 8


@dataclass(frozen=True)
class _Fitted:
    """How many channels fit, in how many columns, and the height and width of one plane."""

    count: int
    columns: int
    height: int
    width: int


def draw_image_patterns(found: FoundPatterns, *, each: bool) -> DrawnPatterns:
    """Patterns `(channel, height, width, in)`, or with one axis more in front of the height.

    Three input channels are red, green and blue, one is grey; of others the first bands are drawn side by
    side, of volumes slices. Mid grey is the probe's mean.

    Args:
        found: the patterns.
        each: each channel has its own range.
    """
    planes, notes = _planes(shown_values(found))
    fitted = _fitted(len(planes), planes.shape[2], planes.shape[3], planes.shape[1])
    reach = reach_of(found, fitted.count, each=each)
    blocks = []
    for place in range(fitted.count):
        tile = _tile(planes[place], fitted, float(reach[place]))
        if found.dead[place]:
            tile[cross(*tile.shape[:2])] = palette.diverging()[palette.DEAD]
        blocks.append(block_of(tile, found, place))
    key = reach_key(
        reach[~found.dead[: fitted.count]],
        "black to white" if planes.shape[-1] == 1 else "each colour",
        each=each,
    )
    reduced = planes.shape[2] > fitted.height
    notes += [f"means of pixels: {planes.shape[2]} rows in {fitted.height}"] if reduced else []
    return DrawnPatterns(fitted.count, [blocks_in_rows(blocks, fitted.columns)], [key], notes)


def _planes(standardised: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """`(channel, plane, height, width, colour)`, and what the planes are."""
    notes = []
    if standardised.ndim == 5:
        depth, bands = standardised.shape[1], standardised.shape[-1]
        places = evenly_spaced(depth, MOST_PLANES) or tuple(range(depth))
        if depth > 1:
            notes.append(f"slices {listed(places)} of {depth}, left to right")
        if not sees_colours(standardised) and bands > 1:
            notes.append(f"band 0 of {bands}")
        colours = slice(0, 3 if sees_colours(standardised) else 1)
        return standardised[:, list(places), ..., colours], notes
    bands = standardised.shape[-1]
    if bands in (1, 3):
        return standardised[:, None], notes
    shown = min(bands, MOST_PLANES)
    notes.append(f"bands {listed(range(shown))} of {bands}, left to right")
    return np.moveaxis(standardised[..., :shown], -1, 1)[..., None], notes


def _fitted(count: int, height: int, width: int, planes: int) -> _Fitted:
    """The largest tiles for as many channels as fit."""
    while True:
        best: tuple[float, int] | None = None
        for limit in BODY_HEIGHTS:
            for columns in range(1, min(count, MOST_COLUMNS) + 1):
                room_width, room_height = room_for(count, columns, limit)
                plane = (room_width + STRIP_GAP) // planes - STRIP_GAP
                factor = min(plane / width, room_height / height, LARGEST_TILE / max(height, width))
                if factor > 0 and (best is None or factor >= best[0]):
                    best = factor, columns
            if best is not None and best[0] * max(height, width) >= LARGE_ENOUGH:
                break
        if best is not None and (count == 1 or best[0] * max(height, width) >= 2 * SMALLEST_SIDE):
            return _Fitted(
                count,
                best[1],
                max(SMALLEST_SIDE, round(best[0] * height)),
                max(SMALLEST_SIDE, round(best[0] * width)),
            )
        count = -(-count // 2)


def _tile(planes: np.ndarray, fitted: _Fitted, reach: float) -> np.ndarray:
    """One pattern `(plane, height, width, colour)` as RGB `(height, width, 3)`."""
    values = resized(
        np.moveaxis(planes, -1, 0), fitted.height, fitted.width
    )  # (colour, plane, height, width)
    with np.errstate(invalid="ignore"):
        share = np.nan_to_num(np.clip(0.5 + values / (2 * reach), 0, 1))
    strange = ~np.isfinite(values).all(axis=0)
    shown = np.rint(255 * share).astype(np.uint8)
    colours = np.moveaxis(np.broadcast_to(shown, (3, *shown.shape[1:])), 0, -1).copy()
    colours[strange] = palette.diverging()[palette.NOT_A_NUMBER]
    gap = np.broadcast_to(palette.diverging()[palette.PAPER], (fitted.height, STRIP_GAP, 3))
    parts = [part for plane in colours for part in (gap, plane)][1:]
    return np.concatenate(parts, axis=1)
