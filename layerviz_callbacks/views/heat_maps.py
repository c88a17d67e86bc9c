"""Heat maps over inputs, in colours: a map's strength as the opacity of its colour."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.curve import LINE, curve_columns, draw_curves, panels
from layerviz_callbacks.render.grid import STRIP_GAP, grid
from layerviz_callbacks.render.resize import resized
from layerviz_callbacks.render.scale import CENTRE, TOP, Scale, as_floats, finite_range
from layerviz_callbacks.views.sample_panels import PanelSheet, input_panels, shown_slices
from layerviz_callbacks.views.thumbnails import sees_colours

OPACITY = 0.8
"""Of the colour of the largest value; the input shines through it."""
_BEND = 0.7
"""Below one: middle strengths are seen, too."""
_DARKEST = 36
"""The grey of black under a heat map: on it the dark colours of small values are seen."""
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def sample_scale(maps: np.ndarray, *, signed: bool, limits: np.ndarray | None = None) -> Scale:
    """A scale a sample of `(sample, *space)`, whose limits lie on two axes for drawn panels.

    Args:
        maps: the maps.
        signed: see `Scale`.
        limits: `(sample,)`; None: the largest finite magnitude of each.
    """
    if limits is None:
        low, high = finite_range(maps, axes=range(1, maps.ndim))
        limits = np.maximum(np.abs(low), np.abs(high)) if signed else np.maximum(high, 0)
    return Scale(np.asarray(limits, np.float64).reshape(-1, 1, 1), signed)


def coloured_inputs(array: np.ndarray, fitted: PanelSheet) -> np.ndarray:
    """Images `(sample, *space, channel)`, or slices of volumes, as they are: RGB, slices as strips."""
    share = _shares(array, fitted)
    share = np.broadcast_to(share, (*share.shape[:-1], 3))
    return strips_of_colours(np.rint(255 * share).astype(np.uint8))


def luminance(array: np.ndarray, fitted: PanelSheet) -> np.ndarray:
    """Images, or slices of volumes: their luminance from 0 to 1 `(sample, [slice,] height, width)`."""
    share = _shares(array, fitted)
    return share[..., 0] if share.shape[-1] == 1 else share @ _LUMINANCE


def over_images(grey: np.ndarray, maps: np.ndarray, scale: Scale) -> np.ndarray:
    """Maps over images of the same size: RGB `(sample, height, width, 3)`, slices as strips.

    Args:
        grey: as `luminance` gives it.
        maps: in the same shape; NaN and infinities have their colours.
        scale: of the maps.
    """
    levels = _levels(maps, scale)
    ground = _DARKEST + (255 - _DARKEST) * grey[..., None]
    opacity = _opacity(levels, scale)[..., None]
    mixed = (1 - opacity) * ground + opacity * scale.palette[levels]
    return strips_of_colours(np.rint(mixed).astype(np.uint8))


def plain_maps(maps: np.ndarray, scale: Scale, fitted: PanelSheet) -> np.ndarray:
    """Maps, or slices of them, in their own places and colours: RGB `(sample, height, width, 3)`."""
    return strips_of_colours(scale.palette[_levels(resized(maps, fitted.height, fitted.width), scale)])


def over_curves(array: np.ndarray, maps: np.ndarray, scale: Scale, fitted: PanelSheet) -> np.ndarray:
    """Inputs over time `(sample, time, channel)` on ground in the maps' colours `(sample, place)`."""
    drawn = input_panels(array, fitted)
    return _on_ground(drawn, maps, scale, fitted)


def map_curves(
    maps: np.ndarray, scale: Scale, fitted: PanelSheet, *, heights: Scale | None = None
) -> np.ndarray:
    """Maps over time `(sample, place)` as curves, on ground in their colours.

    Args:
        maps: the maps.
        scale: of the colours.
        fitted: the sheet.
        heights: of the curves, a scale a sample; None: that of the colours.
    """
    columns = curve_columns(fitted.width)
    shown = _linear(maps, columns, -1) if maps.shape[-1] < columns else maps
    each = Scale(np.reshape((heights or scale).limit, (-1, 1)), scale.signed)
    ground = panels(fitted.height, fitted.width, leading=(len(maps),), scale=each)
    drawn = draw_curves(ground, shown.astype(np.float64), each, colour=palette.INK)
    return _on_ground(drawn, maps, scale, fitted)


