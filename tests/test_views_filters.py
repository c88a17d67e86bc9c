import numpy as np
import pytest
from test_views_feature_maps import contains
from view_models import gabors, layer, snapshot, waves_in_space

from layerviz_callbacks import ArgumentError, Layer
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.views import Filters


def draw(kernel, *, inputs=None, when="epoch 3/12", name="conv1", kind="Conv2D", **options):
    (picture,) = Filters(**options).draw(snapshot(layer(name, kind, kernel=kernel), inputs=inputs, when=when))
    return picture


def positions():
    """The waves of a position embedding `(channel, position)`."""
    place, rate = np.arange(64), 10.0 ** -(np.arange(48) / 24)
    return np.sin(rate[:, None] * place).astype(np.float32)


def body(picture, *, header=3):
    """The pixels under a header of so many lines, inside the margins."""
    return picture.pixels[8 + 40 * header : -8, 8:-8]


def test_a_2x2_kernel_is_four_squares_of_its_values():
    kernel = np.array([[[[1.0, -1.0], [0.5, 0.0]]]], np.float32)
    tile = body(draw(kernel))[:200, :200]
    assert tile[:100, :100].tolist() == [[222] * 100] * 100
    assert (tile[:100, 100:] == 0).all()
    assert (tile[100:, :100] == 166).all()  # rint(111 + 111 * 0.5), half to even
    assert (tile[100:, 100:] == 111).all()


def test_pixels_turn_back_into_the_weights():
    kernel = gabors(4, 5)
    pixels = body(draw(kernel))
    size = np.flatnonzero(pixels[0] == palette.PAPER)[0] // 5
    first = pixels[: 5 * size : size, : 5 * size : size]
    limit = float(np.abs(kernel).max())
    np.testing.assert_allclose(Scale(limit, signed=True).values(first), kernel[0, 0], atol=limit / 222 * 1.01)


def test_the_mean_over_inputs_is_drawn_and_told():
    kernel = np.zeros((1, 2, 2, 2), np.float32)
    kernel[0, 0] = [[4, 0], [0, 0]]
    kernel[0, 1] = [[0, 2], [0, 0]]
    picture = draw(kernel)
    assert "mean of 2 inputs" in picture.caption
    assert "from -2 to 2" in picture.caption
    tile = body(picture)[:200, :200]
    assert (tile[:100, :100] == 222).all()
    assert (tile[:100, 100:] == 166).all()


def test_each_input_gets_a_column_where_asked():
    kernel = np.arange(8, dtype=np.float32).reshape(2, 2, 1, 2)
    assert "mean of 2 inputs" in draw(kernel).caption
    (picture,) = Filters(inputs="each").draw(snapshot(layer(kernel=kernel)))
    assert "2 outputs, 2 inputs" in picture.caption
    shown = picture.pixels[picture.pixels < palette.LEVELS].astype(int)
    expected = set(Scale(7.0, signed=True).levels(kernel).ravel().tolist())
    assert expected <= set(shown.tolist())


def test_one_range_holds_for_the_sheet_or_for_each_channel_which_is_told():
    kernel = np.array([1.0, 10.0], np.float32).reshape(2, 1, 1, 1) * np.array([[1.0, -1.0]], np.float32)
    together = draw(kernel)
    assert "from -10 to 10" in together.caption
    assert set(np.unique(body(together))) & {122, 100} == {122, 100}
    own = draw(kernel, contrast="channel")
    assert "contrast per output channel" in own.caption
    assert set(np.unique(body(own, header=4))) == {0, 222, palette.PAPER}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("inputs", ["mean", "each"])
@pytest.mark.parametrize("space", [(3, 3, 3), (3, 3), (5,)])
def test_constant_kernels_are_flat_and_crossed_out(inputs, space):
    kernel = np.zeros((3, 2, *space), np.float32)
    kernel[1] = 0.5
    kernel[2].flat = np.arange(kernel[2].size)
    (picture,) = Filters(inputs=inputs).draw(snapshot(layer(kernel=kernel)))
    assert "1 all zero" in picture.caption
    assert "1 constant" in picture.caption
    assert (picture.pixels == palette.DEAD).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(2, 2, 3, 3), (2, 2, 5), (4, 3), (2, 3, 3, 3), (2, 1, 3, 3, 3)])
