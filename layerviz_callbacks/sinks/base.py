"""What every sink shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from layerviz_callbacks.histogram import Histogram
from layerviz_callbacks.picture import Picture


class Sink(ABC):
    """A place where pictures go."""

    @abstractmethod
    def open(self, *, first_step: int) -> None:
        """Make the place ready to be written, at train begin.

        Args:
            first_step: the step that training stands at; 0 for a new run. A new run never mixes with the
                pictures of an earlier one: it takes the next free place.

        Raises:
            SinkError: the place cannot be written.
        """

    @abstractmethod
    def write(self, pictures: Sequence[Picture], step: int) -> None:
        """Write the pictures of one step."""

    @abstractmethod
    def write_text(self, tag: str, text: str, step: int) -> None:
        """Write a piece of Markdown text."""

    def write_scalars(self, scalars: Mapping[str, float], step: int) -> None:  # noqa: B027
        """Write numbers by tag; a sink that keeps none does nothing."""

    def write_histograms(self, histograms: Mapping[str, Histogram], step: int) -> None:  # noqa: B027
        """Write histograms by tag; a sink that keeps none does nothing."""

    @abstractmethod
    def flush(self) -> None:
        """Make all that was written visible to a reader on disk."""

    @abstractmethod
    def close(self) -> None:
        """Flush and close; may be called twice."""

    @property
    def written_bytes(self) -> int:
        """How much was written since `open`; 0 where a sink does not count."""
        return 0

    @property
    @abstractmethod
    def location(self) -> str:
        """The folder that is written, for messages."""
