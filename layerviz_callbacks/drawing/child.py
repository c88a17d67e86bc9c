"""Starting the drawing process, talking to it, and ending it without a trace."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from layerviz_callbacks.drawing.line import Line
from layerviz_callbacks.drawing.messages import Reply

MODULE = "layerviz_callbacks.drawing.process"
END_SECONDS = 2.0
"""How long an idle drawing process may take to end by itself."""
_LOOK_MILLISECONDS = 1000
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which Python 3.10 names on Linux only

ENVIRONMENT: Mapping[str, str] = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",  # should a view of the user's load a framework: the device is the training's
    "HIP_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
    "PYTHONSAFEPATH": "1",  # what happens to lie in the current folder is not imported instead
    "PYTHONFAULTHANDLER": "1",
}
"""What the drawing process finds different from the training."""
_NOT_HANDED_ON = ("PYTHONINSPECT", "PYTHONSTARTUP")


class DrawingChild:
    """A running drawing process.

    It is started as a program of its own, not forked: nothing of the user's script is run again, no lock of
    another thread is inherited. It shares with this process two pipes and, on Linux, two unnamed files in
    memory; none of them can outlive both.

    Raises:
        OSError: it cannot be started; the message says why.
    """

    def __init__(self) -> None:
        if not sys.executable or getattr(sys, "frozen", False):
            raise OSError("this program runs without a Python interpreter of its own")
        self._log: IO[bytes] = _unnamed_file()
        self._memory = _shared_memory()
        try:
            self._process = self._started()
        except BaseException:
            self._close_files()
            raise
        outgoing, incoming = (
            pipe.fileno() for pipe in (self._process.stdin, self._process.stdout) if pipe is not None
        )
        for pipe in (outgoing, incoming):
            _widen(pipe)
        to_child, to_parent = self._memory or (None, None)
        self._line = Line(incoming, outgoing, memory_in=to_parent, memory_out=to_child)
        self._incoming = incoming
        self._ready = False

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def await_ready(self) -> None:
        """Return as soon as it takes tasks.

        Raises:
            EOFError: it ended before.
        """
        if not self._ready:
            self.receive()
            self._ready = True

    def send(self, message: Any) -> None:
        """Send a message.

        Raises:
            UnsendableError: it cannot travel, and was not sent.
            OSError: the process is gone.
        """
        self._line.send(message)

    def receive(self) -> Reply:
        """Wait for the answer, without the interpreter's lock.

        Raises:
            EOFError: the process is gone.
        """
        if hasattr(select, "poll"):  # a forked process may hold the pipe open when this one is gone
            poll = select.poll()
            poll.register(self._incoming, select.POLLIN)
            while not poll.poll(_LOOK_MILLISECONDS):
                if self._process.poll() is not None:
                    raise EOFError("the drawing process is gone")
        reply: Reply = self._line.receive()
        return reply

    def end(self, *, timeout: float = END_SECONDS) -> str:
        """End it and wait for it; may be called twice.

        Args:
            timeout: so many seconds it may take to end by itself; 0: it is killed at once.

        Returns:
            How it ended, in words, with the last line that it left.
        """
        if timeout and self._process.poll() is None:
            with suppress(OSError):
                self._line.send(None)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        self.kill()
        words = _how(self._process.returncode) + self._last_line()
        self._close_files()
        return words

    def kill(self) -> None:
        """End it at once, where it has not ended, and wait for it; its pipes stay open."""
        if self._process.poll() is None:
            with suppress(OSError):
                self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)

    def disown(self) -> None:
        """In a process that was forked off this one: let go of what was inherited, and touch nothing."""
        self._process.returncode = 0  # it is not ours to wait for
        self._close_files()

    def _started(self) -> subprocess.Popen[bytes]:
        to_child, to_parent = self._memory or (-1, -1)
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_HANDED_ON}
        path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)  # noqa: PTH100  "" is this one
        options: dict[str, Any] = {"start_new_session": True}  # Ctrl-C at the terminal does not reach it
        if os.name != "posix":
            options = {
                "creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
                | getattr(subprocess, "CREATE_NO_WINDOW", 0)
            }
        return subprocess.Popen(
            [sys.executable, "-m", MODULE, str(os.getpid()), str(to_child), str(to_parent)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, bufsize=0,
            pass_fds=[*self._memory], env={**environment, **ENVIRONMENT, "PYTHONPATH": path}, **options,
        )  # fmt: skip

    def _last_line(self) -> str:
        if self._log.closed:
            return ""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 4096))
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1].strip()}" if lines else ""

    def _close_files(self) -> None:
        process: subprocess.Popen[bytes] | None = getattr(self, "_process", None)
        for file in [self._log, *([process.stdin, process.stdout] if process else [])]:
            if file is not None:
                file.close()
        memory, self._memory = self._memory, ()
        for descriptor in memory:
            os.close(descriptor)


def _shared_memory() -> tuple[int, ...]:
    """Two unnamed files in memory, for arrays there and pictures back; none where the system has no such."""
    made: list[int] = []
    if sys.platform == "linux":
        try:
            made += [os.memfd_create("layerviz arrays")]
            made += [os.memfd_create("layerviz pictures")]
        except OSError:  # forbidden in this container: through the pipes, then
            for descriptor in made:
                os.close(descriptor)
            return ()
    return tuple(made)


def _unnamed_file() -> IO[bytes]:
    if sys.platform == "linux":
        with suppress(OSError):
            return os.fdopen(os.memfd_create("layerviz log"), "w+b")
    return tempfile.TemporaryFile()


def _widen(pipe: int) -> None:
    if sys.platform == "linux":
        import fcntl  # by need: there is none on Windows

        with suppress(OSError):
            fcntl.fcntl(pipe, _SET_PIPE_SIZE, _PIPE_BYTES)


def _how(status: int | None) -> str:
    if status is None or status >= 0:
        return f"exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"killed by {name}" + (", often for want of memory" if name == "SIGKILL" else "")
