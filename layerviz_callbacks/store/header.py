"""The first 512 bytes of a file of snapshots: whether a change of the rest is under way."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

HEADER_SIZE = 512
"""HDF5 leaves so many bytes at the beginning to whoever wants them (a "user block")."""
_TITLE = b"layerviz_callbacks snapshots; HDF5 begins at byte 512\n".ljust(64, b" ")
_FIELDS = struct.Struct("<64sQQQI")
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True)
class Header:
    """What stands in the first bytes.

    Attributes:
        sequence: how many changes the file has seen; it changes with each.
        pending_place: where the changes stand that were begun to be made to the older part of the file.
        pending_size: of how many bytes they are; 0: none are under way.
        pending_checksum: the CRC-32 of them.
    """

    sequence: int
    pending_place: int = 0
    pending_size: int = 0
    pending_checksum: int = 0

    def packed(self) -> bytes:
        """As bytes, with a checksum."""
        fields = _FIELDS.pack(
            _TITLE, self.sequence, self.pending_place, self.pending_size, self.pending_checksum
        )
        return (fields + _CHECKSUM.pack(zlib.crc32(fields))).ljust(HEADER_SIZE, b"\0")

    @classmethod
    def unpacked(cls, data: bytes) -> Header | None:
        """From bytes; None where they are no header, or were read while they were written.

        Example:
            >>> Header.unpacked(Header(3).packed())
            Header(sequence=3, pending_place=0, pending_size=0, pending_checksum=0)
        """
        if len(data) < HEADER_SIZE:
            return None
        fields = data[: _FIELDS.size]
        (checksum,) = _CHECKSUM.unpack_from(data, _FIELDS.size)
        title, sequence, place, size, pending_checksum = _FIELDS.unpack(fields)
        if title != _TITLE or checksum != zlib.crc32(fields):
            return None
        return cls(sequence, place, size, pending_checksum)


def is_snapshot_file(path: Path) -> bool:
    """Whether a file begins as a file of snapshots does; not where it cannot be read.

    Example:
        >>> is_snapshot_file(Path("model.keras"))
        False
    """
    try:
        with path.open("rb") as file:
            return file.read(len(_TITLE)) == _TITLE
    except OSError:
        return False
