"""Patterns of waveforms, with their spectra; patterns of vectors as bars."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.explaining import FoundPatterns
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.bars import draw_bars, fit_bars
from layerviz_callbacks.render.curve import curve_columns, draw_curves, panels
from layerviz_callbacks.render.grid import GAP, cross_out
from layerviz_callbacks.render.layout import BODY_HEIGHTS
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.views.patterns_drawings import (
    DrawnPatterns,
    block_of,
    blocks_in_rows,
    reach_key,
    reach_of,
    room_for,
    shown_values,
)

MOST_COMPONENTS = 3
SHORTEST = 40
TALLEST = 110
SHARE_OF_CURVE = 0.6
"""Of a block's width; the spectrum has the rest."""
SAMPLES_A_COLUMN = 1.0
"""A waveform that repeats itself is shown by its middle, so that a line of 2 pixels has so many samples."""


def draw_curve_patterns(found: FoundPatterns, *, everywhere: bool, each: bool) -> DrawnPatterns:
    """Patterns `(channel, time, in)`: each a curve, its amplitude spectrum at the right.

    Args:
        found: the patterns.
        everywhere: the layer looks for a pattern at all times, so that a stretch of it is enough.
        each: each channel has its own range.
    """
    count, columns, height, width = _fitted(len(found.inputs))
    values = shown_values(found)[:count]
    length, components = values.shape[1], min(MOST_COMPONENTS, values.shape[-1])
    curve_width = int(width * SHARE_OF_CURVE) // 2 * 2
    spectrum_width = (width - curve_width - GAP) // 2 * 2
    shown, notes = values, []
    most = int(SAMPLES_A_COLUMN * curve_columns(curve_width))
    if everywhere and length > most:
        first = (length - most) // 2
        shown = values[:, first : first + most]
        notes.append(f"left: the middle {most} of {length} samples")
    reach = reach_of(found, count, each=each)
    relative = shown[..., :components] / reach[:, None, None]
    curves = _overlaid(relative, Scale(1.0, signed=True), height, curve_width)
    amplitudes, peaks = spectra(values)
    largest = amplitudes[..., :components].max(axis=(1, 2), keepdims=True)
    share = amplitudes[..., :components] / np.where(largest > 0, largest, 1)
    spectrum = _overlaid(share, Scale(1.0, signed=False), height, spectrum_width)
    gap = np.full((count, height, GAP), palette.PAPER, np.uint8)
    drawn = cross_out(np.concatenate([curves, gap, spectrum], axis=-1), found.dead[:count])
    words = [
        ""
        if found.dead[place] or not np.isfinite(peaks[place])
        else f"peak {sheet.number(float(peaks[place]))}"
        for place in range(count)
    ]
    blocks = [block_of(one, found, place, words[place]) for place, one in enumerate(drawn)]
    right = "right: amplitude from 0 to 0.5 cycles a sample up to its own maximum, and its peak"
    key = [reach_key(reach[~found.dead[:count]], "curves", each=each)]
    if values.shape[-1] > 1:
        key += [
            (sheet.legend_entry(sheet.swatch(palette.CURVES[one]), f"component {one}"), "")
            for one in range(components)
        ]
    if components < values.shape[-1]:
        notes.append(f"components 0 to {components - 1} of {values.shape[-1]}")
    return DrawnPatterns(count, [blocks_in_rows(blocks, columns)], key, [*notes, right])


def spectra(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude spectra of waveforms, and where they are highest.

    Args:
        values: `(count, time, component)`.

    Returns:
        `(count, frequency, component)`, from 0 to 0.5 cycles a sample, of the waveforms without their mean
        under a Hann window; and `(count,)` the frequency of the most power of all components together, NaN
        where there is none.

    Example:
        >>> wave = np.sin(2 * np.pi * 0.25 * np.arange(64)).reshape(1, 64, 1)
        >>> spectra(wave)[1].tolist()
        [0.25]
    """
    length = values.shape[1]
    window = np.hanning(length + 2)[1:-1, None]
    centred = values - values.mean(axis=1, keepdims=True)
    amplitudes = np.abs(np.fft.rfft(centred * window, axis=1)) * (2 / window.sum())
    power = (amplitudes**2).sum(axis=-1)
    power[:, 0] = 0
    peaks = np.fft.rfftfreq(length)[power.argmax(axis=1)]
    return amplitudes, np.where(power.max(axis=1) > 0, peaks, np.nan)


def draw_vector_patterns(found: FoundPatterns, *, each: bool) -> DrawnPatterns:
    """Patterns `(channel, in)`: bars, or where they are too many a curve.

    Args:
        found: the patterns.
        each: each channel has its own range.
    """
    count, columns, height, width = _fitted(len(found.inputs))
    reach, scale = reach_of(found, count, each=each), Scale(1.0, signed=True)
    values = shown_values(found)[:count] / reach[:, None]
    bars = fit_bars(values.shape[-1], width, height)
    if bars is None:
        drawn = draw_curves(panels(height, width, leading=(count,), scale=scale), values, scale)
    else:
        drawn = draw_bars(values, scale, tiles=bars)
        drawn = np.pad(drawn, ((0, 0), (0, 0), (0, width - drawn.shape[-1])), constant_values=palette.PAPER)
    blocks = [block_of(one, found, place) for place, one in enumerate(cross_out(drawn, found.dead[:count]))]
    key = reach_key(reach[~found.dead[:count]], "curves" if bars is None else "bars", each=each)
    return DrawnPatterns(count, [blocks_in_rows(blocks, columns)], [key])


def _fitted(count: int) -> tuple[int, int, int, int]:
    """How many channels fit, in how many columns, and the height and width of a pattern."""
    while True:
        for limit in BODY_HEIGHTS:
            for columns in (1, 2) if count <= 6 else (2,):
                width, height = room_for(count, columns, limit)
                if height >= SHORTEST:
                    return count, columns, min(height, TALLEST) // 2 * 2, width // 2 * 2
        count = -(-count // 2)


def _overlaid(values: np.ndarray, scale: Scale, height: int, width: int) -> np.ndarray:
    """Curves `(count, time, component)` over each other, the first on top."""
    drawn = panels(height, width, leading=(len(values),), scale=scale)
    for component in range(values.shape[-1] - 1, -1, -1):
        colour = palette.CURVES[component]
        drawn = draw_curves(drawn, np.ascontiguousarray(values[..., component]), scale, colour=colour)
    return drawn
