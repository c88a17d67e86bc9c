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

from layerviz_callbacks.delivery import Job

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

    def submit(self, job: Job) -> None:
        """Take a job; returns at once."""

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

    def submit(self, job: Job) -> None:
        """Work the job off."""
        self._work(job)

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
    busy: bool = False
    stopping: bool = False
    error: BaseException | None = None
    process: int = field(default_factory=os.getpid)


class ThreadWorker:
    """Works jobs off in a thread of its own, in their order.

    Where jobs come faster than they are drawn, and many wait, the oldest is dropped; never the newest, nor
    one that is to be kept. What still waits is worked off by `close`, and at the interpreter's exit. An error
    that comes out of `work` is raised by the next `submit` or `close`.

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

    def close(self, timeout: float = DRAIN_SECONDS) -> bool:
        """Work off what is waiting, then stop; whether that was done in `timeout` seconds.

        What is not drawn by then is dropped. May be called twice.
        """
        queue = self._queue
        if os.getpid() != queue.process:
            return True
        self._finish.detach()
        done = _finish(queue, timeout)
        self.dropped += [job.snapshot.step for job in queue.waiting]
        queue.waiting.clear()
        if done and self._thread is not None:
            self._thread.join()
        with queue.changed:
            _raise_error(queue)
        return done

    def _drop_late(self, queue: _Queue) -> None:
        waiting = list(queue.waiting)
        droppable = [job for job in waiting[:-1] if not job.keep]
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
            job = queue.waiting.popleft()
            queue.busy = True
        try:
            queue.work(job)
        except BaseException as error:  # noqa: BLE001  the owner raises it in its own thread
            queue.error = error
        finally:
            del job
            with queue.changed:
                queue.busy = False
                queue.changed.notify_all()


def _finish(queue: _Queue, timeout: float = DRAIN_SECONDS) -> bool:
    if os.getpid() != queue.process:
        return True
    until = time.monotonic() + timeout
    with queue.changed:
        queue.stopping = True
        queue.changed.notify_all()
        while queue.waiting or queue.busy:
            left = until - time.monotonic()
            if left <= 0 or queue.error is not None:
                return not queue.waiting and not queue.busy
            queue.changed.wait(min(left, 1.0))
    return True


def _raise_error(queue: _Queue) -> None:
    error, queue.error = queue.error, None
    if error is not None:
        raise error
