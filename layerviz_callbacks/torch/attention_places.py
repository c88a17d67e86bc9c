"""Where in a forward pass attention is, and what was read of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from layerviz_callbacks.torch.attention_axes import BatchAxes, Shape

Place = tuple[str, int, str]
"""The layer, the number of its call in the pass, and which operation in it, or what it keeps."""

OPERATION = "operation "


@dataclass(frozen=True)
class Attention:
    """One attention of a model.

    Attributes:
        layer: the name of the layer that computes it.
        name: see `Layer.name`.
        shape: `(sample, head, query, key)` in full; None where it cannot be read.
        axes: what the axes before query and key are.
        refusal: why it cannot be read, in words.
        side: see `Candidate.side`; empty for fused attention.
    """

    layer: str
    name: str
    shape: Shape | None = None
    axes: BatchAxes | None = None
    refusal: str = ""
    side: str = ""


@dataclass(frozen=True, eq=False)
class ReadAttention:
    """What was read of one attention.

    Attributes:
        shape: `(sample, head, query, key)` in full.
        weights: of the first samples; None where they were not asked for, or could not be read.
    """

    shape: Shape | None
    weights: np.ndarray | None = None


@dataclass
class Call:
    """A layer that is being called; the model itself where none is.

    Attributes:
        layer: its name.
        number: of the call, from 1 on.
        module: the layer.
        lengths: how long the sequences are that it was given.
        operations: how many that may be attention were heard in it so far.
        attentions: how many were.
        attends: whether there was any attention in it, or in a layer that it called.
    """

    layer: str
    number: int
    module: nn.Module
    lengths: frozenset[int] = frozenset()
    operations: int = 0
    attentions: int = 0
    attends: bool = False

    def next_name(self) -> str:
        """The `Layer.name` of its next attention."""
        self.attentions += 1
        name = self.layer if self.number == 1 else f"{self.layer}#{self.number}"
        return name if self.attentions == 1 else f"{name}.attention {self.attentions}"

    def operation(self) -> Place:
        """The place of the operation that is being heard."""
        return self.layer, self.number, f"{OPERATION}{self.operations}"
