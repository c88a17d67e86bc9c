"""What commands tell the person at the terminal: lines, tables, and how far they are."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import Any, TypeVar

from layerviz_callbacks.messages import logger

_Item = TypeVar("_Item")


def tell(line: str = "") -> None:
    """Write a line to standard output."""
    sys.stdout.write(printable(line) + "\n")
    sys.stdout.flush()


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> str:
    """Rows as aligned text, with a rule below the first one.

    Args:
        rows: the cells of each; the first are the headings.
        right: the columns that are aligned at their right, such as numbers.

    Example:
        >>> print(table([["step", "file"], ["1", "a.keras"], ["10", "b.keras"]], right=[0]))
        step  file
        -------------
           1  a.keras
          10  b.keras
    """
    aligned_right = set(right)
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in aligned_right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def printable(text: str) -> str:
    """The text without what would steer a terminal: names come out of files of others."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


@contextmanager
def log_of_warnings(*, verbose: bool) -> Iterator[None]:
    """Inside, the package logs warnings alone, unless more was asked for: the command tells the rest."""
    log = logger()
    level = log.level
    if not verbose:
        log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


class Progress:
    """Shows on standard error how far something is: a bar where tqdm is installed, else lines.

    Quiet where standard error is no terminal. A context manager; called with how many of how many are done.

    Args:
        what: is done, in words.

    Example:
        >>> with Progress("drawing") as progress:
        ...     progress(1, 3)
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._shows = sys.stderr.isatty()
        self._bar: Any = None
        self._told = -1  # tenths of the whole, where there is no tqdm

    def __call__(self, done: int, total: int, name: str = "") -> None:
        """So many of so many are done; what comes next has this name."""
        if not self._shows:
            return
        if find_spec("tqdm") is None:
            tenth = 10 * done // max(total, 1)
            if tenth > self._told:
                self._told = tenth
                sys.stderr.write(f"{self._what}: {done} of {total} {printable(name)}".rstrip() + "\n")
            return
        if self._bar is None:
            from tqdm import tqdm  # by need: an extra

            self._bar = tqdm(total=total, desc=self._what, file=sys.stderr, leave=False)
        self._bar.total = total
        self._bar.set_postfix_str(printable(name), refresh=False)
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def with_progress(
    what: str, name: Callable[[_Item], str] = str
) -> Callable[[Sequence[_Item]], Iterator[_Item]]:
    """Goes through things and shows how far it is; see `Progress`.

    Args:
        what: is done with them, in words.
        name: of a thing, in words.

    Returns:
        A function of the things that gives them one by one.
    """

    def through(items: Sequence[_Item]) -> Iterator[_Item]:
        with Progress(what) as progress:
            for place, item in enumerate(items):
                progress(place, len(items), name(item))
                yield item

    return through
