"""The pictures of a comparison."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from layerviz_callbacks.comparing.assignment import cosines
from layerviz_callbacks.comparing.cka_sheet import draw_cka
from layerviz_callbacks.comparing.comparison import Comparison, LayerComparison
from layerviz_callbacks.comparing.overview_sheet import draw_overview
from layerviz_callbacks.comparing.pair_panels import filter_panels, map_panels
from layerviz_callbacks.comparing.pair_sheet import COLUMNS, Pair, draw_pairs
from layerviz_callbacks.errors import check_count
from layerviz_callbacks.picture import Picture


def pictures_of(comparison: Comparison, *, pairs: int) -> list[Picture]:
    """See `Comparison.pictures`."""
    check_count("pairs", pairs)
    digits = max(2, len(str(max((layer.place for layer in comparison.layers), default=0))))
    cka = draw_cka(comparison)
    drawn = [draw_overview(comparison), *([] if cka is None else [cka])]
    for family, draw in (("filters", _filters), ("feature maps", _maps)):
        for layer in comparison.layers:
            tag = f"compared {family}/{layer.place:0{digits}d}_{layer.name}"
            drawn += draw(tag, layer, comparison, pairs)
    return drawn


def _filters(tag: str, layer: LayerComparison, comparison: Comparison, most: int) -> Iterator[Picture]:
    kernels, match = layer.kernels, layer.match
    if kernels is None or match is None or kernels.channels is None:
        return
    held = {channel: place for place, channel in enumerate(kernels.channels)}
    if match.by == "activations" and layer.outputs is not None and layer.outputs.total != kernels.total:
        return
    known = [
        place
        for place in _ranked(match.likeness)
        if match.channels[place] in held and match.partners[place] in held
    ]
    chosen = _ends(known, most)
    if not chosen:
        return
    places = [
        (held[match.channels[place]], held[match.partners[place]], float(match.signs[place]))
        for place in chosen
    ]
    flat = [part.reshape(len(part), -1) for part in (kernels.one, kernels.other)]
    pairs = [
        Pair(
            match.channels[place],
            match.partners[place],
            sign,
            sign * float(cosines(flat[0][one : one + 1], flat[1][other : other + 1])[0, 0]),
        )
        for place, (one, other, sign) in zip(chosen, places, strict=True)
    ]
    panels = filter_panels(kernels, places, colours=layer.in_colours)
    yield draw_pairs(
        tag,
        layer,
        comparison,
        pairs,
        panels,
        what="filters",
        printed="cosine of the filters",
        total=len(known),
    )


def _maps(tag: str, layer: LayerComparison, comparison: Comparison, most: int) -> Iterator[Picture]:
    outputs, match = layer.outputs, layer.match
    if outputs is None or match is None or match.by != "activations":
        return
    held = {channel: place for place, channel in enumerate(outputs.channels)}
    known = _ranked(match.likeness)
    chosen = _ends(known, most)
    if not chosen:
        return
    places = [(held[match.channels[place]], held[match.partners[place]], 1.0) for place in chosen]
    pairs = [
        Pair(match.channels[place], match.partners[place], 1.0, float(match.likeness[place]))
        for place in chosen
    ]
    of = "activations" if outputs.one.ndim == 2 else f"feature maps of {comparison.sample_names[0]}"
    yield draw_pairs(
        tag,
        layer,
        comparison,
        pairs,
        map_panels(outputs, places),
        what=of,
        printed="correlation over all samples",
        total=len(known),
    )


def _ranked(likeness: np.ndarray) -> list[int]:
    """The least alike first; those without a likeness are left out."""
    order = np.argsort(likeness, kind="stable")
    return [int(place) for place in order if not np.isnan(likeness[place])]


def _ends(places: list[int], most: int) -> list[int]:
    """So many of them: all, or half from each end, in whole rows where there is more than one."""
    if len(places) <= most:
        return places
    half = max(1, most // 2)
    if most >= 2 * COLUMNS:
        half = half // COLUMNS * COLUMNS
    return [*places[:half], *places[-half:]] if most > 1 else places[:1]
