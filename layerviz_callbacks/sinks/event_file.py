"""A TensorBoard event file, written without TensorFlow or PyTorch.

An event file is a row of records, each

    length of the data    unsigned 64-bit, little-endian
    checksum of those 8 bytes         32-bit, little-endian
    data                              a serialized `Event` message
    checksum of the data              32-bit, little-endian

where a checksum is a masked CRC-32C. Layout: `tensorflow/core/lib/io/record_writer.h`.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import threading
import time
from io import FileIO
from pathlib import Path

import google_crc32c

_SUFFIX = ".layerviz"
_NAME = re.compile(r"events\.out\.tfevents\.(\d+)\..*")


def masked_checksum(data: bytes) -> int:
    """The CRC-32C of the data, rotated right by 15 bits and shifted by a constant.

    The mask keeps a checksum apart from the checksum of data that holds checksums.
    """
    checksum: int = google_crc32c.value(data)
    rotated = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return (rotated + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """The data framed as one record: 16 bytes longer.

    Example:
        >>> len(record(b"event"))
        21
    """
    length = struct.pack("<Q", len(data))
    return b"".join(
        (length, struct.pack("<I", masked_checksum(length)), data, struct.pack("<I", masked_checksum(data)))
    )


def event_files(folder: Path) -> list[Path]:
    """The event files of this package in the folder, oldest first; empty where there is no folder."""
    return sorted(folder.glob(f"events.out.tfevents.*{_SUFFIX}"))


class EventFile:
    """A new event file in a folder that exists; the version record is written at once.

    Each event is on its way to the disk when `append` returns: nothing is kept back, so a crash of the
    program loses nothing. An event that could be written only in part (disk full) is cut off again, so
    the file stays readable. May be used from several threads.

    Args:
        folder: where to create it.

    Attributes:
        path: the file.

    Raises:
        OSError: the file cannot be created.

    Example:
        >>> from layerviz_callbacks.sinks.events import text_event
        >>> file = EventFile(Path("logs"))                            # doctest: +SKIP
        >>> file.append(text_event("note", "**hello**", step=0))      # doctest: +SKIP
        >>> file.close()                                              # doctest: +SKIP
    """

    def __init__(self, folder: Path) -> None:
        from layerviz_callbacks.sinks.events import version_event  # by need: it imports tensorboard

        self._lock = threading.Lock()
        self._file = _create(folder)
        self.path = Path(str(self._file.name))
        self._length = 0
        try:
            self.append(version_event())
        except OSError:
            self._file.close()
            self.path.unlink(missing_ok=True)
            raise

    def append(self, event: bytes) -> None:
        """Write one serialized event.

        Raises:
            OSError: it could not be written; the file is as before.
            ValueError: the file is closed.
        """
        remaining = memoryview(record(event))
        with self._lock:
            try:
                while remaining:
                    written = self._file.write(remaining)
                    remaining = remaining[written:]
            except OSError:
                self._file.truncate(self._length)
                self._file.seek(self._length)
                raise
            self._length = self._file.tell()

    def check(self) -> None:
        """Raise `FileNotFoundError` where the file was deleted: the system lets one write on into nothing."""
        self.path.stat()

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._lock:
            self._file.close()


def _create(folder: Path) -> FileIO:
    """A new file whose name sorts behind those of all event files that stand in the folder.

    TensorBoard reads a folder's files in the order of their names and its Python reader never goes back,
    so a clock that is behind, or a second file in the same second, must not come first.
    """
    standing = [int(match[1]) for match in (_NAME.fullmatch(path.name) for path in folder.iterdir()) if match]
    seconds = max([int(time.time()), *(second + 1 for second in standing)])
    host = re.sub(r"[^\w.-]", "_", socket.gethostname(), flags=re.ASCII)
    number = 0
    while True:
        path = folder / f"events.out.tfevents.{seconds:010d}.{host}.{os.getpid()}.{number}{_SUFFIX}"
        try:
            return FileIO(str(path), "xb")
        except FileExistsError:
            number += 1
