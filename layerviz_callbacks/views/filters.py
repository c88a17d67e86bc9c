"""Kernels: what each channel of a layer looks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from layerviz_callbacks.errors import check_choice, check_count
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.curve import draw_curves, panels
from layerviz_callbacks.render.grid import cross_out, enlarge, grid, mean_blocks
from layerviz_callbacks.render.layout import Fitter, fit_count, fit_pairs, fit_panels, fit_tiles
from layerviz_callbacks.render.scale import CENTRE, Scale, as_floats, constant_channels
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.base import View
from layerviz_callbacks.views.kernel_sheets import colour_sheet, matrix_sheet, notes_of, total
from layerviz_callbacks.views.sheets import colour_key, height_key, make_sheet, mark_key
from layerviz_callbacks.views.words import count_of, size_of

_OVERLAID = 3


class Filters(View):
    """The kernels of convolutions as tiles or small curves, those of dense layers as a matrix.

    | tag | what is drawn |
    |---|---|
    | `filters/NN_layer` | 2-D: a tile a channel (RGB tiles where a first layer sees three channels); 1-D: a small curve a channel; Dense and 1x1: a matrix, rows out, columns in |

    One range holds for the whole sheet: plus and minus the largest weight that is drawn; zero is mid grey.

    Args:
        layers: which layers; None: those of the callback, or every layer with a kernel.
        every_n_epochs: how often; None: as often as the callback records.
        max_channels: at most so many output channels are drawn, the first ones. A matrix is drawn whole.
        inputs: "mean": the mean over the input channels; "each": rows are output channels, columns input
            channels (at most `max_channels`, and as many as fit).
        contrast: "layer": one range a sheet; "channel": each output channel has its own, and the sheet
            says so.

    Raises:
        ArgumentError: an argument is not one of these.

    Example:
        >>> Filters(max_channels=16, inputs="each").family
        'filters'
    """  # noqa: E501

    family: ClassVar[str] = "filters"
    needs: ClassVar[frozenset[str]] = frozenset({"kernels"})

    def __init__(
        self,
        *,
        layers: Selector | None = None,
        every_n_epochs: int | None = None,
        max_channels: int = 64,
        inputs: str = "mean",
        contrast: str = "layer",
    ) -> None:
        super().__init__(layers=layers, every_n_epochs=every_n_epochs)
        check_count("max_channels", max_channels)
        check_choice("inputs", inputs, ["mean", "each"])
        check_choice("contrast", contrast, ["layer", "channel"])
        self.max_channels = max_channels
        self.inputs = inputs
        self.contrast = contrast

    def refusal(self, layer: Layer) -> str:
        """Why this layer's kernel cannot be drawn, in words; empty where it can."""
        if layer.refusal:
            return layer.refusal
        shape = layer.kernel_shape if layer.kernel is None else layer.kernel.shape
        if shape is None:
            return "no kernel"
        if 0 in shape:
            return f"its kernel is empty: shape {tuple(shape)}"
        if layer.kernel is not None and layer.kernel.dtype.kind not in "biuf":
            return f"{layer.kernel.dtype} kernels are not drawn yet"
        if len(shape) < 2:
            return f"kernels of shape {tuple(shape)} are not drawn yet"
        space = shape[2:]
        return "" if len(space) <= 2 or _is_matrix(space) else f"{len(space)}-D kernels are not drawn yet"

    def draw_layer(self, layer: Layer, snapshot: Snapshot) -> Iterable[Picture]:
        """One sheet; none where the kernel was not read."""
        if layer.kernel is None:
            return []
        kernel = as_floats(layer.kernel)
        space = kernel.shape[2:]
        tag = self.tag(layer, snapshot)
        if _is_matrix(space):
            return [matrix_sheet(layer, snapshot, tag=tag, contrast=self.contrast)]
        if len(space) == 2 and self.inputs == "mean" and _sees_colours(layer, kernel, snapshot):
            count = min(len(kernel), self.max_channels)
            return [colour_sheet(layer, snapshot, tag=tag, count=count, contrast=self.contrast)]
        if len(space) == 1 and kernel.shape[1] <= _OVERLAID and self.inputs == "mean":
            return [self._overlaid(kernel, layer, snapshot)]
        return [self._joined(kernel, layer, snapshot)]

    def _joined(self, kernel: np.ndarray, layer: Layer, snapshot: Snapshot) -> Picture:
        """Tiles or curves: one an output channel, or one an output and input channel."""
        out, channels_in = kernel.shape[:2]
        space = kernel.shape[2:]
        each = self.inputs == "each" and channels_in > 1
        fit = _fitter(space)
        if each:
            rows, columns, tiles = fit_pairs(
                fit, rows=min(out, self.max_channels), columns=min(channels_in, self.max_channels)
            )
            drawn = kernel[:rows, :columns]
        else:
            rows, tiles = fit_count(fit, min(out, self.max_channels))
            with np.errstate(invalid="ignore", over="ignore"):
                drawn = kernel[:rows].mean(axis=1) if channels_in > 1 else kernel[:rows, 0]
        within = tuple(range(1, drawn.ndim))
        zero, constant = constant_channels(drawn, axes=within)
        shown = mean_blocks(drawn, tiles.reduce) if len(space) == 2 else drawn
        scale = Scale.of(shown, signed=True, axes=within if self.contrast == "channel" else None)
        if len(space) == 2:
            pictures = enlarge(scale.levels(shown), tiles.enlarge)
            ground, key = CENTRE, colour_key(scale)
        else:
            empty = panels(tiles.height, tiles.width, leading=drawn.shape[:-1], scale=scale)
            pictures = draw_curves(empty, drawn, scale)
            ground, key = palette.PANEL, height_key(scale, "curves")
        crossed = cross_out(pictures.swapaxes(0, 1) if each else pictures, zero | constant)
        pictures = crossed.swapaxes(0, 1).reshape(-1, *crossed.shape[-2:]) if each else crossed
        body = [grid(pictures, tiles.columns)]
        facts = [f"{layer.kind} {size_of(space)}"]
        notes = notes_of(self.contrast, tiles)
        if each:
            body.insert(0, draw_line("rows: out, columns: in", faded=True))
            facts.append(count_of(rows, total(layer, 0), "output"))
            facts.append(count_of(columns, total(layer, 1), "input"))
        else:
            facts.append(count_of(rows, total(layer, 0), "channel"))
            if channels_in > 1:
                facts.append(f"mean of {channels_in} inputs")
        return make_sheet(
            self.tag(layer, snapshot),
            body,
            name=layer.name,
            when=snapshot.when,
            facts=", ".join(facts),
            key=[key, *mark_key(zero, constant, drawn, ground=ground)],
            notes=notes,
            details="Kernels. Channels in reading order, from channel 0 on.",
            colours=palette.diverging(),
        )

    def _overlaid(self, kernel: np.ndarray, layer: Layer, snapshot: Snapshot) -> Picture:
        """1-D kernels over one to three inputs: a panel an output channel, a curve an input channel."""
        count, tiles = fit_count(_fitter(kernel.shape[2:]), min(len(kernel), self.max_channels))
        drawn = kernel[:count]
        zero, constant = constant_channels(drawn, axes=(1, 2))
        scale = Scale.of(drawn, signed=True, axes=(1, 2) if self.contrast == "channel" else None)
        single = scale if self.contrast == "layer" else Scale(np.asarray(scale.limit)[:, 0], signed=True)
        pictures = panels(tiles.height, tiles.width, leading=(count,), scale=scale)
        legend = []
        for component in range(drawn.shape[1]):
            colour = palette.CURVES[component]
            pictures = draw_curves(pictures, drawn[:, component], single, colour=colour)
            if drawn.shape[1] > 1:
                words = f"in {component}"
                legend.append((sheet.legend_entry(sheet.swatch(colour), words), ""))
        facts = [f"{layer.kind} {size_of(kernel.shape[2:])}"]
        facts.append(count_of(count, total(layer, 0), "channel"))
        if drawn.shape[1] > 1:
            facts.append(f"{drawn.shape[1]} inputs")
        marks = mark_key(zero, constant, drawn, ground=palette.PANEL)
        return make_sheet(
            self.tag(layer, snapshot),
            [grid(cross_out(pictures, zero | constant), tiles.columns)],
            name=layer.name,
            when=snapshot.when,
            facts=", ".join(facts),
            key=[height_key(scale, "curves"), *legend, *marks],
            notes=notes_of(self.contrast, tiles),
            details="Kernels, a curve an input channel: blue, vermillion, green. Channels in reading order.",
            colours=palette.diverging(),
        )


def _is_matrix(space: tuple[int, ...]) -> bool:
    return all(length == 1 for length in space)


def _sees_colours(layer: Layer, kernel: np.ndarray, snapshot: Snapshot) -> bool:
    first = next((known for known in snapshot if known.kernel_shape is not None), layer)
    images = any(array.ndim == 4 and array.shape[-1] == 3 for array in snapshot.inputs.values())
    return kernel.shape[1] == 3 and layer.base_name == first.base_name and images


def _fitter(space: tuple[int, ...]) -> Fitter:
    if len(space) == 1:
        return lambda count, width, height, columns=None: fit_panels(
            count, width, height, aspect=1.5, columns=columns
        )
    return lambda count, width, height, columns=None: fit_tiles(*space, count, width, height, columns)
