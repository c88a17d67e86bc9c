"""Objects that are not made for several trainings at the same time."""

from __future__ import annotations

import threading

from layerviz_callbacks.errors import CallbackInUseError


class OneThread:
    """Lets one living thread at a time hold an object.

    Example:
        >>> holder = OneThread()
        >>> holder.take()
        >>> holder.take()  # the same thread again
        >>> holder.leave()
    """

    def __init__(self) -> None:
        self._holder: dict[str, int] = {}

    def take(self) -> None:
        """Hold the object from now on.

        Raises:
            CallbackInUseError: another thread, which is still alive, holds it.
        """
        here = threading.get_ident()
        holder = self._holder.setdefault("thread", here)  # atomic: two threads cannot both get it
        if holder != here and any(thread.ident == holder for thread in threading.enumerate()):
            raise CallbackInUseError(
                "This callback is recording another training now, in another thread. "
                "Make one callback a training: LayerVizCallback(...) again, with a log_dir of its own."
            )
        self._holder["thread"] = here

    def leave(self) -> None:
        """Let go of it; may be called twice."""
        self._holder.pop("thread", None)
