"""Parts of a sheet of attention: maps of its heads, and what the patches of an image receive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.render import sheet
from layerviz_callbacks.render.grid import strips
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.views.head_tiles import (
    HeadTiles,
    draw_head_tiles,
    enlarged,
    fit_head_tiles,
    largest_of_blocks,
)
from layerviz_callbacks.views.patches import Placement
from layerviz_callbacks.views.sample_panels import PanelSheet, input_panels, shown_slices
from layerviz_callbacks.views.words import listed

MOST_SLICES = 3
ON_INPUT = "on the input"
Key = list[tuple[np.ndarray, str]]


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a sheet's body.

    Attributes:
        heading: what it is called.
        words: what it shows.
        body: palette indices `(height, width)`.
        heads: how many heads it shows.
        samples: how many samples it shows.
        key: how to read it.
    """

    heading: str
    words: str
    body: np.ndarray
    heads: int
    samples: int
    key: Key


@dataclass(frozen=True)
class Style:
    """What the parts of a sheet have in common.

    Attributes:
        signed: weights may be negative.
        each_head: each head's maps have a scale of their own; else all of a part share one.
        even: the weight of each key in even attention; 0 where there is none.
        noun: what a head is called.
    """

    signed: bool = False
    each_head: bool = False
    even: float = 0.0
    noun: str = "head"

    def scale(self, values: np.ndarray) -> Scale:
        """That of maps `(sample, head, height, width)`."""
        return Scale.of(values, signed=self.signed, axes=(0, 2, 3) if self.each_head else None)

    def names(self, heads: int) -> list[str]:
        """What the heads are called."""
        return [f"head {head}" for head in range(heads)] if self.noun == "head" else [self.noun]


def _of_first(scale: Scale, heads: int) -> Scale:
    """The same scale for the first heads alone."""
    limit = scale.limit
    return scale if isinstance(limit, float) else Scale(np.asarray(limit)[:, :heads], scale.signed)


def colours_key(scale: Scale, what: str) -> tuple[np.ndarray, str]:
    """The colour bar after what it is of, and the same in words."""
    low, high = sheet.range_words(scale)
    bar = sheet.row([draw_line(what), sheet.colour_bar(scale)], width=None)
    return bar, f"{what}: colours from {low} to {high}"


def map_section(
    weights: np.ndarray, names: Sequence[str], style: Style, *, samples: int, heads: int
) -> Section:
    """A map a head and sample: queries down, keys across.

    Args:
        weights: `(sample, head, query, key)`.
        names: of the samples.
        style: how they are drawn.
        samples: how many samples are wanted.
        heads: how many heads are wanted.
    """
    fitted = fit_head_tiles(weights.shape[-2:], samples=samples, heads=heads)
    scale = style.scale(weights)
    samples, heads = fitted.blocks.samples, fitted.blocks.count
    cells = largest_of_blocks(weights[:samples, :heads], fitted.reduce)
    levels = _of_first(scale, heads).levels(cells)
    body = draw_head_tiles(enlarged(levels, fitted), fitted, style.names(heads), names)
    said = "maps: queries down, keys across"
    if max(fitted.reduce) > 1:
        said += f", 1 cell = largest of {fitted.reduce[0]}x{fitted.reduce[1]} weights"
    return Section("maps", said, body, heads, samples, [colours_key(scale, "maps")])


def patch_section(
    values: np.ndarray,
    placement: Placement,
    given: np.ndarray,
    names: Sequence[str],
    style: Style,
    *,
    samples: int,
    heads: int,
) -> Section:
    """What the patches of images or volumes receive: the input, the mean of all heads, and single heads.

    Args:
        values: `(sample, head, patch)`.
        placement: where the patches are.
        given: the input, `(sample, *space, channel)`.
        names: of the samples.
        style: how they are drawn.
        samples: how many samples are wanted.
        heads: how many heads are wanted.
    """
    grid, averaged = placement.grid, values.shape[1] > 1
    slices = min(MOST_SLICES, grid[0]) if len(grid) == 3 else 1
    fitted = fit_head_tiles(
        grid[-2:],
        samples=samples,
        heads=heads,
        further=1 + averaged,
        aspect=given.shape[-3] / given.shape[-2],
        slices=slices,
    )
    samples, heads = fitted.blocks.samples, fitted.blocks.count - 1 - averaged
    if averaged:
        values = np.concatenate([values.mean(axis=1, keepdims=True), values], axis=1)
    scale = style.scale(values[..., None])
    shown = values[:samples, : averaged + heads].reshape(samples, -1, *grid)
    said = placement.words
    if len(grid) == 3:
        places = shown_slices(grid[0], slices)
        shown = shown[:, :, list(places)]
        said += f", slices {listed(places)} of {grid[0]}"
    if max(fitted.reduce) > 1:
        said += f", 1 cell = largest of {fitted.reduce[0]}x{fitted.reduce[1]}"
    cells = largest_of_blocks(shown, fitted.reduce)
    flat = cells.reshape(*cells.shape[:2], -1, cells.shape[-1])
    levels = _of_first(scale, averaged + heads).levels(flat).reshape(cells.shape)
    levels = enlarged(levels, fitted)
    levels = strips(levels) if len(grid) == 3 else levels
    beside = input_panels(given, _one_panel(fitted, samples))[:, None]
    words = ["input", *(["mean"] if averaged else []), *style.names(heads)]
    body = draw_head_tiles(np.concatenate([beside, levels], axis=1), fitted, words, names)
    return Section(ON_INPUT, said, body, heads, samples, [colours_key(scale, ON_INPUT)])


def _one_panel(fitted: HeadTiles, samples: int) -> PanelSheet:
    tiles = fitted.blocks.tiles
    return PanelSheet(samples, 1, tiles.width, 1, fitted.height, fitted.width, fitted.slices, True)
