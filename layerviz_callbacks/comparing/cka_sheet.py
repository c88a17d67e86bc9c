"""The CKA of every layer of a with every layer of b, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.comparing.cka import ENOUGH_ROWS
from layerviz_callbacks.comparing.comparison import Comparison
from layerviz_callbacks.comparing.words import two_digits
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.layout import CONTENT_WIDTH
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line, measure
from layerviz_callbacks.views.sheets import colour_key, make_sheet
from layerviz_callbacks.views.words import count_of

_NAMES = 200
_LONGEST_HEAD = 150
_LARGEST_CELL, _SMALLEST_CELL = 72, 4
_FRAME = 4
_OUTLINE = palette.CURVES[1]
_BRIGHT = palette.LEVELS * 5 // 8
"""From this level of the palette on, letters are dark."""


def draw_cka(comparison: Comparison) -> Picture | None:
    """The sheet; None where nothing could be compared."""
    values = comparison.cka
    if not values.size or np.isnan(values).all():
        return None
    rows, columns = comparison.cka_layers
    most = (CONTENT_WIDTH - _NAMES) // _SMALLEST_CELL
    shown = values[:most, :most]
    cell = max(_SMALLEST_CELL, min(_LARGEST_CELL, (CONTENT_WIDTH - _NAMES) // max(shown.shape)))
    scale = Scale(1.0, signed=False)
    body = np.concatenate([_heads(columns[: shown.shape[1]], cell), _rows(shown, rows, cell, scale)])
    key = [colour_key(scale)]
    key.append((sheet.legend_entry(_outlined(), "most like"), "outlined: the layer of b that is most like"))
    if np.isnan(shown).any():
        words = f"{int(np.isnan(shown).sum())} not comparable"
        key.append((sheet.legend_entry(sheet.swatch(palette.PANEL), words), words))
    counts = comparison.rows[comparison.rows > 0]
    facts = [
        f"a (rows): {comparison.names[0]}; b (columns): {comparison.names[1]}",
        f"{count_of(shown.shape[0], len(rows), 'layer')} x {count_of(shown.shape[1], len(columns), 'layer')}",
    ]
    low, high = int(counts.min()), int(counts.max())
    notes = [
        "linear CKA, debiased",
        f"of {low if low == high else f'{low} to {high}'} rows (samples x places)",
    ]
    unsure = int(((comparison.rows > 0) & (comparison.rows < ENOUGH_ROWS)).sum())
    if unsure:
        notes.append(f"{unsure} of fewer than {ENOUGH_ROWS} rows: unsure")
    if (shown < 0).any():
        notes.append("below 0 is drawn as 0")
    return make_sheet(
        "comparison/cka",
        [body],
        name="CKA of all layers",
        when="",
        facts="; ".join(facts),
        key=key,
        notes=notes,
        details="1: the same but for rotation and size; 0: nothing in common. Layers of different sizes are "
        "compared on the coarser grid, vectors with means over space.",
        colours=palette.sequential(),
    )


def _heads(names: Sequence[str], cell: int) -> np.ndarray:
    """The names of the columns, upright, as far as they fit; of narrow columns every so many."""
    every = max(1, -(-LINE_HEIGHT // cell))
    words = [draw_line(name, width=_LONGEST_HEAD) for name in names[::every]]
    height = max(word.shape[1] for word in words) + 6
    band = np.full((height, CONTENT_WIDTH), palette.PAPER, np.uint8)
    for place, word in enumerate(words):
        upright = np.rot90(word)
        left = _NAMES + place * every * cell + max(0, (cell - LINE_HEIGHT) // 2)
        if left + LINE_HEIGHT > CONTENT_WIDTH:
            continue
        band[height - 6 - upright.shape[0] : height - 6, left : left + upright.shape[1]] = upright
    return band


def _rows(values: np.ndarray, names: Sequence[str], cell: int, scale: Scale) -> np.ndarray:
    levels = scale.levels(np.nan_to_num(values))
    levels[np.isnan(values)] = palette.PANEL
    band = np.full((max(len(values) * cell, LINE_HEIGHT), CONTENT_WIDTH), palette.PAPER, np.uint8)
    band[: len(values) * cell, _NAMES : _NAMES + values.shape[1] * cell] = np.kron(
        levels, np.ones((cell, cell), np.uint8)
    )
    every = max(1, -(-LINE_HEIGHT // cell))
    for place in range(0, len(values), every):
        word = draw_line(names[place], width=_NAMES - 10)
        top = place * cell + max(0, (cell - LINE_HEIGHT) // 2)
        if top + LINE_HEIGHT > len(band):
            continue
        band[top : top + word.shape[0], _NAMES - 10 - word.shape[1] : _NAMES - 10] = word
    for place, row in enumerate(values):
        if not np.isnan(row).all():
            _outline(band, place * cell, _NAMES + int(np.nanargmax(row)) * cell, cell)
    if cell >= measure("0.00") + 2 * _FRAME:
        for (place, column), value in np.ndenumerate(values):
            if not np.isnan(value):
                _print(band, value, int(levels[place, column]), place * cell, _NAMES + column * cell, cell)
    return band


def _outline(band: np.ndarray, top: int, left: int, cell: int) -> None:
    frame = min(_FRAME, max(1, cell // 4))
    square = band[top : top + cell, left : left + cell]
    inner = square[frame:-frame, frame:-frame].copy()
    square[:] = _OUTLINE
    square[frame:-frame, frame:-frame] = inner


def _print(band: np.ndarray, value: float, level: int, top: int, left: int, cell: int) -> None:
    """A number on a coloured ground, in letters that stand out from it."""
    word = draw_line(two_digits(value))
    inset = (cell - LINE_HEIGHT) // 2, (cell - word.shape[1]) // 2
    part = band[
        top + inset[0] : top + inset[0] + LINE_HEIGHT, left + inset[1] : left + inset[1] + word.shape[1]
    ]
    letters = word < palette.PAPER - palette.GREYS // 2
    part[letters] = palette.INK if level >= _BRIGHT else palette.PAPER


def _outlined() -> np.ndarray:
    square = sheet.swatch(palette.LEVELS // 2).copy()
    _outline(square, 8, 0, 18)
    return square
