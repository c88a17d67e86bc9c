"""What a framework's door gives the core: a Reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from layerviz_callbacks.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class LayerEntry:
    """A layer as the model lists it, before anything was run.

    Attributes:
        name: see `Layer.name`.
        module: the framework's own layer object, for classes and predicates in `layers=`.
        has_kernel: it has a kernel of its own, and so is drawn by default.
    """

    name: str
    module: Any
    has_kernel: bool


@dataclass(frozen=True)
class Request:
    """What a Reader is asked for, so that nobody pays for what no view draws.

    Attributes:
        weights: the names of the layers whose kernels and weights are needed.
        outputs: the names of the layers whose outputs are needed.
    """

    weights: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()


class Reader(Protocol):
    """Reads one model into Snapshots and leaves it as it was, bit for bit.

    Attributes:
        model: the framework's model that is read.
    """

    model: Any

    def entries(self) -> list[LayerEntry]:
        """Every layer of the model, in the model's order, without running it."""

    def read(self, request: Request) -> Snapshot:
        """Run the probe once (only where outputs are asked for) and copy what was asked for.

        Raises:
            ProbeError: the model cannot be called with the probe.
        """