def enlarged(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring `(..., h, w)` to `(..., height, width)`: linear between centres of places, else means of blocks.

    Beyond the outermost centres values stay as they are there. NaN and infinities keep their places, and
    count as zero for their neighbours.

    Example:
        >>> enlarged(np.array([[0.0, 4.0]]), 1, 4).tolist()
        [[0.0, 1.0, 3.0, 4.0]]
    """
    return _linear(_linear(maps, width, -1), height, -2)


def slices_of(maps: np.ndarray, depth: int, fitted: PanelSheet) -> np.ndarray:
    """Maps `(sample, d, h, w)` at the slices that a strip shows of an input so many slices deep; linear."""
    places = np.array(shown_slices(depth, fitted.slices))
    return _at(maps, (places + 0.5) * maps.shape[1] / depth - 0.5, 1)


def with_outline(pixels: np.ndarray, region: np.ndarray) -> np.ndarray:
    """RGB pictures `(sample, height, width, 3)` with a white line inside a region's edge, a dark one outside.

    Args:
        pixels: the pictures.
        region: truth values `(sample, height, width)`.
    """
    inside = region & ~_shrunk(region, LINE)
    outside = ~region & ~_shrunk(~region, LINE)
    lined = np.where(outside[..., None], palette.sequential()[palette.INK], pixels)
    return np.where(inside[..., None], palette.sequential()[palette.PAPER], lined)


def strips_of_colours(slices: np.ndarray) -> np.ndarray:
    """RGB slices `(sample, slice, height, width, 3)` side by side; pictures without slices as they are."""
    if slices.ndim < 5:
        return slices
    paper = palette.sequential()[palette.PAPER]
    planes = [
        grid(slices[..., place], slices.shape[1], gap=STRIP_GAP, ground=int(paper[place]))
        for place in range(3)
    ]
    return np.stack(planes, axis=-1)


def _shares(array: np.ndarray, fitted: PanelSheet) -> np.ndarray:
    """`(sample, [slice,] height, width, 1 or 3)`, from 0 to 1, in the size of the panels."""
    shown = array[: fitted.samples]
    if array.ndim == 5:
        shown = shown[:, list(shown_slices(array.shape[1], fitted.slices))]
    bands = 3 if sees_colours(array) else 1
    low, high = (0.0, 255.0) if array.dtype == np.uint8 else map(float, finite_range(array[..., :bands]))
    share = (as_floats(shown[..., :bands]) - low) / ((high - low) or 1.0)
    large = resized(np.moveaxis(share, -1, 0), fitted.height, fitted.width)
    return np.moveaxis(np.clip(np.nan_to_num(large), 0, 1), 0, -1)


def _levels(maps: np.ndarray, scale: Scale) -> np.ndarray:
    limit = np.asarray(scale.limit)
    if maps.ndim == 4:  # slices
        scale = Scale(limit[..., None], scale.signed)
    return scale.levels(maps.astype(np.float64))


def _opacity(levels: np.ndarray, scale: Scale) -> np.ndarray:
    """From 0 where a level is that of zero to `OPACITY`; NaN and infinities cover what is below."""
    whole = levels.astype(np.float32)
    share = np.abs(whole - CENTRE) / CENTRE if scale.signed else whole / TOP
    return np.where(levels < palette.LEVELS, OPACITY * np.minimum(share, 1) ** _BEND, 1.0)


def _on_ground(drawn: np.ndarray, maps: np.ndarray, scale: Scale, fitted: PanelSheet) -> np.ndarray:
    """Index panels `(sample, height, width)` whose ground is coloured by the map along their width."""
    columns = curve_columns(fitted.width)
    shown = _strongest(maps, columns) if maps.shape[-1] > columns else _linear(maps, columns, -1)
    levels = np.repeat(_levels(shown[:, None], scale), LINE, axis=-1)
    opacity = _opacity(levels, scale)[..., None]
    colours = scale.palette
    ground = (1 - opacity) * colours[palette.PANEL] + opacity * colours[levels]
    pixels: np.ndarray = colours[drawn]
    bare = np.broadcast_to((drawn == palette.PANEL)[..., None], pixels.shape)[:, :, : levels.shape[-1]]
    part = pixels[:, :, : levels.shape[-1]]
    np.copyto(part, np.rint(ground).astype(np.uint8), where=bare)
    return pixels


def _strongest(maps: np.ndarray, columns: int) -> np.ndarray:
    """Of each stretch of time the value of largest magnitude; NaN where it has one."""
    starts = np.arange(columns) * maps.shape[-1] // columns
    high, low = (bound.reduceat(maps, starts, axis=-1) for bound in (np.maximum, np.minimum))
    return np.where(high >= -low, high, low)


def _linear(values: np.ndarray, size: int, axis: int) -> np.ndarray:
    length = values.shape[axis]
    if size <= length:
        moved = np.moveaxis(values, axis, -1)
        return np.asarray(np.moveaxis(resized(moved[..., None, :], 1, size)[..., 0, :], -1, axis))
    return _at(values, (np.arange(size) + 0.5) * length / size - 0.5, axis)


def _at(values: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Values between places along an axis, in proportion; at NaN and infinities these."""
    last = values.shape[axis] - 1
    positions = np.clip(positions, 0, last)
    before = np.floor(positions).astype(int)
    shape = [1] * values.ndim
    shape[axis] = -1
    share = (positions - before).reshape(shape)
    finite = np.isfinite(values)
    sound = np.where(finite, values, 0)
    mixed = np.take(sound, before, axis) * (1 - share)
    mixed += np.take(sound, np.minimum(before + 1, last), axis) * share
    if finite.all():
        return np.asarray(mixed)
    nearest = np.take(values, np.rint(positions).astype(int), axis)
    return np.asarray(np.where(np.isfinite(nearest), mixed, nearest))


def _shrunk(region: np.ndarray, pixels: int) -> np.ndarray:
    """The region without its outermost pixels; the edge of the picture is none."""
    for axis in (-2, -1):
        padded = np.pad(region, [(0, 0)] * (region.ndim - 2) + [(pixels, pixels)] * 2, constant_values=True)
        length = region.shape[axis]
        other = slice(pixels, -pixels)
        kept = np.ones(region.shape, bool)
        for shift in range(2 * pixels + 1):
            window = slice(shift, shift + length)
            kept &= padded[(..., window, other) if axis == -2 else (..., other, window)]
        region = kept
    return region
