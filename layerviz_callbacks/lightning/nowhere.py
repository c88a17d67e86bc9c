"""The sink of the processes that read but do not write."""

from __future__ import annotations

from collections.abc import Sequence

from layerviz_callbacks.picture import Picture
from layerviz_callbacks.sinks import Sink


class Nowhere(Sink):
    """Takes everything and writes nothing.

    In distributed training every process runs the probe, since a model may exchange tensors between the
    processes in its forward pass and would wait for ever; only the first process writes.
    """

    def open(self, *, first_step: int) -> None:
        """Nothing to open."""

    def write(self, pictures: Sequence[Picture], step: int) -> None:
        """Write nothing."""

    def write_text(self, tag: str, text: str, step: int) -> None:
        """Write nothing."""

    def flush(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        """Nothing to close."""

    @property
    def location(self) -> str:
        """No folder."""
        return "nowhere (another process writes)"
