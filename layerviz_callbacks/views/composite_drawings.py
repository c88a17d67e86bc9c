"""What a composite draws: maps on a scale, or maps in the colours of groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.curve import draw_curves, panels
from layerviz_callbacks.render.grid import cross_out
from layerviz_callbacks.render.held_range import HeldRange
from layerviz_callbacks.render.resize import resized, resized_classes
from layerviz_callbacks.render.scale import Scale, finite_range
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line
from layerviz_callbacks.views.composite_methods import (
    Clusters,
    clusters,
    mean_magnitude,
    principal_component,
)
from layerviz_callbacks.views.marks import strange_key
from layerviz_callbacks.views.sample_panels import PanelSheet, map_panels
from layerviz_callbacks.views.sheets import colour_key, height_key
from layerviz_callbacks.views.steady import Hold, Steady
from layerviz_callbacks.views.words import count_of

SHADES = 37
"""Levels of each group's colour, from dark to bright; six groups have the 222 levels of a palette."""
MOST_GROUPS = palette.LEVELS // SHADES
_DARKEST = 0.2
_GROUP_COLOURS = (
    (255, 235, 90),
    (70, 150, 255),
    (235, 95, 30),
    (60, 220, 170),
    (235, 130, 215),
    (205, 205, 205),
)


@dataclass(frozen=True, eq=False)
class Joined:
    """Channels joined into one panel a sample.

    Attributes:
        panel: palette indices `(sample, height, width)`.
        key: how to read it.
        notes: what else is to be said.
        colours: the palette.
        held: the range, where it is held over steps.
    """

    panel: np.ndarray
    key: list[tuple[np.ndarray, str]]
    notes: list[str]
    colours: np.ndarray
    held: HeldRange | None


def join(part: np.ndarray, fitted: PanelSheet, *, method: str, count: int, hold: Hold = Steady) -> Joined:
    """Join the channels of `(sample, *space, channel)`, of which the space is already what is shown."""
    if method == "clusters":
        return _in_groups(clusters(part, count), fitted, hold)
    if method == "principal component":
        found = principal_component(part)
        notes = [f"first principal component: {found.share:.0%} of the variance over all that is drawn"]
        return _on_a_scale(found.maps, fitted, notes, hold(Scale.of(found.maps, signed=True)))
    words = "mean magnitude of all channels that are drawn"
    maps = mean_magnitude(part)
    return _on_a_scale(maps, fitted, [words] if method == "mean" else [], hold(Scale.of(maps, signed=False)))


def _on_a_scale(maps: np.ndarray, fitted: PanelSheet, notes: list[str], fixed: Steady) -> Joined:
    scale = fixed.scale
    low, high = finite_range(maps)
    same = np.full(len(maps), bool(low == high))
    if maps.ndim == 2:
        empty = panels(fitted.height, fitted.width, leading=(len(maps),), scale=scale)
        panel, key = draw_curves(empty, maps, scale), height_key(scale, "curves")
        ground = palette.PANEL
    else:
        panel = map_panels(scale.levels(_fitted(maps, fitted)), fitted)
        key, ground = colour_key(scale), int(scale.levels(np.zeros(1, np.float32))[0])
    keys = [key]
    if same.any():
        panel = np.ascontiguousarray(cross_out(panel, same))
        keys.append(
            (sheet.legend_entry(sheet.cross_swatch(ground), "flat"), "crossed out: the same everywhere")
        )
    return Joined(panel, keys + strange_key(maps), [*fixed.notes, *notes], scale.palette, fixed.held)


def _in_groups(found: Clusters, fitted: PanelSheet, hold: Hold) -> Joined:
    fixed = hold(Scale.of(found.strength, signed=False))
    scale = fixed.scale
    if found.leading.ndim == 2:  # a ribbon over time
        leading, strength = found.leading[:, None], found.strength[:, None]
    else:
        leading, strength = found.leading, found.strength
    count = len(found.groups)
    group = resized_classes(
        np.where(leading < 0, count, leading), fitted.height, fitted.width, count=count + 1
    )
    shown = resized(strength, fitted.height, fitted.width)
    limit = float(scale.limit) or 1.0
    with np.errstate(invalid="ignore"):
        shade = np.rint(np.nan_to_num(np.clip(shown / limit, 0, 1)) * (SHADES - 1)).astype(np.uint8)
    indices = np.where(group < count, group * SHADES + shade, 0).astype(np.uint8)
    indices[np.isnan(shown)] = palette.NOT_A_NUMBER
    indices[shown == np.inf] = palette.PLUS_INFINITY
    key = []
    for number, channels in enumerate(found.groups):
        words = count_of(len(channels), len(channels), "channel")
        key.append((sheet.legend_entry(_ramp(number), words), f"colour {number + 1}: {words}"))
    alone = "no group: no channel changes"
    notes = [f"brightness from 0 to {sheet.number(float(scale.limit))}: mean magnitude of the leading group"]
    return Joined(
        map_panels(indices, fitted),
        (key or [(draw_line(alone), alone)]) + strange_key(found.strength),
        [*fixed.notes, *notes],
        group_palette(),
        fixed.held,
    )


def _fitted(maps: np.ndarray, fitted: PanelSheet) -> np.ndarray:
    """No larger than the panel: means of blocks where they are."""
    height, width = maps.shape[-2:]
    return resized(maps, min(height, fitted.height), min(width, fitted.width))


def _ramp(number: int) -> np.ndarray:
    square = np.full((LINE_HEIGHT, SHADES), palette.PAPER, np.uint8)
    square[8:26] = number * SHADES + np.arange(SHADES, dtype=np.uint8)
    return square


@lru_cache(maxsize=1)
def group_palette() -> np.ndarray:
    """`(256, 3)`: of each of six groups its colour from dark to bright, then as every palette; read-only.

    Yellow, blue, vermillion, green, pink, grey: of different lightness, for colour-blind eyes.
    """
    colours = palette.sequential().copy()
    shades = np.linspace(_DARKEST, 1, SHADES)[:, None]
    for number, colour in enumerate(_GROUP_COLOURS):
        first = number * SHADES
        colours[first : first + SHADES] = np.rint(shades * colour)
    colours.setflags(write=False)
    return colours


def channel_words(zero: int, constant: int, strange: Sequence[tuple[int, str, int]]) -> list[str]:
    """What is said of channels that are the same everywhere, or hold NaN."""
    words = [f"{zero} all zero"] if zero else []
    words += [f"{constant} constant"] if constant else []
    words += [f"{count} with {name}" for _, name, count in strange]
    return [f"of its channels {', '.join(words)}"] if words else []
