"""The panels of class-activation maps: the input, the map over it, the map alone."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.explaining import Score
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.resize import resized
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.views.heat_maps import (
    coloured_inputs,
    enlarged,
    luminance,
    map_curves,
    over_curves,
    over_images,
    plain_maps,
    slices_of,
    strips_of_colours,
    with_outline,
)
from layerviz_callbacks.views.sample_panels import PanelSheet, input_panels, shown_slices

_BAR = 8
"""Pixels of the bar below a trace, where scores are summed: its height, and its least width."""


def panel_names(rank: int, *, has_input: bool) -> list[str]:
    """What the panels of a sample are, for maps with so many axes of space."""
    if not has_input:
        return ["map"]
    return ["input on the map's colours", "map"] if rank == 1 else ["input", "map over it", "map"]


def map_panels_of(
    maps: np.ndarray, scale: Scale, given: np.ndarray | None, fitted: PanelSheet, score: Score | None
) -> list[np.ndarray]:
    """RGB `(sample, height, width, 3)`, see `panel_names`.

    Args:
        maps: `(sample, *space)`.
        scale: of the maps.
        given: the input with as many axes of space, or None.
        fitted: the sheet.
        score: whose region is outlined where it is a part of the input, or None.
    """
    if maps.ndim == 2:
        drawn = [map_curves(maps, scale, fitted)]
        return drawn if given is None else [_barred(over_curves(given, maps, scale, fitted), score), *drawn]
    if given is None:
        shown = maps[:, list(shown_slices(maps.shape[1], fitted.slices))] if maps.ndim == 4 else maps
        return [plain_maps(shown, scale, fitted)]
    between, alone = maps, maps
    if maps.ndim == 4:
        depth = given.shape[1]
        between = slices_of(maps, depth, fitted)
        alone = maps[:, np.array(shown_slices(depth, fitted.slices)) * maps.shape[1] // depth]
    large = enlarged(between, fitted.height, fitted.width)
    over = over_images(luminance(given, fitted), large, scale)
    drawn = [coloured_inputs(given, fitted), _outlined(over, score, fitted, rank=maps.ndim - 1)]
    return [*drawn, plain_maps(alone, scale, fitted)]


def inputs_alone(given: np.ndarray | None, fitted: PanelSheet) -> list[np.ndarray]:
    """The inputs, where there is nothing to be drawn over them."""
    if given is None:
        return []
    if given.ndim == 3:
        return [palette.sequential()[input_panels(given, fitted)]]
    return [coloured_inputs(given, fitted)]


def has_region(score: Score | None, rank: int) -> bool:
    """Whether the score is the sum over a part of an answer with so many axes of space."""
    if score is None or score.region is None:
        return False
    return score.region.ndim == rank + 1 and not bool(score.region.all())


def _barred(pixels: np.ndarray, score: Score | None) -> np.ndarray:
    """Traces with a bar below the places that are summed."""
    if score is None or score.region is None or not has_region(score, 1):
        return pixels
    samples, _, width = pixels.shape[:3]
    region = score.region[:samples].astype(np.float32)
    summed = resized(region[:, None], 1, width)[:, 0] > 0
    spread = np.stack([np.convolve(one, np.ones(_BAR), "same") > 0 for one in summed])
    marked = pixels.copy()
    below = marked[:, -_BAR:]
    below[np.broadcast_to(spread[:, None], below.shape[:-1])] = palette.sequential()[palette.INK]
    return marked


def _outlined(pixels: np.ndarray, score: Score | None, fitted: PanelSheet, *, rank: int) -> np.ndarray:
    """Images or strips with an outline of the places that are summed."""
    if score is None or score.region is None or not has_region(score, rank):
        return pixels
    region = score.region[: len(pixels)].astype(np.float32)
    if rank == 3:
        region = region[:, list(shown_slices(region.shape[1], fitted.slices))]
    inside = resized(region, fitted.height, fitted.width) >= 0.5
    if rank == 3:  # side by side like the slices themselves
        whole = np.repeat(inside[..., None], 3, axis=-1).astype(np.uint8)
        inside = strips_of_colours(whole)[..., 0] == 1
    return with_outline(pixels, inside)
