"""Letters in 16 greys, from a cache of glyphs."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from layerviz_callbacks.render import palette

if TYPE_CHECKING:
    from PIL import ImageFont

SIZE = 26
"""The font's size in pixels: capital letters are 18 pixels high."""
LINE_HEIGHT = 34
ELLIPSIS = "..."
_BASELINE = 26
_MOST_LINES = 512  # kept, of at most 23 kB each: what the sheets of a step and those of the next share
_STAND_INS = {"×": "x", "−": "-", "–": "-", "—": "-", "…": "...", "→": ">", "ß": "ss", "µ": "u", "μ": "u"}


@lru_cache(maxsize=_MOST_LINES)
def draw_line(text: str, *, bold: bool = False, faded: bool = False, width: int | None = None) -> np.ndarray:
    """One line of text as palette indices `(34, width)`, greys on paper; read-only, from a cache.

    Args:
        text: letters that the font lacks are shown as their nearest ASCII letter, or as "?".
        bold: thicker letters.
        faded: grey instead of ink.
        width: the largest width in pixels; longer text is shortened in the middle.

    Example:
        >>> draw_line("conv1").shape[0]
        34
    """
    shown = drawable(text)
    if width is not None:
        shown = shorten(shown, width, bold=bold)
    coverage = np.zeros((LINE_HEIGHT, measure(shown, bold=bold)), np.uint8)
    position = 0.0
    for letter in shown:
        mask, advance = _glyph(letter, bold=bold)
        left = round(position)
        part = coverage[:, left : left + mask.shape[1]]
        np.maximum(part, mask[:, : part.shape[1]], out=part)
        position += advance
    if faded:
        coverage = coverage * 10 // 15
    line = palette.PAPER - coverage
    line.setflags(write=False)
    return line


@lru_cache(maxsize=2048)
def measure(text: str, *, bold: bool = False) -> int:
    """The width in pixels of drawable text."""
    return max(1, round(sum(_glyph(letter, bold=bold)[1] for letter in text)) + 2)


def shorten(text: str, width: int, *, bold: bool = False) -> str:
    """Cut letters out of the middle until the text is at most `width` pixels wide."""
    if measure(text, bold=bold) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        cut = text[: (kept + 1) // 2] + ELLIPSIS + text[len(text) - kept // 2 :]
        if measure(cut, bold=bold) <= width:
            return cut
    return ""


@lru_cache(maxsize=512)
def drawable(text: str) -> str:
    """`text` in letters that the font has."""
    return "".join(_drawable_letter(letter) for letter in text)


@lru_cache(maxsize=4096)
def _drawable_letter(letter: str) -> str:
    if letter in _STAND_INS:
        return _STAND_INS[letter]
    if " " <= letter <= "~":
        return letter
    if letter.isspace() or not letter.isprintable():
        return " "
    plain = "".join(part for part in unicodedata.normalize("NFKD", letter) if " " <= part <= "~")
    return plain or "?"


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont  # by need: only the first letters of a process are drawn

    return ImageFont.load_default(SIZE)


@lru_cache(maxsize=1024)
def _glyph(letter: str, *, bold: bool) -> tuple[np.ndarray, float]:
    """Coverage `(34, width)` from 0 to 15, and how far the next letter stands off."""
    from PIL import Image, ImageDraw

    advance = float(_font().getlength(letter))
    image = Image.new("L", (round(advance) + 4, LINE_HEIGHT), 0)
    ImageDraw.Draw(image).text((0, _BASELINE), letter, font=_font(), fill=255, anchor="ls")
    mask = np.asarray(image)
    if bold:
        shifted = np.zeros_like(mask)
        shifted[:, 1:] = mask[:, :-1]
        mask, advance = np.maximum(mask, shifted), advance + 0.5
    mask = np.rint(mask / 17).astype(np.uint8)
    mask.setflags(write=False)
    return mask, advance
