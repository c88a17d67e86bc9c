import re
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from plain_gradients import numpy_linear

from layerviz_callbacks import ArgumentError, Layer, Probe, Snapshot
from layerviz_callbacks.coverage import coverage
from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining import (
    Derivative,
    FoundPatterns,
    PatternRecipe,
    SaliencyRecipe,
    Score,
    Target,
)
from layerviz_callbacks.explaining.explain import explained
from layerviz_callbacks.render import palette
from layerviz_callbacks.request import Request
from layerviz_callbacks.views import Patterns
from layerviz_callbacks.views.patterns_curves import spectra
from layerviz_callbacks.views.patterns_drawings import reach_of


def found(values, *, dead=(), before=None, after=None, channels=None, **options):
    """Patterns `(channel, *space, in)` of a probe with mean 0 and deviation 1."""
    count, width = len(values), values.shape[-1]
    marked = np.isin(np.arange(count), dead)
    return FoundPatterns(
        PatternRecipe(tuple(channels or range(count)), **options),
        "input",
        np.asarray(values, np.float32),
        np.zeros(count, np.float32) if before is None else np.array(before, np.float32),
        np.where(marked, 0, np.arange(1, count + 1)).astype(np.float32) if after is None else np.array(after),
        marked,
        np.zeros(width, np.float32),
        np.ones(width, np.float32),
    )


def layer(name="conv1", kind="Conv2D", place=1, *, output=(2, 8, 8, 4), kernel=(4, 1, 3, 3), **options):
    return Layer(name, kind, place, kernel_shape=kernel, output_shape=output, **options)


def snapshot(*layers, probe=None, **options):
    given = np.zeros((2, 8, 8, 1), np.float32) if probe is None else probe
    known = {one.name: one for one in layers}
    return Snapshot(known, Probe(given), {"input": given}, when="epoch 3/12", **options)


def draw(patterns, **options):
    view = Patterns(layers="conv1", **options)
    one = layer(output=(2, *patterns.inputs.shape[1:-1], 64), patterns=patterns)
    (picture,) = view.draw(snapshot(one))
    return picture


