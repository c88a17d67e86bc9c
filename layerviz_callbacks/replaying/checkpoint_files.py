"""Finding the checkpoints of a run, and whose they are."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.store.header import is_snapshot_file

OF_KERAS = (".keras", ".h5", ".hdf5")
OF_TORCH = (".ckpt", ".pt", ".pth", ".bin", ".safetensors")


def find_checkpoints(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The files that are checkpoints, in the natural order of their names.

    Args:
        paths: folders, of which the files that end as checkpoints do are taken, and files.

    Raises:
        ArgumentError: something is not there, a folder holds none, or they are of Keras and of PyTorch.

    Example:
        >>> find_checkpoints("checkpoints/")                           # doctest: +SKIP
        [Path('checkpoints/epoch=0-step=12.ckpt'), Path('checkpoints/epoch=1-step=24.ckpt')]
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    found: list[Path] = []
    for path in map(Path, given):
        if path.is_dir():
            files = [file for file in path.iterdir() if file.is_file() and framework_of(file)]
            inside = [file for file in files if not is_snapshot_file(file)]
            if not inside:
                raise ArgumentError(
                    f"The folder {str(path)!r} holds no checkpoints. Allowed: files that end in "
                    f"{', '.join((*OF_KERAS, *OF_TORCH))}."
                )
            found += inside
        elif not path.exists():
            raise ArgumentError(f"There is no {str(path)!r}. Give a folder of checkpoints, or the files.")
        elif not framework_of(path):
            raise ArgumentError(
                f"{str(path)!r} does not end as a checkpoint does. Allowed: "
                f"{', '.join((*OF_KERAS, *OF_TORCH))}."
            )
        else:
            found.append(path)
    if not found:
        raise ArgumentError("No checkpoints were given. Give a folder of checkpoints, or the files.")
    ordered = sorted(dict.fromkeys(found), key=natural)
    kinds = {framework_of(file): file for file in reversed(ordered)}
    if len(kinds) > 1:
        raise ArgumentError(
            f"{kinds['keras'].name} is of Keras, and {kinds['torch'].name} of PyTorch. Give the files of "
            "one, for example checkpoints/*.keras."
        )
    return ordered


def framework_of(path: Path) -> str:
    """Whose a file is by the end of its name: "keras" or "torch"; empty for neither."""
    if path.suffix in OF_KERAS:
        return "keras"
    return "torch" if path.suffix in OF_TORCH else ""


def natural(path: Path) -> list[tuple[int, int | str]]:
    """A key to sort by, so that `model-9` comes before `model-10`.

    Example:
        >>> [path.name for path in sorted(map(Path, ["m-10.pt", "m-9.pt"]), key=natural)]
        ['m-9.pt', 'm-10.pt']
    """
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]
