"""Where a run's pictures go: folders that a user named, numbered so that runs never mix."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

from layerviz_callbacks.errors import ArgumentError, SinkError


def folder_path(argument: str, given: str | os.PathLike[str], example: str) -> Path:
    """The folder that the user named, as an absolute path; nothing is created.

    Args:
        argument: the argument's name, for the message.
        given: what the user gave; "~" is the home folder.
        example: what to type instead, for the message.

    Raises:
        ArgumentError: not a path, an empty one, or an address of the network.
    """
    ask = f"Pass a folder of this machine, for example {example}."
    if not isinstance(given, (str, os.PathLike)) or not isinstance(os.fspath(given), str):
        raise ArgumentError(
            f"{argument}={given!r} of type {type(given).__name__} is not a folder. Allowed: a str or a "
            f"pathlib.Path. {ask}"
        )
    text = os.fspath(given)
    if not text.strip():
        raise ArgumentError(f"{argument}={given!r} is empty. {ask}")
    if "\0" in text:
        raise ArgumentError(f"{argument}={given!r} holds a NUL character, which no path may. {ask}")
    if re.match(r"[A-Za-z][\w+.-]+:/", text):
        raise ArgumentError(
            f"{argument}={given!r} is an address of the network; only folders can be written. {ask}"
        )
    try:
        path = Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise ArgumentError(f"{argument}={given!r}: {error} {ask}") from error
    return path.resolve() if ".." in path.parts else path


def place_of_run(base: Path, holds_a_run: Callable[[Path], bool], *, resumed: bool) -> Path:
    """Choose among `base`, `base-2`, `base-3` ...: the newest run's place, or the one after it.

    Args:
        base: the first place.
        holds_a_run: whether pictures of this package stand in a folder.
        resumed: go on in the newest run; else take the place after it.

    Raises:
        OSError: the folder above cannot be read.
    """
    if not base.parent.is_dir():
        return base
    name = re.compile(re.escape(base.name) + r"(?:-([1-9]\d*))?")
    runs = [
        int(match[1] or 1)
        for match, path in ((name.fullmatch(path.name), path) for path in base.parent.iterdir())
        if match and path.is_dir() and holds_a_run(path)
    ]
    if not runs:
        return base
    number = max(runs) if resumed else max(runs) + 1
    return base if number == 1 else base.with_name(f"{base.name}-{number}")


def cannot_write(given: str, path: Path, error: OSError) -> SinkError:
    """The error that says why `path` cannot be written, and what to type.

    Args:
        given: the argument as the user would recognise it, such as "log_dir='runs'".
        path: what was to be written.
        error: what the system said.
    """
    standing = [folder for folder in (*reversed(path.parents), path) if os.path.lexists(folder)]
    blocking = [folder for folder in standing if not folder.is_dir()]
    nearest = str(standing[-1] if standing else path)
    if blocking and isinstance(error, (FileExistsError, NotADirectoryError)):
        why = f"{str(blocking[0])!r} is not a folder"
    elif error.errno == errno.EROFS:
        why = f"{nearest!r} is on a read-only file system"
    elif isinstance(error, PermissionError):
        why = f"you are not permitted to write in {nearest!r}"
    else:
        why = f"{error.strerror or error} ({str(path)!r})"
    return SinkError(f"{given} cannot be written: {why}. Pass a folder that you can write, such as '~/logs'.")
