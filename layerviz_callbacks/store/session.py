"""What h5py reads and writes instead of a file: new bytes go to its end, changes of older ones wait."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from layerviz_callbacks.store.changes import Changes, overlaid
from layerviz_callbacks.store.raw_file import RawFile

_PAGE = 4096
_KEPT_AFTER_FAULT = 1 << 16


class ReadingView(io.RawIOBase):
    """A file as it is once the changes that were begun are made; it cannot be written.

    Args:
        file: the file.
        changes: those that were begun.
    """

    def __init__(self, file: RawFile, changes: Changes) -> None:
        super().__init__()
        self._file = file
        self._changes = changes
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}[whence]
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        return self._place

    @property
    def size(self) -> int:
        """The length that h5py sees."""
        return self._file.size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = self._file.read_into(view, self._place)
        self._overlay(view, self._place)
        self._place += count
        return count

    def _overlay(self, view: memoryview, place: int) -> None:
        overlaid(view, place, self._changes)


class WritingSession(ReadingView):
    """One change of the file, made by h5py, that a kill at any moment leaves undone.

    What is written beyond the file's end is written there at once: nothing refers to it yet. What is written
    over the older part stays in memory, until `changes` are made in one go. The disk that is full, or any
    other fault of it, is kept in `fault`: HDF5 cannot close a file that it failed to write.

    Args:
        file: opened for writing.

    Attributes:
        fault: why something could not be written; None where all could.
    """

    def __init__(self, file: RawFile) -> None:
        super().__init__(file, [])
        self.fault: OSError | None = None
        self._older = file.size
        self._size = self._older
        self._pages: dict[int, bytearray] = {}
        self._lost: dict[int, bytes] = {}  # what could not be written, for h5py to read
        self._over = False

    @property
    def size(self) -> int:
        """The length that h5py sees."""
        return self._size

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        count, place = len(view), self._place
        older = max(0, min(count, self._older - place))
        if older:
            self._write_older(view[:older], place)
        if count > older:
            self._write_newer(view[older:], place + older)
        self._place += count
        self._size = max(self._size, self._place)
        return count

    def truncate(self, size: int | None = None) -> int:
        size = self._place if size is None else size
        self._size = size
        if not self._over and self.fault is None:
            try:
                self._file.truncate(max(size, self._older))
            except OSError as error:
                self.fault = error
        return size

    def flush(self) -> None:
        """Nothing waits here for it."""

    def end(self) -> None:
        """Nothing is written from now on, whatever h5py still tries."""
        self._over = True

    def changes(self) -> Changes:
        """What differs from the older part of the file."""
        found = []
        for page, wanted in sorted(self._pages.items()):
            place = page * _PAGE
            length = min(_PAGE, self._older - place)
            found += _differences(place, self._file.read(place, length), bytes(wanted[:length]))
        return found

    def _write_older(self, view: memoryview, place: int) -> None:
        end = place + len(view)
        for page in range(place // _PAGE, (end - 1) // _PAGE + 1):
            first, last = max(place, page * _PAGE), min(end, (page + 1) * _PAGE)
            if page not in self._pages:
                self._pages[page] = bytearray(self._file.read(page * _PAGE, _PAGE).ljust(_PAGE, b"\0"))
            self._pages[page][first - page * _PAGE : last - page * _PAGE] = view[first - place : last - place]

    def _write_newer(self, view: memoryview, place: int) -> None:
        if self._over:
            return
        if self.fault is None:
            try:
                self._file.write(view, place)
                return
            except OSError as error:
                self.fault = error
        if len(view) <= _KEPT_AFTER_FAULT:
            self._lost[place] = bytes(view)

    def _overlay(self, view: memoryview, place: int) -> None:
        if place < self._older:
            pages = range(place // _PAGE, (place + len(view)) // _PAGE + 1)
            known = [(page * _PAGE, self._pages[page]) for page in pages if page in self._pages]
            limit = min(len(view), self._older - place)
            overlaid(view[:limit], place, known)
        overlaid(view, place, self._lost.items())


def _differences(place: int, had: bytes, wanted: bytes) -> Changes:
    """Where two pieces of the same length differ: from the first to the last byte that does."""
    differing = np.flatnonzero(np.frombuffer(had, np.uint8) != np.frombuffer(wanted, np.uint8))
    if not len(differing):
        return []
    first, last = int(differing[0]), int(differing[-1])
    return [(place + first, wanted[first : last + 1])]
