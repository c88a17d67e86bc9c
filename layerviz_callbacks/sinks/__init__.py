"""Where pictures go: TensorBoard's event files, and folders of PNG files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.sinks.base import Sink
from layerviz_callbacks.sinks.folder import Folder
from layerviz_callbacks.sinks.tensorboard import TensorBoard

__all__ = ["Folder", "Sink", "TensorBoard", "sink_of"]

_ALLOWED = (
    'Allowed: a folder for TensorBoard (log_dir="logs"), a sink (log_dir=sinks.Folder("pictures")), or a '
    'list of these (log_dir=["logs", sinks.Folder("pictures")]).'
)


def sink_of(log_dir: Any) -> list[Sink]:
    """The sinks that a user's `log_dir=` stands for.

    Args:
        log_dir: a str or Path (a `TensorBoard` in that folder), a `Sink`, or a sequence of these.

    Raises:
        ArgumentError: something else, an empty path or an empty sequence.

    Example:
        >>> len(sink_of(["logs", Folder("pictures")]))
        2
    """
    if isinstance(log_dir, Sink):
        return [log_dir]
    if isinstance(log_dir, (str, os.PathLike)):
        return [TensorBoard(log_dir)]
    if isinstance(log_dir, Sequence) and not isinstance(log_dir, (bytes, bytearray)):
        if not log_dir:
            raise ArgumentError(f"log_dir={log_dir!r} names no place. {_ALLOWED}")
        return [sink for part in log_dir for sink in sink_of(part)]
    raise ArgumentError(
        f"log_dir={log_dir!r} of type {type(log_dir).__name__} is not a place for pictures. {_ALLOWED}"
    )
