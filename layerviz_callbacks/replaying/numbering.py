"""Which step of a training each checkpoint is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from layerviz_callbacks.replaying.checkpoint_files import natural

_DECIMAL = re.compile(r"\d+\.\d+(?:e[+-]?\d+)?", re.IGNORECASE)
_LIGHTNING = re.compile(r"epoch=(\d+)")
_EPOCH = re.compile(r"(?<![a-z])(?:epochs?|ep|e)[-_= ]?(\d+)", re.IGNORECASE)
_STEP = re.compile(r"(?<![a-z])(?:global[-_]?step|steps?|iter(?:ation)?s?|it)[-_= ]?(\d+)", re.IGNORECASE)
_METRIC = re.compile(r"([A-Za-z][\w/]*)=(-?\d+\.\d+)")


@dataclass(frozen=True)
class Inside:
    """What a file itself says of its place in the training.

    Attributes:
        epochs: the epochs that were done; None where it does not say, or within an epoch.
        steps: the optimizer steps that were done.
        number: what a hand-written checkpoint calls its epoch.
    """

    epochs: int | None = None
    steps: int | None = None
    number: int | None = None


@dataclass(frozen=True)
class Numbered:
    """A checkpoint with its place in the training.

    Attributes:
        path: the file.
        step: the epoch after which it was written, counted from 1 (0: before training), or the optimizer
            step.
        source: where that is known from, in words.
        metrics: what its name says of the training, such as `val_loss=0.12`.
    """

    path: Path
    step: int
    source: str
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Numbering:
    """Checkpoints in the order of the training.

    Attributes:
        unit: "epoch" or "step".
        checkpoints: in ascending order of their steps, no two of one step.
        left_out: the other files, with the reason.
    """

    unit: str
    checkpoints: tuple[Numbered, ...]
    left_out: Mapping[Path, str] = field(default_factory=dict)


def numbered(files: Sequence[Path], inside: Mapping[Path, Inside] | None = None) -> Numbering:
    """Find out the step of each file: from what it says itself, its name, or when it was written.

    Lightning counts epochs from 0 in its files and their names; here the step after its epoch 0 is 1, as
    in a training that is recorded. Numbers in other names are taken as they are.

    Args:
        files: in the order of their names.
        inside: what files say themselves.

    Example:
        >>> found = numbered([Path("cp-01-0.53.keras"), Path("cp-02-0.31.keras")])
        >>> [(one.step, one.source) for one in found.checkpoints]
        [(1, 'number in its name'), (2, 'number in its name')]
    """
    inside = inside or {}
    said = {path: inside[path] for path in files if path in inside}
    found = _by_lightning(files, said) or _by_name(files, said)
    if found is None:
        order = sorted(files, key=lambda path: (path.stat().st_mtime_ns, natural(path)))
        steps = {path: (place, "order of writing") for place, path in enumerate(order, start=1)}
        found = ("epoch", steps)
    return _in_order(files, *found)


_Steps = dict[Path, tuple[int, str]]


def _by_lightning(files: Sequence[Path], said: Mapping[Path, Inside]) -> tuple[str, _Steps] | None:
    told = {path: one for path, one in said.items() if one.steps is not None or one.epochs is not None}
    if not told or len(told) * 2 < len(files):
        return None
    steps_of: dict[int | None, set[int | None]] = {}
    for one in told.values():
        steps_of.setdefault(one.epochs, set()).add(one.steps)
    by_epoch = None not in steps_of and all(len(steps) == 1 for steps in steps_of.values())
    if by_epoch:
        found = {path: (one.epochs or 0, "epochs done, in the file") for path, one in told.items()}
        for path in files:
            match = _LIGHTNING.search(path.stem)
            if path not in found and match:  # it could not be read: told when its turn comes
                found[path] = (int(match[1]) + 1, "its name, counted from 0")
        return "epoch", found
    return "step", {path: (one.steps or 0, "optimizer steps, in the file") for path, one in told.items()}


def _by_name(files: Sequence[Path], said: Mapping[Path, Inside]) -> tuple[str, _Steps] | None:
    names = {path: _name(path) for path in files}
    lightning = {path: _LIGHTNING.search(name) for path, name in names.items() if path.suffix == ".ckpt"}
    if any(lightning.values()):
        return "epoch", {
            path: (int(match[1]) + 1, "its name, counted from 0")
            for path, match in lightning.items()
            if match is not None
        }
    for unit, pattern in (("epoch", _EPOCH), ("step", _STEP)):
        matches = {path: pattern.search(name) for path, name in names.items()}
        values = [int(match[1]) for match in matches.values() if match is not None]
        if values and len(set(values)) == len(values):
            return unit, {
                path: (int(match[1]), f"{unit} in its name")
                for path, match in matches.items()
                if match is not None
            }
    columns = {path: _integers(name) for path, name in names.items()}
    for column in range(max((len(numbers) for numbers in columns.values()), default=0)):
        values = [numbers[column] for numbers in columns.values() if len(numbers) > column]
        if len(set(values)) == len(values) and len(values) * 2 > len(files):
            return "epoch", {
                path: (numbers[column], "number in its name")
                for path, numbers in columns.items()
                if len(numbers) > column
            }
    numbers = {path: one.number for path, one in said.items() if one.number is not None}
    if len(numbers) == len(files) == len(set(numbers.values())):
        return "epoch", {path: (number, "'epoch' in the file") for path, number in numbers.items()}
    return None


def _in_order(files: Sequence[Path], unit: str, steps: _Steps) -> Numbering:
    checkpoints: dict[int, Numbered] = {}
    left_out = {path: f"no {unit} in its name or in it" for path in files if path not in steps}
    for path in sorted(steps, key=lambda path: (steps[path][0], not _integers(_name(path)), natural(path))):
        step, source = steps[path]
        if step in checkpoints:
            left_out[path] = f"the same {unit} as {checkpoints[step].path.name}"
        else:
            metrics = {name: float(value) for name, value in _METRIC.findall(_name(path))}
            checkpoints[step] = Numbered(path, step, source, metrics)
    return Numbering(unit, tuple(checkpoints[step] for step in sorted(checkpoints)), left_out)


def _name(path: Path) -> str:
    """The file's name without its end: `.weights.h5` is one."""
    return path.name.removesuffix(path.suffix).removesuffix(".weights")


def _integers(name: str) -> list[int]:
    """The whole numbers in a name; decimals, such as losses, are none."""
    return [int(digits) for digits in re.findall(r"\d+", _DECIMAL.sub("", name))]
