"""Feature maps: what each channel of a layer answers to each sample of the probe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from layerviz_callbacks.cut import OutputCut, Taken, cut_again, recut_output, shape_of_output
from layerviz_callbacks.errors import check_choice, check_count
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.blocks import Blocks, draw_blocks, places_of_blocks
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.base import View
from layerviz_callbacks.views.channels import (
    Channels,
    check_channels,
    drawn_count,
    numbers_of,
    order_words,
    refusal_of,
)
from layerviz_callbacks.views.map_drawings import MAP_DRAWINGS, fitted_blocks
from layerviz_callbacks.views.marks import Marks
from layerviz_callbacks.views.saturation import saturation_of
from layerviz_callbacks.views.sheets import make_sheet
from layerviz_callbacks.views.steady import steady
from layerviz_callbacks.views.thumbnails import can_be_small, thumbnails_of
from layerviz_callbacks.views.words import count_of

_CONTRASTS = {
    "channel": "contrast per channel: each has its own range",
    "sample": "contrast per sample: each has its own range",
}


@dataclass(frozen=True)
class _Layout:
    """What is drawn of an output, and where.

    Attributes:
        shape: of what is drawn.
        cut: what leads to it.
        blocks: a block a sample.
        named: the samples are those of the probe.
    """

    shape: tuple[int, ...]
    cut: OutputCut
    blocks: Blocks
    named: bool


class FeatureMaps(View):
    """Each sample's channels: tiles for 2-D, strips of slices for 3-D, curves for 1-D, bars for vectors.

    | tag | what is drawn |
    |---|---|
    | `feature maps/NN_layer` | a block a sample with its name and its input; the same channel at the same place in each block |
    | `feature maps in grey/NN_layer` | the same with `colours="grey"`: both may stand in one callback |

    One range holds for the whole sheet, so that samples can be compared: from 0 to the largest value that is
    drawn, or symmetric about zero where there are negative values. A channel that is zero, or another
    constant, over all drawn samples is crossed out; one that is saturated (of a tanh or sigmoid: 90 % of its
    values or more within 0.02 of the bounds) has a mark in the corner, a bar a cap. Of a volume each channel
    shows up to five slices, evenly spaced along the first axis of space; the sheet says which.

    Args:
        layers: which layers; None: those of the callback, or every layer with a kernel.
        every_n_epochs: how often; None: as often as the callback records.
        channels: "first"; "strongest": those with the largest mean magnitude over the samples of this step,
            the strongest first; or a list of channel numbers, from 0 on.
        max_channels: at most so many of the first or strongest channels are drawn; None: 64 bars, 16 curves,
            32 tiles or 16 volumes.
        max_samples: at most so many samples are drawn, the first ones.
        contrast: "layer": one range a sheet; "channel": each channel has its own; "sample": each sample has
            its own, which is written beside its name.
        colours: "auto": from dark blue to yellow, or where there are negative values from blue over grey, which
            is zero, to yellow; "grey": from black to white, as sections, scans and spectrograms are printed,
            where there are negative values with zero at mid-grey. NaN, infinities and crosses keep their
            colours, and so do curves and bars.

    Raises:
        ArgumentError: an argument is not one of these.

    Example:
        >>> FeatureMaps(channels="strongest", max_channels=64, max_samples=2).family
        'feature maps'
    """  # noqa: E501

    family = "feature maps"
    needs = frozenset({"outputs"})

    def __init__(
        self,
        *,
        layers: Selector | None = None,
        every_n_epochs: int | None = None,
        channels: str | Sequence[int] = "first",
        max_channels: int | None = None,
        max_samples: int = 8,
        contrast: str = "layer",
        colours: str = "auto",
    ) -> None:
        super().__init__(layers=layers, every_n_epochs=every_n_epochs)
        check_count("max_channels", max_channels, optional=True)
        check_count("max_samples", max_samples)
        check_choice("contrast", contrast, ["layer", "channel", "sample"])
        check_choice("colours", colours, ["auto", "grey"])
        self.channels = check_channels(channels)
        self.max_channels = max_channels
        self.max_samples = max_samples
        self.contrast = contrast
        self.colours = colours
        if colours == "grey":
            self.family = f"{self.family} in grey"

    def refusal(self, layer: Layer) -> str:
        """Why this layer's output cannot be drawn, in words; empty where it can."""
        shape = layer.output_shape if layer.output is None else layer.output.shape
        if shape is None:
            return layer.refusal or _no_output(layer)
        if 0 in shape:
            return f"its output is empty: shape {tuple(shape)}"
        if layer.output is not None and layer.output.dtype.kind not in "biuf":
            return f"{layer.output.dtype} outputs are not drawn yet"
        if len(shape) < 2:
            return f"outputs of shape {tuple(shape)} are not drawn yet"
        if len(shape) - 2 not in MAP_DRAWINGS:
            return f"{len(shape) - 2}-D maps are not drawn yet"
        return refusal_of(self.channels, (layer.output_shape or shape)[-1])

    def output_cut(self, layer: Layer, snapshot: Snapshot) -> OutputCut:
        """The samples, channels, slices, blocks of pixels or stretches of time that the sheet shows."""
        shape = layer.output_shape
        if shape is None:
            return OutputCut()
        return self._layout(shape, snapshot, channels=self.channels, samples=shape[0]).cut

    def draw_layer(self, layer: Layer, snapshot: Snapshot) -> Iterable[Picture]:
        """One sheet; none where the output, or every channel that is wanted of it, was not read."""
        if layer.output is None:
            return []
        full = layer.output_shape or layer.output.shape
        shape = full if layer.output_taken is not None else layer.output.shape
        layout = self._layout(shape, snapshot, channels=self.channels, samples=full[0])
        wanted = _of_those_held(layout.cut, layer.output_taken, channels=self.channels)
        part, taken = recut_output(layer.output, layer.output_taken, wanted)
        if 0 in part.shape:
            return []
        if part.shape != layout.shape:  # less was read than is wanted: it is drawn as though it were all
            layout = self._layout(part.shape, snapshot, channels="first", samples=full[0])
            part, taken = cut_again(part, taken, layout.cut)
        return [self._sheet(part, taken, layout, layer, snapshot, full)]

    def _layout(
        self, shape: tuple[int, ...], snapshot: Snapshot, *, channels: Channels, samples: int
    ) -> _Layout:
        """Fit a sheet for an output of this shape, of a layer that answers to so many `samples`."""
        drawing, space = MAP_DRAWINGS[len(shape) - 2], shape[1:-1]
        shown = self._fewer(min(shape[0], self.max_samples))
        limit = self._fewer(self.max_channels or drawing.default_channels)
        count = drawn_count(channels, shape[-1], limit)
        named = samples == len(snapshot.probe)
        side = named and can_be_small(snapshot.inputs, shown)
        blocks = fitted_blocks(space, samples=shown, channels=count, side=side)
        numbers, strongest = numbers_of(channels, shape[-1], blocks.count)
        fitted = drawing.cut(space, blocks.tiles)
        cut = replace(fitted, samples=blocks.samples, channels=numbers, strongest=strongest)
        return _Layout(shape_of_output(shape, cut), cut, blocks, named)

    def _sheet(
        self,
        part: np.ndarray,
        taken: Taken,
        layout: _Layout,
        layer: Layer,
        snapshot: Snapshot,
        full: tuple[int, ...],
    ) -> Picture:
        drawing, blocks = MAP_DRAWINGS[part.ndim - 2], layout.blocks
        values = np.ascontiguousarray(np.moveaxis(part, -1, 1))
        tag = self.tag(layer, snapshot)
        fixed = steady(Scale.of(values, axes=self._axes(values.ndim)), tag, snapshot)
        scale = fixed.scale
        cut = taken.cut if isinstance(taken.cut, OutputCut) else layout.cut
        statistics = None if layer.statistics is None else layer.statistics.output
        saturation = saturation_of(part, taken, full, statistics)
        marks = Marks.of(taken, values=_values_a_channel(full, cut), saturation=saturation)
        drawn = drawing.draw(values, scale, blocks.tiles, marks=marks, numbers=taken.channels)
        small = thumbnails_of(snapshot, blocks.samples, blocks.side) if blocks.side else ()
        size = drawing.size(full[1:-1])
        facts = [layer.kind, *([size] if size else [])]
        facts += [count_of(len(taken.channels), full[-1], "channel")]
        facts += [count_of(len(part), full[0], "sample")]
        notes = [_CONTRASTS[self.contrast]] if self.contrast in _CONTRASTS else []
        notes += drawing.notes(full[1:-1], cut)
        notes += [saturation.words] if saturation is not None and marks.saturated.any() else []
        notes += order_words(self.channels, taken.channels, full[-1], by="mean magnitude")
        return make_sheet(
            tag,
            [draw_blocks(drawn, blocks, self._names(layout, snapshot, scale), small)],
            name=layer.name,
            when=snapshot.when,
            facts=", ".join(facts),
            key=[drawing.key(scale), *marks.key(ground=drawing.ground(scale))],
            notes=[*fixed.notes, *notes],
            held=fixed.held,
            samples=places_of_blocks(drawn, blocks, small) if layout.named else (),
            details="Outputs. Channels in reading order, each at the same place for every sample.",
            colours=scale.palette if self.colours == "auto" else palette.grey(),
        )

    def _axes(self, dimensions: int) -> list[int] | None:
        """The axes of `(sample, channel, *space)` over which one range is taken; None: all."""
        own = {"sample": 0, "channel": 1}.get(self.contrast)
        return None if own is None else [axis for axis in range(dimensions) if axis != own]

    def _names(self, layout: _Layout, snapshot: Snapshot, scale: Scale) -> list[str]:
        """What stands above each block."""
        count = layout.blocks.samples
        names = snapshot.probe.names if layout.named else [f"row {place + 1}" for place in range(count)]
        if self.contrast != "sample":
            return list(names[:count])
        limits = np.reshape(scale.limit, -1)
        ranges = [sheet.range_words(Scale(float(limit), scale.signed)) for limit in limits]
        return [f"{name}: {low} to {high}" for name, (low, high) in zip(names, ranges, strict=False)]


def _of_those_held(cut: OutputCut, taken: Taken | None, *, channels: Channels) -> OutputCut:
    """Where the first channels are wanted and not all of them were read: those that were."""
    if taken is None or channels != "first" or cut.channels is None:
        return cut
    return cut if {*cut.channels} <= {*taken.channels} else replace(cut, channels=None)


def _values_a_channel(shape: tuple[int, ...], cut: OutputCut) -> int:
    """How many values of each channel were looked at, before blocks and stretches."""
    looked_at = shape_of_output(shape, replace(cut, block=1, stretches=None))
    return int(np.prod(looked_at[:-1]))


def _no_output(layer: Layer) -> str:
    if layer.kind == "Parameter":
        return "a parameter has no output"
    if layer.kernel_shape is not None and layer.part_of:
        return f"a further kernel of {layer.part_of}, which has the output"
    return layer.output_refusal or "was not called in the forward pass"
