"""Make `layerviz_callbacks/render/colormaps.csv` from the published colour maps.

    python -m pip install matplotlib colorcet
    python tools/make_colormaps.py

Sequential: viridis (Smith, van der Walt and Firing; CC0), as matplotlib ships it.
Diverging: CET-D8 "diverging_linear_bjy_30_90_c45" (Peter Kovesi, "Good Colour Maps: How to Design
Them", arXiv:1509.03700; CC-BY 4.0), as colorcet ships it, resampled.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import colorcet
import matplotlib
import numpy as np

LEVELS = 224
TARGET = Path(__file__).parents[1] / "layerviz_callbacks" / "render" / "colormaps.csv"

HEADER = """\
Colour maps, made by tools/make_colormaps.py. One row a level, dark to light; red, green, blue from 0 to 255.
A few colours are off by 1/255 from the published ones, so that each is lighter than the one before.
sequential: viridis (Stefan van der Walt, Nathaniel Smith, Eric Firing; CC0), 224 of its 256 colours.
diverging: CET-D8, "diverging_linear_bjy_30_90_c45" (Peter Kovesi, Good Colour Maps: How to Design Them,
arXiv:1509.03700; CC-BY 4.0), resampled to 223 levels, so that level 111 is its centre; level 223 is unused.
sequential_red,sequential_green,sequential_blue,diverging_red,diverging_green,diverging_blue"""


def sequential() -> np.ndarray:
    """Viridis at 224 levels `(224, 3)`, uint8."""
    colours = matplotlib.colormaps["viridis"].resampled(LEVELS)(np.arange(LEVELS), bytes=True)
    return rising(colours[:, :3])


def diverging() -> np.ndarray:
    """CET-D8 at 223 levels and one filler `(224, 3)`, uint8."""
    published = np.array(
        [
            [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
            for colour in colorcet.palette["diverging_linear_bjy_30_90_c45"]
        ],
        float,
    )
    positions = np.linspace(0, len(published) - 1, LEVELS - 1)
    levels = np.stack(
        [np.interp(positions, np.arange(len(published)), channel) for channel in published.T], axis=1
    )
    filler = np.minimum(levels[-1:] + 4, 255)  # a shade beyond the light end
    return rising(np.concatenate([levels, filler]))


def rising(colours: np.ndarray) -> np.ndarray:
    """Nudge rounded colours by the fewest 1/255 so that each is lighter than the one before."""
    colours = np.rint(colours).astype(int)
    cube = itertools.product(range(-3, 4), repeat=3)
    nudges = np.array(sorted(cube, key=lambda nudge: np.square(nudge).sum()))
    for level in range(1, len(colours)):
        candidates = np.clip(colours[level] + nudges, 0, 255)
        lighter = luminance(candidates) > luminance(colours[level - 1]) + 1e-6
        colours[level] = candidates[np.argmax(lighter)]
    return colours.astype(np.uint8)


def luminance(colours: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB colours (IEC 61966-2-1), from 0 to 1."""
    part = colours / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def main() -> None:
    table = np.concatenate([sequential(), diverging()], axis=1)
    np.savetxt(TARGET, table, fmt="%d", delimiter=",", header=HEADER, comments="# ")
    print(f"{TARGET}: {table.shape}")


if __name__ == "__main__":
    main()
