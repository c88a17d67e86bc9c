"""What the sheets of patterns share, whatever they draw."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from layerviz_callbacks.explaining import FoundPatterns
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.layout import CONTENT_WIDTH
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line

BLOCK_GAP = 12
_HOLDS = 0.98
"""A range holds this share of the values; the few beyond it are shown as its ends."""


@dataclass(frozen=True, eq=False)
class DrawnPatterns:
    """The body of a sheet with its words.

    Attributes:
        count: how many channels it shows, the first ones.
        bands: see `make_sheet`.
        key: see `make_sheet`.
        notes: see `make_sheet`.
    """

    count: int
    bands: list[np.ndarray]
    key: list[tuple[np.ndarray, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def reach_of(found: FoundPatterns, count: int, *, each: bool) -> np.ndarray:
    """About as many standard deviations round the mean hold nearly all values of a pattern, `(count,)`.

    Args:
        found: the patterns.
        count: of the first so many.
        each: each channel has its own; else one power of two holds for all, so that it stays the same from
            step to step as long as patterns are about as strong.
    """
    size = np.abs(found.standardised[:count]).reshape(count, -1).astype(np.float64)
    size[~np.isfinite(size)] = np.nan
    size[found.dead[:count]] = np.nan
    size[np.isnan(size).all(axis=1)] = 0
    if each:
        reach = np.nanquantile(size, _HOLDS, axis=1)
    else:
        largest = np.nanquantile(size, _HOLDS)
        reach = np.full(count, 2.0 ** np.ceil(np.log2(largest)) if largest > 0 else 0)
    return np.asarray(np.where(reach > 0, reach, 1.0))


def shown_values(found: FoundPatterns) -> np.ndarray:
    """The patterns in standard deviations, `(channel, *space, in)`; dead ones, which are but noise, blank."""
    return np.where(found.dead.reshape(-1, *[1] * (found.inputs.ndim - 1)), 0, found.standardised)


def reach_key(reach: np.ndarray, what: str, *, each: bool) -> tuple[np.ndarray, str]:
    """The range: a line of the sheet, and the same in more words for its description.

    Args:
        reach: as `reach_of` found it, of the channels that are not dead.
        what: what is drawn, such as "curves".
        each: each channel has its own.

    Example:
        >>> reach_key(np.array([2.0, 2.0]), "curves", each=False)[1]
        "curves from -2 to +2 standard deviations about the probe's mean"
        >>> reach_key(np.array([2.0, 7.5]), "curves", each=True)[1]
        "curves: each channel has its own range about the probe's mean, 2 to 7.5 standard deviations"
    """
    ends = (reach.min(), reach.max()) if reach.size else (1.0, 1.0)
    low, high = (sheet.number(float(end)) for end in ends)
    if each:
        both = low if low == high else f"{low} to {high}"
        line = f"own range each: {both} std about the mean"
        words = f"{what}: each channel has its own range about the probe's mean, "
        words += f"{both} standard deviations"
    else:
        line = f"from -{high} to +{high} std about the probe's mean"
        words = f"{what} from -{high} to +{high} standard deviations about the probe's mean"
    return draw_line(line, width=CONTENT_WIDTH), words


def block_of(drawn: np.ndarray, found: FoundPatterns, place: int, right: str = "") -> np.ndarray:
    """A pattern under its channel's number and the activation reached.

    Args:
        drawn: indices `(height, width)`, or RGB.
        found: the patterns.
        place: which of them it is.
        right: what else stands in the line, at its right end.
    """
    width = drawn.shape[1]
    number = draw_line(str(found.recipe.channels[place]), bold=True, width=width)
    reached = draw_line("dead" if found.dead[place] else sheet.number(float(found.after[place])), faded=True)
    pieces = [number]
    if number.shape[1] + 10 + reached.shape[1] <= width:
        pieces.append(reached)
    beside = draw_line(right, faded=True)
    used = sum(piece.shape[1] + 10 for piece in pieces)
    line = sheet.row(pieces, width=width)
    if right and used + beside.shape[1] <= width:
        line[:, width - beside.shape[1] :] = beside
    if drawn.ndim == 3:
        line = palette.diverging()[line]
    return np.concatenate([line, drawn])


def blocks_in_rows(blocks: list[np.ndarray], columns: int) -> np.ndarray:
    """Blocks of one size in rows, 684 pixels wide."""
    height, colours = blocks[0].shape[0], blocks[0].shape[2:]
    pitch = (CONTENT_WIDTH + BLOCK_GAP) // columns
    rows = -(-len(blocks) // columns)
    body = np.empty((rows * (height + BLOCK_GAP) - BLOCK_GAP, CONTENT_WIDTH, *colours), np.uint8)
    body[...] = palette.diverging()[palette.PAPER] if colours else palette.PAPER
    for place, block in enumerate(blocks):
        top = place // columns * (height + BLOCK_GAP)
        left = place % columns * pitch
        body[top : top + height, left : left + block.shape[1]] = block[:, : CONTENT_WIDTH - left]
    return body


def room_for(count: int, columns: int, limit: int) -> tuple[int, int]:
    """Width and height of the pattern in a block, where so many columns fill a body of that height."""
    rows = -(-count // columns)
    return (CONTENT_WIDTH + BLOCK_GAP) // columns - BLOCK_GAP, (
        limit + BLOCK_GAP
    ) // rows - BLOCK_GAP - LINE_HEIGHT
