"""Drawing in a process of its own: pictures take nothing of the training's interpreter."""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from layerviz_callbacks.drawing.child import DrawingChild
from layerviz_callbacks.drawing.messages import Reply
from layerviz_callbacks.drawing.pickling import UnsendableError
from layerviz_callbacks.drawing.picture import DrawnPicture
from layerviz_callbacks.drawing.tasks import Sent, pickled_view
from layerviz_callbacks.errors import LayerVizError
from layerviz_callbacks.messages import logger
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views import View, draw_probe

_STARTS = 2
"""A drawing process that ends by itself is started anew once."""
_LET_GO_SECONDS = 5.0
_HERE = "Pictures are drawn in the training's own process from now on."


class DrawingProcessError(LayerVizError, RuntimeError):
    """A view ended the drawing process, or raised there what cannot be pickled."""


class _RaisedThereError(Exception):
    """Where a view raised in the drawing process: the cause of the error that is raised here."""

    def __str__(self) -> str:
        return f"in the drawing process\n\n{self.args[0]}"


@dataclass
class _Held:
    """What an artist and its finalizer share; the artist itself can be collected."""

    owner: int = field(default_factory=os.getpid)
    child: DrawingChild | None = None
    sent: Sent = field(default_factory=Sent)
    closed: bool = False
    talking: threading.Lock = field(default_factory=threading.Lock)
    changing: threading.Lock = field(default_factory=threading.Lock)


