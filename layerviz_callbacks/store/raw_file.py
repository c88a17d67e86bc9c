"""A file that is read and written at places, so that forked processes and threads share no position."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_CANNOT_WAIT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems say that know nothing of waiting for a disk."""


class RawFile:
    """Bytes at places of a file, with nothing held back in memory.

    Args:
        path: the file; it must be there.
        writable: open it for reading and writing.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self._file = path.open("r+b" if writable else "rb", buffering=0)

    @property
    def descriptor(self) -> int:
        """The number by which the system knows the open file."""
        return self._file.fileno()

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return os.fstat(self.descriptor).st_size

    def read_into(self, buffer: memoryview, place: int) -> int:
        """Fill the buffer from a place on, as far as the file reaches; how many bytes that was."""
        done = 0
        while done < len(buffer):
            count = self._read_once(buffer[done:], place + done)
            if not count:
                break
            done += count
        return done

    def read(self, place: int, count: int) -> bytes:
        """So many bytes from a place on, fewer where the file ends."""
        buffer = bytearray(count)
        return bytes(buffer[: self.read_into(memoryview(buffer), place)])

    def write(self, data: bytes | memoryview, place: int) -> None:
        """Write all of the data from a place on.

        Raises:
            OSError: the disk is full, for example.
        """
        rest = memoryview(data).cast("B")
        while len(rest):
            count = self._write_once(rest, place)
            rest, place = rest[count:], place + count

    def truncate(self, size: int) -> None:
        """Make the file so long."""
        self._file.truncate(size)

    def synchronise(self) -> None:
        """Wait until what was written is on the disk itself."""
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            if error.errno not in _CANNOT_WAIT:
                raise

    def close(self) -> None:
        """May be called twice."""
        self._file.close()

    def _read_once(self, buffer: memoryview, place: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self.descriptor, [buffer], place)
        self._file.seek(place)
        return self._file.readinto(buffer) or 0

    def _write_once(self, data: memoryview, place: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self.descriptor, data, place)
        self._file.seek(place)
        return self._file.write(data) or 0
