"""One writer at a time, by a lock that readers do not meet."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from layerviz_callbacks.errors import SnapshotFileError
from layerviz_callbacks.store.raw_file import RawFile

PATIENCE = 20.0
"""So many seconds a writer waits for another one."""
_PAUSE = 0.02


@contextmanager
def locked(file: RawFile) -> Iterator[None]:
    """Wait until no other process is changing the file, and keep others waiting.

    It is a record lock of POSIX. HDF5's own lock (`flock`) is another one, so that plain h5py can read
    meanwhile. Where a system or a file system has none, there is none.

    Raises:
        SnapshotFileError: another process does not stop changing it.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    held = False
    until = time.monotonic() + PATIENCE
    while not held:
        try:
            fcntl.lockf(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):  # a file system without locks
                break
            if time.monotonic() > until:
                raise SnapshotFileError(
                    f"{str(file.path)!r} has been locked by another process for {PATIENCE:.0f} seconds. "
                    "Give each run a file of its own."
                ) from error
            time.sleep(_PAUSE)
    try:
        yield
    finally:
        if held:
            fcntl.lockf(file.descriptor, fcntl.LOCK_UN)
