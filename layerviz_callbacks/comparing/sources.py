"""Which two snapshots are compared."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from layerviz_callbacks.errors import ArgumentError, SnapshotFileError, did_you_mean
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.store import SnapshotFile

Source = Snapshot | SnapshotFile | str | os.PathLike[str]
Step = int | str

WORDS = ("first", "last", "best")
_EXAMPLE = "Pass for example step='best', step=20, or one for each: step=(1, 20)."


def snapshots_of(
    a: Source, b: Source | None, step: Step | tuple[Step, Step] | None, opened: ExitStack
) -> tuple[tuple[Snapshot, Snapshot], tuple[str, str]]:
    """The two snapshots, and what they are in words.

    Args:
        a: a snapshot, or a file of them.
        b: likewise; None: `a` is a file, and two of its steps are compared.
        step: see `compare`.
        opened: closes what was opened here.

    Raises:
        ArgumentError: what was given is neither, or the file does not hold that step.
        MissingLibraryError, SnapshotFileError: see `SnapshotFile`.
    """
    given = (a, a if b is None else b)
    if b is None and isinstance(a, Snapshot):
        raise ArgumentError("compare(snapshot) needs a second one: compare(before, after).")
    if step is not None and all(isinstance(one, Snapshot) for one in given):
        raise ArgumentError(f"step={step!r} is for files; a snapshot is of one step. Leave it out.")
    files = {}
    for one in (a, b):
        if one is not None and not isinstance(one, Snapshot):
            files[id(one)] = _opened(one, opened)
    steps = _steps(step, single=b is None)
    found, names = [], []
    for one, wanted in zip(given, steps, strict=True):
        if isinstance(one, Snapshot):
            found.append(one)
            names.append(one.when or f"step {one.step}")
            continue
        file, path = files[id(one)]
        number = _number(file, path, wanted)
        found.append(file[number])
        names.append(f"{path.name}, {file.when(number) or f'step {number}'}")
    if b is None and found[0].step == found[1].step:
        raise ArgumentError(
            f"Both steps of {files[id(a)][1].name!r} are {found[0].step}: nothing would differ. It has the "
            f"steps {_listed(files[id(a)][0].steps)}. Pass two of them: step=(1, 20)."
        )
    if names[0] == names[1]:
        names = _told_apart(given, files, names)
    return (found[0], found[1]), (names[0], names[1])


def _opened(given: Any, opened: ExitStack) -> tuple[SnapshotFile, Path]:
    if isinstance(given, SnapshotFile):
        return given, given.path
    if not isinstance(given, (str, os.PathLike)):
        raise ArgumentError(
            f"compare() was given a {type(given).__name__}. Allowed: a Snapshot, a SnapshotFile, or the name "
            "of a file of snapshots, for example compare('a.h5', 'b.h5')."
        )
    file = opened.enter_context(SnapshotFile(given))
    return file, file.path


def _steps(step: Any, *, single: bool) -> tuple[Step, Step]:
    if step is None:
        return ("first", "last") if single else ("last", "last")
    both = tuple(step) if isinstance(step, (tuple, list)) else (step, step)
    if len(both) != 2 or not all(_is_step(one) for one in both):
        near = did_you_mean(step, WORDS) if isinstance(step, str) else ""
        raise ArgumentError(
            f"step={step!r} is no step. Allowed: {', '.join(map(repr, WORDS))}, a number, or a pair of these."
            f"{near} {_EXAMPLE}"
        )
    if single and not isinstance(step, (tuple, list)):
        raise ArgumentError(f"Of one file two steps are compared, and step={step!r} is one. {_EXAMPLE}")
    return both[0], both[1]


def _is_step(one: object) -> bool:
    return one in WORDS if isinstance(one, str) else isinstance(one, int) and not isinstance(one, bool)


def _number(file: SnapshotFile, path: Path, wanted: Step) -> int:
    steps = file.steps
    if not steps:
        raise SnapshotFileError(f"{str(path)!r} holds no step yet.")
    if wanted == "best":
        if file.best_step is None:
            raise ArgumentError(
                f"step='best': no step of {path.name!r} is marked as the best. Train with monitor=..., or "
                f"pass one of its steps: {_listed(steps)}."
            )
        return file.best_step
    if isinstance(wanted, str):
        return steps[0 if wanted == "first" else -1]
    if wanted not in steps:
        raise ArgumentError(f"{path.name!r} has no step {wanted}. It has {_listed(steps)}.")
    return wanted


def _listed(steps: tuple[int, ...], most: int = 12) -> str:
    shown = [str(step) for step in steps]
    return ", ".join([*shown[: most - 2], "...", shown[-1]] if len(shown) > most else shown)


def _told_apart(
    given: tuple[Any, Any], files: dict[int, tuple[SnapshotFile, Path]], names: list[str]
) -> list[str]:
    """Two runs of one file name: with their folders."""
    told = []
    for one, name in zip(given, names, strict=True):
        if id(one) not in files:
            told.append(name)
            continue
        folder = files[id(one)][1].parent.name
        told.append(f"{folder}/{name}" if folder else name)
    return told
