"""The sheet of one input's saliency: the input, and its saliency on the same axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.explaining import SaliencyRecipe, Score
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import sheet
from layerviz_callbacks.render.resize import resized
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views.heat_maps import (
    coloured_inputs,
    map_curves,
    over_curves,
    plain_maps,
    sample_scale,
)
from layerviz_callbacks.views.marks import strange_key
from layerviz_callbacks.views.sample_panels import (
    PanelSheet,
    draw_panel_sheet,
    places_of_panels,
    shown_slices,
)
from layerviz_callbacks.views.sample_texts import (
    Phrase,
    fit_with_text,
    range_phrase,
    score_phrases,
    standing_in_notes,
    subject_of,
)
from layerviz_callbacks.views.sheets import make_sheet
from layerviz_callbacks.views.words import count_of, listed, size_of

SIGNED = frozenset({"gradient x input", "integrated gradients"})
PERCENTILE = 99


def joined_channels(values: np.ndarray, *, signed: bool) -> np.ndarray:
    """One map of the channels of `(sample, *space, channel)`: their sum, or their largest magnitude.

    Example:
        >>> values = np.array([[[1.0, -3.0]]])
        >>> joined_channels(values, signed=True).tolist(), joined_channels(values, signed=False).tolist()
        ([[-2.0]], [[3.0]])
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(values.sum(axis=-1) if signed else np.abs(values).max(axis=-1))


def percentiles(maps: np.ndarray) -> np.ndarray:
    """The 99th percentile of each sample's finite magnitudes `(sample,)`; where that is zero, the largest.

    Example:
        >>> percentiles(np.array([[0.0, -1.0, np.nan], [0.0, 0.0, 0.0]])).round(2).tolist()
        [0.99, 0.0]
    """
    limits = []
    for one in maps:
        finite = np.abs(one[np.isfinite(one)])
        cut = float(np.percentile(finite, PERCENTILE)) if finite.size else 0.0
        limits.append(cut or float(finite.max(initial=0)))
    return np.array(limits)


def draw_saliency(
    tag: str,
    values: np.ndarray,
    snapshot: Snapshot,
    *,
    name: str,
    recipe: SaliencyRecipe,
    score: Score | None,
    labels: Sequence[str] = (),
) -> Picture:
    """The sheet of one input.

    Args:
        tag: see `Picture`.
        values: `(sample, *space, channel)`.
        snapshot: with the inputs.
        name: the input's.
        recipe: how it was found.
        score: what is explained, or None.
        labels: the names of the classes; may be empty.
    """
    signed = recipe.method in SIGNED
    maps, given = joined_channels(values, signed=signed), snapshot.inputs[name]
    texts = [
        [
            *score_phrases(score, place, labels),
            range_phrase(maps[place], signed=signed),
            *(_sum_phrase(maps[place]) if signed else []),
        ]
        for place in range(len(maps))
    ]
    fitted, below = fit_with_text(maps.shape[1:], texts, panels=2)
    maps = maps[: fitted.samples]
    scale, drawn, words = _panels(maps, given, fitted, signed=signed)
    single = len(snapshot.inputs) == 1
    facts = [_how(recipe)]
    if score is not None:
        facts.append(subject_of(score, labels))
    facts += [size_of(maps.shape[1:]), count_of(fitted.samples, len(snapshot.probe), "sample")]
    return make_sheet(
        tag,
        [draw_panel_sheet(fitted, drawn, snapshot.probe.names, below=below, colours=scale.palette)],
        name="saliency" if single else f"saliency: {name}",
        when=snapshot.when,
        facts=", ".join(facts),
        key=[_key(scale), *strange_key(maps)],
        notes=_notes(maps, values.shape[-1], words, fitted, signed=signed)
        + standing_in_notes(score, fitted.samples),
        details="How much the score would change with each number of the input.",
        colours=scale.palette,
        samples=places_of_panels(fitted, below),
    )


def _panels(
    maps: np.ndarray, given: np.ndarray, fitted: PanelSheet, *, signed: bool
) -> tuple[Scale, list[np.ndarray], list[str]]:
    if maps.ndim == 2:
        scale = sample_scale(maps, signed=signed, limits=percentiles(maps))
        heights = sample_scale(maps, signed=signed)
        drawn = [over_curves(given, maps, scale, fitted), map_curves(maps, scale, fitted, heights=heights)]
        return scale, drawn, ["input on the saliency's colours", "saliency"]
    shown = maps
    if maps.ndim == 4:
        shown = maps[:, list(shown_slices(maps.shape[1], fitted.slices))]
    height, width = shown.shape[-2:]
    shown = resized(shown, min(height, fitted.height), min(width, fitted.width))
    scale = sample_scale(shown, signed=signed, limits=percentiles(shown))
    drawn = [coloured_inputs(given, fitted), plain_maps(shown, scale, fitted)]
    return scale, drawn, ["input", "saliency"]


def _sum_phrase(maps: np.ndarray) -> list[Phrase]:
    if not np.isfinite(maps).all():
        return []
    words = f"sum {sheet.number(float(maps.sum(dtype=np.float64)))}"
    return [(words, words)]


def _how(recipe: SaliencyRecipe) -> str:
    if recipe.method == "smoothgrad":
        copies = count_of(recipe.steps, recipe.steps, "noisy input")
        return f"SmoothGrad, {copies}, noise {recipe.noise:.3g} of the range"
    if recipe.method == "integrated gradients":
        return f"integrated gradients, {count_of(recipe.steps, recipe.steps, 'step')} from zeros"
    return recipe.method


def _key(scale: Scale) -> tuple[np.ndarray, str]:
    limits = np.unique(scale.limit)
    high = sheet.number(float(limits[0])) if len(limits) == 1 else f"{PERCENTILE} %"
    ends = f"-{high}" if scale.signed else "0", high
    return sheet.colour_bar(scale, ends=ends), f"colours from {ends[0]} to {ends[1]}"


def _notes(
    maps: np.ndarray, channels: int, words: Sequence[str], fitted: PanelSheet, *, signed: bool
) -> list[str]:
    notes = [f"{fitted.order}: {', '.join(words)}"]
    if channels > 1:
        kind = "sum" if signed else "largest magnitude"
        notes.append(f"{kind} of {count_of(channels, channels, 'channel')}")
    if maps.ndim == 4:
        places = sorted({*shown_slices(maps.shape[1], fitted.slices)})
        notes.append(f"slices {listed(places)} of {maps.shape[1]}, left to right")
    notes.append(f"{PERCENTILE} %: each sample's {PERCENTILE}th percentile, where colours end")
    return notes
