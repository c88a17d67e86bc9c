"""What a framework's door gives the core: a Reader."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from layerviz_callbacks.explaining import Differentiate
from layerviz_callbacks.kinds import kind_names
from layerviz_callbacks.request import Request
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

        Without outputs asked for, the snapshot has the shapes of all outputs and attentions all the same.
        What was asked for and cannot be read stands in `Snapshot.unread`. For each of `request.targets` the
        snapshot has a score with its weights. `saliency` and `patterns` are not the reader's: see
        `layerviz_callbacks.explaining.explain`.

        Raises:
            ProbeError: the model cannot be called with the probe.
        """

    def differentiating(self) -> AbstractContextManager[Differentiate]:
        """Differentiate the model as often as is wanted, inside one isolation."""