def textures(channels, size, colours):
    """Waves of another direction and colour in each channel `(channel, size, size, colour)`."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    values = np.empty((channels, size, size, colours), np.float32)
    for channel in range(channels):
        angle = np.pi * channel / channels
        wave = np.sin((4 + channel) * (x * np.cos(angle) + y * np.sin(angle)))
        for colour in range(colours):
            values[channel, ..., colour] = (1 + channel) * wave * np.cos(colour + channel)
    return values


def tones(channels, length, components=1):
    """A sine of channel/32 + 1/32 cycles a sample `(channel, length, component)`."""
    phase = 2 * np.pi * np.arange(length)[None, :, None] * (np.arange(channels)[:, None, None] + 1) / 32
    return (np.sin(phase + np.arange(components)) / (1 + np.arange(components))).astype(np.float32)


# -- what is asked for ------------------------------------------------------------------------------------


def test_what_is_typed_is_what_is_asked_of_the_reader():
    view = Patterns(
        layers="conv1", channels=[3, 1, 9], steps=7, step_size=0.5, start="fourier", jitter=3,
        total_variation=0.1, size=[32, 48], seed=5,
    )  # fmt: skip
    request = view.request([layer()], snapshot(layer()))
    assert request.patterns == {
        "conv1": PatternRecipe((3, 1), 7, 0.5, "fourier", 3, 0.1, (32, 48), 5)  # there is no channel 9
    }
    assert request == Request(patterns=request.patterns)


def test_images_are_smoothed_and_waveforms_are_not_unless_something_else_is_said():
    def asked(*shape, **options):
        shown = snapshot(layer(), probe=np.zeros((2, *shape), np.float32))
        return Patterns(layers="conv1", **options).request([layer()], shown).patterns["conv1"].total_variation

    assert [asked(8, 8, 1), asked(1, 6, 8, 8), asked(8, 1), asked(8)] == [0.2, 0.2, 0, 0]
    assert [asked(8, 8, 1, total_variation=0), asked(8, 1, total_variation=0.1)] == [0, 0.1]


def test_the_first_channels_are_asked_for_and_fewer_where_the_view_is_reduced():
    view, many = Patterns(layers="conv1"), layer(output=(2, 8, 8, 100))
    assert view.request([many], snapshot(many)).patterns["conv1"].channels == tuple(range(16))
    assert view.reduced(4).request([many], snapshot(many)).patterns["conv1"].channels == (0, 1, 2, 3)
    assert view.reduced(4).reduced(8).request([many], snapshot(many)).patterns["conv1"].channels == (0,)
    assert Patterns(layers="*", channels=[5, 6, 7]).reduced(3).request([many], snapshot(many)).patterns[
        "conv1"
    ].channels == (5,)


def test_by_itself_it_chooses_four_convolutions_from_the_first_to_the_last():
    layers = [layer(f"conv{place}", place=place) for place in range(1, 12)]
    layers += [
        layer("dense", "Dense", 12, output=(2, 5), kernel=(5, 9)),
        layer("conv3#2", place=3, part_of="conv3"),
        layer("lstm", "LSTM", 13, output=(2, 9, 5), kernel=(5, 9)),
        layer("convless", place=14, kernel=None),
    ]
    drawn = [one.name for one in Patterns().drawn(snapshot(*layers))]
    assert drawn == ["conv1", "conv4", "conv8", "conv11"]
    assert [one.name for one in Patterns().drawn(snapshot(*layers[:2]))] == ["conv1", "conv2"]
    assert Patterns().drawn(snapshot(layers[-4])) == []
    chosen = Patterns(layers=["dense", "lstm"]).drawn(snapshot(*layers))
    assert [one.name for one in chosen] == ["dense", "lstm"]
    words = coverage(snapshot(*layers), [(Patterns(), None)]).line()
    assert "patterns of 4 convolutions only" in words


def test_layers_without_an_output_are_refused_in_words():
    assert "not called" in Patterns(layers="*").refusal(layer(output=None))
    assert "empty" in Patterns(layers="*").refusal(layer(output=(2, 0, 8, 4)))
    assert "it has 4 channels" in Patterns(layers="*", channels=[7]).refusal(layer())


def test_it_is_drawn_every_tenth_epoch_unless_something_else_is_said():
    assert (Patterns().every_n_epochs, Patterns(every_n_epochs=None).every_n_epochs) == (10, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": "nois"}, "start='nois'.*Did you mean 'noise'"),
        ({"steps": 0}, "steps=0"),
        ({"step_size": 0}, "step_size=0 .*above 0"),
        ({"step_size": np.inf}, "step_size=inf"),
        ({"jitter": -1}, "jitter=-1.*from 0 on"),
        ({"jitter": 1.5}, "jitter=1.5"),
        ({"total_variation": -0.1}, "total_variation=-0.1.*from 0 on"),
        ({"size": 96}, r"size=96.*size=\(96, 96\)"),
        ({"size": (0, 3)}, r"size=\(0, 3\)"),
        ({"channels": "strongest"}, "channels='strongest'.*Allowed: None"),
        ({"channels": [1, 1]}, "holds 1 twice"),
        ({"seed": "a"}, "seed='a'"),
        ({"contrast": "sample"}, "contrast='sample'"),
    ],
)
def test_a_wrong_argument_is_told_with_what_is_allowed(options, words):
    with pytest.raises(ArgumentError, match=words):
        Patterns(**options)


def test_without_patterns_nothing_is_drawn_and_the_way_to_them_is_told():
    shown = snapshot(layer(), unread={"patterns of conv1": "inputs that are whole"})
    assert Patterns(layers="conv1").draw(shown) == []
    with pytest.raises(ArgumentError, match=r"no patterns of conv1: inputs that are whole.*views\.Patterns"):
        shown.pictures(Patterns(layers="conv1"))


# -- what is drawn ----------------------------------------------------------------------------------------


def test_colours_are_the_distance_from_the_mean_of_the_probe():
    values = np.zeros((2, 4, 4, 3), np.float32)
    values[0, :, :, 0], values[0, :, :, 1], values[1, :, :, 2] = 4, -2, 3
    patterns = replace(
        found(values * [2, 5, 0.1] + [7, 8, 9]),
        mean=np.array([7, 8, 9], "f"), deviation=np.array([2, 5, 0.1], "f"),
    )  # fmt: skip
    shared = {tuple(colour) for colour in draw(patterns, contrast="layer").rgb().reshape(-1, 3)}
    assert {(255, 64, 128), (128, 128, 223)} <= shared  # 4 and -2 of 4; 3 of 4
    own = {tuple(colour) for colour in draw(patterns).rgb().reshape(-1, 3)}
    assert {(255, 64, 128), (128, 128, 255)} <= own


def test_the_range_is_printed_and_holds_nearly_all_values():
    values = np.concatenate([np.full(100, 3.0), [50]]).reshape(1, 101, 1, 1)
    np.testing.assert_allclose(reach_of(found(values), 1, each=True), [3])
    np.testing.assert_allclose(reach_of(found(values), 1, each=False), [4])
    assert "from -4 to +4 standard deviations" in draw(found(values), contrast="layer").caption
    assert "each channel has its own range" in draw(found(values)).caption
    several = found(np.stack([values[0], values[0] * 0, values[0] * np.nan]), dead=[1])
    np.testing.assert_allclose(reach_of(several, 3, each=True), [3, 1, 1])


def test_the_sheet_says_what_was_found_and_how():
    values = textures(3, 12, 3)
    caption = draw(
        found(
            values, before=[1, 2, 3], after=[11, 2, 13.0], channels=[4, 7, 9], jitter=2, total_variation=0.3
        )
    ).caption
    assert caption.startswith("conv1, epoch 3/12: Conv2D, 3 of 64 channels, patterns 12x12")
    assert "30 steps of 0.25 std from noise, jitter 2, total variation 0.3" in caption
    assert "(median 11, before 2)" in caption
    assert "did not rise: 7" in caption


def test_a_dead_channel_is_crossed_out_and_counted():
    for values in (textures(3, 12, 3), tones(3, 64), np.ones((3, 5), np.float32)):
        picture = draw(found(values, dead=[1]))
        assert "crossed out: 1 without a gradient (dead at every start)" in picture.caption
        cross = (picture.rgb() == palette.diverging()[palette.DEAD]).all(axis=-1)
        alive = (draw(found(values)).rgb() == palette.diverging()[palette.DEAD]).all(axis=-1)
        assert cross.sum() > alive.sum() == 0
    assert "median" not in draw(found(values, dead=[0, 1, 2])).caption


@pytest.mark.parametrize("count", [1, 2, 7, 16, 64, 300])
@pytest.mark.parametrize("space", [(28, 28), (3, 200), (500, 500), (64,), (6000,), (9, 12, 12), ()])
def test_any_number_of_patterns_of_any_size_has_a_sheet(count, space):
    if count > 16 and np.prod(space, initial=1) > 10000:
        pytest.skip("large")
    picture = draw(found(np.random.default_rng(0).standard_normal((count, *space, 2)).astype(np.float32)))
    width, height = picture.size
    assert width == 700 and height < 2300
    shown = int(re.search(r"(\d+) of 64 channels", picture.caption)[1]) if count != 64 else 64
    assert 1 <= shown <= count and (shown == count or count > 30)


def test_bands_and_slices_are_named():
    assert "bands 0, 1, 2 of 5, left to right" in draw(found(textures(2, 16, 5))).caption
    volumes = np.random.default_rng(0).standard_normal((2, 9, 8, 8, 1))
    assert "slices 1, 4, 7 of 9, left to right" in draw(found(volumes)).caption


def test_not_a_number_has_its_colour():
    for values in (textures(2, 12, 3), tones(2, 64), np.ones((2, 5), np.float32)):
        values = values.copy()
        values[0].flat[7 % values[0].size] = np.nan
        picture = draw(found(values))
        marked = (picture.rgb() == palette.diverging()[palette.NOT_A_NUMBER]).all(axis=-1)
        assert marked.any()


# -- waveforms --------------------------------------------------------------------------------------------


def test_the_peak_of_a_tone_is_its_frequency():
    amplitudes, peaks = spectra(tones(8, 256, 2) + 5)
    np.testing.assert_allclose(peaks, (np.arange(8) + 1) / 32)
    assert amplitudes.shape == (8, 129, 2)
    np.testing.assert_allclose(amplitudes[3, 4 * 8], [1, 0.5], rtol=0.02)  # of sines of height 1 and 1/2
    assert np.isnan(spectra(np.ones((1, 16, 1)))[1]).all()


def test_a_waveform_that_a_layer_wants_everywhere_is_shown_by_its_middle():
    patterns = found(tones(2, 1000))
    everywhere = draw(patterns).caption
    assert re.search(r"left: the middle \d+ of 1000 samples", everywhere)
    assert "amplitude from 0 to 0.5 cycles a sample" in everywhere
    dense = layer("head", "Dense", output=(2, 4), kernel=(4, 9), patterns=patterns)
    (picture,) = Patterns(layers="head").draw(snapshot(dense))
    assert "middle" not in picture.caption


# -- explained --------------------------------------------------------------------------------------------


class Reader:
    """Differentiates one dense layer of two units."""

    def __init__(self, differentiate):
        self.differentiate = differentiate
        self.opened = 0

    @contextmanager
    def differentiating(self):
        self.opened += 1
        yield self.differentiate


MATRIX = np.array([[1.0, -1.0, 2.0], [0.0, 3.0, 0.0]], np.float32)


def read(**options):
    given = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    score = Score(Target(1), "output", (1, 1), np.ones(2), (1, 1), 2, weights=np.array([[0, 1], [0, 1]], "f"))
    known = snapshot(layer("dense", "Dense", output=(2, 2)), layer("other", output=(2, 2)), probe=given)
    return replace(known, scores={Target(1): score}, **options)


def test_a_reading_is_completed_by_saliency_and_patterns_in_one_isolation():
    reader = Reader(numpy_linear(MATRIX))
    recipe = SaliencyRecipe("gradient", Target(1))
    request = Request(saliency=frozenset({recipe}), patterns={"dense": PatternRecipe((0, 1), steps=3)})
    whole = explained(reader, read(), request)
    np.testing.assert_allclose(whole.saliency[recipe]["input"], [[0, 3, 0]] * 2)
    assert whole["dense"].patterns.inputs.shape == (2, 3) and whole["other"].patterns is None
    assert whole.scores[Target(1)].weights is None and not whole.unread and reader.opened == 1


def test_nothing_is_differentiated_where_nothing_is_asked_for():
    reader = Reader(None)
    assert explained(reader, read(), Request()).scores[Target(1)].weights is None
    assert reader.opened == 0


def test_saliency_stands_channels_last_as_the_inputs_do():
    given = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)

    def differentiate(inputs, weights, *, layer="", output=""):
        return Derivative(weights((2, 2)), {"input": inputs["input"] * 2})

    known = replace(read(input_axes={"input": (0, 2, 3, 1)}), probe=Probe(given))
    recipe = SaliencyRecipe("gradient", Target(1))
    whole = explained(Reader(differentiate), known, Request(saliency=frozenset({recipe})))
    np.testing.assert_array_equal(whole.saliency[recipe]["input"], 2 * np.moveaxis(given, 1, -1))


def test_what_has_no_gradient_is_said_and_the_rest_is_found():
    def differentiate(inputs, weights, *, layer="", output=""):
        if layer == "other" or output:
            raise DifferentiationError("it is cut off")
        return numpy_linear(MATRIX)(inputs, weights)

    patterns = {"other": PatternRecipe((0,)), "dense": PatternRecipe((0,), steps=2)}
    recipes = frozenset({SaliencyRecipe("gradient", Target(1)), SaliencyRecipe("gradient", Target(0))})
    known = read(unread={"the score of class 0": "it has no outputs"})
    whole = explained(Reader(differentiate), known, Request(saliency=recipes, patterns=patterns))
    assert whole.unread["patterns of other"] == "it is cut off"
    assert whole.unread["saliency"] in (
        "it is cut off", "there is no score of class 0: it has no outputs"
    )  # fmt: skip
    assert whole["dense"].patterns is not None and not whole.saliency


def test_a_model_that_cannot_be_differentiated_at_all_is_said_for_everything():
    class Closed(Reader):
        @contextmanager
        def differentiating(self):
            raise DifferentiationError("it is exported")
            yield

    recipes = frozenset({SaliencyRecipe("gradient", Target(1))})
    request = Request(saliency=recipes, patterns={"dense": PatternRecipe((0,))})
    whole = explained(Closed(None), read(), request)
    assert whole.unread == {"saliency": "it is exported", "patterns of dense": "it is exported"}


def test_another_error_goes_up():
    def differentiate(inputs, weights, *, layer="", output=""):
        raise ArgumentError("no such class")

    with pytest.raises(ArgumentError, match="no such class"):
        explained(Reader(differentiate), read(), Request(patterns={"dense": PatternRecipe((0,))}))


# -- golden -----------------------------------------------------------------------------------------------


def test_patterns_of_images_look_as_accepted(check_golden):
    check_golden(draw(found(textures(16, 24, 3), dead=[5])), "patterns_colour")
    check_golden(draw(found(textures(6, 40, 1)), contrast="layer"), "patterns_grey")
    volumes = np.stack([textures(4, 12, 1) * shift for shift in (0.4, 1, 0.4)], axis=1)
    check_golden(draw(found(volumes)), "patterns_3d")


def test_patterns_of_waveforms_and_vectors_look_as_accepted(check_golden):
    check_golden(draw(found(tones(5, 400), dead=[3])), "patterns_1d")
    check_golden(draw(found(tones(12, 256, 3))), "patterns_1d_components")
    check_golden(draw(found(tones(4, 30)[..., 0] * np.arange(1, 5)[:, None])), "patterns_vector")
