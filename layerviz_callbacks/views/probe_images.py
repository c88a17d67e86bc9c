"""The probe's images and volumes, as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.grid import STRIP_GAP, enlarge, mean_blocks
from layerviz_callbacks.render.layout import CONTENT_WIDTH, Tiles, fit_tiles
from layerviz_callbacks.render.scale import as_floats, finite_range
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line, measure
from layerviz_callbacks.views.slices import evenly_spaced
from layerviz_callbacks.views.thumbnails import sees_colours
from layerviz_callbacks.views.words import count_of, listed, size_of

MOST_BANDS = 6
MOST_BANDS_OF_VOLUMES = 3
MOST_SLICES = 5
GAP = 12


@dataclass(frozen=True, eq=False)
class DrawnProbe:
    """The body of a sheet with its words."""

    bands: list[np.ndarray]
    facts: str
    key: list[tuple[np.ndarray, str]]
    notes: list[str]


def draw_images(array: np.ndarray, labels: Sequence[str]) -> DrawnProbe:
    """Images `(sample, height, width, channel)` or volumes with one axis more in front of the height.

    One channel is grey, three are red, green and blue. Of others the first six bands are drawn side by side,
    of volumes the first three in rows. Volumes show up to five slices side by side.
    """
    count, volume, coloured = len(labels), array.ndim == 5, sees_colours(array)
    banded = not coloured and array.shape[-1] > 1
    slices = evenly_spaced(array.shape[1], MOST_SLICES) if volume else None
    held = array[:count] if slices is None else array[:count, list(slices)]
    shown = 3 if coloured else min(array.shape[-1], MOST_BANDS_OF_VOLUMES if volume else MOST_BANDS)
    planes = as_floats(held[..., :shown])
    planes = planes if volume else planes[:, None]  # (sample, slice, height, width, channel)
    low, high = _range(array, planes, each_band=banded)
    share = np.nan_to_num(np.clip((planes - low) / np.where(high > low, high - low, 1), 0, 1))
    tiled = _as_tiles(share, coloured=coloured, volume=volume)
    names = [f"band {band}" for band in range(shown)] if banded and not volume else []
    _, rows, wide, height, width, _ = tiled.shape
    columns, tiles = _fit(height, width, count, rows, wide, named=bool(names))
    body = _body(tiled, tiles, columns, labels, names)
    return DrawnProbe(
        [body],
        f"{_kind(array, coloured)} {size_of(array.shape[1:-1])}, {count_of(count, len(array), 'sample')}",
        [(draw_line(words), words) for words in [_range_words(array, low, high, banded)]],
        _notes(array, slices, shown if banded else 0, tiles),
    )


def _range(array: np.ndarray, planes: np.ndarray, *, each_band: bool) -> tuple[np.ndarray, np.ndarray]:
    if array.dtype == np.uint8:
        return np.zeros((1,) * 5, np.float32), np.full((1,) * 5, 255, np.float32)
    low, high = finite_range(planes, axes=(0, 1, 2, 3) if each_band else range(5))
    return low, high


def _as_tiles(share: np.ndarray, *, coloured: bool, volume: bool) -> np.ndarray:
    """`(sample, row, column, height, width, colour)`: bands in rows of slices, or side by side."""
    if coloured:
        return share[:, None]
    bands = np.moveaxis(share, -1, 1)[..., None]  # (sample, band, slice, height, width, 1)
    return bands if volume else np.swapaxes(bands, 1, 2)


def _fit(height: int, width: int, count: int, rows: int, slices: int, *, named: bool) -> tuple[int, Tiles]:
    """How many samples side by side, and the tiles of one of them: `rows` of `slices`."""
    best: tuple[int, Tiles] | None = None
    words = LINE_HEIGHT * (2 if named else 1)
    for columns in range(1, min(count, 8) + 1):
        room = (CONTENT_WIDTH + GAP) // columns - GAP
        tall = min(460, 760 // -(-count // columns) - words - GAP)
        tiles = fit_tiles(height, width, 1, room, (tall + STRIP_GAP) // rows - STRIP_GAP, slices=slices)
        if tiles is None:
            continue
        full_rows = best is not None and count % columns == 0 and count % best[0] != 0
        share = 0.7 if full_rows else 1.0
        if best is None or tiles.enlarge * best[1].reduce >= share * best[1].enlarge * tiles.reduce:
            best = columns, tiles
    return best or (1, _however_small(height, width, slices))


def _however_small(height: int, width: int, slices: int) -> Tiles:
    """For images of odd shapes, such as 4000 x 1: as wide as the sheet allows."""
    reduce = max(1, -(-width * slices // (CONTENT_WIDTH - slices * STRIP_GAP)))
    wide = slices * (-(-width // reduce) + STRIP_GAP) - STRIP_GAP
    return Tiles(1, 1, -(-height // reduce), wide, reduce=reduce, slices=slices)


def _body(
    tiled: np.ndarray, tiles: Tiles, columns: int, labels: Sequence[str], names: Sequence[str]
) -> np.ndarray:
    shown = np.moveaxis(mean_blocks(tiled, tiles.reduce, axes=(3, 4)), -1, 3)
    grey = enlarge(np.rint(shown * 255).astype(np.uint8), tiles.enlarge)
    colours = np.moveaxis(np.broadcast_to(grey, (*grey.shape[:3], 3, *grey.shape[4:])), 3, -1)
    count, rows, wide, height, width, _ = colours.shape
    pitch = (CONTENT_WIDTH + GAP) // columns
    tall = rows * (height + STRIP_GAP) - STRIP_GAP
    below = LINE_HEIGHT if names and width >= max(measure(name) for name in names) else 0
    block = LINE_HEIGHT + tall + below + GAP
    body = np.empty((-(-count // columns) * block - GAP, CONTENT_WIDTH, 3), np.uint8)
    body[...] = palette.sequential()[palette.PAPER]
    for place in range(count):
        top, left = place // columns * block, place % columns * pitch
        _paste(body, palette.sequential()[draw_line(labels[place], width=pitch - GAP)], top, left)
        for row in range(rows):
            for column in range(wide):
                at = left + column * (width + STRIP_GAP)
                _paste(body, colours[place, row, column], top + LINE_HEIGHT + row * (height + STRIP_GAP), at)
                if below:
                    name = palette.sequential()[draw_line(names[column], faded=True)]
                    _paste(body, name, top + LINE_HEIGHT + tall, at)
    return body


def _paste(body: np.ndarray, part: np.ndarray, top: int, left: int) -> None:
    body[top : top + part.shape[0], left : left + part.shape[1]] = part[:, : body.shape[1] - left]


def _kind(array: np.ndarray, coloured: bool) -> str:
    noun = "volumes" if array.ndim == 5 else "images"
    if coloured:
        return f"RGB {noun}"
    return f"grey {noun}" if array.shape[-1] == 1 else f"{noun} of {array.shape[-1]} bands,"


def _range_words(array: np.ndarray, low: np.ndarray, high: np.ndarray, banded: bool) -> str:
    if array.dtype == np.uint8:
        return "shown as they are, 0 to 255"
    if banded:
        return "black to white: each band's own range in the batch"
    ends = sheet.number(float(low.max())), sheet.number(float(high.max()))
    return f"black {ends[0]}, white {ends[1]} (the batch's range)"


def _notes(array: np.ndarray, slices: tuple[int, ...] | None, bands: int, tiles: Tiles) -> list[str]:
    notes = []
    if bands:
        where = "from above" if array.ndim == 5 else "left to right"
        notes.append(f"bands {listed(range(bands))} of {array.shape[-1]}, {where}")
    if array.ndim == 5:
        depth = array.shape[1]
        places = f"slices {listed(slices)} of {depth}" if slices else count_of(depth, depth, "slice")
        notes.append(f"{places}, left to right" if depth > 1 else places)
    if tiles.reduce > 1:
        notes.append(f"1 pixel = mean of {tiles.reduce}x{tiles.reduce}")
    return notes
