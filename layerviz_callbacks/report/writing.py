"""From a file of snapshots to a page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from layerviz_callbacks.errors import ArgumentError, SinkError, check_count
from layerviz_callbacks.report.gathering import Progress, gathered
from layerviz_callbacks.report.page import page_of
from layerviz_callbacks.selection import Selector, check_selector
from layerviz_callbacks.store import SnapshotFile
from layerviz_callbacks.views import View


def write_report(
    source: str | os.PathLike[str] | SnapshotFile,
    path: str | os.PathLike[str] = "report.html",
    *,
    layers: Selector | None = None,
    views: Sequence[View] | None = None,
    title: str | None = None,
    most_steps: int = 60,
    most_megabytes: float = 20,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write a training as one HTML file that any browser opens, without a server and without a network.

    On the page a slider moves every picture through the training; pictures are those of TensorBoard, to the
    pixel, but that one range of values holds from the first step to the last.

    Args:
        source: a file of snapshots, or its path.
        path: the page.
        layers: of which layers; None: of all that were kept.
        views: what is drawn; None: everything that was kept.
        title: of the page; None: the name of the file.
        most_steps: of more steps than this, the first, the best, the last and others, spaced logarithmically.
        most_megabytes: where the page would be larger, its largest pictures are there at fewer steps, and the
            page says so.
        overwrite: a file of that name may be replaced.
        progress: is told, again and again, how many of how many pictures are done.

    Returns:
        The page.

    Raises:
        ArgumentError: an argument is not one of these.
        MissingLibraryError: h5py is not installed.
        SelectionError: `layers` matches nothing.
        SinkError: the page is there already, or cannot be written.
        SnapshotFileError: the file is not there, is damaged, or holds no step.

    Example:
        >>> write_report("run.h5", "report.html", layers="conv*")      # doctest: +SKIP
        PosixPath('report.html')
    """
    check_count("most_steps", most_steps)
    if most_steps < 3:
        raise ArgumentError(
            f"most_steps={most_steps} is too few: the first, the best and the last step are always there. "
            "Pass 3 or more, for example most_steps=60."
        )
    _check_size(most_megabytes)
    check_selector(layers)
    place = _place(path, overwrite=overwrite)
    opened = nullcontext(source) if isinstance(source, SnapshotFile) else SnapshotFile(source)
    with opened as file:
        contents = gathered(
            file, layers=layers, views=views, title=title, most_steps=most_steps, progress=progress
        )
    contents.fit(most_bytes=most_megabytes * 1e6)
    _write(place, page_of(contents), overwrite=overwrite)
    return place


def _check_size(given: object) -> None:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given > 0:
        raise ArgumentError(
            f"most_megabytes={given!r} is no size. Pass a number above 0, for example most_megabytes=20; "
            "float('inf') for any."
        )


def _place(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ArgumentError(f"path={path!r} is not a path. Pass the page, for example 'report.html'.")
    place = Path(path)
    if place.is_dir():
        raise SinkError(f"{str(place)!r} is a folder. Pass a file, for example '{place / 'report.html'}'.")
    if place.exists() and not overwrite:
        raise SinkError(
            f"{str(place)!r} is there already. Choose another name, or pass overwrite=True "
            "(layerviz report --overwrite) to replace it."
        )
    return place


def _write(place: Path, pieces: Iterable[str], *, overwrite: bool) -> None:
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w", encoding="utf-8", errors="replace", newline="\n") as stream:
                stream.writelines(pieces)
            _place(place, overwrite=overwrite)
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
    except SinkError:
        raise
    except OSError as error:
        raise SinkError(
            f"{str(place)!r} cannot be written: {error.strerror or error}. Pass a file in a folder that you "
            "may write to, for example '~/report.html'."
        ) from error
