"""What the sheets of kernels share, whatever they draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from layerviz_callbacks.cut import KernelCut, Taken
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.channels import Channels, order_words


@dataclass(frozen=True)
class KernelOptions:
    """What the user asked for; see `Filters`."""

    channels: Channels
    max_channels: int
    inputs: str
    contrast: str


@dataclass(frozen=True, eq=False)
class KernelSubject:
    """Of which layer, and for which words on the sheet.

    Attributes:
        layer: the layer.
        full: its kernel's shape in the model.
        tag: of the picture.
        snapshot: what it is of.
        options: what the user asked for.
    """

    layer: Layer
    full: tuple[int, ...]
    tag: str
    snapshot: Snapshot
    options: KernelOptions

    def notes(self, taken: Taken, parts: int) -> list[str]:
        """What must be known of the contrast and of the channels; `parts`: how many gates there are."""
        own = self.options.contrast == "channel"
        units = self.full[0] // parts
        drawn = [channel % units for channel in taken.channels[: len(taken.channels) // parts]]
        return [
            *(["contrast per output channel: each has its own range"] if own else []),
            *order_words(self.options.channels, drawn, units, by="L2 norm"),
        ]


class KernelSheet(Protocol):
    """A sheet that was fitted to a kernel's shape, before any weight was read.

    Attributes:
        cut: the part of the kernel that it draws.
        shape: of that part.
    """

    @property
    def cut(self) -> KernelCut:
        """See above."""

    @property
    def shape(self) -> tuple[int, ...]:
        """See above."""

    def draw(self, part: np.ndarray, taken: Taken, subject: KernelSubject) -> Picture:
        """The picture of a part of this shape."""


def gates_of(layer: Layer, channels: Sequence[int], total: int) -> tuple[str, ...]:
    """The names of the gates, where these channels (of `total`) are the same ones of every gate; else none.

    Example:
        >>> lstm = Layer("lstm", "LSTM", 1, gates=("input", "forget"))
        >>> gates_of(lstm, (0, 1, 4, 5), 8), gates_of(lstm, (0, 1, 2, 3), 8)
        (('input', 'forget'), ())
    """
    parts = len(layer.gates)
    if parts < 2 or total % parts or len(channels) % parts or not len(channels):
        return ()
    units = total // parts
    places = np.asarray(channels).reshape(parts, -1)
    same = places == places[0] + units * np.arange(parts)[:, None]
    return layer.gates if same.all() and places[0].max() < units else ()


def parts_words(gates: Sequence[str], of: str) -> str:
    """How many parts there are, and of what size.

    Example:
        >>> parts_words(("query", "key", "value"), "64 out"), parts_words(("input", "forget"), "8 out")
        ('3 projections of 64 out', '2 gates of 8 out')
    """
    noun = "projections" if "query" in gates else "gates"
    return f"{len(gates)} {noun} of {of}" if gates else of
