"""What is told of each sample above its panels, in as many lines as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from layerviz_callbacks.explaining import Score, Target
from layerviz_callbacks.render import sheet
from layerviz_callbacks.render.scale import finite_range
from layerviz_callbacks.render.text import drawable, measure
from layerviz_callbacks.views.labels import label_of
from layerviz_callbacks.views.sample_panels import PanelSheet, fit_panel_sheet
from layerviz_callbacks.views.words import count_of

MOST_LINES = 5
"""Of text a sample, with its name."""
Phrase = tuple[str, str]
"""The same in a few words, and in fewer; where these are none, it is left out there."""
STANDING_IN = "highest place"
"""What is said of a sample where nothing is predicted, so that its highest place stands in for a region."""


def fit_with_text(
    space: tuple[int, ...], texts: Sequence[Sequence[Phrase]], *, panels: int
) -> tuple[PanelSheet, list[list[str]]]:
    """Panels as large as they can be under what is told of each sample, and that in lines of a block's width.

    Args:
        space: of the panels, see `fit_panel_sheet`.
        texts: by sample, phrases in their long and their short form. Long ones are taken where all of them
            stand in one line.
        panels: how many a sample.
    """
    for lines in range(2 if any(texts) else 1, MOST_LINES + 1):
        fitted = fit_panel_sheet(space, samples=len(texts), panels=panels, lines=lines)
        for form in (0, 1):
            wrapped = [in_lines([one[form] for one in text if one[form]], fitted.block) for text in texts]
            needed = 1 + max(map(len, wrapped))
            if needed <= (2 if form == 0 else lines):
                return replace(fitted, lines=needed), _side_by_side(wrapped, fitted.columns)
    return fitted, wrapped


def _side_by_side(texts: Sequence[Sequence[str]], columns: int) -> list[list[str]]:
    """The lines of texts, so many in a row: those with fewer lines are broken as often as their neighbours.

    Example:
        >>> _side_by_side([["a,", "b,", "c"], ["a, b,", "c"], ["a, b, c"]], columns=2)
        [['a,', 'b,', 'c'], ['a,', 'b,', 'c'], ['a, b, c']]
    """
    broken = [list(text) for text in texts]
    for first in range(0, len(broken), columns):
        row = broken[first : first + columns]
        most = max(map(len, row))
        for lines in row:
            while len(lines) < most and any(", " in line for line in lines):
                place = max(range(len(lines)), key=lambda number: lines[number].count(", "))
                before, _, after = lines[place].rpartition(", ")
                lines[place : place + 1] = [f"{before},", after]
    return broken


def in_lines(phrases: Sequence[str], width: int) -> list[str]:
    """Phrases joined by commas into lines of at most so many pixels, broken between phrases.

    A phrase that is too long for a line by itself is broken after its colon.

    Example:
        >>> in_lines(["class 3: 4.1", "max 0.2", "step 0: 0.93"], 200)
        ['class 3: 4.1,', 'max 0.2,', 'step 0: 0.93']
        >>> in_lines(["class 3: 0.123", "max 0.2"], 140)
        ['class 3:', '0.123,', 'max 0.2']
    """
    lines: list[str] = []
    for place, phrase in enumerate(phrases):
        part = phrase + ("," if place + 1 < len(phrases) else "")
        if lines and _fits(f"{lines[-1]} {part}", width):
            lines[-1] += f" {part}"
        elif not _fits(part, width) and ": " in part:
            before, _, after = part.rpartition(": ")
            lines += [f"{before}:", after]
        else:
            lines.append(part)
    return lines


def _fits(line: str, width: int) -> bool:
    return measure(drawable(line)) <= width


def subject_of(score: Score, labels: Sequence[str] = ()) -> str:
    """What a sheet explains, such as "predicted class"; of a model with several outputs, of which.

    Args:
        score: of all samples.
        labels: the names of the classes; may be empty.

    Example:
        >>> score = Score(Target(2), "mask", (2,), np.zeros(1), (1,), count=9, several=True)
        >>> subject_of(score, ["rock", "sand", "salt"])
        'class 2 (salt) of output mask'
    """
    named = f"output {score.output}" if score.several or score.target.output is not None else ""
    of, region = score.target.of, score.target.region
    if score.count == 1:
        words = named or "the model's number"
    else:
        words = str(Target(of))
        numbers = of if isinstance(of, tuple) else (of,) if isinstance(of, int) else ()
        if numbers and labels:
            words += f" ({', '.join(label_of(number, labels) for number in numbers)})"
        words += f" of {named}" if named else ""
    return words if region == "predicted" or not score.space else f"{words}, region {region}"


def score_phrases(score: Score | None, sample: int, labels: Sequence[str] = ()) -> list[Phrase]:
    """What is explained of a sample, and its score; nothing where that is not known."""
    if score is None:
        return []
    value = sheet.number(float(score.values[sample]))
    if score.count == 1:  # the facts tell which
        phrases = [(f"score {value}", f"score {value}")]
    else:
        name = label_of(score.classes[sample], labels, "class ")
        chosen = f" ({score.target.of})" if isinstance(score.target.of, str) else ""
        phrases = [(f"{name}{chosen}, score {value}", f"{name}: {value}")]
    if score.nowhere and score.nowhere[sample]:
        phrases.append((STANDING_IN, STANDING_IN))
    elif score.space:
        places, total = score.places[sample], int(np.prod(score.space))
        phrases.append((count_of(places, total, "place"), count_of(places, places, "place")))
    return phrases


def standing_in_notes(score: Score | None, samples: int) -> list[str]:
    """What must be said where a place stands in for a region in one of the first samples."""
    if score is None or not any(score.nowhere[:samples]):
        return []
    return [f"{STANDING_IN}: stands in where nothing is predicted"]


def range_phrase(values: np.ndarray, *, signed: bool) -> Phrase:
    """The range of one sample's map.

    Example:
        >>> range_phrase(np.array([0.0, 0.25]), signed=False)
        ('max 0.25', 'max 0.25')
    """
    low, high = map(float, finite_range(values))
    if not np.isfinite(values).any():
        return "nothing finite", "nothing finite"
    if low == high == 0:
        return ("all zero: nothing changes it" if signed else "all zero: nothing raises it"), "all zero"
    words = f"{sheet.number(low)} to {sheet.number(high)}" if signed else f"max {sheet.number(high)}"
    return words, words
