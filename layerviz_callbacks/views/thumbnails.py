"""Small pictures of the inputs, beside what the layers made of them."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.curve import draw_curves
from layerviz_callbacks.render.grid import enlarge, mean_blocks
from layerviz_callbacks.render.layout import fit_tiles
from layerviz_callbacks.render.scale import Scale, as_floats, finite_range
from layerviz_callbacks.snapshot import Snapshot

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def can_be_small(inputs: Mapping[str, np.ndarray], samples: int) -> bool:
    """Whether the first input is a curve, an image or a volume of each of these samples."""
    first = next(iter(inputs.values()), None)
    if first is None or len(first) < samples or 0 in first.shape or first.dtype.kind not in "biuf":
        return False
    return first.ndim in (3, 4, 5)


def thumbnails_of(snapshot: Snapshot, samples: int, side: int) -> tuple[np.ndarray, ...]:
    """The `thumbnails` of a snapshot's inputs, made once for all its layers; read-only."""
    return _made_once(weakref.ref(snapshot), samples, side)


@lru_cache(maxsize=32)  # by a weak reference: it keeps no snapshot
def _made_once(snapshot: weakref.ref[Snapshot], samples: int, side: int) -> tuple[np.ndarray, ...]:
    standing = snapshot()
    made = () if standing is None else tuple(thumbnails(standing.inputs, samples, side))
    for small in made:
        small.setflags(write=False)
    return made


def thumbnails(inputs: Mapping[str, np.ndarray], samples: int, side: int) -> list[np.ndarray]:
    """Indices of the 16 greys `(height, width)`, at most `side` pixels wide and high, one a sample.

    Images are shown from the smallest value of the batch to its largest (unsigned 8-bit: from 0 to 255),
    colours by their luminance, other bands by the first of them, volumes by their middle slice; curves by up
    to three of their components.
    """
    first = next(iter(inputs.values()))
    if first.ndim == 3:
        return list(_curves(as_floats(first[:samples]), side))
    images = first if first.ndim == 4 else first[:, first.shape[1] // 2]
    if not sees_colours(first):
        images = images[..., :1]
    values = as_floats(images[:samples])
    low, high = (0.0, 255.0) if first.dtype == np.uint8 else map(float, finite_range(as_floats(images)))
    grey = values[..., 0] if values.shape[-1] == 1 else values[..., :3] @ _LUMINANCE.astype(values.dtype)
    tiles = fit_tiles(*grey.shape[1:], 1, side, side)
    if tiles is None:
        return []
    grey = mean_blocks(grey, tiles.reduce)
    share = np.clip((grey - low) / ((high - low) or 1.0), 0, 1)
    levels = np.rint(np.nan_to_num(share) * (palette.GREYS - 1)).astype(np.uint8)
    return list(enlarge(levels + np.uint8(palette.INK), tiles.enlarge))


def sees_colours(inputs: np.ndarray) -> bool:
    """Whether images are in red, green and blue (and opacity); volumes only where they have just three.

    Example:
        >>> sees_colours(np.zeros((1, 8, 8, 4))), sees_colours(np.zeros((1, 8, 8, 8, 4)))
        (True, False)
    """
    return inputs.shape[-1] == 3 or (inputs.ndim == 4 and inputs.shape[-1] == 4)


def _curves(values: np.ndarray, side: int) -> np.ndarray:
    scale = Scale.of(values[..., :3])
    drawn = np.full((len(values), max(24, side * 2 // 3), side // 2 * 2), palette.PANEL, np.uint8)
    for component in range(min(3, values.shape[-1]) - 1, -1, -1):
        colour = palette.INK + 4 * component
        drawn = draw_curves(drawn, values[..., component], scale, colour=colour)
    return drawn
