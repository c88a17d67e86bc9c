"""How a layer came to be what it is: its filters and feature maps over the steps of the training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from layerviz_callbacks.cut import KernelCut, OutputCut
from layerviz_callbacks.errors import ArgumentError, check_count, did_you_mean
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.base import View
from layerviz_callbacks.views.channels import check_channels, refusal_of
from layerviz_callbacks.views.feature_maps import FeatureMaps
from layerviz_callbacks.views.film_animation import draw_animation
from layerviz_callbacks.views.film_columns import kept_before
from layerviz_callbacks.views.film_kept import KeptLayer
from layerviz_callbacks.views.film_reading import FilmReading
from layerviz_callbacks.views.film_sheet import Film, draw_strip
from layerviz_callbacks.views.filters import Filters

ANIMATED = "1 film"
"""The group of the animations in TensorBoard."""


class FilmStrip(View):
    """A layer over the training, complete on one sheet: steps as columns, the same channels as rows.

    | tag | what is drawn |
    |---|---|
    | `1 film strip/NN_layer` | filters, and the feature maps of one sample, at each step; below each what changed; the kernel's distance from its start |
    | `1 film/NN_layer` | with `film=True`: the same as an animation, a frame a step |

    The first, the best and the last step are always there, and of the others as many as can be told apart,
    spaced logarithmically. One range holds for all columns of filters, and one for those of feature maps; it
    only grows, so that growth is seen as growth. Below them stands the magnitude of the difference of each
    column from the one at its left (the mean over the rows), and at the foot the L2 distance of the kernel
    from where it was at the first step, divided by the L2 norm it had then; of a kernel of more than 32768
    weights that of a part, and the sheet says of which.

    Tiles for 2-D, the middle slice for 3-D, curves for 1-D with that of the first step in grey behind them,
    a column of cells for vectors, and a small picture of the whole matrix for dense layers. A channel that is
    zero, or another constant, is crossed out; one that is saturated (see `FeatureMaps`) has a mark in the
    corner. What was not read at a step is left blank.

    Args:
        layers: which layers; None: those of the callback, or every layer with a kernel.
        every_n_epochs: how often; None: as often as the callback records.
        channels: "first"; "strongest": those with the largest mean magnitude at the first step; they stay
            the rows; or a list of channel numbers, from 0 on.
        max_channels: at most so many of the first or strongest channels are rows; of vectors up to 64 units.
        sample: the sample of the probe whose feature maps are shown: its number, from 0 on, or its name.
        film: animate the layer as well: an animated PNG of all steps so far, two a second, anew at each step.

    Raises:
        ArgumentError: an argument is not one of these; at train begin: the probe has no such sample.

    Example:
        >>> FilmStrip(channels=[0, 3, 5], sample="nine").family
        '1 film strip'
    """  # noqa: E501

    family = "1 film strip"
    needs = frozenset({"kernels", "outputs", "history"})
    sparse = True

    def __init__(
        self,
        *,
        layers: Selector | None = None,
        every_n_epochs: int | None = None,
        channels: str | Sequence[int] = "first",
        max_channels: int = 6,
        sample: int | str = 0,
        film: bool = False,
    ) -> None:
        super().__init__(layers=layers, every_n_epochs=every_n_epochs)
        check_count("max_channels", max_channels)
        if (
            isinstance(sample, bool)
            or not isinstance(sample, (int, str))
            or (sample if isinstance(sample, int) else 0) < 0
        ):
            raise ArgumentError(
                f"sample={sample!r} is no sample. Allowed: the number of a sample of the probe, from 0 on, "
                "or its name, for example sample=0."
            )
        if not isinstance(film, bool):
            raise ArgumentError(f"film={film!r} is not an option. Allowed: True, False.")
        self.channels = check_channels(channels)
        self.max_channels = max_channels
        self.sample = sample
        self.film = film

    def check(self, shapes: Snapshot) -> None:
        """Raise `ArgumentError` where the probe has no such sample."""
        names = shapes.probe.names
        if isinstance(self.sample, str) and self.sample not in names:
            listed = ", ".join(repr(name) for name in names)
            raise ArgumentError(
                f"sample={self.sample!r}: the probe has no such sample. Allowed: {listed}, or a number "
                f"from 0 to {len(names) - 1}.{did_you_mean(self.sample, names)}"
            )
        if isinstance(self.sample, int) and self.sample >= len(names):
            raise ArgumentError(
                f"sample={self.sample}: the probe has {len(names)} samples. Allowed: a number from 0 to "
                f"{len(names) - 1}, or a name."
            )

    def refusal(self, layer: Layer) -> str:
        """Why neither its kernel nor its output can be drawn, in words; empty where one can."""
        output = FeatureMaps().refusal(layer) or refusal_of(self.channels, (layer.output_shape or (0,))[-1])
        if not output:
            return ""
        kernel = Filters().refusal(layer)
        return output if kernel else ""

    def kernel_cut(self, layer: Layer, snapshot: Snapshot) -> KernelCut:
        """All of a small kernel; of a large one the part that is drawn."""
        return self._reading(snapshot).kernel_cut(layer, snapshot)

    def output_cut(self, layer: Layer, snapshot: Snapshot) -> OutputCut:
        """The channels that are drawn, reduced as `FeatureMaps` reduces them."""
        return self._reading(snapshot).output_cut(layer, snapshot)

    def keep(self, snapshot: Snapshot) -> Mapping[str, np.ndarray]:
        """The rows of this step as small arrays, by layer, and the kernel's start."""
        kept: dict[str, np.ndarray] = {}
        for layer in self.drawn(snapshot):
            kept.update(self._kept(layer, snapshot).arrays(layer.name))
        return kept

    def draw_layer(self, layer: Layer, snapshot: Snapshot) -> Iterable[Picture]:
        """The strip, and the film; none where nothing was read, ever."""
        reading = self._reading(snapshot)
        now = self._kept(layer, snapshot)
        film = Film(
            layer,
            snapshot,
            now,
            self._sample_name(layer, snapshot),
            reading.compared_words(layer, snapshot, now.distance),
            reading.slices(layer, snapshot),
        )
        if film.kernel_panels is None and film.map_panels is None:
            return
        tag = self.tag(layer, snapshot)
        yield draw_strip(film, tag)
        if self.film:
            yield draw_animation(film, f"{ANIMATED}/{tag.partition('/')[2]}")

    def _kept(self, layer: Layer, snapshot: Snapshot) -> KeptLayer:
        return self._reading(snapshot).keep(layer, snapshot, kept_before(layer.name, snapshot))

    def _reading(self, snapshot: Snapshot) -> FilmReading:
        return FilmReading(self.channels, self.max_channels, self._place(snapshot), self._one_in)

    def _place(self, snapshot: Snapshot) -> int:
        if isinstance(self.sample, int):
            return self.sample
        names = snapshot.probe.names
        return names.index(self.sample) if self.sample in names else len(names)

    def _sample_name(self, layer: Layer, snapshot: Snapshot) -> str:
        place, names = self._place(snapshot), snapshot.probe.names
        shape = layer.output_shape or (len(names),)
        return names[place] if place < len(names) == shape[0] else f"row {place + 1}"
