import re

import numpy as np
import pytest
from view_models import (
    convolve,
    convolve_volumes,
    gabors,
    layer,
    shapes,
    snapshot,
    volumes,
    waves,
    waves_in_space,
)

from layerviz_callbacks import ArgumentError, Layer, Probe, Snapshot
from layerviz_callbacks.plan import checked_views
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.views import FeatureMaps

LABEL = 34


def draw(output, *, inputs=None, when="epoch 3/12", name="conv1", kind="Conv2D", names=None, **options):
    shown = snapshot(layer(name, kind, output=output), inputs=inputs, when=when, names=names)
    (picture,) = FeatureMaps(**options).draw(shown)
    return picture


def body(picture, *, header=3):
    return picture.pixels[8 + 40 * header : -8, 8:-8]


def contains(pixels, part):
    """Whether the picture holds this part somewhere, pixel by pixel."""
    if pixels.ndim == 3:
        pixels, part = (colours.astype(int) @ [65536, 256, 1] for colours in (pixels, part))
    values, places = np.unique(part, return_index=True)
    rarest = min(range(len(values)), key=lambda place: (pixels == values[place]).sum())
    row, column = np.unravel_index(places[rarest], part.shape)  # look only where the rarest pixel is
    windows = np.lib.stride_tricks.sliding_window_view(pixels, part.shape)
    found = np.argwhere(windows[..., row, column] == part[row, column])
    return any((windows[top, left] == part).all() for top, left in found)


def test_a_2x2_map_is_four_squares_of_its_values():
    output = np.array([[1.0, 0.0], [0.5, 0.25]], np.float32).reshape(1, 2, 2, 1)
    picture = draw(output)
    tile = body(picture)[LABEL : LABEL + 200, :200]
    assert (tile[:100, :100] == 223).all()
    assert (tile[:100, 100:] == 0).all()
    assert (tile[100:, :100] == 112).all()  # rint(223 / 2), half to even
    assert (tile[100:, 100:] == 56).all()  # rint(223 / 4)
    assert picture.palette is palette.sequential()


def test_pixels_turn_back_into_the_activations():
    output = convolve(shapes(8), gabors(4, 3))
    picture = draw(output)
    limit = float(np.abs(output).max())
    expected = Scale(limit, signed=True).levels(np.moveaxis(output, -1, 1))
    pixels = body(picture)
    shown = picture.pixels[picture.pixels < palette.LEVELS]
    assert picture.palette is palette.diverging()
    assert set(np.unique(expected)) <= set(np.unique(shown))
    row = pixels[LABEL]
    size = int(np.flatnonzero(row == palette.PAPER)[0]) // 8
    first = pixels[LABEL : LABEL + 8 * size : size, : 8 * size : size]
    np.testing.assert_allclose(
        Scale(limit, signed=True).values(first), output[0, :, :, 0], atol=limit / 222 * 1.01
    )


def test_channels_stand_at_the_same_place_for_every_sample():
    output = np.zeros((2, 2, 2, 3), np.float32)
    output[:, 0, 0] = [1, 2, 3]
    pixels = body(draw(output))
    offsets = []
    for level in (74, 149, 223):
        found = np.pad(pixels == level, 1)
        corners = np.argwhere(found[1:, 1:] & ~found[:-1, 1:] & ~found[1:, :-1])
        assert len(corners) == 2, "one square a sample"
        offsets.append((corners[1] - corners[0]).tolist())
    assert offsets[0] == offsets[1] == offsets[2]


