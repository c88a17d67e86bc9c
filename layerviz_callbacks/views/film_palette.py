"""One palette for signed and for unsigned values on one sheet, so that it stays a small file."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.scale import CENTRE, TOP, Scale

SIGNED_CENTRE = 55
"""The index of zero of a signed scale; indices 0 to 110 are its levels."""
FIRST_UNSIGNED = 2 * SIGNED_CENTRE + 1
"""The index of zero of an unsigned scale; indices up to 223 are its levels."""
_UNSIGNED_TOP = TOP - FIRST_UNSIGNED


@lru_cache(maxsize=1)
def film_palette() -> np.ndarray:
    """Every second colour of the diverging palette, then of the sequential one: `(256, 3)`, uint8, read-only.

    All colours differ, so that a pixel can be turned back into its value.
    """
    colours = palette.sequential().copy()
    signed = np.rint((np.arange(FIRST_UNSIGNED) - SIGNED_CENTRE) * CENTRE / SIGNED_CENTRE) + CENTRE
    unsigned = np.rint(np.arange(_UNSIGNED_TOP + 1) * TOP / _UNSIGNED_TOP)
    colours[:FIRST_UNSIGNED] = palette.diverging()[signed.astype(int)]
    colours[FIRST_UNSIGNED : TOP + 1] = palette.sequential()[unsigned.astype(int)]
    colours.setflags(write=False)
    return colours


def film_indices(values: np.ndarray, scale: Scale) -> np.ndarray:
    """The indices of values in `film_palette`, uint8; NaN and infinities have the indices they always have.

    Example:
        >>> film_indices(np.array([-2.0, 0.0, 2.0]), Scale(2.0, signed=True)).tolist()
        [0, 55, 110]
        >>> film_indices(np.array([0.0, 2.0, np.nan]), Scale(2.0, signed=False)).tolist()
        [111, 223, 240]
    """
    return in_film_palette(scale.levels(values), signed=scale.signed)


def in_film_palette(indices: np.ndarray, *, signed: bool) -> np.ndarray:
    """Indices of the diverging (signed) or the sequential palette as indices of `film_palette`."""
    return np.take(_table(signed=signed), indices)


@lru_cache(maxsize=2)
def _table(*, signed: bool) -> np.ndarray:
    table = np.arange(256)
    levels = np.arange(palette.LEVELS)
    if signed:
        table[: palette.LEVELS] = np.rint((levels - CENTRE) * SIGNED_CENTRE / CENTRE) + SIGNED_CENTRE
        table[2 * CENTRE + 1 : palette.LEVELS] = 2 * SIGNED_CENTRE
    else:
        table[: palette.LEVELS] = np.rint(levels * _UNSIGNED_TOP / TOP) + FIRST_UNSIGNED
    return table.astype(np.uint8)
