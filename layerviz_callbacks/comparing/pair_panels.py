"""Small pictures of a channel and of its partner, all of one sheet in one size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.comparing.common_parts import CommonKernels, CommonOutputs
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.colour import signed_colours
from layerviz_callbacks.render.curve import draw_curves, panels
from layerviz_callbacks.render.grid import enlarge, mean_blocks
from layerviz_callbacks.render.scale import Scale, as_floats
from layerviz_callbacks.views.film_palette import film_indices
from layerviz_callbacks.views.words import size_of

SIDE = 72
_CURVE_HEIGHT = 56
_STRIP_HEIGHT = 32
_MOST_CELLS = SIDE // 2
_OVERLAID = 3


@dataclass(frozen=True, eq=False)
class PairPanels:
    """Channels of a and their partners of b, ready to be drawn.

    Attributes:
        one: `(pair, height, width)` as tiles, `(pair, curve, time)` as curves, `(pair, 3, height, width)` in
            colours.
        other: in the same shape.
        curves: they are drawn as curves.
        size: height and width of a panel in pixels.
        notes: what was left out, in words.
    """

    one: np.ndarray
    other: np.ndarray
    curves: bool
    size: tuple[int, int]
    notes: tuple[str, ...]

    def draw(self, values: np.ndarray, scale: Scale) -> np.ndarray:
        """Panels `(pair, height, width)` in `film_palette`; in colours `(pair, height, width, 3)`."""
        height, width = self.size
        if self.curves:
            drawn = panels(height, width, leading=(len(values),), scale=scale)
            for place in range(values.shape[1] - 1, -1, -1):
                drawn = draw_curves(drawn, values[:, place], scale, colour=palette.CURVES[place])
            return drawn
        factors = height // values.shape[-2], width // values.shape[-1]
        if values.ndim == 4:
            return np.moveaxis(enlarge(signed_colours(values, scale), factors), 1, -1)
        return enlarge(film_indices(values, scale), factors)


def filter_panels(
    kernels: CommonKernels, pairs: list[tuple[int, int, float]], *, colours: bool
) -> PairPanels:
    """The filters of pairs of places, `(in a, in b, sign)`, as the view `Filters` draws them.

    Args:
        kernels: what both hold.
        pairs: which channels.
        colours: its three inputs are red, green and blue.
    """
    one = as_floats(kernels.one[[place for place, _, _ in pairs]])
    signs = np.array([sign for _, _, sign in pairs], one.dtype)
    other = as_floats(kernels.other[[place for _, place, _ in pairs]])
    other = other * signs.reshape(-1, *[1] * (other.ndim - 1))
    space, inputs = one.shape[3:], one.shape[2]
    if all(length == 1 for length in space):
        shape = one.shape[:3]
        rows = ("rows: gates",) if one.shape[1] > 1 else ()
        return _strips(one.reshape(shape), other.reshape(shape), "inputs", rows)
    if len(space) == 1:
        if one.shape[1] == 1 and inputs <= _OVERLAID:
            return _curves(one[:, 0], other[:, 0], ())
        mean = (f"mean of {inputs} inputs",) if inputs > 1 else ()
        return _curves(one.mean(axis=(1, 2))[:, None], other.mean(axis=(1, 2))[:, None], mean)
    notes = []
    if len(space) == 3:
        notes.append(f"slice {space[0] // 2} of {space[0]}")
        one, other = one[:, :, :, space[0] // 2], other[:, :, :, space[0] // 2]
    if colours and one.shape[1] == 1 and inputs == 3:
        return _tiles(one[:, 0], other[:, 0], notes)
    if inputs > 1:
        notes.append(f"mean of {inputs} inputs")
    one, other = one.mean(axis=2), other.mean(axis=2)
    if one.shape[1] > 1:
        notes.append("gates side by side")
        one, other = _side_by_side(one), _side_by_side(other)
    return _tiles(one.reshape(len(one), *one.shape[-2:]), other.reshape(len(other), *other.shape[-2:]), notes)


def map_panels(outputs: CommonOutputs, pairs: list[tuple[int, int, float]]) -> PairPanels:
    """The feature maps of the first sample; of vectors a cell a sample."""
    one = np.moveaxis(as_floats(outputs.one), -1, 0)[[place for place, _, _ in pairs]]
    other = np.moveaxis(as_floats(outputs.other), -1, 0)[[place for _, place, _ in pairs]]
    space = one.shape[2:]
    if not space:
        return _strips(one[:, None, :_MOST_CELLS], other[:, None, :_MOST_CELLS], "samples")
    one, other = one[:, 0], other[:, 0]
    if len(space) == 1:
        return _curves(one[:, None], other[:, None], ())
    notes = []
    while one.ndim > 3:
        notes.append(f"slice {one.shape[1] // 2} of {one.shape[1]}")
        one, other = one[:, one.shape[1] // 2], other[:, other.shape[1] // 2]
    return _tiles(one, other, notes)


def _tiles(one: np.ndarray, other: np.ndarray, notes: list[str]) -> PairPanels:
    longest = max(one.shape[-2:])
    reduce = -(-longest // SIDE)
    if reduce > 1:
        notes = [*notes, f"1 pixel = mean of {size_of((reduce, reduce))}"]
    one, other = mean_blocks(one, reduce), mean_blocks(other, reduce)
    factor = max(1, SIDE // max(one.shape[-2:]))
    height, width = (length * factor for length in one.shape[-2:])
    return PairPanels(one, other, False, (height, width), tuple(notes))


def _curves(one: np.ndarray, other: np.ndarray, notes: tuple[str, ...]) -> PairPanels:
    return PairPanels(one, other, True, (_CURVE_HEIGHT, SIDE), notes)


def _strips(one: np.ndarray, other: np.ndarray, what: str, notes: tuple[str, ...] = ()) -> PairPanels:
    """Numbers in rows `(pair, row, number)`: cells from left to right."""
    reduce = -(-one.shape[-1] // _MOST_CELLS)
    note = f"cells from left to right: {what}"
    if reduce > 1:
        note += f", each the mean of {reduce}"
        one, other = mean_blocks(one, (1, reduce)), mean_blocks(other, (1, reduce))
    height = max(8, _STRIP_HEIGHT // one.shape[-2]) * one.shape[-2]
    return PairPanels(one, other, False, (height, SIDE // one.shape[-1] * one.shape[-1]), (note, *notes))


def _side_by_side(slices: np.ndarray) -> np.ndarray:
    return slices.swapaxes(1, 2).reshape(len(slices), slices.shape[2], -1)
