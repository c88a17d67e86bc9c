"""The palettes: 256 distinct colours each, so that a pixel can be turned back into its value."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np

LEVELS = 224
"""Indices 0 to 223 are data."""

INK = 224
"""Indices 224 to 239 are greys from ink to paper: letters, and small pictures of the inputs."""
GREYS = 16
PAPER = INK + GREYS - 1

NOT_A_NUMBER = 240
PLUS_INFINITY = 241
MINUS_INFINITY = 242
DEAD = 243
"""The cross on a channel that is the same everywhere, and the corner of one that is saturated."""
ZERO_LINE = 244
PANEL = 245
"""The ground that curves and bars stand on."""
CURVES = (246, 247, 248, 249, 250, 251, 252, 253)
"""Colours for curves: blue, vermillion, bluish green and so on (Okabe and Ito, colour-blind safe)."""

_INK_COLOUR = (16, 18, 24)
_PAPER_COLOUR = (253, 253, 255)
_SPECIAL = {
    NOT_A_NUMBER: (255, 0, 255),
    PLUS_INFINITY: (255, 0, 40),
    MINUS_INFINITY: (0, 240, 255),
    DEAD: (255, 92, 0),
    ZERO_LINE: (168, 172, 182),
    PANEL: (238, 240, 245),
    CURVES[0]: (0, 114, 178),
    CURVES[1]: (213, 94, 0),
    CURVES[2]: (0, 158, 115),
    CURVES[3]: (204, 121, 167),
    CURVES[4]: (86, 180, 233),
    CURVES[5]: (230, 159, 0),
    CURVES[6]: (0, 0, 0),
    CURVES[7]: (240, 228, 66),
    254: (96, 100, 110),  # 254 and 255 are not used yet
    255: (255, 255, 255),
}


@lru_cache(maxsize=1)
def sequential() -> np.ndarray:
    """Viridis, for values from 0 on: `(256, 3)`, uint8, read-only; see the indices above."""
    return _palette(first_column=0)


@lru_cache(maxsize=1)
def diverging() -> np.ndarray:
    """Dark blue - mid grey - light yellow, for signed values; level 111 is zero: `(256, 3)`, uint8.

    Its lightness rises all the way, so that it reads in grey and with colour-blind eyes. CET-D8 of
    Peter Kovesi, "Good Colour Maps: How to Design Them", arXiv:1509.03700 (CC-BY 4.0).
    """
    return _palette(first_column=3)


@lru_cache(maxsize=1)
def grey() -> np.ndarray:
    """Black to white, for values of both kinds; level 111 is mid grey: `(256, 3)`, uint8, read-only.

    The ends are a shade off black and white, which stand for other indices.
    """
    return _with_the_rest(np.repeat(np.rint(np.linspace(1, 254, LEVELS))[:, None], 3, axis=1))


def _palette(first_column: int) -> np.ndarray:
    with resources.files(__package__).joinpath("colormaps.csv").open(encoding="utf-8") as table:
        return _with_the_rest(
            np.loadtxt(table, dtype=np.uint8, delimiter=",")[:, first_column : first_column + 3]
        )


def _with_the_rest(levels: np.ndarray) -> np.ndarray:
    """A palette of these levels `(224, 3)` and of the colours that all palettes have."""
    palette = np.zeros((256, 3), np.uint8)
    palette[:LEVELS] = levels
    palette[INK : INK + GREYS] = np.rint(np.linspace(_INK_COLOUR, _PAPER_COLOUR, GREYS))
    for index, colour in _SPECIAL.items():
        palette[index] = colour
    palette.setflags(write=False)
    return palette
