"""Patterns: the inputs that the channels of a layer answer to most."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from layerviz_callbacks.errors import ArgumentError, check_choice, check_count
from layerviz_callbacks.explaining import FoundPatterns, PatternRecipe
from layerviz_callbacks.explaining.patterns import STARTS
from layerviz_callbacks.kinds import kind_names
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.request import Request
from layerviz_callbacks.selection import Selector
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.views.base import View
from layerviz_callbacks.views.channels import Channels, check_channels, drawn_count, refusal_of
from layerviz_callbacks.views.feature_maps import FeatureMaps
from layerviz_callbacks.views.patterns_curves import draw_curve_patterns, draw_vector_patterns
from layerviz_callbacks.views.patterns_drawings import DrawnPatterns
from layerviz_callbacks.views.patterns_images import draw_image_patterns
from layerviz_callbacks.views.sheets import make_sheet
from layerviz_callbacks.views.words import count_of, listed, size_of

SMOOTH = 0.2
"""The weight of the total variation of images, where nothing is said."""
MOST_LAYERS = 4
"""So many layers are chosen where nothing is said: each costs `steps` passes of all its channels."""


class Patterns(View):
    """The input that each channel answers to most, found by gradient ascent from the same noise.

    | tag | what is drawn |
    |---|---|
    | `patterns/NN_layer` | a tile a channel with its number and the activation reached: images in colour or grey; waveforms with their amplitude spectrum; volumes as slices |

    It shows what a channel is tuned to: edges, textures, colours, frequencies. It does not show what the
    channel answers to among real inputs, nor that the model uses it; an ascent finds one of many patterns.

    The values are not clipped: a sheet says from how many standard deviations below the probe's mean to how
    many above it the colours reach. A cross: no start gave a gradient, such as a ReLU that is never passed.
    After Chollet 2016, "How convolutional neural networks see the world", and Olah, Mordvintsev and Schubert
    2017, "Feature Visualization"; see `layerviz_callbacks.explaining.patterns.find_patterns`.

    Args:
        layers: which layers, convolutions, dense ones (a channel is then a unit) or others; None: those of
            the callback, or four convolutions from the first to the last.
        every_n_epochs: how often: an ascent takes `steps` forward and backward passes of all channels of
            a layer; None: as often as the callback records.
        max_channels: of at most so many channels, the first ones.
        channels: a list of channel numbers, from 0 on, instead.
        steps: of the ascent.
        step_size: the root mean square of a step's changes, in standard deviations of the probe's input.
        start: "noise" around the probe's mean; "fourier": noise with a spectrum of 1/f, ascended in
            frequencies, the low ones first. Measured (`benchmarks/patterns.py`, at equal steps): next to no
            energy is left in high frequencies, 1 to 2 instead of 46 to 71 percent, but channels of deep
            blocks are driven to a fifth only: large, soft forms. Not for waveforms, whose frequency it bends.
        jitter: shifts the input at random by at most so many places at each step. Measured: with 2, patterns
            of deep blocks keep more of their activation when blurred, 40 instead of 30 percent, but reach
            60 percent of it; there is no less fine noise, and more than 2 adds nothing.
        total_variation: weight of the penalty on differences between neighbours, relative to the gradient;
            None: 0.2 for images and volumes, where it was measured to take away a fifth to two thirds of the
            fine noise for 10 to 35 percent of the activation, none of it where patterns are blurred; 0 for
            waveforms, whose frequency it bends.
        size: axes of space of the patterns, such as `(96, 96)`, where the model takes it; None: the probe's.
        seed: of the noise.
        contrast: "channel": each pattern has its own range, since a step more makes all of them stronger;
            "layer": one range a sheet.

    Raises:
        ArgumentError: an argument is not one of these.

    Example:
        >>> Patterns(layers="conv*", max_channels=8, start="fourier").family
        'patterns'
    """  # noqa: E501

    family = "patterns"
    needs = frozenset({"patterns"})
    leaves_out = f"patterns of {MOST_LAYERS} convolutions only, unless layers= names others"

    def __init__(
        self,
        *,
        layers: Selector | None = None,
        every_n_epochs: int | None = 10,
        max_channels: int = 16,
        channels: Sequence[int] | None = None,
        steps: int = 30,
        step_size: float = 0.25,
        start: str = "noise",
        jitter: int = 0,
        total_variation: float | None = None,
        size: Sequence[int] | None = None,
        seed: int = 0,
        contrast: str = "channel",
    ) -> None:
        super().__init__(layers=layers, every_n_epochs=every_n_epochs)
        check_count("max_channels", max_channels)
        check_count("steps", steps)
        check_choice("start", start, STARTS)
        check_choice("contrast", contrast, ["channel", "layer"])
        _check_number("step_size", step_size, above=True)
        if total_variation is not None:
            _check_number("total_variation", total_variation, above=False)
        _check_whole("jitter", jitter)
        _check_whole("seed", seed)
        self.channels = _checked_channels(channels)
        self.max_channels = max_channels
        self.contrast = contrast
        self.total_variation = None if total_variation is None else float(total_variation)
        self._recipe = PatternRecipe(
            (), steps, float(step_size), start, jitter, size=_checked_size(size), seed=seed
        )

    def by_default(self, snapshot: Snapshot) -> list[Layer]:
        """Four convolutions, evenly spread."""
        found = [
            layer
            for layer in super().by_default(snapshot)
            if _is_convolution(layer) and not self.refusal(layer)
        ]
        places = np.linspace(0, len(found) - 1, min(MOST_LAYERS, len(found)))
        return [found[place] for place in np.rint(places).astype(int)]

    def refusal(self, layer: Layer) -> str:
        """Why there are no patterns of this layer, in words; empty where there are."""
        undrawn = FeatureMaps().refusal(layer)
        if undrawn or layer.output_shape is None:
            return undrawn
        return refusal_of(self.channels, layer.output_shape[-1])

    def request(self, layers: Sequence[Layer], shapes: Snapshot) -> Request:
        """The ascents that the sheets show."""
        smooth = self.total_variation
        if smooth is None:
            smooth = SMOOTH if _sees_images(shapes) else 0.0
        recipe = replace(self._recipe, total_variation=smooth)
        there = [layer for layer in layers if layer.output_shape is not None]
        return Request(
            patterns={layer.name: replace(recipe, channels=self._channels_of(layer)) for layer in there}
        )

    def draw_layer(self, layer: Layer, snapshot: Snapshot) -> Iterable[Picture]:
        """One sheet; none where no patterns were found, or where they cannot be drawn."""
        found = layer.patterns
        if found is None or found.inputs.ndim > 5 or 0 in found.inputs.shape:
            return []
        drawn = self._drawing(layer, found)
        recipe = found.recipe
        total = recipe.channels[-1] + 1 if layer.output_shape is None else layer.output_shape[-1]
        facts = [layer.kind, count_of(drawn.count, total, "channel")]
        facts += [f"patterns {size_of(found.inputs.shape[1:-1])}"] if found.inputs.ndim > 2 else []
        notes = [_activation_words(found, drawn.count), *drawn.notes]
        return [
            make_sheet(
                self.tag(layer, snapshot),
                drawn.bands,
                name=layer.name,
                when=snapshot.when,
                facts=", ".join([*facts, _recipe_words(recipe)]),
                key=[*drawn.key, *_dead_key(found, drawn.count)],
                notes=notes + _not_risen(found, drawn.count),
                details=f"What each channel answers to most, found by gradient ascent on {found.input!r}.",
                colours=palette.diverging(),
            )
        ]

    def _drawing(self, layer: Layer, found: FoundPatterns) -> DrawnPatterns:
        each = self.contrast == "channel"
        if found.inputs.ndim == 2:
            return draw_vector_patterns(found, each=each)
        if found.inputs.ndim == 3:
            everywhere = layer.output_shape is not None and len(layer.output_shape) > 2
            return draw_curve_patterns(found, everywhere=everywhere, each=each)
        return draw_image_patterns(found, each=each)

    def _channels_of(self, layer: Layer) -> tuple[int, ...]:
        total = (layer.output_shape or (1,))[-1]
        count = drawn_count(self.channels, total, self.max_channels)
        numbers = range(count) if isinstance(self.channels, str) else self.channels
        there = tuple(int(number) for number in numbers if int(number) < total)
        return there[: self._fewer(len(there))]


def _sees_images(shapes: Snapshot) -> bool:
    """Whether the input that will be changed has two axes of space or more."""
    for given in shapes.probe.arrays.values():
        if given.dtype.kind == "f" and given.ndim > 2:
            return given.ndim > 3
    return False


def _recipe_words(recipe: PatternRecipe) -> str:
    words = f"{recipe.steps} steps of {recipe.step_size:g} std from {recipe.start}"
    words += f", jitter {recipe.jitter}" if recipe.jitter else ""
    return words + (f", total variation {recipe.total_variation:g}" if recipe.total_variation else "")


def _dead_key(found: FoundPatterns, count: int) -> list[tuple[np.ndarray, str]]:
    dead = int(found.dead[:count].sum())
    if not dead:
        return []
    words = f"{dead} without a gradient"
    mark = sheet.cross_swatch(palette.PANEL)
    return [(sheet.legend_entry(mark, words), f"crossed out: {words} (dead at every start)")]


def _activation_words(found: FoundPatterns, count: int) -> str:
    words, dead = "above each: its number and the activation reached", found.dead[:count]
    if dead.all():
        return words
    low, high = (sheet.number(float(np.median(one[:count][~dead]))) for one in (found.before, found.after))
    return f"{words} (median {high}, before {low})"


def _not_risen(found: FoundPatterns, count: int) -> list[str]:
    with np.errstate(invalid="ignore"):
        stuck = ~found.dead[:count] & ~(found.after[:count] > found.before[:count])
    numbers = [found.recipe.channels[place] for place in np.flatnonzero(stuck)]
    return [f"did not rise: {listed(numbers)}"] if numbers else []


def _is_convolution(layer: Layer) -> bool:
    shape, answer = layer.kernel_shape, layer.output_shape
    if layer.part_of or shape is None or answer is None or len(shape) < 3 or len(answer) < 3:
        return False
    return "convolution" in kind_names([layer.kind])


def _checked_channels(channels: Sequence[int] | None) -> Channels:
    if channels is None:
        return "first"
    if isinstance(channels, str):
        raise ArgumentError(
            f"channels={channels!r} is not an option. Allowed: None (the first max_channels), or a list of "
            "channel numbers, such as [0, 5, 12]."
        )
    return check_channels(channels)


def _checked_size(size: Sequence[int] | None) -> tuple[int, ...] | None:
    if size is None:
        return None
    lengths = None if isinstance(size, (str, int)) else tuple(size)
    if not lengths or any(not _is_whole(length) or length < 1 for length in lengths):
        raise ArgumentError(
            f"size={size!r} is none. Allowed: None (the probe's), or a length for each axis of space, "
            "such as size=(96, 96)."
        )
    return tuple(int(length) for length in lengths)


def _check_number(argument: str, given: object, *, above: bool) -> None:
    number = isinstance(given, (int, float)) and not isinstance(given, bool) and math.isfinite(given)
    if not number or not (given > 0 if above else given >= 0):  # type: ignore[operator]
        allowed = "above 0" if above else "from 0 on"
        raise ArgumentError(f"{argument}={given!r} is not an option. Allowed: a number {allowed}.")


def _check_whole(argument: str, given: object) -> None:
    if not _is_whole(given) or given < 0:  # type: ignore[operator]
        raise ArgumentError(f"{argument}={given!r} is not an option. Allowed: a whole number from 0 on.")


def _is_whole(given: object) -> bool:
    return isinstance(given, (int, np.integer)) and not isinstance(given, bool)
