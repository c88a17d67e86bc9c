"""A layer that was read in part is drawn as it is drawn from the whole: pixel by pixel, word by word."""

from dataclasses import replace

import numpy as np
import pytest
from view_models import gabors, layer, only_shapes, read_with, shapes, snapshot, waves

from layerviz_callbacks import Layer
from layerviz_callbacks.cut import KernelCut, OutputCut, cut_kernel, cut_output
from layerviz_callbacks.render import palette
from layerviz_callbacks.views import FeatureMaps, Filters

MAPS = {
    "vectors": (9, 200),
    "short traces": (3, 50, 40),
    "long traces": (3, 4000, 40),
    "maps": (3, 20, 30, 100),
    "large maps": (2, 301, 299, 40),
    "volumes": (2, 11, 9, 9, 20),
    "large volumes": (2, 33, 130, 90, 20),
    "videos of one pixel": (2, 6, 1, 1, 70),
}
KERNELS = {
    "matrix": (40, 30),
    "large matrix": (700, 900),
    "1x1": (300, 200, 1, 1),
    "overlaid curves": (100, 3, 7),
    "curves": (100, 20, 7),
    "tiles": (100, 20, 3, 3),
    "colours": (100, 3, 7, 7),
    "large tiles": (10, 2, 90, 100),
    "strips": (100, 6, 3, 3, 3),
    "deep strips": (20, 6, 12, 5, 5),
    "gates": (4 * 127, 300),
    "gates of curves": (4 * 30, 2, 5),
    "gates of tiles": (4 * 30, 5, 3, 3),
    "gates of strips": (4 * 6, 5, 3, 3, 3),
}
GATES = ("input", "forget", "cell", "output")


def odd(shape, *, axis):
    """Numbers with a dead, a constant, a NaN, two infinite channels and a checkerboard, along `axis`."""
    values = np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)
    channels = np.moveaxis(values, axis, 0)
    channels[1], channels[2] = 0, 0.5
    channels[3].flat[0] = np.nan
    channels[4].flat[-1], channels[5].flat[-1] = np.inf, -np.inf
    channels[6] = np.where(np.indices(channels[6].shape).sum(axis=0) % 2, -1, 1)
    return values


def same(view, whole, part):
    (expected,), (found,) = view.draw(whole), view.draw(part)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    np.testing.assert_array_equal(found.palette, expected.palette)
    assert (found.caption, found.description) == (expected.caption, expected.description)
    return found


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("channels", ["first", "strongest", [6, 3, 1, 17]])
@pytest.mark.parametrize("contrast", ["layer", "channel", "sample"])
@pytest.mark.parametrize("name", MAPS)
def test_an_output_that_was_read_in_part_gives_the_same_sheet(name, contrast, channels):
    known = layer(output=odd(MAPS[name], axis=-1))
    whole = snapshot(known, inputs=np.ones((len(known.output), 8, 8, 1), np.float32))
    view = FeatureMaps(channels=channels, contrast=contrast)
    part = read_with(whole, view)
    same(view, whole, part)
    cut = view.output_cut(only_shapes(whole)["conv1"], whole)
    read = part["conv1"]
    assert read.output_taken.cut == cut
    assert read.output.size < known.output.size or cut == OutputCut(samples=len(known.output))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("channels", ["first", "strongest", [6, 3, 1, 5]])
@pytest.mark.parametrize("options", [{}, {"contrast": "channel"}, {"inputs": "each"}])
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_that_was_read_in_part_gives_the_same_sheet(name, options, channels):
    gates = GATES if "gates" in name else ()
    known = layer(kernel=odd(KERNELS[name], axis=0), gates=gates)
    whole = snapshot(known, inputs=np.zeros((2, 8, 8, 3), np.float32))
    view = Filters(channels=channels, **options)
    part = read_with(whole, view)
    picture = same(view, whole, part)
    if channels != "strongest" and "matrix" not in name and "1x1" not in name and name != "gates":
        assert "all zero" in picture.caption