def test_a_map_larger_than_its_tile_is_reduced_by_block_means_and_it_is_told():
    output = np.zeros((1, 400, 400, 16), np.float32)
    output[0, :200] = 1
    picture = draw(output)
    factor = int(re.search(r"1 pixel = mean of (\d+)x\1", picture.caption)[1])
    assert factor > 1
    tile = body(picture, header=4)[LABEL : LABEL + -(-400 // factor), : -(-400 // factor)]
    assert tile[0, 0] == tile[0, -1] == 223
    assert tile[-1, 0] == 0
    assert (tile[: 200 // factor] == 223).all()
    assert draw(output[:, :20, :20]).caption.count("mean") == 0


def test_the_sheet_says_how_many_of_how_many():
    output = np.random.default_rng(0).random((12, 4, 4, 64)).astype(np.float32)
    picture = draw(output, max_channels=16)
    assert "16 of 64 channels, 8 of 12 samples" in picture.caption
    assert "32 of 64 channels" in draw(output).caption
    assert "16 of 64 channels" in draw(output[:, 0]).caption
    assert "64 channels, 3 of 12 samples" in draw(output[:, 0, 0], max_samples=3).caption


def test_an_output_that_was_read_in_part_tells_the_whole_number():
    output = np.ones((2, 4, 4, 8), np.float32)
    known = Layer("conv1", "Conv2D", 1, output=output, output_shape=(2, 4, 4, 512))
    (picture,) = FeatureMaps().draw(snapshot(known))
    assert "8 of 512 channels, 2 samples" in picture.caption


def test_title_step_and_sample_names_are_on_the_sheet():
    picture = draw(np.ones((2, 4, 4, 8), np.float32), names=["seven", "nine"])
    for letters in (
        draw_line("conv1", bold=True),
        draw_line("epoch 3/12", bold=True),
        draw_line("Conv2D, maps 4x4, 8 channels, 2 samples"),
        draw_line("seven"),
        draw_line("nine"),
    ):
        assert contains(picture.pixels[:, :], letters)


def test_samples_have_their_input_beside_them():
    images = shapes(8)
    picture = draw(np.ones((3, 4, 4, 8), np.float32), inputs=images)
    greys = palette.INK + np.rint(images[0, :, :, 0] / images.max() * 15).astype(np.uint8)
    side = next(
        size
        for size in range(14, 4, -1)
        if contains(picture.pixels, np.repeat(np.repeat(greys, size, axis=0), size, axis=1))
    )
    assert side * 8 >= 40


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 3, 3, 3, 1), (2, 0, 3, 1)])
def test_inputs_that_fit_no_thumbnail_are_left_out(shape):
    output = layer(output=np.ones((2, 4, 4, 8), np.float32))
    plain = snapshot(output)
    other = Snapshot(
        plain.layers, plain.probe, {"input": np.zeros(shape)}, when=plain.when, chosen=plain.chosen
    )
    np.testing.assert_array_equal(FeatureMaps().draw(other)[0].pixels, FeatureMaps().draw(plain)[0].pixels)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("space", [(9, 4, 4), (4, 4), (50,), ()])
def test_dead_and_constant_channels_are_flat_and_told(space):
    output = np.random.default_rng(0).random((2, *space, 4)).astype(np.float32)
    output[..., 1] = 0
    output[..., 2] = 0.25
    picture = draw(output)
    assert "1 all zero (zero in all that is drawn)" in picture.caption
    assert "1 constant (one value in all that is drawn)" in picture.caption
    assert (body(picture) == palette.DEAD).any()
    alive = draw(output[..., [0, 3]])
    assert "all zero" not in alive.caption
    assert not (alive.pixels == palette.DEAD).any()


def test_a_channel_that_is_zero_on_one_sample_only_is_not_dead():
    output = np.ones((2, 3, 3, 1), np.float32)
    output[0] = 0
    assert "all zero" not in draw(output).caption


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("space", [(3, 4, 4), (4, 4), (50,), (700,), ()])
def test_nan_and_infinities_have_their_own_colours_and_a_legend(space):
    output = np.random.default_rng(0).normal(size=(2, *space, 6)).astype(np.float32)
    output[0, ..., 0], output[1, ..., 2], output[0, ..., 4] = np.nan, np.inf, -np.inf
    picture = draw(output)
    for words, index in (
        ("1 channel with NaN", palette.NOT_A_NUMBER),
        ("1 channel with +Inf", palette.PLUS_INFINITY),
        ("1 channel with -Inf", palette.MINUS_INFINITY),
    ):
        assert words in picture.caption
        assert (picture.pixels == index).sum() > 18 * 18, "more than its swatch in the legend"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1.0])
@pytest.mark.parametrize("space", [(4, 4), (50,), (700,), ()])
def test_outputs_of_one_single_value_are_drawn(space, value):
    assert draw(np.full((2, *space, 6), value, np.float32)).size[0] == 700


