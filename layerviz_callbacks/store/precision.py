"""Arrays of layers with fewer bits: what is stored instead of them, and what is lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PRECISIONS = ("float32", "float16", "uint8")

FIRST_LEVEL, LAST_LEVEL = 1, 252
MINUS_INFINITY, PLUS_INFINITY, NOT_A_NUMBER = 253, 254, 255
_LARGEST_SCALE, _MOST = 2.0**113, np.float32(32752)
_ORDINARY = 1e30
_LEVELS = LAST_LEVEL - FIRST_LEVEL


@dataclass(frozen=True, eq=False)
class Encoded:
    """What is stored of an array.

    Attributes:
        stored: in the array's shape.
        scale: for float16, what `stored` is to be multiplied by: a power of two.
        levels: for uint8, `(2, channel)`, float64: `levels[0] * stored + levels[1]` for codes from 1 to 252.
    """

    stored: np.ndarray
    scale: float | None = None
    levels: np.ndarray | None = None


def encode(values: np.ndarray, precision: str, channel_axis: int) -> Encoded:
    """An array with the bits of a precision.

    | precision | what is lost of a finite value v |
    |---|---|
    | "float32" | nothing of float32 and float16; float64 is rounded, and beyond float32 becomes its largest value |
    | "float16" | at most `max(|v| * 2**-11, m * 2**-23)`, m being the largest finite magnitude of the array |
    | "uint8" | at most 1/500 of the channel's range from its smallest to its largest value that is not zero |

    NaN, infinities and zero stay what they are (in uint8 without a sign of NaN or zero). For float16 the array
    is divided by a power of two where its largest magnitude is not between 1/4 and 65504: nothing overflows,
    and tiny gradients do not vanish. In uint8 nothing but zero becomes zero: what is dead stays dead, and
    what is alive stays alive. Arrays of other than floating-point numbers are stored as they are.

    Args:
        values: any array.
        precision: one of `PRECISIONS`.
        channel_axis: which axis has a scale of its own in uint8.
    """  # noqa: E501
    if values.dtype.kind != "f":
        return Encoded(values)
    if precision == "uint8" and values.ndim:
        return _in_levels(values, channel_axis)
    if precision == "float16" and values.dtype.itemsize > 2:
        return _in_half(values)
    return Encoded(_in_single(values) if values.dtype.itemsize > 4 else values)


def decode(encoded: Encoded, channel_axis: int) -> np.ndarray:
    """The array, float32 where it was stored with fewer bits."""
    if encoded.levels is not None:
        return _from_levels(encoded.stored, encoded.levels, channel_axis)
    if encoded.scale is not None:
        return np.asarray(encoded.stored.astype(np.float32) * np.float32(encoded.scale))
    return encoded.stored


def _in_single(values: np.ndarray) -> np.ndarray:
    largest = np.finfo(np.float32).max
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    overflown = np.isinf(single) & np.isfinite(values)
    if overflown.any():
        single[overflown] = np.copysign(largest, values[overflown])
    return np.asarray(single)


def _in_half(values: np.ndarray) -> Encoded:
    values = _in_single(values) if values.dtype.itemsize > 4 else values
    largest = _largest(values)
    scale = 1.0
    if largest and not 0.25 <= largest <= 65504:
        exponent = int(np.frexp(largest)[1])  # largest < 2 ** exponent
        scale = max(2.0 ** (exponent - 15), 2.0**-126)  # of normal float32 numbers
    if scale != 1.0:
        values = values * np.float32(1 / scale)
    if scale == _LARGEST_SCALE:  # rounded up, it would be beyond float32
        values = np.where(np.isfinite(values), np.clip(values, -_MOST, _MOST), values)
    return Encoded(values.astype(np.float16), scale)


def _largest(values: np.ndarray) -> float:
    """The largest finite magnitude; 0 where there is none."""
    if not values.size:
        return 0.0
    low, high = float(values.min()), float(values.max())
    if np.isfinite(low) and np.isfinite(high):
        return max(abs(low), abs(high))
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).max()) if finite.size else 0.0


def _in_levels(values: np.ndarray, channel_axis: int) -> Encoded:
    values = _in_single(values) if values.dtype.itemsize > 4 else values.astype(np.float32, copy=False)
    moved = np.moveaxis(values, channel_axis, -1)
    marked = _marked(moved)
    low, high = _range_of(moved, marked)
    scale = high / _LEVELS - low / _LEVELS
    ordinary = bool((np.abs(low).max(initial=0) < _ORDINARY) and (np.abs(high).max(initial=0) < _ORDINARY))
    ordinary = ordinary and bool((scale[scale > 0] > 1 / _ORDINARY).all())
    exact = np.float32 if ordinary else np.float64  # float32 is twice as fast
    with np.errstate(invalid="ignore"):
        steps = moved.astype(exact) - low.astype(exact)
    steps /= np.where(scale > 0, scale, 1.0).astype(exact)
    steps += FIRST_LEVEL + 0.5
    if marked is not None:
        np.copyto(steps, 0, where=marked)
    codes = steps.astype(np.uint8)  # downwards
    if marked is not None:
        codes[np.isnan(moved)] = NOT_A_NUMBER
        codes[moved == np.inf] = PLUS_INFINITY
        codes[moved == -np.inf] = MINUS_INFINITY
    stored = np.ascontiguousarray(np.moveaxis(codes, -1, channel_axis))
    return Encoded(stored, levels=np.stack([scale, low - scale * FIRST_LEVEL]))


def _marked(values: np.ndarray) -> np.ndarray | None:
    """Where there is zero, NaN or infinity; None where that is nowhere."""
    if not values.size:
        return None
    marked = values == 0
    if not (np.isfinite(values.min()) and np.isfinite(values.max())):
        marked |= ~np.isfinite(values)
    return marked if marked.any() else None


def _range_of(moved: np.ndarray, marked: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Each channel's smallest and largest value that is not marked, float64; 0 where there is none."""
    axes = tuple(range(moved.ndim - 1))
    below = moved if marked is None else np.where(marked, np.float32(np.inf), moved)
    above = moved if marked is None else np.where(marked, np.float32(-np.inf), moved)
    low = below.min(axis=axes, initial=np.inf).astype(np.float64)
    high = above.max(axis=axes, initial=-np.inf).astype(np.float64)
    return np.where(low > high, 0.0, low), np.where(low > high, 0.0, high)


def _from_levels(stored: np.ndarray, levels: np.ndarray, channel_axis: int) -> np.ndarray:
    shape = [1] * stored.ndim
    shape[channel_axis] = -1
    scale, offset = (row.reshape(shape) for row in levels)
    with np.errstate(over="ignore"):  # of the codes that are replaced below
        values = (stored * scale + offset).astype(np.float32)
    values[stored == 0] = 0
    values[stored == NOT_A_NUMBER] = np.nan
    values[stored == PLUS_INFINITY] = np.inf
    values[stored == MINUS_INFINITY] = -np.inf
    return np.asarray(values)
