"""What a training and its drawing process say to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from layerviz_callbacks.probe import Probe
from layerviz_callbacks.render.held_range import HeldRange


class ProbeCopy(Probe):
    """A probe as the drawing process knows it: NumPy arrays, whatever the model is called with.

    Args:
        probe: what is copied: its samples, names and targets.
        inputs: `Snapshot.inputs`.
    """

    def __init__(self, probe: Probe, inputs: Mapping[str, np.ndarray]) -> None:
        self.arrays = dict(probe.arrays)
        self.inputs = next(iter(self.arrays.values())) if len(self.arrays) == 1 else self.arrays
        self.sample_count = probe.sample_count
        self.names = probe.names
        self.targets = probe.targets
        self._inputs = dict(inputs)

    def shown(self) -> dict[str, np.ndarray]:
        """The inputs as they are displayed."""
        return self._inputs


TOLD = ("ranges", "history", "numbers", "health", "verdicts")
"""Attributes of a Snapshot that are told with each task."""


@dataclass(frozen=True)
class Shown:
    """What stays the same from step to step."""

    probe: Probe
    inputs: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Read:
    """What was read at one step."""

    fields: Mapping[str, Any]
    """Those of a Snapshot, but for what stays the same and what is told with each task."""


@dataclass(frozen=True)
class Task:
    """A view to draw.

    Attributes:
        view: the view, pickled; None: the probe itself is drawn.
        chosen: see `Snapshot.chosen`.
        shown: None: that of the task before.
        read: None: that of the task before.
        told: further attributes of the Snapshot that differ from view to view.
    """

    view: bytes | None
    chosen: frozenset[str] | None
    shown: Shown | None
    read: Read | None
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sheet:
    """A drawn picture: the attributes of `Picture`, and its PNG file."""

    tag: str
    size: tuple[int, int]
    caption: str
    description: str
    png: Any  # bytes, or memory that holds them
    held: HeldRange | None = None


@dataclass(frozen=True)
class Reply:
    """What became of a task.

    Attributes:
        sheets: what was drawn.
        unknown: why the view cannot be loaded in the drawing process; empty where it can.
        error: what the view raised; None where it raised nothing, or what cannot be pickled.
        error_words: the same as "Type: message"; empty where it raised nothing.
        traceback: where it was raised.
        stdout: what was printed meanwhile.
        stderr: likewise, with warnings.
    """

    sheets: Sequence[Sheet] = ()
    unknown: str = ""
    error: BaseException | None = None
    error_words: str = ""
    traceback: str = ""
    stdout: str = ""
    stderr: str = ""
