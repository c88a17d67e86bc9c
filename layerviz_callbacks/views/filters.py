"""Kernels: what each channel of a layer looks for."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace

from layerviz_callbacks.cut import KernelCut, Taken, cut_again, recut_kernel
from layerviz_callbacks.errors import check_choice, check_count
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.base import View
from layerviz_callbacks.views.channels import check_channels, refusal_of
from layerviz_callbacks.views.kernel_channels import ChannelSheet
from layerviz_callbacks.views.kernel_drawings import (
    COLOUR_TILES,
    KERNEL_DRAWINGS,
    OVERLAID_CURVES,
    KernelDrawing,
)
from layerviz_callbacks.views.kernel_matrix import MatrixSheet, is_matrix
from layerviz_callbacks.views.kernel_sheets import KernelOptions, KernelSheet, KernelSubject, gates_of

_OVERLAID = 3
"""1-D kernels over so many inputs share a panel; over more, their mean is drawn."""


class Filters(View):
    """The kernels of convolutions as tiles, strips of slices or small curves, those of dense layers as a matrix.

    | tag | what is drawn |
    |---|---|
    | `filters/NN_layer` | 2-D: a tile a channel (RGB tiles where a first layer sees three channels); 3-D: its slices side by side; 1-D: a small curve a channel; Dense and 1x1: a matrix, rows out, columns in |

    One range holds for the whole sheet: plus and minus the largest weight that is drawn; zero is mid grey.
    The gates of a recurrent layer are drawn apart, each under its name. Of an embedding the first tokens are
    drawn; a matrix that is larger than the sheet is drawn by means of its cells.

    Args:
        layers: which layers; None: those of the callback, or every layer with a kernel.
        every_n_epochs: how often; None: as often as the callback records.
        channels: "first"; "strongest": the output channels with the largest L2 norm of their weights at this
            step, the strongest first; or a list of output channels, from 0 on. Where there are gates, their
            units are meant.
        max_channels: at most so many of the first or strongest output channels are drawn. A matrix is drawn
            whole, unless channels are chosen.
        inputs: "mean": the mean over the input channels; "each": rows are output channels, columns input
            channels (at most `max_channels`, and as many as fit).
        contrast: "layer": one range a sheet; "channel": each output channel has its own, and the sheet
            says so.

    Raises:
        ArgumentError: an argument is not one of these.

    Example:
        >>> Filters(channels="strongest", max_channels=16, inputs="each").family
        'filters'
    """  # noqa: E501

    family = "filters"
    needs = frozenset({"kernels"})

    def __init__(
        self,
        *,
        layers: Selector | None = None,
        every_n_epochs: int | None = None,
        channels: str | Sequence[int] = "first",
        max_channels: int = 64,
        inputs: str = "mean",
        contrast: str = "layer",
    ) -> None:
        super().__init__(layers=layers, every_n_epochs=every_n_epochs)
        check_count("max_channels", max_channels)
        check_choice("inputs", inputs, ["mean", "each"])
        check_choice("contrast", contrast, ["layer", "channel"])
        self.options = KernelOptions(check_channels(channels), max_channels, inputs, contrast)

    def reduced(self, factor: int) -> Filters:
        """The same view with one in `factor` channels, at least one."""
        fewer = copy.copy(self)
        fewer.options = replace(self.options, max_channels=max(1, self.options.max_channels // factor))
        return fewer

    def refusal(self, layer: Layer) -> str:
        """Why this layer's kernel cannot be drawn, in words; empty where it can."""
        shape = layer.kernel_shape if layer.kernel is None else layer.kernel.shape
        if shape is None:
            return layer.refusal or "no kernel"
        if 0 in shape:
            return f"its kernel is empty: shape {tuple(shape)}"
        if layer.kernel is not None and layer.kernel.dtype.kind not in "biuf":
            return f"{layer.kernel.dtype} kernels are not drawn yet"
        if len(shape) < 2:
            return f"kernels of shape {tuple(shape)} are not drawn yet"
        if len(shape) - 2 not in KERNEL_DRAWINGS and not is_matrix(shape[2:]):
            return f"{len(shape) - 2}-D kernels are not drawn yet"
        total = (layer.kernel_shape or shape)[0]
        return refusal_of(self.options.channels, total // max(1, len(gates_of(layer, range(total), total))))

    def kernel_cut(self, layer: Layer, snapshot: Snapshot) -> KernelCut:
        """The channels, inputs, slices or blocks of cells that the sheet shows."""
        shape = layer.kernel_shape
        return KernelCut() if shape is None else self._sheet(layer, snapshot, shape, self.options).cut

    def draw_layer(self, layer: Layer, snapshot: Snapshot) -> Iterable[Picture]:
        """One sheet; none where the kernel, or every channel that is wanted of it, was not read."""
        if layer.kernel is None:
            return []
        full = layer.kernel_shape or layer.kernel.shape
        shape = full if layer.kernel_taken is not None else layer.kernel.shape
        sheet = self._sheet(layer, snapshot, shape, self.options)
        wanted = self._of_those_held(sheet.cut, layer.kernel_taken)
        part, taken = recut_kernel(layer.kernel, layer.kernel_taken, wanted)
        if 0 in part.shape:
            return []
        if part.shape != sheet.shape:  # less was read than is wanted: it is drawn as though it were all
            first = replace(self.options, channels="first")
            sheet = self._sheet(layer, snapshot, part.shape, first, held=taken.channels)
            part, taken = cut_again(part, taken, sheet.cut)
        subject = KernelSubject(layer, full, self.tag(layer, snapshot), snapshot, self.options)
        return [sheet.draw(part, taken, subject)]

    def _sheet(
        self,
        layer: Layer,
        snapshot: Snapshot,
        shape: tuple[int, ...],
        options: KernelOptions,
        *,
        held: Sequence[int] | None = None,
    ) -> KernelSheet:
        """Fit a sheet to a kernel of this shape, with the channels that are `held`; None: the first."""
        total = (layer.kernel_shape or shape)[0]
        gates = gates_of(layer, range(shape[0]) if held is None else held, total)
        if is_matrix(shape[2:]):
            return MatrixSheet.fit(shape, layer, gates, options)
        return ChannelSheet.fit(tuple(shape), self._drawing(layer, shape, snapshot), gates, options)

    def _drawing(self, layer: Layer, shape: tuple[int, ...], snapshot: Snapshot) -> KernelDrawing:
        space = shape[2:]
        if self.options.inputs == "mean" and len(space) == 1 and shape[1] <= _OVERLAID:
            return OVERLAID_CURVES
        if self.options.inputs == "mean" and len(space) == 2 and _sees_colours(layer, shape, snapshot):
            return COLOUR_TILES
        return KERNEL_DRAWINGS[len(space)]

    def _of_those_held(self, cut: KernelCut, taken: Taken | None) -> KernelCut:
        """Where the first channels are wanted and not all of them were read: those that were."""
        if taken is None or self.options.channels != "first" or cut.channels is None:
            return cut
        return cut if {*cut.channels} <= {*taken.channels} else replace(cut, channels=None)


def _sees_colours(layer: Layer, shape: tuple[int, ...], snapshot: Snapshot) -> bool:
    first = next((known for known in snapshot if known.kernel_shape is not None), layer)
    images = any(array.ndim == 4 and array.shape[-1] == 3 for array in snapshot.inputs.values())
    return shape[1] == 3 and layer.base_name == first.base_name and images and not layer.part_of
