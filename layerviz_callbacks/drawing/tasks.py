"""What the drawing process must be sent for a view, and what it has been sent already."""

from __future__ import annotations

import weakref
from copy import copy

import numpy as np

from layerviz_callbacks.drawing.messages import TOLD, ProbeCopy, Read, Shown, Task
from layerviz_callbacks.drawing.pickling import dumps
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views import View


class Sent:
    """What a drawing process has been sent, so that nothing is sent twice. It keeps no layer alive."""

    def __init__(self) -> None:
        self._probe: Probe | None = None
        self._inputs: dict[str, np.ndarray] = {}
        self._layers: tuple[weakref.ref[Layer], ...] = ()
        self._step: tuple[int, str] = (-1, "")

    def task(self, view: bytes | None, snapshot: Snapshot) -> Task:
        """What is to be sent; the probe and the layers only where they are not there yet.

        Args:
            view: see `pickled_view`; None: the probe itself is to be drawn.
            snapshot: what it is drawn of.
        """
        shown = read = None
        if not self._has_inputs(snapshot):
            probe = snapshot.probe
            if type(probe) is Probe:  # one of another class may have what a view needs
                probe = ProbeCopy(probe, snapshot.inputs)
            shown = Shown(probe, dict(snapshot.inputs))
        if not self._has_layers(snapshot):
            apart = ("probe", "inputs", "chosen", *TOLD)
            read = Read({name: value for name, value in vars(snapshot).items() if name not in apart})
        told = {name: getattr(snapshot, name) for name in TOLD}
        return Task(view, snapshot.chosen, shown, read, told)

    def note(self, snapshot: Snapshot) -> None:
        """Everything of this snapshot is there now."""
        self._probe, self._inputs = snapshot.probe, dict(snapshot.inputs)
        self._layers = tuple(weakref.ref(layer) for layer in snapshot)
        self._step = (snapshot.step, snapshot.when)

    def _has_inputs(self, snapshot: Snapshot) -> bool:
        known, inputs = self._inputs, snapshot.inputs
        return (
            self._probe is snapshot.probe
            and list(known) == list(inputs)
            and all(_same(known[name], inputs[name]) for name in inputs)
        )

    def _has_layers(self, snapshot: Snapshot) -> bool:
        return (
            self._step == (snapshot.step, snapshot.when)
            and len(self._layers) == len(snapshot.layers)
            and all(sent() is layer for sent, layer in zip(self._layers, snapshot, strict=True))
        )


def pickled_view(view: View, snapshot: Snapshot) -> bytes:
    """The view for the drawing process, with the names of its layers for predicates, classes or globs.

    Raises:
        UnsendableError: it holds something that cannot travel.
    """
    if view.layers is not None and snapshot.chosen is not None:
        view = copy(view)
        view.layers = sorted(snapshot.chosen)
    return dumps(view)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one is other or (one.dtype == other.dtype and np.array_equal(one, other))