def test_signed_data_is_symmetric_and_other_data_begins_at_zero():
    assert "from -2 to 2" in draw(np.array([[[-1.0]], [[2.0]]])[..., None].astype(np.float32)).caption
    assert "from 0 to 2" in draw(np.array([[[1.0]], [[2.0]]])[..., None].astype(np.float32)).caption


@pytest.mark.parametrize("space", [(4, 4), (50,), ()])
def test_contrast_per_channel_is_told(space):
    output = np.random.default_rng(0).random((2, *space, 3)).astype(np.float32) * [1, 10, 100]
    picture = draw(output, contrast="channel")
    assert "contrast per channel" in picture.caption
    assert "from 0 to max" in picture.caption


def test_contrast_per_channel_takes_each_channel_to_its_own_end():
    output = np.zeros((1, 2, 2, 2), np.float32)
    output[0, 0, 0] = [1, 100]
    assert (body(draw(output, contrast="channel"), header=4) == 223).sum() == 2 * 100 * 100
    assert (body(draw(output)) == 223).sum() == 100 * 100


def test_curves_of_6000_samples_and_of_5_points_are_drawn():
    for length in (1, 2, 5, 6000):
        output = np.random.default_rng(0).normal(size=(2, length, 4)).astype(np.float32)
        pixels = draw(output).pixels
        assert (pixels == palette.CURVES[0]).sum() > 1000
        assert (pixels == palette.PANEL).sum() > 1000


def test_vectors_are_bars():
    pixels = draw(np.array([[1.0, -1.0, 0.0]], np.float32)).pixels
    assert (pixels == palette.CURVES[0]).sum() == (pixels == palette.CURVES[1]).sum() > 0


def test_rows_that_are_not_the_probes_samples_get_no_sample_names():
    output = np.ones((6, 4, 4, 2), np.float32)
    known = layer(output=output)
    shown = Snapshot({"conv1": known}, Probe(shapes()), {"input": shapes()}, chosen=frozenset({"conv1"}))
    (picture,) = FeatureMaps().draw(shown)
    assert contains(picture.pixels, draw_line("row 6"))


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (Layer("c", "Conv2D", 1), "was not called in the forward pass"),
        (Layer("c", "Odd", 1, output_shape=(2, 4, 4, 4, 4, 8)), "4-D maps are not drawn yet"),
        (Layer("vit/token", "Parameter", 1, kernel_shape=(1, 1, 8)), "a parameter has no output"),
        (
            Layer("lstm.recurrent_kernel", "LSTM", 1, kernel_shape=(8, 2), part_of="lstm"),
            "a further kernel of lstm, which has the output",
        ),
        (Layer("c", "Loss", 1, output_shape=(2,)), "outputs of shape (2,) are not drawn yet"),
        (Layer("c", "Odd", 1, output_shape=(2, 0, 3)), "its output is empty: shape (2, 0, 3)"),
        (Layer("c", "Conv2D", 1, kernel_shape=(4, 2, 3, 3), refusal="it is compiled"), "it is compiled"),
        (Layer("c", "FFT", 1, output=np.ones((2, 3), complex)), "complex128 outputs are not drawn yet"),
        (Layer("c", "Conv2D", 1, output_shape=(2, 4, 4, 8)), ""),
        (Layer("c", "Conv1D", 1, output_shape=(2, 4, 8)), ""),
        (Layer("c", "Dense", 1, output_shape=(2, 8)), ""),
        (Layer("c", "Conv3D", 1, output_shape=(2, 4, 4, 4, 8)), ""),
    ],
)
def test_what_cannot_be_drawn_says_why_before_any_array_was_read(known, reason):
    assert FeatureMaps().refusal(known) == reason


