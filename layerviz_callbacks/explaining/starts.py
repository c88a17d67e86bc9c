"""Where gradient ascent begins."""

from __future__ import annotations

import numpy as np

from layerviz_callbacks.explaining.fourier import Frequencies

START_NAMES = ("noise", "fourier")
_STARTS = ((0.1, False), (1.0, False), (1.0, True), (3.0, True))
"""Root mean square of the noise, in standard deviations of the probe, and whether its spectrum falls as 1/f,
which is nearer to what a model has learnt from: the first start, then those for channels that are stuck."""


def starts(start: str, space: tuple[int, ...], channels: int, seed: int) -> list[np.ndarray]:
    """Noise to begin with, `(*space, channel)`, float64; the weakest first.

    Args:
        start: "noise": each number for itself, as far as a channel has a gradient there; "fourier": with a
            spectrum that falls as 1/f in any case.
        space: the axes of space.
        channels: of the input.
        seed: of the noise.
    """
    found = []
    for place, (strength, natural) in enumerate(_STARTS):
        random = np.random.default_rng([seed, place])
        if space and (natural or start == "fourier"):
            frequencies = Frequencies(space)
            noise = frequencies.to_space(frequencies.coefficients(1, channels, random))[0]
        else:
            noise = random.standard_normal((*space, channels))
        found.append(noise * (strength / np.sqrt(np.mean(noise**2))))
    return found
