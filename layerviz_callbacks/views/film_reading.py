"""What a film strip reads of a layer, and what it keeps of that."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from layerviz_callbacks.cut import (
    KernelCut,
    OutputCut,
    Taken,
    recut_kernel,
    recut_output,
    shape_of_kernel,
    stretch_starts,
)
from layerviz_callbacks.render.scale import as_floats
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.channels import Channels, drawn_count, numbers_of
from layerviz_callbacks.views.feature_maps import FeatureMaps
from layerviz_callbacks.views.film_kept import KeptDistance, KeptLayer, KeptPart, small_maps, small_matrix
from layerviz_callbacks.views.filters import Filters
from layerviz_callbacks.views.kernel_matrix import is_matrix
from layerviz_callbacks.views.saturation import saturation_of
from layerviz_callbacks.views.words import count_of, listed, size_of

MOST_WEIGHTS = 1 << 15
"""Kernels of up to so many weights are read, and compared with their start, whole."""
MOST_UNITS = 64
"""Of a vector so many units are kept."""
STRETCHES = 50
"""Of a curve the first, smallest and largest value of so many stretches are kept."""


@dataclass(frozen=True)
class FilmReading:
    """Reads parts that the views of a single step read anyway, so that a film costs no further copies.

    Two views that ask for other parts of an array get all of it; so a film asks for what `Filters()` and
    `FeatureMaps()` ask for, of its own channels, and makes it smaller itself. Small kernels are read whole.

    Attributes:
        channels: the option.
        most: so many of the first or strongest channels are kept.
        place: which sample's answer is kept.
        one_in: one in so many channels is drawn.
    """

    channels: Channels
    most: int
    place: int
    one_in: int = 1

    def kernel_cut(self, layer: Layer, snapshot: Snapshot) -> KernelCut:
        """What is asked for of a kernel: all of a small one, else what `Filters` takes of it."""
        shape = layer.kernel_shape
        if shape is None or int(np.prod(shape)) <= MOST_WEIGHTS:
            return KernelCut()
        return self._kernel_cut(layer, snapshot, shape)

    def output_cut(self, layer: Layer, snapshot: Snapshot) -> OutputCut:
        """What is asked for of an output: as small as `FeatureMaps` draws it, the channels of the rows."""
        shape = layer.output_shape
        if shape is None:
            return OutputCut()
        cut = self._maps.output_cut(layer, snapshot)
        samples = max(cut.samples or shape[0], self.place + 1)
        return replace(cut, samples=samples, channels=self._asked_for(layer, shape[-1], cut), strongest=None)

    def keep(self, layer: Layer, snapshot: Snapshot, before: KeptLayer) -> KeptLayer:
        """What is kept of a layer at this step, after what was kept `before`."""
        maps = replace(before.maps, values=None, saturated=())
        if layer.output is not None and not FeatureMaps().refusal(layer):
            cut = self.output_cut(layer, snapshot)
            part, taken = recut_output(layer.output, layer.output_taken, cut)
            if self.place < len(part) and 0 not in part.shape:
                found, rows = self._maps_of(part, taken, before.maps.rows)
                marked = self._saturated(part, taken, rows, layer.output_shape or part.shape)
                maps = KeptPart.of(found, rows, snapshot.step, before.maps, signed=None, saturated=marked)
        kernels, distance = replace(before.kernels, values=None), before.distance
        if distance is not None:
            distance = replace(distance, distance=None)
        if layer.kernel is not None and not Filters().refusal(layer):
            whole, taken = recut_kernel(layer.kernel, layer.kernel_taken, self.kernel_cut(layer, snapshot))
            distance = KeptDistance.of(self._compared(layer, whole, distance), snapshot.step, distance)
            same = (layer.kernel_shape or (0,))[0] == (layer.output_shape or (0,))[-1]
            known = before.kernels.rows or (maps.rows if same else ())
            found, rows = self._kernels(whole, taken, layer, snapshot, known)
            if 0 not in found.shape:
                kernels = KeptPart.of(found, rows, snapshot.step, before.kernels, signed=True)
        return KeptLayer(kernels, maps, distance)

    def compared_words(self, layer: Layer, snapshot: Snapshot, distance: KeptDistance | None) -> str:
        """Of which part of the kernel the distance from its start is; empty: of all."""
        shape, cut = layer.kernel_shape, self.kernel_cut(layer, snapshot)
        if shape is None or cut == KernelCut() or distance is None:
            return ""
        matrix = shape[0], int(np.prod(shape[1:]))
        if distance.sampled:
            return f"{size_of(distance.start.shape)} of {size_of(matrix)} weights, spread evenly"
        one_in, words = _one_row_in(shape_of_kernel(shape, cut)), []
        if one_in > 1:
            words.append(f"1 in {one_in} rows")
        if cut.blocks != (1, 1):
            words.append(f"means of {cut.blocks[0]}x{cut.blocks[1]} weights")
        if cut.channels is not None:
            words.append(count_of(len(cut.channels), shape[0], "channel"))
        if cut.inputs is not None:
            words.append(count_of(min(cut.inputs, shape[1]), shape[1], "input"))
        if cut.mean_inputs:
            words.append("the inputs' mean")
        if cut.slices is not None:
            words.append(f"slices {listed(cut.slices)}")
        return ", ".join(words)

    def slices(self, layer: Layer, snapshot: Snapshot) -> tuple[int, int]:
        """Which slice is kept of a kernel, and of an answer, where they are volumes."""
        kernel, output = layer.kernel_shape or (), layer.output_shape or ()
        places = [0, 0]
        if len(kernel) == 5:
            held = self._kernel_cut(layer, snapshot, kernel).slices or range(kernel[2])
            places[0] = held[len(held) // 2]
        if len(output) == 5:
            held = self.output_cut(layer, snapshot).slices or range(output[1])
            places[1] = held[len(held) // 2]
        return places[0], places[1]

    @property
    def _maps(self) -> FeatureMaps:
        return FeatureMaps().reduced(self.one_in)

    def _kernel_cut(self, layer: Layer, snapshot: Snapshot, shape: tuple[int, ...]) -> KernelCut:
        """What is drawn of a kernel, before channels are chosen by their strength."""
        cut = Filters().reduced(self.one_in).kernel_cut(layer, snapshot)
        if is_matrix(shape[2:]):
            return cut
        channels = None if self.channels == "strongest" else self._numbers(shape[0], self.most)
        return replace(cut, channels=channels, strongest=None)

    def _compared(
        self, layer: Layer, part: np.ndarray, before: KeptDistance | None
    ) -> tuple[np.ndarray, bool]:
        """What is compared with its start, and whether it is the even part of all weights.

        That is the better estimate of how far a large kernel went; it is there where statistics are read.
        """
        sample = None if layer.statistics is None else layer.statistics.weights
        whole = part.shape == layer.kernel_shape and part.size <= MOST_WEIGHTS
        if not whole and sample is not None and (before is None or before.sampled):
            return sample.values, True
        return part[:: _one_row_in(part.shape)], False

    def _kernels(
        self, part: np.ndarray, taken: Taken, layer: Layer, snapshot: Snapshot, before: tuple[int, ...]
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """`(row, *shape)` of what was read of a kernel, and which channels the rows are."""
        shape = layer.kernel_shape or part.shape
        if is_matrix(part.shape[2:]):
            cells, _ = recut_kernel(part, taken, self._kernel_cut(layer, snapshot, shape))
            return small_matrix(cells.reshape(cells.shape[:2]))[0][None], ()
        drawn, taken = recut_kernel(part, taken, self._kernel_cut(layer, snapshot, shape))
        places, rows = self._rows(drawn, taken, before, self.most, axes=tuple(range(1, drawn.ndim)))
        drawn = as_floats(drawn[places])
        if drawn.ndim == 5:
            drawn = drawn[:, :, drawn.shape[2] // 2]
        if drawn.ndim == 3:
            return np.array(_curves(drawn), np.float32, order="C"), rows
        return small_maps(drawn if drawn.shape[1] > 1 else drawn[:, 0])[0], rows

    def _maps_of(
        self, part: np.ndarray, taken: Taken, before: tuple[int, ...]
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """`(row, *shape)` of what was read of an output, and which channels the rows are."""
        values = np.moveaxis(part, -1, 0)
        most = MOST_UNITS if values.ndim == 2 and isinstance(self.channels, str) else self.most
        places, rows = self._rows(values, taken, before, most, axes=tuple(range(1, values.ndim)))
        drawn = values[places, self.place]
        if drawn.ndim == 4:
            drawn = drawn[:, drawn.shape[1] // 2]
        if drawn.ndim == 3:
            return small_maps(drawn)[0], rows
        return np.array(_curves(drawn) if drawn.ndim == 2 else drawn, np.float32, order="C"), rows

    def _saturated(
        self, part: np.ndarray, taken: Taken, rows: tuple[int, ...], full: tuple[int, ...]
    ) -> tuple[bool, ...]:
        """Whether each row is saturated in the sample that is kept; none where nothing is."""
        found = None if part.ndim == 2 else saturation_of(part[self.place : self.place + 1], taken, full)
        if found is None or not found.channels.any():
            return ()
        marked = dict(zip(taken.channels, found.channels.tolist(), strict=True))
        return tuple(marked[row] for row in rows)

    def _rows(
        self, values: np.ndarray, taken: Taken, before: tuple[int, ...], most: int, *, axes: tuple[int, ...]
    ) -> tuple[list[int], tuple[int, ...]]:
        """Where the rows stand in `(channel, ...)`, and their numbers: those `before`, as far as held."""
        held = {channel: place for place, channel in enumerate(taken.channels)}
        if self.channels != "strongest":
            wanted = self._numbers(1 + max(held, default=0), most) or tuple(held)
        elif before:
            wanted = before
        else:
            strength = np.abs(values).mean(axis=axes, dtype=np.float64)
            order = np.argsort(-np.where(np.isnan(strength), np.inf, strength), kind="stable")
            wanted = tuple(taken.channels[place] for place in order)
        rows = [channel for channel in wanted if channel in held]
        if not isinstance(self.channels, str):
            most = len(self.channels)
        rows = rows or list(
            held
        )  # where none that is wanted was read, as after another view's choice: others
        rows = rows[: max(1, most // self.one_in)]
        return [held[row] for row in rows], tuple(rows)

    def _asked_for(self, layer: Layer, total: int, cut: OutputCut) -> tuple[int, ...] | None:
        if self.channels == "strongest":
            return None
        if len(layer.output_shape or ()) == 2 and self.channels == "first":
            return cut.channels
        return self._numbers(total, self.most)

    def _numbers(self, total: int, most: int) -> tuple[int, ...] | None:
        """The channels that are wanted of `total`; None: all."""
        return numbers_of(self.channels, total, drawn_count(self.channels, total, most))[0]


def _one_row_in(shape: tuple[int, ...]) -> int:
    """One row of a matrix in so many is compared with its start."""
    return -(-int(np.prod(shape)) // MOST_WEIGHTS) if is_matrix(shape[2:]) else 1


def _curves(values: np.ndarray) -> np.ndarray:
    """Curves `(..., time)`, long ones as the first, smallest and largest value of each stretch."""
    if values.shape[-1] <= 3 * STRETCHES:
        return values
    starts = stretch_starts(values.shape[-1], STRETCHES)
    low, high = (bound.reduceat(values, starts, axis=-1) for bound in (np.minimum, np.maximum))
    return np.stack([values[..., starts], low, high], axis=-1).reshape(*values.shape[:-1], -1)