def test_nan_and_infinities_are_told(shape):
    kernel = np.ones(shape, np.float32)
    kernel.flat[0], kernel.flat[-1] = np.nan, np.inf
    picture = draw(kernel, inputs=np.zeros((2, 8, 8, 3)))
    noun = "output" if len(shape) == 2 else "channel"
    assert f"1 {noun} with NaN; 1 {noun} with +Inf" in picture.caption
    colours = {tuple(colour) for colour in picture.rgb().reshape(-1, 3).tolist()}
    assert tuple(palette.diverging()[palette.NOT_A_NUMBER].tolist()) in colours


def test_a_first_layer_on_colour_images_is_drawn_in_their_colours():
    images = np.zeros((2, 8, 8, 3), np.float32)
    kernel = np.zeros((1, 3, 1, 2), np.float32)
    kernel[0, :, 0, 0] = [1, 0, -1]
    (picture,) = Filters().draw(snapshot(layer(kernel=kernel), inputs=images))
    assert picture.palette is None
    tile = picture.pixels[8 + 3 * 40 : -8, 8:-8]
    assert tile[0, 0].tolist() == [255, 128, 1]
    assert tile[0, 199].tolist() == [128, 128, 128]


def test_a_deeper_layer_on_three_channels_is_not_drawn_in_colours():
    images = np.zeros((2, 8, 8, 3), np.float32)
    kernel = gabors(2, 3, colours=3)
    pictures = Filters().draw(
        snapshot(layer("a", kernel=kernel), layer("b", place=2, kernel=kernel), inputs=images)
    )
    assert [picture.palette is None for picture in pictures] == [True, False]


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_short_1d_kernels_have_a_curve_an_input(inputs):
    kernel = np.random.default_rng(0).normal(size=(4, inputs, 7)).astype(np.float32)
    picture = draw(kernel)
    for place, colour in enumerate(palette.CURVES[:3]):
        assert (picture.pixels == colour).any() == (place < inputs)
    assert (picture.pixels == palette.ZERO_LINE).any()


def test_1d_kernels_over_many_inputs_are_their_mean():
    kernel = np.random.default_rng(0).normal(size=(4, 9, 7)).astype(np.float32)
    assert "mean of 9 inputs" in draw(kernel).caption


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 1, 1), (2, 3, 1, 1, 1)])
def test_kernels_without_space_are_a_matrix(shape):
    kernel = np.array([[0, 1, 2], [3, 4, 6]], np.float32)
    picture = draw(kernel.reshape(shape))
    assert "3 in, 2 out" in picture.caption
    cells = picture.pixels[8 + 3 * 40 + 34 : -8]
    first = cells[0][cells[0] < palette.LEVELS]
    assert first[::48].tolist() == Scale(6.0, signed=True).levels(kernel[0]).tolist()


def test_a_large_matrix_says_how_many_weights_a_cell_is():
    assert "1 cell = mean of 1 out x 10 in" in draw(np.ones((128, 3136), np.float32)).caption


def test_no_more_channels_than_asked_are_drawn_and_it_is_told():
    assert "8 of 20 channels" in draw(gabors(20, 3), max_channels=8).caption


def test_a_kernel_that_was_read_in_part_tells_the_whole_number():
    known = Layer("conv1", "Conv2D", 1, kernel=gabors(4, 3), kernel_shape=(512, 1, 3, 3))
    (picture,) = Filters().draw(snapshot(known))
    assert "4 of 512 channels" in picture.caption


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (Layer("pool", "MaxPooling2D", 1), "no kernel"),
        (Layer("c", "Odd", 1, kernel_shape=(4, 2, 3, 3, 3, 3)), "4-D kernels are not drawn yet"),
        (Layer("c", "Odd", 1, kernel_shape=(4,)), "kernels of shape (4,) are not drawn yet"),
        (Layer("c", "Odd", 1, kernel_shape=(4, 0)), "its kernel is empty: shape (4, 0)"),
        (Layer("c", "Conv2D", 1, output_shape=(2, 4, 4, 8), refusal="it is compiled"), "it is compiled"),
        (Layer("c", "Conv2D", 1, kernel_shape=(4, 2, 3, 3)), ""),
        (Layer("c", "Conv3D", 1, kernel_shape=(4, 2, 1, 1, 1)), ""),
        (Layer("c", "Conv3D", 1, kernel_shape=(4, 2, 3, 3, 3)), ""),
    ],
)
def test_what_cannot_be_drawn_says_why_before_any_array_was_read(known, reason):
    assert Filters().refusal(known) == reason


