"""PNG files, written for speed: what a PNG is, and nothing else.

A PNG file is a signature and a row of chunks, each its data's length, four letters, the data, and a CRC-32 of
letters and data. Here they are IHDR (size and kind), PLTE (colours), IDAT (the rows, compressed) and IEND.
Specification: https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE, _RGB = 3, 2
_UP = 2  # each row as the difference from the row above: what stands still downwards becomes zeros
_LEVEL = 1


def encode_png(pixels: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    r"""An 8-bit PNG.

    Args:
        pixels: palette indices `(height, width)` with a palette, RGB `(height, width, 3)` without; uint8.
        palette: RGB of at most 256 indices `(index, 3)`, uint8.

    Example:
        >>> encode_png(np.zeros((1, 1, 3), np.uint8))[:4]
        b'\x89PNG'
    """
    chunks = [SIGNATURE, *first_chunks(pixels.shape[:2], palette), *chunk(b"IDAT", deflated(pixels, palette))]
    return b"".join([*chunks, *chunk(b"IEND", b"")])


def first_chunks(size: tuple[int, ...], palette: np.ndarray | None) -> list[bytes]:
    """IHDR and, where there is a palette, PLTE; `size` is height and width."""
    kind = _RGB if palette is None else _PALETTE
    chunks = [*chunk(b"IHDR", struct.pack(">IIBBBBB", size[1], size[0], 8, kind, 0, 0, 0))]
    if palette is not None:
        chunks += chunk(b"PLTE", np.ascontiguousarray(palette, np.uint8).tobytes())
    return chunks


def deflated(pixels: np.ndarray, palette: np.ndarray | None) -> bytes:
    """The compressed rows of an image: what stands in IDAT."""
    rows = pixels.reshape(len(pixels), -1)
    filtered = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return deflater()(filtered, zlib.Z_DEFAULT_STRATEGY if palette is None else zlib.Z_RLE)


@lru_cache(maxsize=1)
def deflater() -> Callable[[np.ndarray, int], bytes]:
    """What compresses to a zlib stream: Intel's ISA-L where the package `isal` is installed, else zlib.

    Both let other threads run meanwhile. ISA-L takes a fifth of the time and knows no strategies. zlib's
    strategies: `Z_RLE` looks only for repeated bytes, of which drawings in a palette have many; for colours,
    whose bytes repeat in threes, its default.
    """
    try:
        from isal import isal_zlib
    except ImportError:
        return deflate
    return lambda data, strategy: isal_zlib.compress(data, _LEVEL)


def deflate(data: np.ndarray, strategy: int) -> bytes:
    """The zlib stream of an array, by the standard library."""
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return stream.compress(data.data) + stream.flush()


def chunk(name: bytes, data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """The parts of one chunk."""
    checksum = zlib.crc32(data, zlib.crc32(name))
    return struct.pack(">I", len(data)), name, data, struct.pack(">I", checksum)
