"""A sheet: header, colour bar and body, 700 pixels wide."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.grid import corner, cross
from layerviz_callbacks.render.layout import CONTENT_WIDTH, MARGIN, WIDTH
from layerviz_callbacks.render.scale import CENTRE, Scale
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line, drawable, measure, shorten

_BAR_HEIGHT = 26
_PIECE_GAP = 10
_BEST_BY = re.compile(r", best .+ so far$")


def title(name: str, when: str) -> np.ndarray:
    """The first line: the layer's name, and at the right end when it was.

    Of a best step it says that, and leaves to the caption by which metric: that may be a long name.
    """
    when = _BEST_BY.sub(", best so far", when)
    right = draw_line(when, bold=True, width=CONTENT_WIDTH // 2) if when else _space(0)
    left = draw_line(name, bold=True, width=CONTENT_WIDTH - right.shape[1] - 2 * _PIECE_GAP)
    return row([left, _space(CONTENT_WIDTH - left.shape[1] - right.shape[1]), right], gap=0)


def colour_bar(scale: Scale, *, ends: tuple[str, str] | None = None) -> np.ndarray:
    """Every level in one column of pixels, with the zero and its `ends`; None: these in `range_words`."""
    low, high = range_words(scale) if ends is None else ends
    bar = _bar_of_zero_in_the_middle() if scale.signed else _bar(palette.LEVELS)
    return row([draw_line(low), bar, draw_line(high)], width=None)


@lru_cache(maxsize=1)
def _bar_of_zero_in_the_middle() -> np.ndarray:
    bar = _bar(2 * CENTRE + 1)
    _print_zero(bar, (LINE_HEIGHT - _BAR_HEIGHT) // 2)
    bar.setflags(write=False)
    return bar


def _bar(levels: int) -> np.ndarray:
    bar = np.full((LINE_HEIGHT, levels), palette.PAPER, np.uint8)
    top = (LINE_HEIGHT - _BAR_HEIGHT) // 2
    bar[top : top + _BAR_HEIGHT] = np.arange(levels, dtype=np.uint8)
    return bar


def _print_zero(bar: np.ndarray, top: int) -> None:
    zero = draw_line("0")
    left = (bar.shape[1] - zero.shape[1]) // 2
    part = bar[top : top + _BAR_HEIGHT, left : left + zero.shape[1]]
    letter = zero[top : top + _BAR_HEIGHT]
    np.copyto(part, letter, where=letter < palette.PAPER - palette.GREYS // 2)


def range_words(scale: Scale) -> tuple[str, str]:
    """The two ends of a scale in words; per channel: "min" and "max"."""
    if np.ndim(scale.limit) > 0:
        return ("-max" if scale.signed else "0"), "max"
    return (number(-float(scale.limit)) if scale.signed else "0"), number(float(scale.limit))


def number(value: float) -> str:
    """A number in three digits.

    Example:
        >>> number(-0.12345), number(0.0), number(123456.0)
        ('-0.123', '0', '1.23e+05')
    """
    return f"{value:.3g}" if value else "0"


def swatch(index: int) -> np.ndarray:
    """A square of one colour, for a legend."""
    square = np.full((LINE_HEIGHT, 18), palette.PAPER, np.uint8)
    square[8:26] = index
    return square


def cross_swatch(ground: int) -> np.ndarray:
    """The cross on a tile, for a legend."""
    square = np.full((LINE_HEIGHT, 22), palette.PAPER, np.uint8)
    square[6:28] = np.where(cross(22, 22), palette.DEAD, ground)
    return square


def corner_swatch(ground: int) -> np.ndarray:
    """The corner of a tile that is marked, for a legend."""
    square = np.full((LINE_HEIGHT, 22), palette.PAPER, np.uint8)
    edge, inside = (mask[:22, -22:] for mask in corner(33, 33))
    square[6:28] = np.where(inside, palette.DEAD, np.where(edge, palette.PAPER, ground))
    return square


def legend_entry(picture: np.ndarray, words: str) -> np.ndarray:
    """A swatch with its words, as one piece."""
    return row([picture, draw_line(words)], gap=6, width=None)


def flow(pieces: Sequence[np.ndarray], *, gap: int = 20) -> list[np.ndarray]:
    """Rows of pieces side by side; what does not fit begins the next row."""
    rows: list[list[np.ndarray]] = []
    left = CONTENT_WIDTH + 1
    for piece in pieces:
        if left + gap + piece.shape[1] > CONTENT_WIDTH:
            rows.append([])
            left = -gap
        rows[-1].append(piece)
        left += gap + piece.shape[1]
    return [row(line, gap=gap) for line in rows]


def row(
    pieces: Sequence[np.ndarray], *, gap: int = _PIECE_GAP, width: int | None = CONTENT_WIDTH
) -> np.ndarray:
    """Pieces side by side, cut at `width` or padded to it (None: as wide as they are)."""
    height = max(piece.shape[0] for piece in pieces)
    used = sum(piece.shape[1] for piece in pieces) + gap * (len(pieces) - 1)
    line = np.full((height, max(used, width or 0)), palette.PAPER, np.uint8)
    left = 0
    for piece in pieces:
        top = (height - piece.shape[0]) // 2
        line[top : top + piece.shape[0], left : left + piece.shape[1]] = piece
        left += piece.shape[1] + gap
    return line if width is None else line[:, :width]


def stack(bands: Sequence[np.ndarray], colours: np.ndarray, *, gap: int = 6) -> np.ndarray:
    """Bands under each other on paper, 700 pixels wide, with margins.

    Args:
        bands: palette indices `(height, width)`, or RGB `(height, width, 3)`, at most 684 wide.
        colours: the palette of the indices.
        gap: pixels between bands.

    Returns:
        Indices `(height, 700)`; RGB `(height, 700, 3)` where one of the bands is.
    """
    coloured = any(band.ndim == 3 for band in bands)
    height = sum(band.shape[0] for band in bands) + gap * (len(bands) - 1) + 2 * MARGIN
    shape = (height, WIDTH, 3) if coloured else (height, WIDTH)
    sheet = np.empty(shape, np.uint8)
    paper = colours[palette.PAPER] if coloured else palette.PAPER
    sheet[:MARGIN] = paper
    top = MARGIN
    for band in bands:
        bottom, right = top + band.shape[0], MARGIN + band.shape[1]
        sheet[top:bottom, :MARGIN] = paper
        sheet[top:bottom, MARGIN:right] = (
            np.take(colours, band, axis=0) if coloured and band.ndim == 2 else band
        )
        sheet[top:bottom, right:] = paper
        sheet[bottom : bottom + gap] = paper
        top = bottom + gap
    sheet[top:] = paper
    return sheet


def place_in_stack(bands: Sequence[np.ndarray], number: int, *, gap: int = 6) -> tuple[int, int]:
    """Where `stack` puts a band: left and top."""
    return MARGIN, MARGIN + sum(band.shape[0] + gap for band in bands[:number])


def wrap(text: str, *, width: int = CONTENT_WIDTH) -> list[str]:
    """Text broken between words into lines of at most `width` pixels."""
    lines: list[str] = []
    for word in drawable(text).split():
        if lines and measure(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(shorten(word, width))
    return lines


def _space(width: int) -> np.ndarray:
    return np.full((LINE_HEIGHT, max(0, width)), palette.PAPER, np.uint8)
