"""A file of snapshots opened for reading, while it may still be written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from layerviz_callbacks.errors import LayerVizError, SnapshotFileError
from layerviz_callbacks.store.changes import pending_changes
from layerviz_callbacks.store.header import HEADER_SIZE, Header
from layerviz_callbacks.store.library import h5py_library
from layerviz_callbacks.store.raw_file import RawFile
from layerviz_callbacks.store.session import ReadingView
from layerviz_callbacks.store.writer import FORMAT, VERSION

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ATTEMPTS = 50

_Found = TypeVar("_Found")


class OpenedFile:
    """Gives an `h5py.File` of complete steps alone, each time as the file is then.

    What is found while the file is being changed is found again.

    Args:
        path: the file.

    Raises:
        SnapshotFileError: it is not there, is damaged, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._h5py = h5py_library()
        try:
            self._file = RawFile(path, writable=False)
        except OSError as error:
            raise SnapshotFileError(f"{str(path)!r} cannot be opened: {error.strerror or error}.") from error
        self._lock = threading.RLock()
        self._open: Any = None
        self._state: Header | None = None  # as it was when it was opened
        self._closed = False
        try:
            self.look(_check_format)
        except BaseException:
            self.close()
            raise

    def look(self, find: Callable[[Any], _Found]) -> _Found:
        """What `find(file)` gives, found in one state of the file.

        Raises:
            SnapshotFileError: the file is damaged, closed, or changes faster than it can be read.
        """
        with self._lock:
            for _ in range(_ATTEMPTS):
                if self._closed:
                    raise SnapshotFileError(
                        f"{str(self.path)!r} was closed before this was read. Read it inside the with block."
                    )
                try:
                    found = find(self._current())
                except LayerVizError as error:
                    if self._unchanged() or not isinstance(error, SnapshotFileError):
                        raise
                except Exception as error:
                    if self._unchanged():
                        raise self._damaged(error) from error
                else:
                    if self._unchanged():
                        return found
                self._forget()
        raise SnapshotFileError(f"{str(self.path)!r} changes faster than it can be read. Try again.")

    def close(self) -> None:
        """May be called twice."""
        with self._lock:
            self._forget()
            self._closed = True
            self._file.close()

    def _current(self) -> Any:
        if self._open is None:
            self._state = self._header()
            changes = []
            if self._state is not None and self._state.pending_size:
                begun = pending_changes(self._file, self._state)
                if begun is None:
                    raise self._damaged("the record of a change is not whole")
                changes = begun
            elif self._state is None and self._file.read(0, len(_SIGNATURE)) != _SIGNATURE:
                raise SnapshotFileError(
                    f"{str(self.path)!r} is no file of snapshots. Allowed: one that snapshots= of a "
                    "callback, SnapshotWriter or snapshot.save(...) made."
                )
            self._open = self._h5py.File(ReadingView(self._file, changes), "r")
        elif not self._unchanged():
            self._forget()
            return self._current()
        return self._open

    def _header(self) -> Header | None:
        """What the file says of itself; None where an HDF5 tool has copied it without its first bytes."""
        return Header.unpacked(self._file.read(0, HEADER_SIZE))

    def _unchanged(self) -> bool:
        now, then = self._header(), self._state
        return (None if now is None else now.sequence) == (None if then is None else then.sequence)

    def _forget(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()

    def _damaged(self, why: object) -> SnapshotFileError:
        words = " ".join(f"{type(why).__name__}: {why}".split()) if isinstance(why, Exception) else why
        return SnapshotFileError(f"{str(self.path)!r} is damaged or was cut: {words}")


def _check_format(file: Any) -> None:
    if file.attrs.get("format") != FORMAT:
        raise SnapshotFileError(
            f"This HDF5 file holds no snapshots: its attribute 'format' is not {FORMAT!r}. Allowed: a file "
            "that SnapshotWriter or snapshot.save(...) made."
        )
    version = int(file.attrs["version"])
    if version > VERSION:
        raise SnapshotFileError(
            f"This file was written by a newer layerviz_callbacks: its version is {version}, and this one "
            f"reads up to {VERSION}. Type: pip install --upgrade layerviz_callbacks"
        )