class ProcessArtist:
    """Draws in a process of its own; the thread that asks waits, and the training keeps the interpreter.

    The process is started at the first picture, as a program of its own: a script needs no
    `if __name__ == "__main__":`, and nothing of it runs twice. It ends with `close`, with the last reference
    to the artist, with the interpreter, or, should that be killed, within a second by itself.

    Views are sent each time as they are then; a view must be a pure function of its own attributes and the
    snapshot. It sees the probe as NumPy arrays, and `layers=` as the names that were chosen. What cannot be
    sent (a view that is defined in the script that is run, or in a notebook; one that holds a lambda or a
    tensor) is drawn in this process, and one line says so. What is sent are pickles, over private pipes
    between these two processes of one user, and never anywhere else.

    A process that ends unasked is started anew once; then pictures are drawn in this process. A view that
    ended both is not drawn here, for it would end the training.

    Example:
        >>> artist = ProcessArtist()
        >>> artist.draw(views.Filters(), snapshot)[0].png()            # doctest: +SKIP
        >>> artist.close()
    """

    def __init__(self) -> None:
        self._held = _Held()
        self._finish = weakref.finalize(self, _end, self._held)  # runs at the interpreter's exit, too
        self._drawn_here: dict[int, View] = {}
        self._starts_left = _STARTS
        self._told: set[str] = set()

    @property
    def pid(self) -> int | None:
        """The id of the drawing process; None where none is running."""
        return None if self._held.child is None else self._held.child.pid

    def draw(self, view: View, snapshot: Snapshot) -> Sequence[Picture]:
        """The pictures of a view; none once the artist is closed.

        Raises:
            DrawingProcessError: the view ended the drawing process twice, or raised what cannot be pickled.
            Exception: what the view raised.
        """
        return self._draw(view, snapshot, lambda: view.draw(snapshot))

    def draw_probe(self, snapshot: Snapshot) -> Sequence[Picture]:
        """The pictures of the probe itself; none once the artist is closed."""
        return self._draw(None, snapshot, lambda: draw_probe(snapshot))

    def close(self) -> None:
        """End the drawing process; at once, where it still draws. May be called twice."""
        self._finish()

    def _draw(
        self, view: View | None, snapshot: Snapshot, draw_here: Callable[[], Sequence[Picture]]
    ) -> Sequence[Picture]:
        held = self._held
        if os.getpid() != held.owner or id(view) in self._drawn_here:  # forked: the process is another's
            return draw_here()
        with held.talking:
            try:
                reply = self._ask(view, snapshot)
            except UnsendableError as error:
                reply = Reply(unknown=str(error))
            if held.closed:
                return []
        if reply is None:
            return draw_here()
        _print(reply)
        if reply.unknown:
            held.sent = Sent()
            if view is not None:
                self._drawn_here[id(view)] = view  # held on to, so that no other gets its id
            self._tell(
                f"{_name(view)} is drawn in the training's own process, not in the drawing process: "
                f"{reply.unknown.rstrip('.')}."
            )
            return draw_here()
        if reply.error_words:
            raise _error_of(reply)
        return [DrawnPicture(sheet) for sheet in reply.sheets]

    def _ask(self, view: View | None, snapshot: Snapshot) -> Reply | None:
        """The drawing process's answer; None where there is none to be had."""
        held = self._held
        pickled = None if view is None else pickled_view(view, snapshot)
        ended = 0  # by this very view
        while (child := self._running()) is not None:
            asked = False
            try:
                child.await_ready()
                child.send(held.sent.task(pickled, snapshot))
                asked = True
                reply = child.receive()
            except UnsendableError:
                raise
            except (EOFError, OSError):
                how = self._forget()
                ended += asked
                if held.closed:
                    return None
                self._tell_end(how)
                if ended == _STARTS:
                    raise DrawingProcessError(
                        f"{_name(view)} ended the drawing process, twice ({how}). It is not tried in the "
                        "training's own process, which would end, too."
                    ) from None
            except BaseException:  # an interrupt: the answer would be taken for the next one
                self._forget()
                self._starts_left += 1
                raise
            else:
                if not reply.unknown:
                    held.sent.note(snapshot)
                return reply
        return None

    def _running(self) -> DrawingChild | None:
        """The drawing process, started where there is none; None where it cannot be."""
        held = self._held
        with held.changing:
            if held.child is None and not held.closed and self._starts_left:
                try:
                    held.child = DrawingChild()
                    self._starts_left -= 1
                except (OSError, ValueError) as error:
                    self._starts_left = 0
                    self._tell(f"No drawing process can be started ({error}). {_HERE}")
            return held.child

    def _forget(self) -> str:
        """End a drawing process that is of no more use; how it ended, in words."""
        held = self._held
        with held.changing:
            child, held.child, held.sent = held.child, None, Sent()
        return "" if child is None else child.end(timeout=0)

    def _tell_end(self, how: str) -> None:
        then = "Another one is started." if self._starts_left else _HERE
        self._tell(f"The drawing process ended ({how}). {then}", level=logging.WARNING)

    def _tell(self, words: str, *, level: int = logging.INFO) -> None:
        if words not in self._told:
            self._told.add(words)
            logger().log(level, "%s", words)


def _end(held: _Held) -> None:
    """End the drawing process; in a forked process, only let go of it."""
    if os.getpid() != held.owner:
        if held.child is not None:
            held.child.disown()
        return
    held.closed = True
    with held.changing:
        child, held.child = held.child, None
    if child is None:
        return
    if not held.talking.acquire(blocking=False):  # it draws: the thread that waits for it finds it gone
        child.kill()
        if not held.talking.acquire(timeout=_LET_GO_SECONDS):
            return
    try:
        child.end()
    finally:
        held.talking.release()


def _error_of(reply: Reply) -> BaseException:
    error = reply.error
    if error is None:
        error = DrawingProcessError(f"a view raised {reply.error_words}")
    error.__cause__ = _RaisedThereError(reply.traceback)
    return error


def _name(view: View | None) -> str:
    return "The probe" if view is None else f"The view {type(view).__name__}"


def _print(reply: Reply) -> None:
    """What a view printed there is printed here."""
    for stream, text in ((sys.stdout, reply.stdout), (sys.stderr, reply.stderr)):
        if text and stream is not None:
            stream.write(text)
