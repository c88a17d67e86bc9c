"""Pictures for TensorBoard, in event files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from layerviz_callbacks.errors import SinkError
from layerviz_callbacks.histogram import Histogram
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.safe_names import printable_tag
from layerviz_callbacks.sinks.base import Sink
from layerviz_callbacks.sinks.event_file import EventFile, event_files
from layerviz_callbacks.sinks.places import cannot_write, folder_path, place_of_run

_RUN = "layerviz"


class TensorBoard(Sink):
    """Writes to a run of its own, `<log_dir>/layerviz`, for TensorBoard's pages.

    A new run beside an earlier one takes `layerviz-2`, then `layerviz-3` ...; a resumed run goes on in the
    newest. Every picture can be seen by a TensorBoard that is already running.

    Args:
        log_dir: the folder that TensorBoard is pointed at, or one below it.

    Raises:
        ArgumentError: `log_dir` is not a path.

    Example:
        >>> sink = TensorBoard("logs")
        >>> sink.open(first_step=0)                                   # doctest: +SKIP
        >>> sink.write(snapshot.pictures(), step=0)                   # doctest: +SKIP
        >>> sink.close()                                              # doctest: +SKIP
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        self._given = f"log_dir={os.fspath(log_dir)!r}" if isinstance(log_dir, os.PathLike) else f"{log_dir=}"
        self._run = folder_path("log_dir", log_dir, 'log_dir="logs"') / _RUN
        self._file: EventFile | None = None
        self._written = 0
        self._session_begins = False  # the next pictures or numbers are the first of this file

    def open(self, *, first_step: int) -> None:
        """Create the folder and the event file; see `Sink.open`."""
        self.close()
        run = self._run.with_name(_RUN)
        try:
            run = place_of_run(run, lambda folder: bool(event_files(folder)), resumed=first_step > 0)
            run.mkdir(parents=True, exist_ok=True)
            self._file = EventFile(run)
            self._written = 0
            self._session_begins = True
        except OSError as error:
            raise cannot_write(self._given, run, error) from error
        self._run = run

    def write(self, pictures: Sequence[Picture], step: int) -> None:
        """Write the pictures of one step.

        Raises:
            SinkError: the file was deleted, the disk is full, or the sink is not open.
        """
        from layerviz_callbacks.sinks.events import image_event  # by need: imports tensorboard

        for picture in pictures:
            self._begin_session(step)
            self._append(
                image_event(
                    printable_tag(picture.tag),
                    picture.png(),
                    picture.size,
                    step,
                    description=_dated(picture.description, step),
                )
            )

    def write_text(self, tag: str, text: str, step: int) -> None:
        """Write a piece of Markdown text; raises as `write` does."""
        from layerviz_callbacks.sinks.events import text_event

        self._append(text_event(printable_tag(tag), text, step))

    def write_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Write numbers by tag; raises as `write` does."""
        from layerviz_callbacks.sinks.events import scalar_event

        for tag, value in scalars.items():
            self._begin_session(step)
            self._append(scalar_event(printable_tag(tag), value, step))

    def write_histograms(self, histograms: Mapping[str, Histogram], step: int) -> None:
        """Write histograms by tag; raises as `write` does."""
        from layerviz_callbacks.sinks.events import histogram_event

        for tag, histogram in histograms.items():
            self._begin_session(step)
            self._append(histogram_event(printable_tag(tag), histogram, step))

    def flush(self) -> None:
        """Make sure that what was written stands on disk.

        Raises:
            SinkError: the file was deleted.
        """
        if self._file is not None:
            self._check(self._file)

    def close(self) -> None:
        """Close the event file; may be called twice."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    @property
    def written_bytes(self) -> int:
        """How much was written since `open`."""
        return self._written

    @property
    def location(self) -> str:
        """The run's folder."""
        return str(self._run)

    def _begin_session(self, step: int) -> None:
        from layerviz_callbacks.sinks.events import session_event

        if self._session_begins:
            self._append(session_event(step))
            self._session_begins = False

    def _append(self, event: bytes) -> None:
        file = self._file
        if file is None:
            raise SinkError(f"{self!r} is not open. Call open(first_step=0) before writing.")
        self._check(file)
        try:
            file.append(event)
            self._written += len(event)
        except OSError as error:
            raise cannot_write(self._given, file.path, error) from error

    def _check(self, file: EventFile) -> None:
        try:
            file.check()
        except OSError as error:
            raise SinkError(
                f"The event file {str(file.path)!r} is gone: {error.strerror}. It was deleted or moved while "
                "training; what it held is lost, and nothing more can be written to it."
            ) from error

    def __repr__(self) -> str:
        return f"TensorBoard({str(self._run.parent)!r})"


def _dated(description: str, step: int) -> str:
    """The description with its step: TensorBoard shows a tag's first description at every step."""
    return f"{description}\n\n*(This text is of step {step}.)*" if description else ""
