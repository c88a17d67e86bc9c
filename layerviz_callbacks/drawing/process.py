"""The drawing process: `python -m layerviz_callbacks.drawing.process`, started by `ProcessArtist`.

It draws what it is told to, until the process that started it closes the connection or is gone. It loads no
framework and touches no accelerator.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from layerviz_callbacks.drawing.line import Line
from layerviz_callbacks.drawing.messages import Read, Reply, Sheet, Shown, Task
from layerviz_callbacks.drawing.pickling import UnsendableError, dumps
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views import draw_probe

LOOK_SECONDS = 0.5
"""How often it looks whether the process that started it still is there."""
NICENESS = 5
"""It gives way to the training where both want the same core."""


def main(arguments: Sequence[str]) -> None:
    """Draw until there is nothing more to draw.

    Args:
        arguments: the id of the process that started this one, and the descriptors of the memory to read
            arrays from and of that to leave pictures in; -1: there is none.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which ends this process
    parent, memory_in, memory_out = map(int, arguments)
    line = _take_line(memory_in, memory_out)
    if hasattr(os, "getppid") and os.name == "posix":
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        with suppress(OSError):
            os.nice(NICENESS)
    with suppress(EOFError, OSError):
        line.send(Reply())
        _Desk().work(line)


class _Desk:
    """Holds the snapshot that is drawn, and what is printed meanwhile."""

    def __init__(self) -> None:
        self._shown: Shown | None = None
        self._read: Read | None = None
        sys.stdout = self._stdout = io.StringIO()
        sys.stderr = self._stderr = io.StringIO()

    def work(self, line: Line) -> None:
        """Answer every task; returns when None comes.

        Raises:
            EOFError: the other end is gone.
        """
        while (task := self._next(line)) is not None:
            reply = task if isinstance(task, Reply) else self._answer(task)
            reply = replace(reply, stdout=_drained(self._stdout), stderr=_drained(self._stderr))
            try:
                line.send(reply)
            except UnsendableError:  # what the view raised
                line.send(replace(reply, error=None))

    def _next(self, line: Line) -> Task | Reply | None:
        try:
            task: Task | None = line.receive()
        except (EOFError, OSError):
            raise
        except BaseException as error:  # noqa: BLE001  the message came, and holds what is not known here
            return Reply(unknown=f"{type(error).__name__}: {error}")
        return task

    def _answer(self, task: Task) -> Reply:
        self._shown = task.shown or self._shown
        self._read = task.read or self._read
        if self._shown is None or self._read is None:
            return Reply(unknown="nothing was sent to be drawn")
        snapshot = Snapshot(
            **vars(self._shown),
            **self._read.fields,
            chosen=task.chosen,
            **task.told,
        )
        try:
            view = None if task.view is None else pickle.loads(task.view)
        except BaseException as error:  # noqa: BLE001  whatever the user's module raises
            return Reply(unknown=f"{type(error).__name__}: {error}")
        try:
            pictures = draw_probe(snapshot) if view is None else view.draw(snapshot)
            return Reply([_sheet(picture) for picture in pictures])
        except BaseException as error:  # noqa: BLE001  raised where the view was asked for
            words = f"{type(error).__name__}: {error}"
            return Reply(error=_travelling(error), error_words=words, traceback=traceback.format_exc())


def _sheet(picture: Picture) -> Sheet:
    png = pickle.PickleBuffer(picture.png())
    return Sheet(picture.tag, picture.size, picture.caption, picture.description, png, picture.held)


def _travelling(error: BaseException) -> BaseException | None:
    """The error, where it comes out of a pickle as it went in."""
    try:
        again = pickle.loads(dumps(error))
    except BaseException:  # noqa: BLE001  whatever an error's own __init__ raises
        return None
    return error if type(again) is type(error) else None


def _take_line(memory_in: int, memory_out: int) -> Line:
    """The connection, moved away from stdin and stdout, so that nothing that is printed gets into it."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for memory in (memory_in, memory_out):
        if memory >= 0:
            os.set_inheritable(memory, False)
    return Line(
        incoming,
        outgoing,
        memory_in=None if memory_in < 0 else memory_in,
        memory_out=None if memory_out < 0 else memory_out,
    )


def _end_with(parent: int) -> None:
    """End this process as soon as the one that started it is gone, also where others hold its pipe open."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(0)


def _drained(stream: io.StringIO) -> str:
    text = stream.getvalue()
    stream.seek(0)
    stream.truncate()
    return text


if __name__ == "__main__":
    main(sys.argv[1:])