def test_what_is_read_is_what_is_drawn():
    output = np.zeros((12, 300, 300, 512), np.uint8)
    shown = only_shapes(snapshot(layer(output=output)))
    cut = FeatureMaps(max_samples=2).output_cut(shown["conv1"], shown)
    assert (cut.samples, cut.channels) == (2, tuple(range(32)))
    assert cut.block > 1
    (picture,) = FeatureMaps(max_samples=2).draw(snapshot(layer(output=output[:2])))
    assert f"mean of {cut.block}x{cut.block}" in picture.caption


def test_volumes_are_read_in_slices_and_curves_in_stretches():
    shown = snapshot(
        Layer("a", "Conv3D", 1, output_shape=(1, 64, 32, 32, 8)),
        Layer("b", "Conv1D", 2, output_shape=(1, 6000, 8)),
    )
    assert FeatureMaps().output_cut(shown["a"], shown).slices == (6, 19, 32, 44, 57)
    stretches = FeatureMaps().output_cut(shown["b"], shown).stretches
    assert 50 <= stretches <= 342


def test_huge_layers_are_read_in_small_parts():
    huge = snapshot(
        Layer("fc", "Dense", 1, kernel_shape=(4096, 25088)),
        Layer("emb", "Embedding", 2, kernel_shape=(300, 20000)),
        Layer("conv", "Conv2D", 3, kernel_shape=(2048, 2048, 3, 3)),
        Layer("lstm", "LSTM", 4, kernel_shape=(4 * 1021, 1021), gates=GATES),
    )
    cuts = {known.name: Filters().kernel_cut(known, huge) for known in huge}
    assert cuts["fc"].blocks == (15, 79)
    assert (cuts["emb"].inputs, len(cuts["emb"].channels), cuts["emb"].blocks) == (128, 256, (1, 1))
    assert (len(cuts["conv"].channels), cuts["conv"].mean_inputs) == (64, True)
    assert cuts["lstm"].blocks[0] == 1, "a cell must not reach from one gate into the next"


@pytest.mark.parametrize("name", ["long traces", "large maps", "large volumes"])
def test_two_views_can_draw_from_what_was_read_for_both(name):
    whole = snapshot(layer(output=odd(MAPS[name], axis=-1)))
    views = [FeatureMaps(), FeatureMaps(max_samples=1, max_channels=4), FeatureMaps(channels=[6, 3])]
    part = read_with(whole, *views)
    assert part["conv1"].output.size < whole["conv1"].output.size
    for view in views:
        same(view, whole, part)


def test_the_strongest_are_the_same_where_another_view_reads_along():
    whole = snapshot(layer(output=odd((2, 30, 30, 40), axis=-1), kernel=odd((40, 5, 3, 3), axis=0)))
    views = [FeatureMaps(channels="strongest", max_channels=5), FeatureMaps(max_channels=3)]
    for view in views:
        same(view, whole, read_with(whole, *views))
    filters = [Filters(channels="strongest", max_channels=5), Filters(max_channels=3)]
    for view in filters:
        same(view, whole, read_with(whole, *filters))
    fewer = Filters(channels="strongest", max_channels=2)
    same(fewer, whole, read_with(whole, filters[0]))


def test_a_block_mean_of_zero_is_not_a_dead_channel():
    output = np.where(np.indices((400, 400)).sum(axis=0) % 2, -1, 1).astype(np.float32)
    output = np.repeat(output[None, ..., None], 16, axis=-1)
    whole = snapshot(layer(output=output))
    picture = same(FeatureMaps(), whole, read_with(whole, FeatureMaps()))
    assert "mean of 2x2" in picture.caption or "mean of 4x4" in picture.caption
    assert "all zero" not in picture.caption
    assert not (picture.pixels == palette.DEAD).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("shape", "cut", "words"),
    [
        ((4, 9, 9, 50), OutputCut(samples=1, channels=(40, 41)), "2 of 50 channels, 1 of 4 samples"),
        ((2, 90, 90, 8), OutputCut(block=3), "1 pixel = mean of 3x3"),
        ((2, 5000, 8), OutputCut(stretches=20), "length 5000"),
        ((2, 5000, 8), OutputCut(stretches=900), "length 5000"),
        ((2, 16, 9, 9, 4), OutputCut(slices=(3, 7)), "slices 3, 7 of 16"),
        ((2, 9, 9, 50), OutputCut(strongest=3), "3 of 50 channels"),
        ((2, 30), OutputCut(channels=(7, 3)), "channels 7, 3"),
    ],
)
def test_an_output_that_holds_less_than_wanted_is_drawn_as_far_as_it_goes(shape, cut, words):
    output = np.random.default_rng(0).random(shape).astype(np.float32)
    part, taken = cut_output(output, cut)
    known = replace(layer(output=output), output=part, output_taken=taken)
    (picture,) = FeatureMaps().draw(snapshot(known, inputs=np.zeros((shape[0], 5))))
    assert words in picture.caption
    assert picture.size[0] == 700


