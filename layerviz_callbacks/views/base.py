"""What every view shares."""

from __future__ import annotations

import copy
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import ClassVar, Protocol, TypeVar

import numpy as np

from layerviz_callbacks.cut import KernelCut, OutputCut
from layerviz_callbacks.errors import check_count
from layerviz_callbacks.histogram import Histogram
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.request import Request
from layerviz_callbacks.selection import Selector, check_selector, select
from layerviz_callbacks.snapshot import Layer, Snapshot

_View = TypeVar("_View", bound="View")


class Follower(Protocol):
    """Goes through the steps of one training in their order, and remembers what it needs of them."""

    def follow(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what only the steps before it can tell: `health`, `verdicts`."""


class View(ABC):
    """What to draw, of which layers and how often: a pure function from a Snapshot to Pictures.

    Args:
        layers: which layers; None: those of the callback, or every layer with a kernel.
        every_n_epochs: how often; None: as often as the callback records.

    A view of your own sets `family` (the group in TensorBoard) and `needs`, and writes `refusal` and
    `draw_layer`. One that draws no layers, but what the model itself answers, is a `ModelView`.

    Attributes:
        family: the group of its pictures in TensorBoard.
        needs: what must be read for it, of "kernels", "weights", "outputs", "model outputs", "attention",
            "gradients", "saliency", "patterns"; with "initial", `Snapshot.initial` has its layers, too;
            with "history", `Snapshot.history` has what it kept of earlier steps.
        per_layer: it draws layers.
        told_apart_by: which argument makes two of it draw different pictures.
        leaves_out: why it does not draw the layers that it does not choose by itself, in words; empty: it
            chooses every layer with a kernel.
        sparse: it is drawn at fewer and fewer steps, and at the last one: each picture of it shows all steps.
    """

    family: str
    needs: frozenset[str]
    per_layer: ClassVar[bool] = True
    leaves_out: ClassVar[str] = ""
    sparse: ClassVar[bool] = False
    told_apart_by: ClassVar[str] = "layers="
    _one_in = 1

    def __init__(self, *, layers: Selector | None = None, every_n_epochs: int | None = None) -> None:
        check_selector(layers)
        check_count("every_n_epochs", every_n_epochs, optional=True)
        self.layers = layers
        self.every_n_epochs = every_n_epochs

    @abstractmethod
    def refusal(self, layer: Layer) -> str:
        """Why this layer cannot be drawn, in words; empty where it can."""

    def refusals(self, snapshot: Snapshot) -> Mapping[str, str]:
        """What cannot be drawn though it was asked for, and `refusal` does not tell: by name, the reason."""
        return {}

    def repeats(self, other: View) -> bool:
        """Whether both would draw the same pictures, whatever the model."""
        return self.family == other.family and self.layers is None and other.layers is None

    def kernel_cut(self, layer: Layer, snapshot: Snapshot) -> KernelCut:
        """The part of this layer's kernel that is drawn, found from shapes alone; default: all of it."""
        return KernelCut()

    def output_cut(self, layer: Layer, snapshot: Snapshot) -> OutputCut:
        """The part of this layer's output that is drawn, found from shapes alone; default: all of it."""
        return OutputCut()

    def request(self, layers: Sequence[Layer], shapes: Snapshot) -> Request:
        """What must be read for these layers, of each no more than the part that is drawn.

        Args:
            layers: those that are drawn.
            shapes: everything there is, without arrays (but for the model's own outputs, where `needs` has
                them, or gradients or saliency).
        """
        names = frozenset(layer.base_name for layer in layers)
        kernel_cuts, output_cuts = {}, {}
        for layer in layers:
            if self.needs & {"kernels", "weights"} and layer.kernel_shape is not None:
                kernel_cuts[layer.name] = self.kernel_cut(layer, shapes)
            if "outputs" in self.needs and layer.output_shape is not None:
                output_cuts[layer.name] = self.output_cut(layer, shapes)
        return Request(
            kernels=names if self.needs & {"kernels", "weights"} else frozenset(),
            weights=names if "weights" in self.needs else frozenset(),
            outputs=names if "outputs" in self.needs else frozenset(),
            kernel_cuts=kernel_cuts,
            output_cuts=output_cuts,
            model_outputs="model outputs" in self.needs,
        )

    def check(self, shapes: Snapshot) -> None:  # noqa: B027  most views have nothing to check
        """Raise `ArgumentError` at train begin where an argument does not fit this model or probe."""

    def scalars(self, snapshot: Snapshot) -> Mapping[str, float]:
        """The numbers by tag that belong beside the pictures, of the layers that are drawn; default: none."""
        return {}

    def histograms(self, snapshot: Snapshot) -> Mapping[str, Histogram]:
        """Histograms of this step, by tag."""
        return {}

    def texts(self, snapshot: Snapshot) -> Mapping[str, str]:
        """Markdown by tag; written where it is another than at the step before."""
        return {}

    def follower(self) -> Follower | None:
        """What goes through the steps of a training beside this view, and completes each snapshot for it."""
        return None

    def keep(self, snapshot: Snapshot) -> Mapping[str, np.ndarray]:
        """What `draw` must know of this step at later ones, where `needs` has "history": small arrays."""
        return {}

    def reduced(self: _View, factor: int) -> _View:
        """The same view with one in `factor` of the channels and samples that it draws, at least one of each.

        Default: a copy, which draws less where the view asks `_fewer` how many it draws.
        """
        thinner = copy.copy(self)
        thinner._one_in = self._one_in * factor
        return thinner

    def _fewer(self, wanted: int) -> int:
        """How many of the channels or samples that are wanted are drawn, once the view was `reduced`."""
        return max(1, wanted // self._one_in)

    @abstractmethod
    def draw_layer(self, layer: Layer, snapshot: Snapshot) -> Iterable[Picture]:
        """The pictures of one layer that was not refused."""

    def draw(self, snapshot: Snapshot) -> list[Picture]:
        """The pictures of every chosen layer that can be drawn, in the model's order."""
        return [picture for layer in self.drawn(snapshot) for picture in self.draw_layer(layer, snapshot)]

    def drawn(self, snapshot: Snapshot) -> list[Layer]:
        """The layers that `draw` draws: chosen, and not refused."""
        return [layer for layer in self.chosen(snapshot) if not self.refusal(layer)]

    def chosen(self, snapshot: Snapshot) -> list[Layer]:
        """The layers that the user chose; where nothing was chosen, those `by_default`."""
        names = snapshot.chosen
        if self.layers is not None and names is None:
            names = frozenset(select(self.layers, [(layer.name, layer) for layer in snapshot]))
        if names is None:
            return self.by_default(snapshot)
        return [layer for layer in snapshot if layer.name in names or layer.base_name in names]

    def by_default(self, snapshot: Snapshot) -> list[Layer]:
        """The layers that are drawn where nothing was chosen; default: those with a kernel."""
        return [layer for layer in snapshot if layer.kernel_shape is not None]

    def tag(self, layer: Layer, snapshot: Snapshot) -> str:
        """`family/NN_layer`: NN is the layer's place, so that sorting by name is the model's order."""
        digits = _digits(weakref.ref(snapshot))
        return f"{self.family}/{layer.place:0{digits}d}_{layer.name}"


class ModelView(View):
    """A view that draws no layers: a subclass writes `draw` and, where not all can be drawn, `refusals`."""

    per_layer: ClassVar[bool] = False

    def refusal(self, layer: Layer) -> str:
        """No layer is drawn."""
        return f"{self.family} are of the model, not of a layer"

    def chosen(self, snapshot: Snapshot) -> list[Layer]:
        """No layer."""
        return []

    def draw_layer(self, layer: Layer, snapshot: Snapshot) -> Iterable[Picture]:
        """Nothing: no layer is drawn."""
        return []

    @abstractmethod
    def draw(self, snapshot: Snapshot) -> list[Picture]:
        """Its pictures."""


@lru_cache(maxsize=32)  # by a weak reference: it keeps no snapshot
def _digits(snapshot: weakref.ref[Snapshot]) -> int:
    """How many digits the greatest place has."""
    return max(2, len(str(max(entry.place for entry in snapshot() or ()))))
