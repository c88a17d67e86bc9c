"""The colours of classes: the same colour for a class in every run."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from layerviz_callbacks.render import palette

BASE = palette.CURVES
"""The first classes have the colours of curves (Okabe and Ito), which colour-blind eyes tell apart."""
_INK_PLACE = 6  # of black, which has no darker shade


@lru_cache(maxsize=1)
def class_colours() -> np.ndarray:
    """The colours that there are `(22, 3)`, uint8: eight, seven of them darker, seven lighter; read-only."""
    base = palette.sequential()[list(BASE)].astype(np.float64)
    shaded = np.delete(base, _INK_PLACE, axis=0)
    colours: np.ndarray = np.rint(np.concatenate([base, shaded * 0.5, 255 - (255 - shaded) * 0.45])).astype(
        np.uint8
    )
    colours.setflags(write=False)
    return colours


@lru_cache(maxsize=1)
def class_palette() -> np.ndarray:
    """`(256, 3)`: the sequential palette with the colours of classes as its first levels; read-only."""
    colours = palette.sequential().copy()
    colours[: len(class_colours())] = class_colours()
    colours.setflags(write=False)
    return colours


def class_index(number: int) -> int:
    """The index of a class in `class_palette`; the 23rd has the colour of the first again.

    Example:
        >>> class_index(3), class_index(22)
        (3, 0)
    """
    return number % len(class_colours())
