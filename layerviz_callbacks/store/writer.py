"""Snapshots of a training, one step after the other, in one file."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from layerviz_callbacks.errors import SnapshotFileError, check_choice
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.store.library import h5py_library
from layerviz_callbacks.store.places import file_path, place_of_file
from layerviz_callbacks.store.precision import PRECISIONS
from layerviz_callbacks.store.steps import StepWriter, read_facts
from layerviz_callbacks.store.transactions import TransactedFile, create_file

FORMAT = "layerviz_callbacks snapshots"
VERSION = 1


class SnapshotWriter:
    """Writes snapshots to an HDF5 file that holds every complete step, whenever the process is killed.

    A new run beside an earlier one takes `run-2.h5`, then `run-3.h5` ...; a resumed run goes on in the
    newest.

    Args:
        path: the file.
        precision: of kernels, outputs, attention and gradients: "float32", "float16" (half the size, three
            digits) or "uint8" (a quarter, 252 levels a channel); what is lost is said in `docs/snapshots.md`.
            Everything else is stored as it is.
        resumed: go on in the newest file of that name.
        exactly: with `resumed`: go on in the file of just this name, though there is a newer one.
        durable: wait at each step until it is on the disk itself, so that a failure of power or of the system
            leaves every complete step, too. Without, only a kill of the process does.

    Raises:
        ArgumentError: `path` is none, or there is no such precision.
        MissingLibraryError: h5py is not installed.
        SnapshotFileError: the file cannot be written.

    Example:
        >>> with SnapshotWriter("run.h5", precision="float16") as writer:        # doctest: +SKIP
        ...     writer.append(snapshot)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        precision: str = "float32",
        resumed: bool = False,
        exactly: bool = False,
        durable: bool = True,
    ) -> None:
        check_choice("precision", precision, PRECISIONS)
        h5py_library()
        self._path = file_path(path)
        try:
            if not (resumed and exactly and self._path.is_file()):
                self._path = _made_for_a_run(self._path, precision, resumed=resumed)
            self._file = TransactedFile(self._path, durable=durable)
        except SnapshotFileError:
            raise
        except OSError as error:
            raise _cannot_write(self._path, error) from error
        self._steps = StepWriter(precision)

    @property
    def path(self) -> Path:
        """The file that is written."""
        return self._path

    @property
    def file_size(self) -> int:
        """Its length in bytes."""
        return self._file.size

    def append(self, snapshot: Snapshot, *, best: bool = False) -> None:
        """Write a snapshot as its step; it is in the file when this returns. The same step again replaces it.

        Args:
            snapshot: what was read.
            best: it is the best step so far, whatever `snapshot.best` says.

        Raises:
            SnapshotFileError: it cannot be written, or the file is gone. The steps before it stay.
        """

        def write(file: Any) -> None:
            self._steps.write(file, replace(snapshot, best=True) if best else snapshot)

        self._change(write)

    def discard_after(self, step: int) -> None:
        """Leave out the steps after this one: those of a run that was resumed from an earlier point.

        The best step is then the last of those left that was marked as the best.
        """

        def write(file: Any) -> None:
            for name in [name for name in file["steps"] if int(name) > step]:
                del file["steps"][name]
            if file.attrs.get("best_step", step) > step:
                del file.attrs["best_step"]
                were = [int(name) for name, one in file["steps"].items() if read_facts(one)["best"]]
                if were:
                    file.attrs["best_step"] = max(were)

        self._change(write)
        self._steps.forget()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def _change(self, write: Callable[[Any], None]) -> None:
        try:
            with self._file.changing() as file:
                write(file)
        except SnapshotFileError:
            raise
        except OSError as error:
            self._steps.forget()
            raise _cannot_write(self._path, error) from error
        except BaseException:
            self._steps.forget()
            raise

    def __enter__(self) -> SnapshotWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SnapshotWriter({str(self._path)!r})"


def save_snapshot(snapshot: Snapshot, path: str | os.PathLike[str], *, precision: str = "float32") -> Path:
    """Write one snapshot to a new file, see `Snapshot.save`."""
    check_choice("precision", precision, PRECISIONS)
    place = file_path(path)
    try:
        _make(place, precision)
    except OSError as error:
        if not place.is_file() or not isinstance(error, FileExistsError):
            raise _cannot_write(place, error) from error
        raise SnapshotFileError(
            f"snapshot.save({os.fspath(path)!r}): there is a file of that name already, and nothing is "
            "written over. Choose another name or delete it; SnapshotWriter(path, resumed=True)"
            ".append(snapshot) adds a step to it."
        ) from error
    try:
        with closing(TransactedFile(place)) as new, new.changing() as file:
            StepWriter(precision).write(file, snapshot)
    except BaseException as error:
        place.unlink()
        if isinstance(error, OSError) and not isinstance(error, SnapshotFileError):
            raise _cannot_write(place, error) from error
        raise
    return place


def _make(place: Path, precision: str) -> None:
    """A file without steps; an empty one of that name gives way.

    Raises:
        OSError: it cannot be made, or is there already.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_file() and place.stat().st_size == 0:
        place.unlink()
    create_file(place, {"format": FORMAT, "version": VERSION, "precision": precision})


def _made_for_a_run(path: Path, precision: str, *, resumed: bool) -> Path:
    while True:
        place = place_of_file(path, resumed=resumed)
        if resumed and place.is_file() and place.stat().st_size:
            return place
        try:
            _make(place, precision)
        except FileExistsError:  # another process made it at this moment
            if place.is_file():
                continue
            raise
        return place


def _cannot_write(path: Path, error: OSError) -> SnapshotFileError:
    blocking = [str(parent) for parent in path.parents if parent.exists() and not parent.is_dir()]
    why = f"{blocking[0]!r} is not a folder" if blocking else error.strerror or str(error)
    return SnapshotFileError(
        f"{str(path)!r} cannot be written: {why}. Pass a file in a folder that you may write to, such as "
        "'~/run.h5'."
    )