def test_a_kernel_that_was_not_read_gives_no_picture():
    known = Layer("c", "Conv2D", 1, kernel_shape=(4, 2, 3, 3))
    assert Filters().draw(snapshot(known)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": "both"}, "inputs='both' is not an option. Allowed: 'mean', 'each'."),
        ({"contrast": "chanel"}, "Did you mean 'channel'?"),
        ({"channels": [2, 2]}, "channels=[2, 2] holds 2 twice"),
        ({"channels": "last"}, "channels='last' is not an option"),
        ({"max_channels": 0}, "max_channels=0 is not a count"),
        ({"max_channels": None}, "max_channels=None is not a count"),
        ({"every_n_epochs": -1}, "every_n_epochs=-1 is not a count"),
    ],
)
def test_bad_options_are_refused_with_what_is_allowed(options, message):
    with pytest.raises(ArgumentError) as refused:
        Filters(**options)
    assert message in str(refused.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("inputs", ["mean", "each"])
@pytest.mark.parametrize("contrast", ["layer", "channel"])
@pytest.mark.parametrize(
    "shape",
    [
        (2048, 4, 3, 3), (1, 1, 11, 11), (64, 64, 11, 11), (3, 2, 1, 9), (3, 2, 9, 1), (2, 2, 2, 2),
        (2, 3, 60, 60),
        (4, 5, 1), (4, 5, 2), (64, 64, 5), (2, 2, 6000), (1, 1), (128, 3136), (2048, 512, 1, 1),
        (32, 1, 3, 3),
        (64, 64, 3, 3, 3), (2, 2, 40, 3, 3), (1, 1, 3, 90, 90), (1, 1, 4000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_sheets_of_all_sizes_are_700_wide_and_never_absurdly_high(shape, inputs, contrast, kind):
    kernel = (np.random.default_rng(0).normal(size=shape) * 20).astype(kind)
    kernel.setflags(write=False)
    before = kernel.copy()
    picture = draw(kernel, name="n" * 200, when="", contrast=contrast, max_channels=2048)
    assert picture.size[0] == 700
    assert 150 < picture.size[1] < 2100
    np.testing.assert_array_equal(kernel, before)
    (picture,) = Filters(inputs=inputs, contrast=contrast).draw(snapshot(layer(kernel=kernel)))
    assert picture.size[0] == 700
    assert 150 < picture.size[1] < 1700


GATES = ("input", "forget", "cell", "output")


def corner(pixels, level):
    """(top, left) of the only square of this level."""
    found = np.argwhere(pixels == level)
    return found.min(axis=0).tolist()


def test_a_3d_kernel_is_a_row_of_its_slices_and_channels_stand_further_apart():
    kernel = np.array([[1, 0.5], [-1, -0.5]], np.float32).reshape(2, 1, 2, 1, 1)
    kernel = np.repeat(kernel, 2, axis=-1)
    picture = draw(kernel)
    pixels = body(picture, header=4)
    assert [corner(pixels, level) for level in (222, 166)] == [[0, 0], [0, 200 + 2]]
    assert [corner(pixels, level) for level in (0, 56)] == [[100 + 12, 0], [100 + 12, 200 + 2]]
    assert "each channel: its 2 slices, left to right" in picture.caption


def test_a_deep_kernel_shows_some_of_its_slices_and_says_which():
    assert "slices 1, 3, 6, 8, 10 of 12" in draw(np.ones((2, 1, 12, 3, 3), np.float32)).caption


def test_each_gate_has_rows_of_its_own_and_its_name():
    kernel = np.zeros((4, 3), np.float32)
    kernel[:, 0] = [1, 0.5, -0.5, -1]
    (picture,) = Filters().draw(snapshot(layer("lstm", "LSTM", kernel=kernel, gates=GATES)))
    assert "LSTM, 3 in, 4 gates of 1 out" in picture.caption
    pixels = body(picture)
    tops = [corner(pixels, level)[0] for level in (222, 166, 56, 0)]
    assert np.diff(tops).tolist() == [48 + 8] * 3
    for top, name in zip(tops, GATES, strict=True):
        letters = draw_line(name, faded=True)
        np.testing.assert_array_equal(pixels[top : top + 34, : letters.shape[1]], letters)


def test_cells_of_a_large_matrix_do_not_reach_from_one_gate_into_the_next():
    kernel = np.repeat(np.array([1, 0.5, -0.5, -1], np.float32), 127)[:, None] * np.ones((1, 9), np.float32)
    (picture,) = Filters().draw(snapshot(layer(kernel=kernel, gates=GATES)))
    assert "1 cell = mean of 2 out x 1 in" in picture.caption
    shown = body(picture, header=4)
    assert set(np.unique(shown[34:, 200:])) <= {222, 166, 56, 0, palette.PAPER}


@pytest.mark.parametrize("inputs", ["mean", "each"])
@pytest.mark.parametrize("space", [(3, 3), (5,), (3, 3, 3)])
def test_gates_with_space_are_blocks_under_their_names(space, inputs):
    kernel = np.random.default_rng(0).normal(size=(4 * 30, 5, *space)).astype(np.float32)
    (picture,) = Filters(inputs=inputs).draw(snapshot(layer("c", "ConvLSTM", kernel=kernel, gates=GATES)))
    assert "4 gates of 16 of 30" in picture.caption or inputs == "each"
    for name in GATES:
        assert contains(picture.pixels, draw_line(name))


def test_a_gate_shows_its_own_kernels():
    kernel = np.zeros((4, 1, 2, 2), np.float32)
    kernel[:, 0, 0, 0] = [1, 0.5, -0.5, -1]
    (picture,) = Filters().draw(snapshot(layer(kernel=kernel, gates=GATES)))
    pixels = body(picture)
    for level, name in zip((222, 166, 56, 0), GATES, strict=True):
        top, left = corner(pixels, level)
        letters = draw_line(name)
        above = pixels[top - 34 : top, left : left + letters.shape[1]]
        np.testing.assert_array_equal(above, letters)


def test_channels_of_gates_are_their_units():
    kernel = np.arange(1, 9, dtype=np.float32).reshape(8, 1)  # two gates of four units
    known = layer(kernel=kernel, gates=("update", "reset"))
    (chosen,) = Filters(channels=[3, 1]).draw(snapshot(known))
    assert "2 gates of 2 of 4 out" in chosen.caption
    assert "channels 3, 1" in chosen.caption
    levels = [level for level in body(chosen, header=4)[:, 110] if level < palette.LEVELS]
    assert list(dict.fromkeys(levels)) == Scale(8.0, signed=True).levels(kernel[[3, 1, 7, 5], 0]).tolist()
    (strongest,) = Filters(channels="strongest", max_channels=4).draw(snapshot(known))
    assert "strongest first, by L2 norm: channels 3, 2" in strongest.caption
    reason = "none of channels=[4] is there; it has 4 channels: 0 to 3"
    assert Filters(channels=[4]).refusal(known) == reason


def test_the_strongest_kernels_come_first_and_are_named():
    kernel = np.array([1, -4, 2, 3], np.float32).reshape(4, 1, 1, 1) * np.ones((1, 1, 2, 2), np.float32)
    kernel[:, :, 0] /= 2
    picture = draw(kernel, channels="strongest", max_channels=2)
    assert "strongest first, by L2 norm: channels 1, 3" in picture.caption
    pixels = body(picture, header=4)
    assert [pixels[-1, 0], pixels[-1, 250]] == [0, 194]  # -4 and 3 of 4: rint(111 + 111 * 0.75)


def test_rows_of_a_matrix_can_be_chosen():
    kernel = np.array([[0, 1], [2, 3], [4, 8]], np.float32)
    picture = draw(kernel, channels=[2, 0, 7])
    assert "2 in, 2 of 3 out" in picture.caption
    assert "channels 2, 0; no channel 7 among its 3" in picture.caption
    cells = body(picture, header=4)[34:]
    rows = [cells[place][cells[place] < palette.LEVELS][::48].tolist() for place in (40, 88)]
    assert rows == Scale(8.0, signed=True).levels(kernel[[2, 0]]).tolist()


@pytest.mark.parametrize(
    ("kind", "shape", "words", "labels"),
    [
        ("Parameter", (48, 64), "Parameter, 64 positions, 48 channels", ("position", "channel")),
        ("Embedding", (64, 20000), "Embedding, 128 of 20000 tokens, 64 dimensions", ("token", "dimension")),
        ("Embedding", (300, 50), "Embedding, 50 tokens, 256 of 300 dimensions", ("token", "dimension")),
        ("Dense", (4, 3), "Dense, 3 in, 4 out", ("in", "out")),
    ],
)
def test_rows_and_columns_are_called_what_they_are(kind, shape, words, labels):
    picture = draw(np.random.default_rng(0).normal(size=shape).astype(np.float32), kind=kind)
    assert words in picture.caption
    for label in labels:
        assert contains(picture.pixels, draw_line(label, faded=True))


def test_a_parameter_of_one_axis_is_a_curve_over_all_of_the_sheet():
    picture = draw(np.sin(np.arange(192) / 9).astype(np.float32)[None, None], kind="Parameter")
    assert "Parameter, 192 values" in picture.caption
    assert (body(picture)[:, -2:] == palette.CURVES[0]).any()


def test_a_further_kernel_has_its_full_name_as_title():
    known = layer("lstm.recurrent_kernel", "LSTM", kernel=np.ones((8, 2), np.float32), part_of="lstm")
    (picture,) = Filters().draw(snapshot(layer("lstm", "LSTM"), known))
    assert picture.tag == "filters/01_lstm.recurrent_kernel"
    assert contains(picture.pixels, draw_line("lstm.recurrent_kernel", bold=True))


def test_names_inject_no_markup_into_the_description():
    picture = draw(gabors(2, 3), name="<script>alert(1)</script> **bold** [x](y)", when="<b>")
    assert "<" not in picture.description
    assert r"\*\*bold\*\*" in picture.description
    assert r"\[x\]\(y\)" in picture.description


def test_the_tag_has_the_layers_place():
    assert draw(gabors(2, 3)).tag == "filters/01_conv1"


@pytest.mark.parametrize(
    ("name", "kind", "kernel"),
    [
        ("filters_2d", "Conv2D", gabors(24, 7)),
        ("filters_1d", "Conv1D", np.ascontiguousarray(gabors(12, 9, colours=3)[:, :, 4])),
        ("filters_3d", "Conv3D", waves_in_space(16)),
        ("filters_parameter", "Parameter", positions()),
        ("filters_dense", "Dense", np.ascontiguousarray(gabors(1, 40)[0, 0, :12])),
    ],
)
def test_filters_look_as_accepted(check_golden, name, kind, kernel):
    check_golden(draw(kernel, kind=kind), name)


def test_colour_filters_look_as_accepted(check_golden):
    images = np.zeros((2, 8, 8, 3), np.float32)
    (picture,) = Filters().draw(snapshot(layer(kernel=gabors(16, 7, colours=3)), inputs=images))
    check_golden(picture, "filters_colours")


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("filters_gates", np.ascontiguousarray(gabors(1, 128)[0, 0, :, 20:60])),
        ("filters_gates_2d", gabors(32, 5)),
    ],
)
def test_gates_look_as_accepted(check_golden, name, kernel):
    (picture,) = Filters().draw(snapshot(layer("lstm", "LSTM", kernel=kernel, gates=GATES)))
    check_golden(picture, name)


def test_the_strongest_filters_look_as_accepted(check_golden):
    check_golden(draw(gabors(40, 7), channels="strongest", max_channels=16), "filters_strongest")
