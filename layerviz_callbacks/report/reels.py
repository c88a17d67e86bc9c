"""Pictures over steps in few bytes, without loss: what stands still in all of them is written once.

The pictures of one size and palette are a reel. In a sheet most pixels are, at every step, those at their
left or above them: paper, and small maps that are enlarged. Which, is written once, as one byte a pixel:

    0   a value of its own
    1   as the pixel at its left
    2   as the pixel above

Of the other pixels the values follow, row by row and step by step, each as the difference from the step
before, modulo 256; of colours first all the reds, then all the greens, then all the blues. All of it is one
zlib stream.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from layerviz_callbacks.picture import Picture

OWN, LEFT, ABOVE = 0, 1, 2
_LEVEL = 6
_Key = tuple[tuple[int, ...], bytes]


@dataclass(frozen=True, eq=False)
class Reel:
    """The pictures of one size and palette.

    Attributes:
        steps: at which they are, in ascending order.
        size: width and height.
        colours: the palette `(256, 3)`; None: the pixels are colours themselves.
        values: how many pixels have a value of their own.
        data: the zlib stream.
    """

    steps: tuple[int, ...]
    size: tuple[int, int]
    colours: np.ndarray | None
    values: int
    data: bytes


def reels_of(pictures: Mapping[int, Picture]) -> list[Reel]:
    """The reels of a picture over steps; one, unless its size or its colours change.

    Args:
        pictures: by step.

    Example:
        >>> grey = np.arange(256, dtype=np.uint8).repeat(3).reshape(256, 3)
        >>> flat = {step: Picture("a", np.full((4, 6), step, np.uint8), grey) for step in (0, 1)}
        >>> [reel] = reels_of(flat)
        >>> reel.steps, reel.size, reel.values
        ((0, 1), (6, 4), 1)
    """
    groups: dict[_Key, list[int]] = {}
    for step, picture in sorted(pictures.items()):
        colours = b"" if picture.palette is None else picture.palette.tobytes()
        groups.setdefault((picture.pixels.shape, colours), []).append(step)
    return [_reel(steps, [pictures[step] for step in steps]) for steps in groups.values()]


def thinned(reel: Reel, steps: Collection[int]) -> Reel | None:
    """The reel at these of its steps alone, its pictures as they were; None where none are left.

    Args:
        reel: with any steps.
        steps: those that stay; others than the reel's do not matter.
    """
    kept = [place for place, step in enumerate(reel.steps) if step in steps]
    if not kept:
        return None
    raw = np.frombuffer(zlib.decompress(reel.data), np.uint8)
    pixels = reel.size[0] * reel.size[1]
    changes = raw[pixels:].reshape(len(reel.steps), -1)
    data = _packed(raw[:pixels], np.cumsum(changes, axis=0, dtype=np.uint8)[kept])
    return replace(reel, steps=tuple(reel.steps[place] for place in kept), data=data)


def _reel(steps: list[int], pictures: list[Picture]) -> Reel:
    first = pictures[0]
    pixels = np.stack([picture.pixels for picture in pictures])
    if first.palette is not None:
        pixels = pixels[..., None]
    structure = _structure(pixels)
    own = np.moveaxis(pixels[:, structure == OWN], -1, 1)  # (step, colour, value)
    data = _packed(structure, own)
    return Reel(tuple(steps), first.size, first.palette, own.shape[-1], data)


def _packed(structure: np.ndarray, own: np.ndarray) -> bytes:
    """The zlib stream of a structure, and of values with the steps as their first axis."""
    changes = own.copy()
    changes[1:] -= own[:-1]
    return zlib.compress(structure.tobytes() + changes.tobytes(), _LEVEL)


def _structure(pixels: np.ndarray) -> np.ndarray:
    """For each pixel of `(step, height, width, colour)` whether it is, at every step, as a neighbour."""
    structure = np.full(pixels.shape[1:3], OWN, np.uint8)
    structure[:, 1:][(pixels[:, :, 1:] == pixels[:, :, :-1]).all((0, 3))] = LEFT
    structure[1:][(pixels[:, 1:] == pixels[:, :-1]).all((0, 3))] = ABOVE
    return structure
