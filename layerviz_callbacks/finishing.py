"""Draws what still waits at a training's end, and closes everything; also where nobody asks for it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerviz_callbacks.delivery import Delivery
    from layerviz_callbacks.worker import Worker


def finish(worker: Worker, delivery: Delivery, process: int) -> bool:
    """Draw what is waiting, then close the worker, the sinks and the file, whatever is raised.

    Args:
        worker: has what is waiting.
        delivery: draws and writes it.
        process: the process that records; in one that was forked off it nothing is done.

    Returns:
        Whether all was drawn in time.
    """
    if os.getpid() != process:
        return True
    try:
        return worker.close()
    finally:
        delivery.close(hurried=not worker.finished(0))


def finish_somewhere(worker: Worker, delivery: Delivery, process: int) -> None:
    """The same where a recording is collected as garbage, which may be in the very thread that draws.

    That thread cannot wait for itself, so another one does.
    """
    if worker.is_here:
        threading.Thread(target=finish, args=(worker, delivery, process), name="layerviz closing").start()
    else:
        finish(worker, delivery, process)
