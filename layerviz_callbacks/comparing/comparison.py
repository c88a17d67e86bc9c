"""What a comparison of two snapshots found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from layerviz_callbacks.comparing.common_parts import CommonKernels, CommonOutputs
from layerviz_callbacks.comparing.weights import Match
from layerviz_callbacks.errors import SelectionError, did_you_mean
from layerviz_callbacks.snapshot import Layer

if TYPE_CHECKING:
    from layerviz_callbacks.picture import Picture


@dataclass(frozen=True, eq=False)
class LayerComparison:
    """One layer of a and its partner in b. Numbers are None where they cannot be had; `notes` say why.

    Attributes:
        name: of the layer in a.
        partner: of the layer in b; mostly the same.
        kind: the layer's class name in a.
        place: its place in the model a.
        distance: `|a - b| / |a|` of the kernels as they stand.
        matched_distance: the same with the channels of b, and its inputs where these could be, in the order
            of their match.
        cosine: the mean over channels of the cosine between the filters as they stand.
        matched_cosine: the same after matching.
        correlation: the mean over channels of the correlation of activations as they stand.
        matched_correlation: the same after matching.
        cka: linear CKA by the unbiased estimate, see `comparing.cka`.
        biased_cka: linear CKA as first defined, for whoever compares with others' numbers: near 1 where there
            are more channels than rows.
        rows: how many rows (samples x places) both CKA are of.
        match: which channel is which; None where nothing could be matched.
        notes: what was left out or refused, in words.
        kernels: what was compared of the kernels, inputs in order; None where nothing was.
        outputs: what was compared of the outputs; None where nothing was.
        layer: the layer in a.
        in_colours: its inputs are red, green and blue of the model's own input.
    """

    name: str
    partner: str
    kind: str
    place: int
    distance: float | None = None
    matched_distance: float | None = None
    cosine: float | None = None
    matched_cosine: float | None = None
    correlation: float | None = None
    matched_correlation: float | None = None
    cka: float | None = None
    biased_cka: float | None = None
    rows: int = 0
    match: Match | None = None
    notes: tuple[str, ...] = ()
    kernels: CommonKernels | None = None
    outputs: CommonOutputs | None = None
    layer: Layer | None = None
    in_colours: bool = False

    @property
    def title(self) -> str:
        """The layer's name, or both where they differ."""
        return self.name if self.name == self.partner else f"{self.name} ~ {self.partner}"


@dataclass(frozen=True)
class PredictionComparison:
    """What two models answer to the same probe.

    Attributes:
        output: the output's name in a.
        kind: "classes", "segmentation", "curves" or "numbers".
        samples: how many samples there are.
        agreement: the share of samples (of pixels, in a segmentation) with the same class; else None.
        right: the share that a and b have right, where the targets say so; else None.
        difference: the mean of `|a - b|` over all numbers; of classes, of their probabilities.
        apart: the names of samples with another class, of classes.
    """

    output: str
    kind: str
    samples: int
    agreement: float | None
    right: tuple[float, float] | None
    difference: float
    apart: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two snapshots side by side: of two runs, or of two epochs of one.

    Attributes:
        names: what a and b are, in words: file and step.
        layers: the layers that both have, in the order of a.
        unmatched: of a, and of b: the layers that the other lacks, with the reason.
        cka: `(layer of a, layer of b)`: linear CKA by the unbiased estimate, of every layer with every other;
            NaN where two cannot be compared. Empty where the probes differ.
        rows: `(layer of a, layer of b)`: how many rows each is of.
        cka_layers: the names of the rows and of the columns of `cka`.
        predictions: by output.
        metrics: what training reported, in a and in b; NaN where one did not.
        parted_below: the CKA below which layers are said to part.
        parts_at: the first layer, in the order of a, whose CKA with its partner is below; None: none is.
        probe_refusal: why answers cannot be compared, in words; empty where they can.
        notes: what else is to be known.
        sample_names: of the probe.
        step: the greater one of both, under which TensorBoard shows the pictures.

    Example:
        >>> comparison = compare("seed 1.h5", "seed 2.h5")             # doctest: +SKIP
        >>> print(comparison)                                          # doctest: +SKIP
        >>> comparison["conv2"].match.partners                         # doctest: +SKIP
        >>> comparison.pictures()[0].save("overview.png")              # doctest: +SKIP
    """

    names: tuple[str, str]
    layers: tuple[LayerComparison, ...]
    unmatched: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
    cka: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    rows: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), int))
    cka_layers: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    predictions: tuple[PredictionComparison, ...] = ()
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    parted_below: float = 0.8
    parts_at: str | None = None
    probe_refusal: str = ""
    notes: tuple[str, ...] = ()
    sample_names: tuple[str, ...] = ()
    step: int = 0

    def __getitem__(self, name: str) -> LayerComparison:
        """The layer of that name in a.

        Raises:
            SelectionError: no layer that was compared has that name; the nearest name is told.
        """
        known = {layer.name: layer for layer in self.layers}
        if name not in known:
            listed = ", ".join(repr(one) for one in known)
            raise SelectionError(
                f"comparison[{name!r}]: no such layer was compared. There are [{listed}]."
                + did_you_mean(name, known)
            )
        return known[name]

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def verdict(self) -> str:
        """Where the two part, in words."""
        from layerviz_callbacks.comparing.words import verdict_of

        return verdict_of(self)

    def pictures(self, *, pairs: int = 16) -> list[Picture]:
        """An overview, the CKA of all layers, and a sheet a layer with its matched filters and feature maps.

        Args:
            pairs: how many pairs of channels a sheet shows: the least alike, and the most alike.

        Raises:
            ArgumentError: `pairs` is no count.
        """
        from layerviz_callbacks.comparing.pictures import pictures_of

        return pictures_of(self, pairs=pairs)

    def __str__(self) -> str:
        from layerviz_callbacks.comparing.words import table_of

        return table_of(self)

    def __repr__(self) -> str:
        return f"Comparison({self.names[0]!r}, {self.names[1]!r}, {len(self)} layers)"