def test_a_curve_read_in_other_stretches_still_goes_from_left_to_right():
    rising = np.linspace(0, 1, 9000, dtype=np.float32).reshape(1, 9000, 1)
    for stretches in (30, 2000):
        part, taken = cut_output(rising, OutputCut(stretches=stretches))
        known = replace(layer(output=rising), output=part, output_taken=taken)
        (picture,) = FeatureMaps().draw(snapshot(known))
        tops = [np.flatnonzero(column == palette.CURVES[0]) for column in picture.pixels[:, 8:-8:20].T]
        heights = [column[0] for column in tops if len(column)]
        assert len(heights) > 30
        assert heights == sorted(heights, reverse=True)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("shape", "cut", "words"),
    [
        ((50, 8, 3, 3), KernelCut(channels=(40, 41)), "2 of 50 channels, mean of 8 inputs"),
        ((50, 8, 3, 3), KernelCut(mean_inputs=True), "50 channels, mean of 8 inputs"),
        ((50, 8, 3, 3), KernelCut(inputs=2), "50 channels, mean of 2 of 8 inputs"),
        ((5, 1, 9, 3, 3), KernelCut(slices=(0, 8)), "slices 0, 8 of 9"),
        ((700, 900), KernelCut(blocks=(7, 9)), "1 cell = mean of 7 out x 9 in"),
        ((700, 900), KernelCut(channels=(5, 6), inputs=4), "4 of 900 in, 2 of 700 out"),
        ((40, 30), KernelCut(strongest=3), "30 in, 3 of 40 out"),
    ],
)
def test_a_kernel_that_holds_less_than_wanted_is_drawn_as_far_as_it_goes(shape, cut, words):
    kernel = np.random.default_rng(0).random(shape).astype(np.float32)
    part, taken = cut_kernel(kernel, cut)
    known = replace(layer(kernel=kernel), kernel=part, kernel_taken=taken)
    (picture,) = Filters().draw(snapshot(known))
    assert words in picture.caption


def test_channels_that_were_asked_for_and_not_read_give_no_picture():
    output, kernel = np.ones((2, 4, 4, 9), np.float32), np.ones((9, 1, 3, 3), np.float32)
    part, taken = cut_output(output, OutputCut(channels=(0, 1)))
    kernel_part, kernel_taken = cut_kernel(kernel, KernelCut(channels=(0, 1)))
    known = layer(output=output, kernel=kernel)
    known = replace(known, output=part, output_taken=taken, kernel=kernel_part, kernel_taken=kernel_taken)
    assert FeatureMaps(channels=[5]).draw(snapshot(known)) == []
    assert Filters(channels=[5]).draw(snapshot(known)) == []


def test_gates_of_which_only_some_were_read_are_drawn_without_their_names():
    kernel = np.random.default_rng(0).normal(size=(40, 3, 3, 3)).astype(np.float32)
    for channels, words in (
        ((0, 1, 2), "3 of 40 channels"),
        ((1, 11, 21, 31), "4 gates of 1 of 10 channels"),
    ):
        part, taken = cut_kernel(kernel, KernelCut(channels=channels))
        known = replace(layer(kernel=kernel, gates=GATES), kernel=part, kernel_taken=taken)
        (picture,) = Filters().draw(snapshot(known))
        assert words in picture.caption


def test_real_maps_look_the_same_read_in_part():
    images = shapes()
    for known, inputs in (
        (layer(output=np.repeat(images, 64, axis=-1), kernel=gabors(80, 5)), images),
        (layer(output=waves(6000)), waves(6000)),
    ):
        whole = snapshot(known, inputs=inputs)
        for view in (FeatureMaps(), Filters()):
            if view.draw(whole):
                same(view, whole, read_with(whole, view))