def test_an_output_that_was_not_read_gives_no_picture():
    assert FeatureMaps().draw(snapshot(Layer("c", "Conv2D", 1, output_shape=(2, 4, 4, 8)))) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colours": "gray"}, "colours='gray' is not an option. Allowed: 'auto', 'grey'."),
        ({"contrast": "each"}, "contrast='each' is not an option. Allowed: 'layer', 'channel', 'sample'."),
        ({"max_channels": 0}, "max_channels=0 is not a count"),
        ({"channels": "strong"}, "channels='strong' is not an option. Allowed: 'first', 'strongest', or"),
        ({"channels": "strong"}, "Did you mean 'strongest'?"),
        ({"channels": []}, "channels=[] is empty: nothing would be drawn."),
        ({"channels": 3}, "channels=3 is not a list."),
        ({"channels": [0, 1.5]}, "channels=[0, 1.5] holds 1.5, which is no channel number."),
        ({"channels": [True]}, "channels=[True] holds True, which is no channel number."),
        ({"channels": [4, -1]}, "channels=[4, -1] holds -1, which is no channel number."),
        ({"channels": [4, 1, 4]}, "channels=[4, 1, 4] holds 4 twice. Name each channel once."),
        ({"max_samples": 2.5}, "max_samples=2.5 is not a count"),
    ],
)
def test_bad_options_are_refused_with_what_is_allowed(options, message):
    with pytest.raises(ArgumentError) as refused:
        FeatureMaps(**options)
    assert message in str(refused.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("contrast", ["layer", "channel"])
@pytest.mark.parametrize("kind", ["float32", "float16", "uint8", "bool"])
@pytest.mark.parametrize(
    "shape",
    [
        (2, 1, 1, 2048), (2, 2, 2, 16), (1, 500, 500, 4), (3, 8, 200, 5), (3, 200, 8, 5),
        (20, 7, 7, 300),
        (2, 9, 9, 9, 8), (1, 1, 1, 1, 1), (8, 16, 10, 10, 64), (2, 3, 300, 2, 4), (1, 40, 2, 300, 2),
        (2, 1, 8), (2, 2, 8), (2, 5, 8), (2, 6000, 8), (20, 30, 300), (1, 1), (20, 3000), (8, 10),
        (1, 3000, 1, 2),
    ],
)  # fmt: skip
def test_sheets_of_all_sizes_are_700_wide_and_never_absurdly_high(shape, kind, contrast):
    output = (np.random.default_rng(0).random(shape) * 20).astype(kind)
    output.setflags(write=False)
    before = output.copy()
    picture = draw(output, name="n" * 200, when="", contrast=contrast)
    assert picture.size[0] == 700
    assert 150 < picture.size[1] < 1100
    everything = draw(output, max_channels=4000, max_samples=4000, contrast=contrast)
    assert 150 < everything.size[1] < 2100
    np.testing.assert_array_equal(output, before)


def test_names_inject_no_markup_into_the_description():
    picture = draw(np.ones((1, 2, 2, 1), np.float32), name="<img src=x onerror=alert(1)>")
    assert "<" not in picture.description


def tiles_of(pixels, level):
    """The corners (top, left) of the squares of one level."""
    found = np.pad(pixels == level, 1)
    return np.argwhere(found[1:, 1:] & ~found[:-1, 1:] & ~found[1:, :-1]).tolist()


def test_a_volume_is_a_strip_of_its_slices_from_left_to_right():
    output = np.array([0.25, 0.5, 1], np.float32).reshape(1, 3, 1, 1, 1)
    picture = draw(output)
    (first,), (second,), (third,) = (tiles_of(body(picture, header=4), level) for level in (56, 112, 223))
    assert first[0] == second[0] == third[0] == LABEL
    assert second[1] - first[1] == third[1] - second[1]
    assert "each channel: its 3 slices, left to right" in picture.caption


def test_channels_of_a_volume_stand_further_apart_than_their_slices():
    output = np.ones((1, 2, 4, 4, 3), np.float32)
    output[:, 1] = 2
    row = body(draw(output), header=4)[LABEL]
    edges = np.flatnonzero(np.diff((row == palette.PAPER).astype(int)))
    assert (edges[1::2] - edges[: len(edges) // 2 * 2 : 2]).tolist()[:3] == [2, 12, 2]


@pytest.mark.parametrize(
    ("depth", "channels", "words"),
    [
        (16, 4, "slices 1, 4, 8, 11, 14 of 16"),
        (5, 4, "its 5 slices"),
        (1, 4, ""),
        (16, 128, "each channel: slice 8 of 16"),
    ],
)
def test_the_sheet_says_which_slices_it_shows(depth, channels, words):
    output = np.random.default_rng(0).random((4, depth, 8, 8, channels)).astype(np.float32)
    caption = draw(output, max_channels=128).caption
    assert words in caption
    assert ("slice" in caption) == bool(words)


def test_a_slice_is_that_of_the_volume():
    output = np.zeros((1, 16, 4, 4, 1), np.float32)
    output[0, 14, 2, 1] = 1
    pixels = body(draw(output), header=4)
    size = pixels[LABEL:].shape[0] // 4
    ((top, left),) = tiles_of(pixels, 223)
    assert (top - LABEL, left) == (2 * size, 4 * (4 * size + 2) + size), "in the fifth slice"


def test_the_strongest_channels_come_first_and_are_named():
    output = np.ones((2, 3, 3, 6), np.float32) * np.array([1, 6, 2, 5, 3, 4], np.float32)
    picture = draw(output, channels="strongest", max_channels=3)
    assert "strongest first, by mean magnitude: channels 1, 3, 5" in picture.caption
    assert "3 of 6 channels" in picture.caption
    chosen = draw(output, channels=[1, 3, 5], max_channels=1)
    np.testing.assert_array_equal(body(picture, header=4), body(chosen, header=4))
    assert "channels 1, 3, 5" in chosen.caption


def test_channels_that_a_layer_does_not_have_are_told():
    output = np.ones((2, 3, 3, 6), np.float32)
    assert "channels 5, 0; no channel 9 among its 6" in draw(output, channels=[5, 9, 0]).caption
    wanted = FeatureMaps(channels=(9, 7))
    reason = "none of channels=[9, 7] is there; it has 6 channels: 0 to 5"
    assert wanted.refusal(layer(output=output)) == reason
    assert wanted.refusal(Layer("c", "Conv2D", 1, output_shape=(2, 3, 3, 6))) == reason
    assert wanted.draw(snapshot(layer(output=output))) == []


def test_bars_carry_the_numbers_of_their_channels():
    output = np.random.default_rng(0).random((1, 900)).astype(np.float32)
    picture = draw(output, channels=[57, 4])
    assert contains(picture.pixels, draw_line("57", faded=True))


def test_a_sample_may_have_a_range_of_its_own_which_stands_at_its_name():
    output = np.zeros((2, 2, 2, 2), np.float32)
    output[0, 0, 0], output[1, 0, 0] = 1, 100
    together, own = draw(output), draw(output, contrast="sample", names=["quake", "noise"])
    assert (body(together) == 223).sum() == (body(own, header=4) == 223).sum() // 2
    assert "contrast per sample: each has its own range" in own.caption
    assert contains(own.pixels, draw_line("quake: 0 to 1"))
    assert contains(own.pixels, draw_line("noise: 0 to 100"))


@pytest.mark.parametrize("space", [(3, 4, 4), (4, 4), (50,), ()])
def test_contrast_per_sample_makes_samples_of_the_same_shape_look_the_same(space):
    output = np.random.default_rng(0).random((1, *space, 3)).astype(np.float32)
    picture = draw(np.concatenate([output, output * 8]), contrast="sample", when="")
    alone = draw(np.concatenate([output, output]), contrast="sample", when="")
    for index in range(palette.LEVELS):
        assert (body(picture, header=6) == index).sum() == (body(alone, header=6) == index).sum()


def test_volumes_and_bands_have_thumbnails():
    output = np.ones((2, 4, 4, 8), np.float32)
    scan = np.zeros((2, 5, 8, 8, 1), np.float32)
    scan[:, 2, :4] = 1
    middle = draw(output, inputs=scan[:, 2])
    np.testing.assert_array_equal(draw(output, inputs=scan).pixels, middle.pixels)
    bands = np.concatenate([scan[:, 2]] + [scan[:, 0] + 99] * 11, axis=-1)
    np.testing.assert_array_equal(draw(output, inputs=bands).pixels, middle.pixels)


def test_greys_are_the_same_indices_in_another_palette_with_their_own_bar():
    output = np.array([[1.0, 0.0], [0.5, 0.25]], np.float32).reshape(1, 2, 2, 1)
    for part, centre in ((output, 0), (output - 0.5, 127)):
        usual, grey = draw(part), draw(part, colours="grey")
        assert grey.tag == "feature maps in grey/01_conv1" and usual.tag == "feature maps/01_conv1"
        np.testing.assert_array_equal(usual.pixels, grey.pixels)
        assert grey.palette is palette.grey() and usual.caption == grey.caption
        scale = Scale.of(part)
        zero = grey.palette[scale.levels(np.zeros(1))]
        assert abs(int(zero[0, 0]) - centre) <= 1 and np.ptp(zero) == 0
        bar = grey.rgb()[94:114, 8:300].astype(int)
        assert (np.ptp(bar, axis=-1) <= 8).all()  # greys alone: those of letters are a shade blue
        levels = grey.palette[grey.pixels[94]][grey.pixels[94] < palette.LEVELS][:, 0].astype(int)
        assert len(levels) >= 200 and (np.diff(levels) > 0).all()


def test_in_greys_nan_infinities_and_crosses_keep_their_colours():
    output = np.ones((1, 6, 6, 3), np.float32)
    output[0, 2, 2], output[..., 1] = [np.nan, 1, np.inf], 0
    picture = draw(output, colours="grey")
    for index in (palette.NOT_A_NUMBER, palette.PLUS_INFINITY, palette.DEAD):
        colour = palette.sequential()[index]
        assert (picture.rgb() == colour).all(axis=-1).sum() == (picture.pixels == index).sum() > 20
    assert "1 channel with NaN" in picture.caption and "1 all zero" in picture.caption


def test_maps_in_colours_and_in_greys_stand_side_by_side_in_one_callback():
    both = [FeatureMaps(), FeatureMaps(colours="grey", channels="strongest")]
    assert [view.family for view in checked_views(both)] == ["feature maps", "feature maps in grey"]

    class Mine(FeatureMaps):
        family = "mine"

    assert Mine().family == "mine" and Mine(colours="grey").family == "mine in grey"
    assert Mine(colours="grey").reduced(2).family == "mine in grey"


def test_2d_maps_look_as_accepted(check_golden):
    images = shapes()
    output = np.maximum(convolve(images, gabors(16, 5)), 0)
    output[..., 5] = 0
    output[1, 3:6, :, 9] = np.nan
    check_golden(draw(output, inputs=images, names=["ring", "bar", "cross"]), "feature_maps_2d")


def test_2d_maps_in_greys_look_as_accepted(check_golden):
    images = shapes()
    output = convolve(images, gabors(16, 5))
    output[..., 3], output[1, 2:4, 2:4, 5] = 0, np.nan
    names = ["ring", "bar", "cross"]
    check_golden(draw(output, inputs=images, names=names, colours="grey"), "feature_maps_grey_signed")
    check_golden(draw(np.maximum(output, 0), inputs=images, names=names, colours="grey"), "feature_maps_grey")


def test_1d_maps_look_as_accepted(check_golden):
    traces = waves()
    output = np.stack([traces[..., 0] * (1 + channel) - traces[..., 1] for channel in range(8)], axis=-1)
    check_golden(
        draw(output, inputs=traces, names=["event 1", "event 2", "noise"], name="conv1d", kind="Conv1D"),
        "feature_maps_1d",
    )


def test_vectors_look_as_accepted(check_golden):
    output = np.sin(np.arange(30, dtype=np.float32)).reshape(3, 10)
    check_golden(draw(output, inputs=shapes(), name="head", kind="Dense"), "feature_maps_vectors")


def test_3d_maps_look_as_accepted(check_golden):
    inputs = volumes()
    output = np.maximum(convolve_volumes(inputs, waves_in_space(8)), 0)
    output[..., 5] = 0
    check_golden(
        draw(output, inputs=inputs, names=["ball", "rod"], name="conv3d", kind="Conv3D"), "feature_maps_3d"
    )


def test_the_strongest_maps_look_as_accepted(check_golden):
    images = shapes()
    output = np.maximum(convolve(images, gabors(64, 5)), 0)
    check_golden(
        draw(output, inputs=images, channels="strongest", max_channels=12, contrast="sample"),
        "feature_maps_strongest",
    )
