"""The sheet of one layer: channels of a, their partners of b under them, and the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.comparing.comparison import Comparison, LayerComparison
from layerviz_callbacks.comparing.pair_panels import PairPanels
from layerviz_callbacks.comparing.words import two_digits
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.layout import CONTENT_WIDTH
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line
from layerviz_callbacks.views.film_palette import film_palette
from layerviz_callbacks.views.film_panels import colour_bar
from layerviz_callbacks.views.sheets import make_sheet

COLUMNS = 8
_LABELS = 62
_PITCH = (CONTENT_WIDTH - _LABELS) // COLUMNS
_GAP = 4


@dataclass(frozen=True)
class Pair:
    """A channel and its partner.

    Attributes:
        channel: its number in a.
        partner: its partner's number in b.
        sign: -1 where the partner's negative is shown.
        likeness: what is printed below.
    """

    channel: int
    partner: int
    sign: float
    likeness: float


def draw_pairs(
    tag: str,
    layer: LayerComparison,
    comparison: Comparison,
    pairs: Sequence[Pair],
    panels: PairPanels,
    *,
    what: str,
    printed: str,
    total: int,
) -> Picture:
    """The sheet.

    Args:
        tag: see `Picture`.
        layer: which.
        comparison: of which it is.
        pairs: those that are drawn, the least alike first.
        panels: their pictures.
        what: what these are, such as "filters".
        printed: what the numbers under them are, such as "cosine".
        total: how many pairs there are, drawn or not.
    """
    both = np.concatenate([panels.one, panels.other])
    apart = panels.one - panels.other
    values = Scale.of(both)
    signed = Scale.of(apart, signed=True)
    if not signed.limit > values.limit:  # a small difference looks small
        signed = values if values.signed else Scale(values.limit, signed=True)
    rows = [
        panels.draw(panels.one, values),
        panels.draw(panels.other, values),
        panels.draw(apart, signed),
    ]
    body = []
    for start in range(0, len(pairs), COLUMNS):
        part = slice(start, start + COLUMNS)
        if len(pairs) < total:
            words = "least alike" if start == 0 else "most alike" if start + COLUMNS >= len(pairs) else ""
            body += [sheet.row([draw_line(words, bold=True)])] if words else []
        body.append(_block(pairs[part], [row[part] for row in rows]))
    shown = f"{len(pairs)} of {total} pairs" if len(pairs) < total else f"{total} pairs"
    match = layer.match
    by = {"activations": "correlation of activations", "filters": "cosine of filters"}
    facts = [f"{layer.kind}, {what}, {shown}", f"a: {comparison.names[0]}; b: {comparison.names[1]}"]
    notes = [*panels.notes, f"numbers below: {printed}"]
    if match is not None:
        notes.insert(0, f"matched by {by[match.by]}, the least alike first")
    if any(pair.sign < 0 for pair in pairs):
        notes.append("-: the negative of b's filter")
    key = [_key(panels, values, "a, b" if values is not signed else "")]
    if values is not signed:
        key.append(_key(panels, signed, "a - b"))
    if panels.curves and panels.one.shape[1] > 1:
        key += [
            (sheet.legend_entry(sheet.swatch(palette.CURVES[place]), f"in {place}"), "")
            for place in range(panels.one.shape[1])
        ]
    return make_sheet(
        tag,
        body,
        name=layer.title,
        when="",
        facts="; ".join(facts),
        key=key,
        notes=notes,
        details=f"Rows: channels of a with their numbers, their partners in b, the difference, {printed}.",
        colours=film_palette(),
    )


def _key(panels: PairPanels, scale: Scale, what: str) -> tuple[np.ndarray, str]:
    low, high = sheet.range_words(scale)
    words = f"{what} from {low} to {high}".strip()
    if panels.curves or panels.one.ndim == 4:
        return draw_line(words), words
    bar = colour_bar(scale)
    return (sheet.row([draw_line(what), bar], gap=8, width=None) if what else bar), f"colours {words}"


def _block(pairs: Sequence[Pair], rows: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers of a, its panels, numbers of b, its panels, the difference, the likeness."""
    one, other, apart = rows
    partners = [f"{'-' if pair.sign < 0 else ''}{pair.partner}" for pair in pairs]
    likeness = ["" if np.isnan(pair.likeness) else two_digits(pair.likeness) for pair in pairs]
    bands = [
        _texts("a", [str(pair.channel) for pair in pairs]),
        _panels("", one),
        _texts("b", partners),
        _panels("", other),
        _panels("a - b", apart),
        _texts("", likeness),
    ]
    if one.ndim == 4:
        bands = [film_palette()[band] if band.ndim == 2 else band for band in bands]
    gap = np.full((_GAP, *bands[0].shape[1:]), palette.PAPER, np.uint8)
    if one.ndim == 4:
        gap[:] = film_palette()[palette.PAPER]
    return np.concatenate([*bands[:4], gap, *bands[4:]])


def _texts(label: str, words: Sequence[str]) -> np.ndarray:
    band = np.full((LINE_HEIGHT, CONTENT_WIDTH), palette.PAPER, np.uint8)
    _write(band, draw_line(label, bold=True), 0)
    for place, word in enumerate(words):
        drawn = draw_line(word, width=_PITCH)
        _write(band, drawn, _LABELS + place * _PITCH + max(0, (_PITCH - drawn.shape[1]) // 2))
    return band


def _panels(label: str, drawn: np.ndarray) -> np.ndarray:
    """Panels side by side; in colours where they are."""
    height, width = drawn.shape[1:3]
    tall = max(height, LINE_HEIGHT)
    labelled = np.full((tall, CONTENT_WIDTH), palette.PAPER, np.uint8)
    _write(labelled, draw_line(label, faded=True), 0)
    band = film_palette()[labelled] if drawn.ndim == 4 else labelled
    for place, panel in enumerate(drawn):
        left = _LABELS + place * _PITCH + (_PITCH - width) // 2
        band[:height, left : left + width] = panel
    return np.asarray(band)


def _write(band: np.ndarray, line: np.ndarray, left: int) -> None:
    line = line[:, : band.shape[1] - left]
    band[:LINE_HEIGHT, left : left + line.shape[1]] = line
