"""Which file a run writes: the one that was named, numbered so that no run writes over another."""

from __future__ import annotations

import os
import re
from pathlib import Path

from layerviz_callbacks.errors import ArgumentError

_EXAMPLE = "Pass the name of a file, for example 'run.h5'."


def file_path(given: object) -> Path:
    """The file that the user named, as an absolute path; "~" is the home folder.

    Raises:
        ArgumentError: it is no path, or that of a folder.
    """
    if not isinstance(given, (str, os.PathLike)) or not isinstance(os.fspath(given), str):
        raise ArgumentError(
            f"path={given!r} of type {type(given).__name__} is no file. Allowed: a str or a pathlib.Path. "
            f"{_EXAMPLE}"
        )
    text = os.fspath(given)
    if not text.strip() or "\0" in text:
        raise ArgumentError(f"path={given!r} is no name of a file. {_EXAMPLE}")
    path = Path(text).expanduser().absolute()
    if path.is_dir():
        raise ArgumentError(f"{text!r} is a folder. {_EXAMPLE}")
    return path


def runs_at(path: Path) -> dict[int, Path]:
    """By number, the files `run.h5`, `run-2.h5`, `run-3.h5` ... that are there and not empty."""
    if not path.parent.is_dir():
        return {}
    name = re.compile(re.escape(path.stem) + r"(?:-([1-9]\d*))?" + re.escape(path.suffix))
    return {
        int(match[1] or 1): other
        for match, other in ((name.fullmatch(other.name), other) for other in path.parent.iterdir())
        if match and other.is_file() and other.stat().st_size
    }


def place_of_file(path: Path, *, resumed: bool) -> Path:
    """The newest run's file, or the one after it.

    Args:
        path: the first place.
        resumed: go on in the newest; else take the place after it.
    """
    numbers = runs_at(path)
    if not numbers:
        return path
    newest = max(numbers)
    if resumed:
        return numbers[newest]
    return path.with_name(f"{path.stem}-{newest + 1}{path.suffix}")
