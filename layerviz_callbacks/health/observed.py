"""A layer at one step, with all that its health is told from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from layerviz_callbacks.health.output_measures import silent_channels
from layerviz_callbacks.health.statistics import OutputStatistics, WeightSample
from layerviz_callbacks.kinds import kind_names

if TYPE_CHECKING:
    from layerviz_callbacks.snapshot import Layer, Snapshot

_PASSED_OVER = ("normalization", "dropout", "pooling", "resampling")
"""What may stand between a layer and its activation."""


@dataclass(frozen=True)
class DeadChannels:
    """How many channels are dead.

    Attributes:
        count: so many are; estimated from those whose weights were read where these are not all.
        total: of so many.
        exact: it is not estimated.
        proven: their weights no longer move; else they are silent on so many values that this alone tells.
    """

    count: int
    total: int
    exact: bool
    proven: bool

    @property
    def share(self) -> float:
        """Of all channels."""
        return self.count / self.total


@dataclass(frozen=True, eq=False)
class Earlier:
    """What is remembered of a layer.

    Attributes:
        initial: an even part of its weights before training; None where it is not known.
        before: the same part at the step before; None at the first.
        unmoved: at so many steps in a row its weights had not moved.
        large_updates: at so many steps in a row its updates were too large.
        without_gradient: `(row,)`: its filters that were silent and got no gradient at the step before.
        largest_gradient: the norm of its gradient, at the first two steps where it was known the larger.
        gradients: at so many steps its gradient was known.
        initial_rank: see `effective_rank`, before training.
        steps: at so many steps it was observed.
    """

    initial: np.ndarray | None = None
    before: np.ndarray | None = None
    unmoved: int = 0
    large_updates: int = 0
    without_gradient: np.ndarray | None = None
    largest_gradient: float = 0.0
    gradients: int = 0
    initial_rank: float | None = None
    steps: int = 0


@dataclass(frozen=True, eq=False)
class Observed:
    """A layer at one step.

    Attributes:
        layer: the layer.
        family: the first of its `kind_names`.
        last: the model's last layer, or one behind it.
        output: what its channels are judged by: its activation's output where it has one of its own, else its
            own.
        activation: that activation layer; None where it has none.
        numbers: see `LayerHealth`; they are completed while its health is found.
        earlier: what is remembered of it.
        dead: its dead channels; None where they cannot be known, or were not counted yet.
        quiet: `(row,)`: its filters that are silent and got no gradient; None where that is not known, or was
            not looked for yet.
        step: see `Snapshot.step`.
        samples: how many samples the probe has.
    """

    layer: Layer
    family: str
    last: bool = False
    activation: Layer | None = None
    output: OutputStatistics | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    earlier: Earlier = field(default_factory=Earlier)
    dead: DeadChannels | None = None
    quiet: np.ndarray | None = None
    step: int = 0
    samples: int = 1

    @property
    def weights(self) -> WeightSample | None:
        """The even part of its kernel, where that was read."""
        return None if self.layer.statistics is None else self.layer.statistics.weights

    @property
    def learns(self) -> bool:
        """It has weights that the optimizer may change."""
        return self.weights is not None and self.weights.trainable

    @property
    def is_judged(self) -> bool:
        """Its channels and filters are features, unlike those of embeddings and normalisation."""
        return self.family not in ("embedding", "normalization", "parameter")

    @property
    def rows(self) -> np.ndarray | None:
        """The channels that the rows of its weights stand for; None where they stand for none."""
        weights, output = self.weights, self.output
        if weights is None or output is None or self.layer.gates or weights.shape[0] != len(output.mean):
            return None
        return np.asarray(weights.rows)

    @property
    def where(self) -> str:
        """The words " behind relu3" where its channels are judged by an activation layer."""
        return "" if self.activation is None else f" behind {self.activation.name}"


def observe(snapshot: Snapshot, earlier: Mapping[str, Earlier]) -> list[Observed]:
    """The layers of which there are statistics or attention, in the model's order.

    Activation layers without parameters count for the layer with a kernel that they come right after; others
    stand for themselves.
    """
    layers = sorted(snapshot, key=lambda layer: layer.place)
    last = max(
        (
            layer.place
            for layer in layers
            if layer.kernel_shape is not None and layer.output_shape is not None
        ),
        default=0,
    )
    activations = _activations(layers)
    counted = {layer.name for layer in activations.values()}
    return [
        Observed(
            layer,
            family_of(layer),
            layer.place >= last and layer.attention is None,
            activations.get(layer.name),
            _output(activations.get(layer.name)) or _output(layer),
            earlier=earlier.get(layer.name, Earlier()),
            step=snapshot.step,
            samples=len(snapshot.probe),
        )
        for layer in layers
        if (layer.statistics is not None or layer.attention is not None) and layer.name not in counted
    ]


def family_of(layer: Layer) -> str:
    """Its kind, such as "convolution"; empty where its class name tells none."""
    names = kind_names([layer.kind], container=layer.container and layer.kernel_shape is None)
    return names[0] if len(names) > 1 else ""


def is_activation(layer: Layer) -> bool:
    """Whether it is a layer without parameters that only bends its input."""
    return layer.kernel_shape is None and not layer.parameters and family_of(layer) == "activation"


def _output(layer: Layer | None) -> OutputStatistics | None:
    return None if layer is None or layer.statistics is None else layer.statistics.output


def _activations(layers: Iterable[Layer]) -> dict[str, Layer]:
    """By the name of a layer with a kernel: the activation layer right after it.

    Only what normalises, pools or drops may stand between them, and both must have equally many channels.
    One that is called several times has no place of its own, and counts for none.
    """
    layers = list(layers)
    repeated = {layer.part_of for layer in layers if "#" in layer.name}
    found: dict[str, Layer] = {}
    behind: Layer | None = None
    for layer in layers:
        if layer.part_of or (layer.container and layer.kernel_shape is None):
            continue
        if layer.kernel_shape is not None:
            behind = layer if _output(layer) is not None else None
        elif is_activation(layer):
            if behind is not None and layer.name not in repeated and _fits(layer, behind):
                found[behind.name] = layer
            behind = None
        elif family_of(layer) not in _PASSED_OVER:
            behind = None
    return found


def _fits(activation: Layer, behind: Layer) -> bool:
    bent, plain = _output(activation), _output(behind)
    return bent is not None and plain is not None and len(bent.mean) == len(plain.mean)


def silent_of(observed: Observed) -> np.ndarray:
    """`(channel,)`: see `silent_channels`; empty without an output."""
    return np.zeros(0, bool) if observed.output is None else silent_channels(observed.output)
