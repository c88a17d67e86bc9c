"""Pictures as PNG files in a readable tree."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layerviz_callbacks.errors import SinkError
from layerviz_callbacks.histogram import Histogram
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.safe_names import file_name, fingerprint
from layerviz_callbacks.sinks.base import Sink
from layerviz_callbacks.sinks.places import cannot_write, folder_path, place_of_run


class Folder(Sink):
    """Writes PNG and Markdown files in a tree.

        pictures/
            filters/
                03_conv2/
                    step_0000.png
                    step_0001.png
            coverage/
                step_0000.md

    A new run beside an earlier one takes `pictures-2`, then `pictures-3` ...; a resumed run goes on in the
    newest.

    Args:
        path: the folder; it is made where it is missing.

    Raises:
        ArgumentError: `path` is not a path.

    Example:
        >>> LayerVizCallback(x_val[:4], log_dir=["logs", Folder("pictures")])      # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._given = f"Folder({os.fspath(path)!r})" if isinstance(path, os.PathLike) else f"Folder({path!r})"
        self._base = self._place = folder_path("path", path, 'Folder("pictures")')
        self._tags: dict[Path, str] = {}
        self._is_open = False
        self._written = 0

    def open(self, *, first_step: int) -> None:
        """Create the folder; see `Sink.open`."""
        self.close()
        place = self._base
        try:
            place = place_of_run(self._base, _holds_a_run, resumed=first_step > 0)
            place.mkdir(parents=True, exist_ok=True)
            _check_writable(place)
        except OSError as error:
            raise cannot_write(self._given, place, error) from error
        self._place = place
        self._tags = {}
        self._written = 0
        self._is_open = True

    def write(self, pictures: Sequence[Picture], step: int) -> None:
        """Write the pictures of one step, each to a file of its own.

        Raises:
            SinkError: the folder was deleted, the disk is full, or the sink is not open.
        """
        for picture in pictures:
            self._write(picture.tag, f"step_{step:04d}.png", picture.png())

    def write_text(self, tag: str, text: str, step: int) -> None:
        """Write a piece of Markdown text to a file of its own; raises as `write` does."""
        self._write(tag, f"step_{step:04d}.md", text.encode("utf-8", "replace"))

    def write_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Write the numbers of one step as JSON by tag, a file a group; raises as `write` does.

        Numbers that an earlier view wrote into the same file of this step stay.
        """
        self._write_json("numbers", scalars, step)

    def write_histograms(self, histograms: Mapping[str, Histogram], step: int) -> None:
        """Write the histograms of one step as JSON by tag, a file a group; raises as `write` does.

        Each is `{"edges": [...], "counts": [...]}`. Those that an earlier view wrote into the same file stay.
        """
        told = {
            tag: {"edges": one.edges.tolist(), "counts": one.counts.tolist()}
            for tag, one in histograms.items()
        }
        self._write_json("histograms", told, step)

    def flush(self) -> None:
        """Make sure that the folder still stands; every file is complete as soon as it is there.

        Raises:
            SinkError: the folder was deleted.
        """
        if self._is_open and not self._place.is_dir():
            raise SinkError(
                f"The folder {self.location!r} is gone. It was deleted or moved while training; what it held "
                "is lost, and nothing more can be written to it."
            )

    def close(self) -> None:
        """Stop writing; may be called twice."""
        self._is_open = False

    @property
    def written_bytes(self) -> int:
        """How much was written since `open`."""
        return self._written

    @property
    def location(self) -> str:
        """The run's folder."""
        return str(self._place)

    def _write(self, tag: str, name: str, content: bytes) -> None:
        if not self._is_open:
            raise SinkError(f"{self!r} is not open. Call open(first_step=0) before writing.")
        self.flush()
        path = self._folder_of(tag) / name
        part = path.with_name(f".{name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(path)
            self._written += len(content)
        except OSError as error:
            raise cannot_write(self._given, path, error) from error

    def _write_json(self, kind: str, values: Mapping[str, Any], step: int) -> None:
        """Write what stands under tags, a file a group; what another view wrote there stays."""
        groups: dict[str, dict[str, Any]] = {}
        for tag, value in values.items():
            groups.setdefault(tag.partition("/")[0], {})[tag] = value
        for group, found in groups.items():
            folder, name = f"{kind}/{group}", f"step_{step:04d}.json"
            known = self._known(self._folder_of(folder) / name)
            content = json.dumps({**known, **found}, indent=1)  # "NaN" where it is one
            self._write(folder, name, content.encode())

    def _known(self, path: Path) -> dict[str, Any]:
        """What stands in a file of numbers already."""
        try:
            known: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        except OSError as error:
            raise cannot_write(self._given, path, error) from error
        return known

    def _folder_of(self, tag: str) -> Path:
        """The tag's folder: its group, and in it the rest; no two tags share one."""
        group, _, rest = tag.partition("/")
        folder = self._place / file_name(group)
        if rest:
            folder = folder / file_name(rest)
        if self._tags.setdefault(folder, tag) != tag:
            folder = folder.with_name(f"{folder.name}~{fingerprint(tag)}")
        return folder

    def __repr__(self) -> str:
        return f"Folder({str(self._base)!r})"


def _holds_a_run(folder: Path) -> bool:
    return any(next(folder.glob(pattern), None) is not None for pattern in ("*/step_*.*", "*/*/step_*.*"))


def _check_writable(folder: Path) -> None:
    trial = folder / f".layerviz-{os.getpid()}.part"
    trial.write_bytes(b"")
    trial.unlink()
