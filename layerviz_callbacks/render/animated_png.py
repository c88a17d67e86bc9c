"""Animated PNG files: a PNG that holds further frames.

Programs that know no animation show the picture in IDAT, which here is no frame of the animation. Each frame
has a chunk fcTL (size, place, seconds), and fdAT with a number and its compressed rows; acTL, before IDAT,
says how many there are. Specification: https://www.w3.org/TR/png-3/#apng-chunks.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from layerviz_callbacks.render.png import SIGNATURE, chunk, deflated, first_chunks

_FOREVER = 0
_MILLISECONDS = 1000


def encode_animated_png(
    frames: Sequence[np.ndarray], seconds: Sequence[float], palette: np.ndarray | None, *, still: np.ndarray
) -> bytes:
    """An 8-bit animated PNG that begins anew when it ends.

    Args:
        frames: palette indices `(height, width)` with a palette, RGB `(height, width, 3)` without; uint8.
        seconds: how long each is shown.
        palette: RGB of at most 256 indices `(index, 3)`, uint8; None for RGB.
        still: what programs show that know no animation; of the same size.

    Example:
        >>> black = np.zeros((1, 1, 3), np.uint8)
        >>> b"acTL" in encode_animated_png([black, black + 255], [0.5, 1.0], None, still=black)
        True
    """
    height, width = still.shape[:2]
    chunks = [SIGNATURE, *first_chunks(still.shape[:2], palette)]
    chunks += chunk(b"acTL", struct.pack(">II", len(frames), _FOREVER))
    chunks += chunk(b"IDAT", deflated(still, palette))
    for place, (frame, duration) in enumerate(zip(frames, seconds, strict=True)):
        milliseconds = min(round(duration * _MILLISECONDS), 65535)
        control = (2 * place, width, height, 0, 0, milliseconds, _MILLISECONDS, 0, 0)
        chunks += chunk(b"fcTL", struct.pack(">IIIIIHHBB", *control))
        chunks += chunk(b"fdAT", struct.pack(">I", 2 * place + 1) + deflated(frame, palette))
    return b"".join([*chunks, *chunk(b"IEND", b"")])
