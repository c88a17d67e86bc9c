"""Composites: many channels of a layer joined into one heat map a sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from layerviz_callbacks.cut import VALUES_A_STRETCH, OutputCut, Taken, recut_output
from layerviz_callbacks.errors import ArgumentError, check_choice, check_count
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.base import View
from layerviz_callbacks.views.channels import Channels, check_channels, numbers_of, refusal_of
from layerviz_callbacks.views.composite_answers import answer_panel, has_answer
from layerviz_callbacks.views.composite_drawings import MOST_GROUPS, channel_words, join
from layerviz_callbacks.views.feature_maps import FeatureMaps
from layerviz_callbacks.views.marks import Marks
from layerviz_callbacks.views.sample_panels import (
    PanelSheet,
    draw_panel_sheet,
    fit_panel_sheet,
    input_of,
    input_panels,
    places_of_panels,
    shown_slices,
)
from layerviz_callbacks.views.sheets import make_sheet
from layerviz_callbacks.views.steady import steady
from layerviz_callbacks.views.words import count_of, listed, size_of

METHODS = ("mean", "top-k", "principal component", "clusters")
_COUNTS = {"top-k": 8, "clusters": 4}


class Composite(View):
    """Channels of a layer joined into one heat map a sample, between its input and the model's own output.

    | tag | what is drawn |
    |---|---|
    | `composite/NN_layer` | a block a sample: the input, the composite and, where it is a picture of the same rank, what the model answers; in 1-D curves on one axis, in 3-D slices |

    The group is named for the method, where it is not the default: `composite clusters/NN_layer`. So several
    of these views stand side by side in one callback.

    It shows at a glance where in the input a layer responds, and with "clusters" which parts of it the layer
    tells apart. It cannot tell what for: a strong response need not matter to the answer, and a composite
    hides single channels.

    | method | the map | source |
    |---|---|---|
    | "mean" | mean of the channels' magnitudes | activation-based attention, Zagoruyko and Komodakis 2017, arXiv:1612.03928 |
    | "top-k" | the same of the `count` channels with the largest mean magnitude; the sheet names them | |
    | "principal component" | the first principal component over all places of all drawn samples; its larger side is positive | EigenCAM, Muhammad and Yeasin 2020, arXiv:2008.00299 |
    | "clusters" | channels grouped by the correlation of their maps (k-means, fixed start); each place in the colour of the group with the largest mean magnitude there, as bright as that is | after neuron groups, Olah et al. 2018, "The Building Blocks of Interpretability" |

    Maps that are larger than their panel are reduced by blocks' means before channels are joined; of volumes,
    the slices that are drawn are joined.

    Args:
        layers: which layers; None: those of the callback, or every layer with a kernel and axes of space.
        every_n_epochs: how often; None: as often as the callback records.
        method: see above.
        channels: a list of channel numbers that are joined, from 0 on; None: all.
        count: for "top-k" how many channels, 8 where nothing is said; for "clusters" how many groups, from 2 to
            6, 4 where nothing is said.
        max_samples: at most so many samples are drawn, the first ones.

    Raises:
        ArgumentError: an argument is not one of these.

    Example:
        >>> Composite(method="clusters", count=5).family
        'composite clusters'
    """  # noqa: E501

    family = "composite"
    needs = frozenset({"outputs", "model outputs"})

    def __init__(
        self,
        *,
        layers: Selector | None = None,
        every_n_epochs: int | None = None,
        method: str = "mean",
        channels: Sequence[int] | None = None,
        count: int | None = None,
        max_samples: int = 8,
    ) -> None:
        super().__init__(layers=layers, every_n_epochs=every_n_epochs)
        check_choice("method", method, METHODS)
        check_count("count", count, optional=True)
        check_count("max_samples", max_samples)
        self.channels = _checked_channels(channels)
        _check_together(method, self.channels, count)
        self.method = method
        if method != METHODS[0]:
            self.family = f"{self.family} {method}"
        self.count = count or _COUNTS.get(method, 1)
        self.max_samples = max_samples

    def by_default(self, snapshot: Snapshot) -> list[Layer]:
        """Those with a kernel and axes of space."""
        shapes = [(layer, layer.output_shape) for layer in super().by_default(snapshot)]
        return [layer for layer, shape in shapes if shape is not None and len(shape) > 2]

    def refusal(self, layer: Layer) -> str:
        """Why there is no composite of this layer, in words; empty where there is."""
        shape = layer.output_shape if layer.output is None else layer.output.shape
        undrawn = FeatureMaps().refusal(layer)
        if undrawn or shape is None:
            return undrawn
        if len(shape) == 2:
            return "vectors have no axis of space to be mapped on"
        return refusal_of(self.channels, (layer.output_shape or shape)[-1])

    def output_cut(self, layer: Layer, snapshot: Snapshot) -> OutputCut:
        """The samples, slices and blocks of pixels that the sheet shows, of every channel that is joined."""
        if layer.output_shape is None:
            return OutputCut()
        return self._cut(layer.output_shape, self._fitted(layer.output_shape, snapshot))

    def draw_layer(self, layer: Layer, snapshot: Snapshot) -> Iterable[Picture]:
        """One sheet; none where the output, or every channel that is wanted of it, was not read."""
        if layer.output is None:
            return []
        full = layer.output_shape or layer.output.shape
        fitted = self._fitted(full, snapshot)
        part, taken = recut_output(layer.output, layer.output_taken, self._cut(full, fitted))
        if 0 in part.shape:
            return []
        if len(part) < fitted.samples:  # fewer were read
            fitted = self._fitted((len(part), *full[1:]), snapshot)
        part = part[: fitted.samples]
        stretched = part.ndim == 3 and _stretched(taken, full, part.shape[1])
        if stretched:  # of each stretch its first value: the others are not from one time
            part = part[:, ::VALUES_A_STRETCH]
        if part.ndim == 5 and part.shape[1] != fitted.slices:
            part = part[:, list(shown_slices(part.shape[1], fitted.slices))]
        return [self._sheet(part, taken, fitted, layer, snapshot)]

    def _fitted(self, shape: tuple[int, ...], snapshot: Snapshot) -> PanelSheet:
        """Panels in the shape of the input, where it has one, else of the maps."""
        rank = len(shape) - 2
        named = shape[0] == len(snapshot.probe)
        given = input_of(snapshot.inputs, rank) if named else None
        samples = self._fewer(min(shape[0], self.max_samples))
        panels = 1 + (given is not None) + (named and has_answer(snapshot, rank))
        space = shape[1:-1] if given is None else given.shape[1:-1]
        if rank == 3:
            space = (shape[1], *space[1:])
        return fit_panel_sheet(space, samples=samples, panels=panels)

    def _cut(self, shape: tuple[int, ...], fitted: PanelSheet) -> OutputCut:
        cut = OutputCut(samples=fitted.samples)
        if self.method == "top-k":
            cut = replace(cut, strongest=min(self.count, shape[-1]))
        elif not isinstance(self.channels, str):
            cut = replace(cut, channels=numbers_of(self.channels, shape[-1], shape[-1])[0])
        if len(shape) == 3:
            return cut
        block = max(1, min(shape[-3] // fitted.height, shape[-2] // fitted.width))
        slices = shown_slices(shape[1], fitted.slices) if len(shape) == 5 else None
        whole = slices is None or slices == tuple(range(shape[1]))
        return replace(cut, block=block, slices=None if whole else slices)

    def _sheet(
        self, part: np.ndarray, taken: Taken, fitted: PanelSheet, layer: Layer, snapshot: Snapshot
    ) -> Picture:
        full = layer.output_shape or part.shape
        named = full[0] == len(snapshot.probe)
        rank = part.ndim - 2
        tag = self.tag(layer, snapshot)
        hold = partial(steady, tag=tag, snapshot=snapshot)
        joined = join(part, fitted, method=self.method, count=self.count, hold=hold)
        panels, words = [joined.panel], ["composite"]
        given = input_of(snapshot.inputs, rank) if named else None
        if given is not None:
            panels, words = [input_panels(given, fitted), *panels], ["input", *words]
        answer = answer_panel(snapshot, rank, fitted, grey=self.method == "clusters") if named else None
        if answer is not None:
            panels, words = [*panels, answer[0]], [*words, answer[1]]
        size = size_of(full[1:-1])
        facts = [layer.kind, size if rank == 1 else f"maps {size}"]
        facts += [count_of(len(taken.channels), full[-1], "channel")]
        facts += [count_of(fitted.samples, full[0], "sample")]
        marks = Marks.of(taken, values=int(np.prod(part.shape[:-1])))
        notes = [f"each sample, {fitted.order}: {', '.join(words)}"] if len(words) > 1 else []
        notes += joined.notes + self._channel_notes(taken)
        notes += channel_words(int(marks.zero.sum()), int(marks.constant.sum()), marks.strange)
        notes += _cut_notes(taken, full, part, fitted)
        names = snapshot.probe.names if named else [f"row {place + 1}" for place in range(fitted.samples)]
        return make_sheet(
            tag,
            [draw_panel_sheet(fitted, panels, names)],
            name=layer.name,
            when=snapshot.when,
            facts=", ".join(facts),
            key=joined.key,
            notes=notes,
            details="Channels of the output joined into one map a sample.",
            colours=joined.colours,
            held=joined.held,
            samples=places_of_panels(fitted),
        )

    def _channel_notes(self, taken: Taken) -> list[str]:
        if self.method == "top-k":
            return [f"mean magnitude of the strongest channels: {listed(taken.channels)}"]
        return [] if isinstance(self.channels, str) else [f"channels {listed(taken.channels)}"]


def _checked_channels(channels: Sequence[int] | None) -> Channels:
    if channels is None:
        return "first"
    if isinstance(channels, str):
        raise ArgumentError(
            f"channels={channels!r} is not an option. Allowed: None (all), or a list of channel numbers, "
            "such as [0, 5, 12]. For the strongest, type method='top-k'."
        )
    return check_channels(channels)


def _check_together(method: str, channels: Channels, count: int | None) -> None:
    if method == "top-k" and not isinstance(channels, str):
        raise ArgumentError("method='top-k' chooses its channels by itself. Leave channels= out, or count=.")
    if count is not None and method not in _COUNTS:
        raise ArgumentError(
            f"count={count} goes with method='top-k' or 'clusters', not with {method!r}. Leave it out."
        )
    if count is not None and method == "clusters" and not 2 <= count <= MOST_GROUPS:
        raise ArgumentError(f"count={count} groups cannot be told apart. Allowed: 2 to {MOST_GROUPS}.")


def _stretched(taken: Taken, full: tuple[int, ...], length: int) -> bool:
    had = taken.cut.stretches if isinstance(taken.cut, OutputCut) else None
    return had is not None and length != full[1] and length % VALUES_A_STRETCH == 0


def _cut_notes(taken: Taken, full: tuple[int, ...], part: np.ndarray, fitted: PanelSheet) -> list[str]:
    cut = taken.cut if isinstance(taken.cut, OutputCut) else OutputCut()
    notes = []
    if part.ndim == 5:
        slices = shown_slices(full[1], fitted.slices) if cut.slices is None else cut.slices
        notes.append(f"slices {listed(sorted({*slices}))} of {full[1]}, left to right")
    if part.ndim == 3 and part.shape[1] < full[1]:
        notes.append(f"{part.shape[1]} of {full[1]} places in time")
    if part.ndim > 3 and cut.block > 1:
        notes.append(f"1 value = mean of {cut.block}x{cut.block}")
    return notes
