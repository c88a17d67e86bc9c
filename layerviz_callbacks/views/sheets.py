"""One layer's sheet: header, key, notes and body, as a Picture with its words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import sheet
from layerviz_callbacks.render.held_range import HeldRange
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.views.words import escape_markdown


def make_sheet(
    tag: str,
    body: Sequence[np.ndarray],
    *,
    name: str,
    when: str,
    facts: str,
    key: Sequence[tuple[np.ndarray, str]],
    notes: Sequence[str] = (),
    details: str = "",
    colours: np.ndarray,
    held: HeldRange | None = None,
    samples: Sequence[tuple[int, int, int, int]] = (),
) -> Picture:
    """Put a sheet together.

    ```text
    conv1                        epoch 3/12     name, when
    Conv2D 3x3, 32 of 64 channels               facts
    -0.4 [colour bar] 0.4    x 3 all zero       key
    1 pixel = mean of 2x2                       notes
    body
    ```

    Args:
        tag: see `Picture`.
        body: bands of indices, or of RGB.
        name: the title.
        when: the step in words; may be empty.
        facts: kind, size, how many; more than a line is wrapped.
        key: how to read the body: pieces of pixels, each with its words for the description.
        notes: what else must be known to read the body, in short sentences.
        details: a sentence more, for the description only.
        colours: the palette.
        held: see `Picture`.
        samples: where each sample stands in the first band of the body; see `Picture`.
    """
    bands = [sheet.title(name, when)]
    bands += [sheet.row([draw_line(line)]) for line in sheet.wrap(facts)]
    bands += sheet.flow([piece for piece, _ in key])
    if notes:
        bands += [sheet.row([draw_line(line, faded=True)]) for line in sheet.wrap("; ".join(notes))]
    pixels = sheet.stack([*bands, *body], colours)
    left, top = sheet.place_in_stack([*bands, *body], len(bands))
    spoken = [words for _, words in key if words]
    moment = f", {when}" if when else ""
    caption = f"{' '.join(name.split())}{moment}: {'; '.join([facts, *spoken, *notes])}."
    lines = [f"**{escape_markdown(name)}**{escape_markdown(moment)}", escape_markdown(facts)]
    lines += [escape_markdown(words) for words in [*spoken, *notes, details] if words]
    return Picture(
        tag,
        pixels,
        colours if pixels.ndim == 2 else None,
        caption=caption,
        description="  \n".join(lines),
        held=held,
        samples=[(left + x, top + y, width, height) for x, y, width, height in samples],
    )


def colour_key(scale: Scale) -> tuple[np.ndarray, str]:
    """The colour bar, and the range in words."""
    low, high = sheet.range_words(scale)
    return sheet.colour_bar(scale), f"colours from {low} to {high}"


def height_key(scale: Scale, what: str) -> tuple[np.ndarray, str]:
    """The range of curves or bars in words."""
    low, high = sheet.range_words(scale)
    words = f"{what} from {low} to {high}"
    return draw_line(words), words
