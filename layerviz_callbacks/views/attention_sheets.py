"""One sheet of attention: over the input, where its keys stand on one, then as maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.scale import as_floats
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.attention_curves import time_section
from layerviz_callbacks.views.attention_measures import received, sums_of_rows
from layerviz_callbacks.views.attention_sections import (
    ON_INPUT,
    Key,
    Section,
    Style,
    map_section,
    patch_section,
)
from layerviz_callbacks.views.patches import Placement, attention_shape_of, placement_of
from layerviz_callbacks.views.sheets import make_sheet
from layerviz_callbacks.views.words import count_of, size_of

_TOLERANCE = 0.01
"""A row whose sum is not one by more than this is told; half precision stays below."""


@dataclass(frozen=True, eq=False)
class OnInput:
    """What the keys receive that stand on an input.

    Attributes:
        values: `(sample, head, key)`, without further tokens.
        placement: where they stand.
        words: what of the weights it is.
    """

    values: np.ndarray
    placement: Placement
    words: str


@dataclass(frozen=True, eq=False)
class Shown:
    """What a sheet of attention shows; one of the first two, or both.

    Attributes:
        weights: `(sample, head, query, key)`, drawn as maps; None: no maps.
        on_input: what the input receives; None: that is not known.
        samples: how many samples there are, drawn or not.
        style: how it is drawn.
    """

    weights: np.ndarray | None
    on_input: OnInput | None
    samples: int
    style: Style

    @property
    def count(self) -> tuple[int, int]:
        """How many samples were read, and how many heads there are."""
        return self._parts[0].shape[0], self._parts[0].shape[1]

    @property
    def _parts(self) -> list[np.ndarray]:
        parts = (self.weights, None if self.on_input is None else self.on_input.values)
        return [part for part in parts if part is not None]


def draw_attention(
    tag: str,
    layer: Layer,
    attention: np.ndarray,
    snapshot: Snapshot,
    *,
    samples: int,
    heads: int,
    each_head: bool = False,
    notes: Sequence[str] = (),
) -> Picture:
    """The sheet of a layer whose attention was read.

    Args:
        tag: see `Picture`.
        layer: what it is of.
        attention: the layer's, `(sample, head, query, key)`.
        snapshot: it belongs to.
        samples: at most so many are drawn.
        heads: at most so many are drawn.
        each_head: each head's maps have a scale of their own.
        notes: what else is to be said.
    """
    weights = as_floats(attention[:samples])
    full = attention_shape_of(layer) or attention.shape
    queries, keys = full[2:]
    on_input = on_input_of(layer, weights, snapshot)
    sums = sums_of_rows(weights)
    apart = sums[np.abs(sums - 1) > _TOLERANCE]
    said = list(notes)
    if apart.size:
        ends = dict.fromkeys(sheet.number(float(end)) for end in (apart.min(), apart.max()))
        share = f"{apart.size / sums.size:.0%}" if apart.size < sums.size else "all"
        said.append(f"{share} of the rows do not sum to one, but to {' to '.join(ends)}")
    if full[0] != len(snapshot.probe):
        said.append(f"its {full[0]} samples are not the probe's {len(snapshot.probe)}")
    shown = Shown(
        None if queries == 1 and on_input is not None else weights,
        on_input,
        samples=full[0],
        style=Style(
            signed=bool((weights < 0).any()),
            each_head=each_head,
            even=1 / keys if apart.size <= sums.size / 2 else 0.0,
        ),
    )
    return attention_sheet(
        tag,
        shown,
        snapshot,
        heads=heads,
        name=layer.name,
        facts=[layer.kind, size_of((queries, keys))],
        key=_strange_key(weights),
        notes=said,
    )


def on_input_of(layer: Layer, weights: np.ndarray, snapshot: Snapshot) -> OnInput | None:
    """What the input receives by weights `(sample, head, query, key)`; None where keys stand on none."""
    placement = placement_of(layer, snapshot)
    if placement is None:
        return None
    values, words = received(weights, placement.further)
    return OnInput(values, placement, words)


def attention_sheet(
    tag: str,
    shown: Shown,
    snapshot: Snapshot,
    *,
    heads: int,
    name: str,
    facts: Sequence[str],
    key: Key,
    notes: Sequence[str],
) -> Picture:
    """The sheet: what the input receives, where that is known, and under it the maps, where there are any.

    Args:
        tag: see `Picture`.
        shown: what it shows.
        snapshot: it belongs to.
        heads: at most so many are drawn.
        name: the title.
        facts: what it is of.
        key: how to read further colours.
        notes: what else is to be said.
    """
    named = shown.samples == len(snapshot.probe)
    names = snapshot.probe.names if named else [f"row {place + 1}" for place in range(shown.samples)]
    sections = _sections(shown, snapshot, names, heads=heads)
    counts = [count_of(sections[0].heads, shown.count[1], "head")] if shown.style.noun == "head" else []
    counts.append(count_of(sections[0].samples, shown.samples, "sample"))
    words = [section.words for section in sections]
    if shown.on_input is not None:
        words.insert(0, f"{ON_INPUT}: {shown.on_input.words}")
    if shown.style.each_head:
        words.append("the maps of each head have their own scale")
    if shown.style.even and not any("even" in spoken for section in sections for _, spoken in section.key):
        words.append(f"even attention is {sheet.number(shown.style.even)}")
    body = []
    for section in sections:
        body += [sheet.row([draw_line(section.heading, bold=True)])] if len(sections) > 1 else []
        body.append(section.body)
    return make_sheet(
        tag,
        body,
        name=name,
        when=snapshot.when,
        facts=", ".join([*facts, *counts]),
        key=[piece for section in sections for piece in section.key] + list(key),
        notes=[*words, *notes],
        details="The weights with which queries attend to keys.",
        colours=palette.diverging() if shown.style.signed else palette.sequential(),
    )


def _sections(shown: Shown, snapshot: Snapshot, names: Sequence[str], *, heads: int) -> list[Section]:
    """Those of the sheet, with the same heads and samples in each."""
    samples = shown.count[0]
    while True:
        sections = []
        if shown.on_input is not None:
            given = snapshot.inputs[shown.on_input.placement.name]
            sections.append(
                _on_input(shown.on_input, given, names, shown.style, samples=samples, heads=heads)
            )
        if shown.weights is not None:
            sections.append(map_section(shown.weights, names, shown.style, samples=samples, heads=heads))
        agreed = min(one.samples for one in sections), min(one.heads for one in sections)
        if agreed == (samples, heads):
            return sections
        samples, heads = agreed


def _on_input(
    on_input: OnInput, given: np.ndarray, names: Sequence[str], style: Style, *, samples: int, heads: int
) -> Section:
    values, placement = on_input.values, on_input.placement
    if len(placement.grid) == 1:
        return time_section(values, given, names, style, samples=samples, heads=heads)
    return patch_section(values, placement, given, names, style, samples=samples, heads=heads)


def _strange_key(weights: np.ndarray) -> Key:
    """How many rows hold NaN, and infinities."""
    entries = []
    for index, name, found in (
        (palette.NOT_A_NUMBER, "NaN", np.isnan(weights)),
        (palette.PLUS_INFINITY, "+Inf", weights == np.inf),
        (palette.MINUS_INFINITY, "-Inf", weights == -np.inf),
    ):
        count = int(found.any(axis=-1).sum())
        if count:
            words = f"{count_of(count, count, 'row')} with {name}"
            entries.append((sheet.legend_entry(sheet.swatch(index), words), words))
    return entries
