"""A file of HDF5 that is changed as a whole or not at all, whenever the process is killed.

HDF5 itself updates its tables in place, in many small writes; a process that is killed between two of them
leaves a file that may not open. So each change is made in this order:

1. What is new is written behind the end of the file, where nothing refers to it yet.
2. What must be changed in the older part is written behind that, as a record with a checksum.
3. The header, 512 bytes in one write, says that the record is to be carried out. From here on the change
   is made, before it is not.
4. The record is carried out, the header says so, and the record is cut off.

Whoever opens the file between 3 and 4 (`SnapshotFile`, or the next writer) finds the record and reads the
file as it is meant. This is a redo log as databases keep one (Gray and Reuter 1993, "Transaction
Processing").
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from layerviz_callbacks.errors import SnapshotFileError
from layerviz_callbacks.store.changes import packed_changes, pending_changes
from layerviz_callbacks.store.header import HEADER_SIZE, Header
from layerviz_callbacks.store.library import h5py_library
from layerviz_callbacks.store.locking import locked
from layerviz_callbacks.store.raw_file import RawFile
from layerviz_callbacks.store.session import WritingSession


def create_file(path: Path, attributes: dict[str, Any]) -> None:
    """Make a file with these attributes at its root and nothing else.

    Raises:
        FileExistsError: there is one of that name already.
        OSError: it cannot be written.
    """
    image = BytesIO()
    with h5py_library().File(image, "w", userblock_size=HEADER_SIZE) as file:
        file.attrs.update(attributes)
        for name in ("layers", "steps"):
            file.create_group(name)
    data = Header(1).packed() + image.getvalue()[HEADER_SIZE:]
    unnamed = path.with_name(f".{path.name}.{os.getpid()}.new")
    unnamed.write_bytes(data)
    try:
        _name_it(unnamed, path)
    finally:
        unnamed.unlink()


def _name_it(unnamed: Path, path: Path) -> None:
    """Give a whole file its name, which nobody may have taken."""
    try:
        path.hardlink_to(unnamed)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with path.open("xb") as file:
            file.write(unnamed.read_bytes())


class TransactedFile:
    """Changes a file that `create_file` made.

    Args:
        path: the file.
        durable: wait at each change until it is on the disk itself, so that a power failure undoes no more
            than a kill does.

    Raises:
        OSError: it cannot be opened for writing.
        SnapshotFileError: it is none of ours, or damaged.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self._durable = durable
        self._file = RawFile(path, writable=True)
        try:
            with locked(self._file):
                self._sequence = self._recovered().sequence
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self._file.size

    @contextmanager
    def changing(self) -> Iterator[Any]:
        """The `h5py.File` to be changed; all of it is made when the block ends well, else nothing.

        Raises:
            SnapshotFileError: another writer has changed the file meanwhile.
            OSError: it cannot be written; nothing is changed.
        """
        with locked(self._file):
            self._check_still_there()
            self._check_nobody_else(self._recovered())
            before = self._file.size
            session = WritingSession(self._file)
            try:
                with h5py_library().File(session, "r+") as file:
                    yield file
                if session.fault is not None:
                    raise session.fault
                self._commit(session)
            except BaseException as error:
                self._undo(before)
                if session.fault not in (None, error) and isinstance(error, Exception):
                    raise session.fault from error  # whatever HDF5 made of it
                raise
            finally:
                session.end()

    def close(self) -> None:
        """May be called twice."""
        self._file.close()

    def _commit(self, session: WritingSession) -> None:
        changes, end = session.changes(), session.size
        record, place = packed_changes(changes), max(session.size, self._file.size)
        self._file.write(record, place)
        self._wait()
        after = Header(self._sequence + 1)
        pending = Header(after.sequence, place, len(record), zlib.crc32(record))
        self._file.write(pending.packed(), 0)
        self._wait()
        self._carry_out(changes, after)
        self._sequence = after.sequence
        if self._file.size > end:
            self._file.truncate(end)

    def _carry_out(self, changes: list[tuple[int, bytes]], after: Header) -> None:
        for place, data in changes:
            self._file.write(data, place)
        self._wait()
        self._file.write(after.packed(), 0)

    def _recovered(self) -> Header:
        """The header, after a change that was begun is completed."""
        header = self._header()
        if header is None:
            raise not_ours(self.path)
        if header.pending_size:
            changes = pending_changes(self._file, header)
            if changes is None:
                raise SnapshotFileError(
                    f"{str(self.path)!r} is damaged: a change of it was begun, and the record of it is not "
                    "whole. It was cut or changed by another program; use a copy of it."
                )
            self._carry_out(changes, Header(header.sequence))
        return header

    def _header(self) -> Header | None:
        return Header.unpacked(self._file.read(0, HEADER_SIZE))

    def _undo(self, size: int) -> None:
        """Cut off what was written, unless the header says already that it counts."""
        header = self._header()
        if header is None or header.sequence == self._sequence:
            self._file.truncate(size)
        else:
            self._sequence = header.sequence

    def _check_still_there(self) -> None:
        try:
            there = os.path.samestat(self.path.stat(), os.fstat(self._file.descriptor))
        except FileNotFoundError:
            there = False
        if not there:
            raise SnapshotFileError(
                f"The file {str(self.path)!r} is gone: it was deleted or moved while it was written; nothing "
                "more can be written to it."
            )

    def _check_nobody_else(self, header: Header) -> None:
        if header.sequence != self._sequence:
            raise SnapshotFileError(
                f"{str(self.path)!r} is being written by another training too; this one stops writing to it. "
                "Give each run a file of its own."
            )

    def _wait(self) -> None:
        if self._durable:
            self._file.synchronise()


def not_ours(path: Path) -> SnapshotFileError:
    """The error for a file that no SnapshotWriter made."""
    return SnapshotFileError(
        f"{str(path)!r} is no file of snapshots that can be written. Allowed: one that SnapshotWriter or "
        "snapshot.save(...) made."
    )
