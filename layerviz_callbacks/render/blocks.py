"""Blocks of tiles under a name: a sample each, or a gate each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.layout import (
    BODY_HEIGHTS,
    CONTENT_WIDTH,
    FLAT_BODY_HEIGHT,
    FULLER_HEIGHTS,
    SMALLEST_TILE,
    Fitter,
    Tiles,
    flat_or_higher,
    fuller,
    however_high,
)
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line

BLOCK_GAP = 14


@dataclass(frozen=True)
class Blocks:
    """A block of tiles a sample, with the same place for each channel in each block.

    ```text
    sample 1               sample 2
    [input] tile tile tile [input] tile tile tile
            tile tile tile         tile tile tile
    ```

    Attributes:
        columns: blocks in a row.
        width: of a block, in pixels.
        side: width kept for the picture of the input, without the gap; 0 where there is none.
        tiles: the grid in each block.
        samples: how many samples fit.
        count: how many tiles a block has.
    """

    columns: int
    width: int
    side: int
    tiles: Tiles
    samples: int
    count: int

    @property
    def used(self) -> float:
        """The share of the sheet's width with something in it, the mean over all rows of blocks."""
        inner = self.tiles.total_width + (self.side + BLOCK_GAP if self.side else 0)
        return inner * self.samples / (CONTENT_WIDTH * -(-self.samples // self.columns))


def fit_blocks(fit: Fitter, *, samples: int, count: int, label: int, side: bool) -> Blocks:
    """The blocks with the largest tiles; where too many would be needed, fewer channels, then fewer samples.

    Args:
        fit: `(count, width, height) -> Tiles | None`, for example `fit_tiles` of one map's size.
        samples: how many blocks are wanted.
        count: how many tiles a block are wanted.
        label: the height of the line above each block.
        side: whether each block shows the sample's input.
    """
    while True:
        found = [
            blocks
            for height in (FLAT_BODY_HEIGHT, *BODY_HEIGHTS)
            if (blocks := _largest(fit, samples, count, label, height, side=side)) is not None
        ]
        if found:
            flat = flat_or_higher(found, [blocks.tiles for blocks in found])
            not_narrower = (
                _largest(fit, samples, count, label, height, side=side, columns=flat.columns)
                for height in FULLER_HEIGHTS
            )
            any_other = (
                _blocks(fit, columns, samples, count, label, height, side=side)
                for height in FULLER_HEIGHTS
                for columns in range(1, samples + 1)
            )
            return fuller(flat, chain(not_narrower, any_other), lambda blocks: (blocks.tiles, blocks.used))
        if count > 1:
            count = -(-count // 2)
        elif samples > 1:
            samples = -(-samples // 2)
        else:  # a single map of an odd shape, such as 10000 x 1
            return Blocks(1, CONTENT_WIDTH, 0, however_high(fit), 1, 1)


def _largest(
    fit: Fitter,
    samples: int,
    count: int,
    label: int,
    greatest: int,
    *,
    side: bool,
    columns: int | None = None,
) -> Blocks | None:
    """The best blocks in a body of at most this height, in at most so many columns; None where none fit."""
    tried = [
        _blocks(fit, number, samples, count, label, greatest, side=side)
        for number in range(1, (columns or samples) + 1)
    ]
    return max((blocks for blocks in tried if blocks is not None), key=_worth, default=None)


def _blocks(
    fit: Fitter, columns: int, samples: int, count: int, label: int, greatest: int, *, side: bool
) -> Blocks | None:
    width = (CONTENT_WIDTH + BLOCK_GAP) // columns - BLOCK_GAP
    rows = -(-samples // columns)
    side_width = min(112, max(40, width // 6)) if side else 0
    room = (greatest + BLOCK_GAP) // rows - BLOCK_GAP - label
    if width < 60 or room < max(side_width, SMALLEST_TILE):
        return None
    tiles = fit(count, width - (side_width + BLOCK_GAP if side else 0), room)
    return None if tiles is None else Blocks(columns, width, side_width, tiles, samples, count)


def _worth(blocks: Blocks) -> tuple[float, float]:
    """Large tiles first; a block as wide as the sheet reads better than narrow ones side by side."""
    tiles, wide = blocks.tiles, 0.9 ** (blocks.columns - 1)
    return wide * tiles.enlarge / tiles.reduce, wide * min(tiles.height * 3, tiles.width)


def draw_blocks(
    drawing: np.ndarray, blocks: Blocks, names: Sequence[str], beside: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """Blocks in rows: the name above, the input (where there is one) at the left, the tiles at its right.

    Args:
        drawing: the tiles of each block, `(block, height, width)`.
        blocks: as `fit_blocks` found them.
        names: of the blocks.
        beside: a small picture a block, or none.
    """
    pitch = _block_height(drawing, beside) + BLOCK_GAP
    rows = -(-blocks.samples // blocks.columns)
    body = np.full((rows * pitch - BLOCK_GAP, CONTENT_WIDTH), palette.PAPER, np.uint8)
    for place in range(blocks.samples):
        top = place // blocks.columns * pitch
        left = place % blocks.columns * (blocks.width + BLOCK_GAP)
        _paste(body, draw_line(names[place], width=blocks.width), top, left)
        if beside:
            _paste(body, beside[place], top + LINE_HEIGHT, left)
        offset = blocks.side + BLOCK_GAP if blocks.side else 0
        _paste(body, drawing[place], top + LINE_HEIGHT, left + offset)
    return body


def places_of_blocks(
    drawing: np.ndarray, blocks: Blocks, beside: Sequence[np.ndarray] = ()
) -> list[tuple[int, int, int, int]]:
    """Where `draw_blocks` puts each block with its name: left, top, width, height."""
    height = _block_height(drawing, beside)
    return [
        (
            place % blocks.columns * (blocks.width + BLOCK_GAP),
            place // blocks.columns * (height + BLOCK_GAP),
            blocks.width,
            height,
        )
        for place in range(blocks.samples)
    ]


def _block_height(drawing: np.ndarray, beside: Sequence[np.ndarray]) -> int:
    heights = [int(drawing.shape[1]), *(picture.shape[0] for picture in beside)]
    return LINE_HEIGHT + int(max(heights))


def _paste(body: np.ndarray, part: np.ndarray, top: int, left: int) -> None:
    body[top : top + part.shape[0], left : left + part.shape[1]] = part[:, : body.shape[1] - left]
