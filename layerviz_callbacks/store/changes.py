"""Changes of a file's older part: kept apart, written down as a record, and made."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from layerviz_callbacks.store.header import Header
from layerviz_callbacks.store.raw_file import RawFile

_PIECE = struct.Struct("<QQ")

Changes = list[tuple[int, bytes]]
"""Bytes and the places that they belong at."""


def packed_changes(changes: Changes) -> bytes:
    """As one piece of bytes."""
    return b"".join(_PIECE.pack(place, len(data)) + data for place, data in changes)


def pending_changes(file: RawFile, header: Header) -> Changes | None:
    """The changes that were begun to be made; None where their record is damaged."""
    record = file.read(header.pending_place, header.pending_size)
    if len(record) != header.pending_size or zlib.crc32(record) != header.pending_checksum:
        return None
    changes, place = [], 0
    while place < len(record):
        target, count = _PIECE.unpack_from(record, place)
        place += _PIECE.size
        changes.append((target, record[place : place + count]))
        place += count
    return changes


def overlaid(buffer: memoryview, place: int, changes: Iterable[tuple[int, bytes | bytearray]]) -> None:
    """Make the changes in what was read from a place of the file."""
    end = place + len(buffer)
    for target, data in changes:
        first, last = max(place, target), min(end, target + len(data))
        if first < last:
            buffer[first - place : last - place] = data[first - target : last - target]
