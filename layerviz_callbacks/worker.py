"""Drawing beside the training: a thread with a short queue that never makes training wait."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from layerviz_callbacks.job import Job

DEPTH = 16
"""How many steps may wait to be drawn, beside those that are never dropped."""
MOST_BYTES = 128_000_000
"""How much memory the steps that wait may hold; the newest may wait whatever it holds."""
DRAIN_SECONDS = 60.0
"""How long the end of a training waits for what is still to be drawn."""


class Worker(Protocol):
    """Where jobs are worked off.

    Attributes:
        dropped: the steps that were left out because drawing was late.
    """

    dropped: list[int]

    @property
    def is_here(self) -> bool:
        """Whether this is asked in the thread that works the jobs off, which cannot wait for itself."""

    def submit(self, job: Job) -> None:
        """Take a job; returns at once."""

    def finished(self, timeout: float) -> bool:
        """Wait until nothing is waiting; whether that was so in `timeout` seconds."""

    def close(self, timeout: float = DRAIN_SECONDS) -> bool:
        """Work off what is waiting, then stop; whether that was done in `timeout` seconds."""


class SameThread:
    """Works each job off at once: training waits for it.

    Args:
        work: draws and writes a job.
    """

    def __init__(self, work: Callable[[Job], None]) -> None:
        self._work = work
        self.dropped: list[int] = []
        self.is_here = False

    def submit(self, job: Job) -> None:
        """Work the job off."""
        self._work(job)

    def finished(self, timeout: float) -> bool:
        """Nothing is waiting, ever."""
        return True

    def close(self, timeout: float = DRAIN_SECONDS) -> bool:
        """Nothing is waiting, ever."""
        return True


@dataclass
class _Queue:
    """What the thread and its owner share. The thread knows nothing else, so the owner can be collected."""

    work: Callable[[Job], None]
    depth: int
    most_bytes: int
    waiting: deque[Job] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    drawn_now: Job | None = None
    stopping: bool = False
    error: BaseException | None = None
    process: int = field(default_factory=os.getpid)


class ThreadWorker:
    """Works jobs off in a thread of its own, in their order.

    Where jobs come faster than they are drawn, and many wait, the oldest is dropped; never the newest, nor
    the best so far, nor one that is to be kept. What still waits is worked off by `close`, and at the
    interpreter's exit. An error that comes out of `work` is raised by the next `submit` or `close`.

    Args:
        work: draws and writes a job.
        depth: how many jobs may wait beside those that are kept.
        most_bytes: how much memory those that wait may hold.

    Example:
        >>> done = []
        >>> worker = ThreadWorker(done.append)
        >>> worker.submit("a job")                                    # doctest: +SKIP
        >>> worker.close()                                            # doctest: +SKIP
        True
    """

    def __init__(
        self, work: Callable[[Job], None], *, depth: int = DEPTH, most_bytes: int = MOST_BYTES
    ) -> None:
        self._queue = _Queue(work, depth, most_bytes)
        self._thread: threading.Thread | None = None
        self._finish = weakref.finalize(self, _finish, self._queue)  # runs at the interpreter's exit, too
        self.dropped: list[int] = []

    @property
    def is_here(self) -> bool:
        """Whether this is asked in the thread that works the jobs off."""
        return threading.current_thread() is self._thread

    def submit(self, job: Job) -> None:
        """Take a job; returns at once.

        In a process that was forked off this one, such as a data loader's, it does nothing: the thread
        stayed behind.
        """
        queue = self._queue
        if os.getpid() != queue.process:
            return
        with queue.changed:
            _raise_error(queue)
            queue.waiting.append(job)
            self._drop_late(queue)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=_work_off, args=(queue,), name="layerviz drawing", daemon=True
                )
                self._thread.start()
            queue.changed.notify_all()

    def finished(self, timeout: float) -> bool:
        """Wait until nothing is waiting; whether that was so in `timeout` seconds."""
        queue = self._queue
        if os.getpid() != queue.process:
            return True
        with queue.changed:
            return queue.changed.wait_for(lambda: not (queue.waiting or queue.drawn_now), timeout)

    def close(self, timeout: float = DRAIN_SECONDS) -> bool:
        """Work off what is waiting, then stop; whether that was done in `timeout` seconds.

        What is not drawn to its end by then is dropped. May be called twice.
        """
        queue = self._queue
        if os.getpid() != queue.process:
            return True
        self._finish.detach()
        done = _finish(queue, timeout)
        with queue.changed:
            late = [queue.drawn_now, *queue.waiting] if queue.drawn_now else queue.waiting
            self.dropped += [job.snapshot.step for job in late]
            queue.waiting.clear()
        if done and self._thread is not None:
            self._thread.join()
        with queue.changed:
            _raise_error(queue)
        return done

    def _drop_late(self, queue: _Queue) -> None:
        waiting = list(queue.waiting)
        best = next((job for job in reversed(waiting) if job.best), None)  # those before were surpassed
        droppable = [job for job in waiting[:-1] if not job.keep and job is not best]
        held = sum(job.held_bytes for job in waiting)
        while droppable and (len(droppable) >= queue.depth or held > queue.most_bytes):
            late = droppable.pop(0)
            held -= late.held_bytes
            queue.waiting.remove(late)
            self.dropped.append(late.snapshot.step)


def _work_off(queue: _Queue) -> None:
    while True:
        with queue.changed:
            queue.changed.wait_for(lambda: queue.waiting or queue.stopping)
            if not queue.waiting:
                return
            job = queue.drawn_now = queue.waiting.popleft()
        try:
            queue.work(job)
        except BaseException as error:  # noqa: BLE001  the owner raises it in its own thread
            queue.error = error
        finally:
            del job
            with queue.changed:
                queue.drawn_now = None
                queue.changed.notify_all()


def _finish(queue: _Queue, timeout: float = DRAIN_SECONDS) -> bool:
    if os.getpid() != queue.process:
        return True
    until = time.monotonic() + timeout
    with queue.changed:
        queue.stopping = True
        queue.changed.notify_all()
        while queue.waiting or queue.drawn_now:
            left = until - time.monotonic()
            if left <= 0 or queue.error is not None:
                return not queue.waiting and queue.drawn_now is None
            queue.changed.wait(min(left, 1.0))
    return True


def _raise_error(queue: _Queue) -> None:
    error, queue.error = queue.error, None
    if error is not None:
        raise error
