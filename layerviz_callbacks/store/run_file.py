"""The file of one training's snapshots: opened for a new or a resumed run, and written step by step."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from layerviz_callbacks.history import Album, Frame
from layerviz_callbacks.messages import logger
from layerviz_callbacks.snapshot import Initial, Snapshot
from layerviz_callbacks.store.file import SnapshotFile, in_memory
from layerviz_callbacks.store.snapshots import Snapshots
from layerviz_callbacks.store.writer import SnapshotWriter


class RunFile:
    """Writes the snapshots of a training, and reads those of the training that it goes on with.

    Args:
        options: where and how.
        shapes: the model, without arrays.
        first_step: 0 for a new training; else the steps that are done: those after it are left out.
        path: the file of this very training, where it is known already.

    Attributes:
        path: the file.
        reported: by step, the metrics of the training that is gone on with.

    Raises:
        SnapshotFileError: the file cannot be written.
    """

    def __init__(
        self, options: Snapshots, shapes: Snapshot, *, first_step: int, path: Path | None = None
    ) -> None:
        self._options = options
        self._writing = threading.Lock()  # it is closed in another thread than it is written in
        self._earlier: tuple[int, ...] = ()
        self.reported: dict[int, Mapping[str, float]] = {}
        self._writer = self._opened(path or options.path, resumed=first_step > 0, exactly=path is not None)
        self.path = self._writer.path
        if first_step > 0 and not self._is_of_this_model(shapes):
            self._writer.close()
            logger().info("%s holds another model: it is left as it is.", self.path)
            self._writer = self._opened(options.path)
            self.path = self._writer.path
        elif first_step > 0:
            self._go_on(first_step)

    @property
    def size(self) -> int:
        """Its length in bytes."""
        with suppress(OSError):
            return self.path.stat().st_size
        return 0

    def append(self, snapshot: Snapshot) -> None:
        """Write a step; the same once more replaces it.

        Raises:
            SnapshotFileError: it cannot be written; the steps before it stay.
        """
        with self._writing:
            self._writer.append(snapshot)

    def earlier(self) -> Iterator[Snapshot]:
        """The steps of the training that is gone on with: not more than an `Album` would keep of them."""
        if self._earlier:
            with SnapshotFile(self.path) as file:
                for step in self._earlier:
                    yield file[step]

    def initial(self) -> Initial | None:
        """The model before that training, where it was kept."""
        if not self._earlier:
            return None
        with SnapshotFile(self.path) as file:
            return in_memory(file[self._earlier[-1]]).initial

    def close(self) -> None:
        """Close it, after the step that is being written; may be called twice."""
        with self._writing:
            self._writer.close()

    def _opened(
        self, path: str | os.PathLike[str], *, resumed: bool = False, exactly: bool = False
    ) -> SnapshotWriter:
        options = self._options
        return SnapshotWriter(
            path, precision=options.precision, resumed=resumed, exactly=exactly, durable=options.durable
        )

    def _is_of_this_model(self, shapes: Snapshot) -> bool:
        """Whether the last step has the same layers with kernels of the same shapes; yes where none is."""
        with SnapshotFile(self.path) as file:
            if not len(file):
                return True
            stored = {layer.name: layer.kernel_shape for layer in file[file.steps[-1]]}
        return stored == {layer.name: layer.kernel_shape for layer in shapes}

    def _go_on(self, first_step: int) -> None:
        self._writer.discard_after(first_step)
        with SnapshotFile(self.path) as file:
            best, metrics, album = file.best_step, file.metrics, Album()
            for place, step in enumerate(file.steps):
                album.add(Frame(step, best=step == best))
                self.reported[step] = {name: float(values[place]) for name, values in metrics.items()}
            self._earlier = tuple(frame.step for frame in album.frames)
