"""How a training's snapshots are to be kept, as the user says it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerviz_callbacks.errors import ArgumentError, check_choice
from layerviz_callbacks.store.library import h5py_library
from layerviz_callbacks.store.places import file_path
from layerviz_callbacks.store.precision import PRECISIONS


@dataclass(frozen=True)
class Snapshots:
    """Keep each recorded step of a training in an HDF5 file: `snapshots=` of the callbacks.

    Attributes:
        path: the file; a new run beside an earlier one takes `run-2.h5`, then `run-3.h5` ...
        precision: of kernels, outputs, attention and gradients: "float32", "float16" (half the size) or
            "uint8" (a quarter); see `docs/snapshots.md`.
        everything: kernels, weights, outputs and attention of all pictured layers are kept whole; else the
            parts that are drawn. Whole ones take more time to copy, and more of the disk.
        durable: wait at each step until it is on the disk itself, so that a failure of power leaves as much
            as a kill does. That is done beside the training, and a disk may take long for it.

    Raises:
        ArgumentError: `path` is none, or an option is not what it may be.
        MissingLibraryError: h5py is not installed.

    Example:
        >>> LayerVizCallback(x_val[:4], log_dir="logs",                            # doctest: +SKIP
        ...                  snapshots=Snapshots("run.h5", precision="float16"))
    """

    path: str | os.PathLike[str]
    precision: str = "float32"
    everything: bool = False
    durable: bool = False

    def __post_init__(self) -> None:
        file_path(self.path)
        check_choice("precision", self.precision, PRECISIONS)
        for name in ("everything", "durable"):
            given = getattr(self, name)
            if not isinstance(given, bool):
                raise ArgumentError(f"{name}={given!r} is not an option. Allowed: True, False.")
        h5py_library()

    @classmethod
    def of(cls, snapshots: Any) -> Snapshots | None:
        """What the user gave: a file, a `Snapshots`, or None.

        Raises:
            ArgumentError: it is something else.
        """
        if snapshots is None or isinstance(snapshots, cls):
            return snapshots
        if isinstance(snapshots, type) or not isinstance(snapshots, (str, Path, os.PathLike)):
            raise ArgumentError(
                f"snapshots={snapshots!r} is no file. Allowed: its name, such as snapshots='run.h5', or "
                "snapshots=Snapshots('run.h5', precision='float16'), or None."
            )
        return cls(snapshots)
