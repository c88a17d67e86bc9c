"""What a framework's door gives the core: a Reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from layerviz_callbacks.cut import KernelCut, OutputCut
from layerviz_callbacks.kinds import kind_names
from layerviz_callbacks.selection import Selector, select
from layerviz_callbacks.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class LayerEntry:
    """A layer as the model lists it, before anything was run.

    Attributes:
        name: see `Layer.name`.
        module: the framework's own layer object, for classes and predicates in `layers=`.
        has_kernel: it has a kernel of its own, and so is drawn by default.
        container: it only holds other layers (a block, a nested model).
    """

    name: str
    module: Any
    has_kernel: bool
    container: bool = False


def select_entries(selector: Selector, entries: Sequence[LayerEntry]) -> frozenset[str]:
    """The names of the layers of a model that a selector chooses.

    Raises:
        SelectionError: a part of it matches no layer; the nearest names are told.
    """
    kinds = {
        entry.name: kind_names(
            [kind.__name__ for kind in type(entry.module).__mro__], container=entry.container
        )
        for entry in entries
    }
    return frozenset(select(selector, [(entry.name, entry.module) for entry in entries], kinds=kinds))


@dataclass(frozen=True)
class Request:
    """What a Reader is asked for, so that nobody pays for what no view draws.

    Attributes:
        kernels: the names of the layers whose kernels are needed.
        weights: the names of the layers whose kernels and all other weights are needed.
        outputs: the names of the layers whose outputs are needed.
        kernel_cuts: by `Layer.name` (that of a further kernel too), the part of a kernel that is enough.
        output_cuts: by `Layer.name` (that of a further call or output too), the part that is enough. What
            is not named in the two is copied whole.
        model_outputs: the model's own outputs are needed. Where `outputs` are asked for, they come anyway.
    """

    kernels: frozenset[str] = frozenset()
    weights: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()
    kernel_cuts: Mapping[str, KernelCut] = field(default_factory=dict)
    output_cuts: Mapping[str, OutputCut] = field(default_factory=dict)
    model_outputs: bool = False

    @property
    def runs_model(self) -> bool:
        """Whether the model must be run on the probe for it."""
        return bool(self.outputs) or self.model_outputs


class Reader(Protocol):
    """Reads one model into Snapshots and leaves it as it was, bit for bit.

    Attributes:
        model: the framework's model that is read.
    """

    model: Any

    def entries(self) -> list[LayerEntry]:
        """Every layer of the model, in the model's order, without running it."""

    def read(self, request: Request) -> Snapshot:
        """Run the probe once (for outputs, or for shapes not known yet) and copy what was asked for.

        Without outputs asked for, the snapshot has the shapes of all outputs all the same.

        Raises:
            ProbeError: the model cannot be called with the probe.
        """
