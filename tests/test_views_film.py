"""The film strip: what a layer was at each step, on one sheet."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from fakes import CountingReader, ListSink
from PIL import Image
from view_models import convolve, gabors, layer, shapes, snapshot, waves

from layerviz_callbacks import ArgumentError, Layer, Probe, Snapshot
from layerviz_callbacks.health.statistics import LayerStatistics, weight_sample
from layerviz_callbacks.history import Album, Frame
from layerviz_callbacks.plan import plan_of, request_of
from layerviz_callbacks.reader import LayerEntry
from layerviz_callbacks.recorder import Recorder
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.animated_png import encode_animated_png
from layerviz_callbacks.render.held_range import HeldRange
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.views import FeatureMaps, FilmStrip, Filters, default_views
from layerviz_callbacks.views.film_bands import BEST, Columns
from layerviz_callbacks.views.film_columns import columns_of, step_words
from layerviz_callbacks.views.film_kept import KeptLayer, KeptPart, small_maps, small_matrix
from layerviz_callbacks.views.film_palette import film_indices, film_palette, in_film_palette
from layerviz_callbacks.views.film_sections import Section


def filmed(steps, view=None, *, most=24):
    """What the view draws of each step `(step, layer, best)`, its history kept as a training keeps it."""
    view = FilmStrip() if view is None else view
    album, drawn = Album(most), []
    for step, shown, best in steps:
        layers = shown if isinstance(shown, tuple) else (shown,)
        now = replace(
            snapshot(*layers, when=f"epoch {step}"), step=step, best=best, history=album.frames, ranges={}
        )
        drawn.append(view.draw(now))
        album.add(Frame(step, now.when, {}, best, view.keep(now)))
    return drawn, album


def strips(arrays, *, what="kernel", best=(), view=None, steps=None, **options):
    """The strips of a layer with these kernels or outputs, one after each step."""
    steps = range(len(arrays)) if steps is None else steps
    given = [
        (step, layer(**{what: array}, **options), step in best)
        for step, array in zip(steps, arrays, strict=True)
    ]
    return [pictures[0] for (pictures,) in zip(filmed(given, view)[0], strict=True)]


def corner(value):
    """A 2 x 2 kernel of one channel, zero but for its first weight."""
    return np.array([[value, 0.0], [0.0, 0.0]], np.float32).reshape(1, 1, 2, 2)


KERNEL_COLUMNS = Columns.fit([0], 42)  # a 2 x 2 kernel is drawn 42 pixels wide


def tile_of(picture, value, limit, *, signed=True, size=21):
    """Left edges of squares of the colour of a value, of at least `size` pixels."""
    (index,) = film_indices(np.array([value], np.float32), Scale(limit, signed))
    found = picture.pixels == index
    runs = np.lib.stride_tricks.sliding_window_view(found, (size, size)).all(axis=(2, 3))
    return sorted({int(left) for _, left in np.argwhere(runs)})


# -- columns ---------------------------------------------------------------------------------------------


def test_steps_stand_from_left_to_right_each_in_its_colour():
    *_, last = strips([corner(value) for value in (0.25, 0.5, 0.75, 1.0)])
    lefts = [tile_of(last, value, 1.0)[0] for value in (0.25, 0.5, 0.75, 1.0)]
    expected = [8 + KERNEL_COLUMNS.left + place * KERNEL_COLUMNS.pitch for place in range(4)]
    offset = (KERNEL_COLUMNS.pitch - 4 - 42) // 2
    assert lefts == [left + offset for left in expected]


def test_the_columns_of_a_long_training_are_first_best_last_and_log_spaced_between():
    pictures = strips([corner(1 + step / 1000) for step in range(120)], best=(3, 41))
    steps = re.search(r"Columns: steps (.*?)\. ", plain(pictures[-1]))
    columns = [int(step) for step in steps[1].split(",")]
    assert columns[0] == 0 and columns[-1] == 119 and 41 in columns
    assert columns == sorted(columns) and len(columns) == KERNEL_COLUMNS.most
    gaps = np.diff(columns)
    assert gaps[0] == 1 and gaps.max() > 10


def test_the_best_step_is_underlined_and_told():
    first, second, third = strips([corner(value) for value in (0.2, 0.4, 0.6)], best=(1,))
    assert "best" not in first.caption
    assert "best step: 1" in second.caption and "best step: 1" in third.caption
    line = np.lib.stride_tricks.sliding_window_view(third.pixels == BEST, (4, KERNEL_COLUMNS.pitch - 4))
    (place,) = np.argwhere(line.all(axis=(2, 3))).tolist()
    assert place[1] == 8 + KERNEL_COLUMNS.left + KERNEL_COLUMNS.pitch, "under the number of the second column"


def test_only_the_last_of_several_best_steps_is_marked():
    *_, last = strips([corner(value) for value in (0.2, 0.4, 0.6, 0.5)], best=(1, 2))
    assert "best step: 2" in last.caption
    columns = columns_of("conv1", filmed_history((1, 2)), KeptLayer())
    assert [column.best for column in columns] == [False, False, True, False]


def filmed_history(best):
    frames = tuple(Frame(step, best=step in best) for step in range(3))
    return replace(snapshot(layer(kernel=corner(1.0))), step=3, history=frames)


def test_numbers_of_steps_that_are_too_wide_are_told_in_thousands():
    assert step_words([0, 5, 950, 1500, 25000], 52) == ["0", "5", "950", "1.5k", "25k"]
    assert step_words([0, 123456], 200) == ["0", "123456"]


def test_at_the_first_step_there_is_one_column_and_the_sheet_says_so():
    (first,) = strips([corner(0.5)])
    assert "one step so far" in first.caption
    assert "changed" not in first.description
    assert tile_of(first, 0.5, 0.5) == [8 + KERNEL_COLUMNS.left + (KERNEL_COLUMNS.pitch - 46) // 2]


def test_a_resumed_training_begins_anew_at_its_first_step():
    pictures = strips([corner(1.0), corner(2.0)], steps=[7, 8])
    assert plain(pictures[0]).endswith("relative L2 distance from step 7: 0.")
    assert "relative L2 distance from step 7: 1" in plain(pictures[1])


def test_a_step_that_is_repeated_takes_the_place_of_those_after_it():
    frames = [Frame(step, kept={}) for step in range(5)]
    now = replace(snapshot(layer(kernel=corner(1.0))), step=2, history=tuple(frames))
    assert [column.step for column in columns_of("conv1", now, KeptLayer())] == [0, 1, 2]


def plain(picture):
    return picture.description.replace("\\", "")


# -- rows ------------------------------------------------------------------------------------------------


def test_the_strongest_channels_of_the_first_step_stay_the_rows():
    strengths = [[1, 5, 2, 4], [9, 0, 8, 0], [0, 0, 0, 7]]
    outputs = [np.ones((2, 3, 3, 4), np.float32) * np.array(each, np.float32) for each in strengths]
    view = FilmStrip(channels="strongest", max_channels=2)
    _, album = filmed([(step, layer(output=output), False) for step, output in enumerate(outputs)], view)
    for frame, each in zip(album.frames, strengths, strict=True):
        assert frame.kept["rows of maps conv1"].tolist() == [1, 3]
        assert frame.kept["maps conv1"][:, 0, 0].tolist() == [each[1], each[3]]


def test_filters_and_feature_maps_show_the_same_strongest_channels():
    output = np.ones((1, 4, 4, 3), np.float32) * np.array([1, 3, 2], np.float32)
    kernel = np.ones((3, 1, 2, 2), np.float32) * np.array([9, 1, 5], np.float32).reshape(3, 1, 1, 1)
    view = FilmStrip(channels="strongest", max_channels=2)
    kept = view.keep(snapshot(layer(kernel=kernel, output=output)))
    assert kept["rows of maps conv1"].tolist() == kept["rows of kernels conv1"].tolist() == [1, 2]


def test_channels_of_a_list_are_the_rows_in_its_order():
    output = np.arange(5, dtype=np.float32) * np.ones((1, 2, 2, 5), np.float32)
    view = FilmStrip(channels=[4, 1, 9])
    kept = view.keep(snapshot(layer(output=output)))
    assert kept["rows of maps conv1"].tolist() == [4, 1]
    assert kept["maps conv1"][:, 0, 0].tolist() == [4, 1]
    assert "none of channels=[9]" in FilmStrip(channels=[9]).refusal(layer(output=output))


def test_the_sample_is_chosen_by_number_or_name():
    output = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1) * np.ones((3, 2, 2, 1), np.float32)
    shown = snapshot(layer(output=output), names=["a", "b", "c"])
    for sample in (2, "c"):
        view = FilmStrip(sample=sample)
        assert view.keep(shown)["maps conv1"].max() == 2
        assert "feature maps of c" in plain(view.draw(shown)[0])


def test_of_a_volume_the_middle_slice_is_shown():
    output = np.arange(7, dtype=np.float32).reshape(1, 7, 1, 1, 1) * np.ones((1, 7, 4, 4, 2), np.float32)
    kernel = np.arange(5, dtype=np.float32).reshape(1, 1, 5, 1, 1) * np.ones((2, 1, 5, 2, 2), np.float32)
    kept = FilmStrip().keep(snapshot(layer(kernel=kernel, output=output)))
    assert set(kept["maps conv1"].ravel()) == {3.0}
    assert set(kept["kernels conv1"].ravel()) == {2.0}


@pytest.mark.parametrize("depth", range(1, 13))
def test_the_slice_that_is_told_is_the_one_that_is_shown(depth):
    slices = np.arange(depth, dtype=np.float32).reshape(1, depth, 1, 1, 1)
    output = slices * np.ones((4, depth, 30, 30, 16), np.float32)
    kernel = np.moveaxis(slices, -1, 1) * np.ones((16, 1, depth, 3, 3), np.float32)
    shown = snapshot(layer(output=output, kernel=kernel))
    kept, (picture,) = FilmStrip().keep(shown), FilmStrip().draw(shown)
    assert f"feature maps: slice {kept['maps conv1'].max():.0f} of {depth}" in picture.caption
    assert f"filters: slice {kept['kernels conv1'].max():.0f} of {depth}" in picture.caption


def test_the_sheet_says_what_a_panel_leaves_out():
    output = np.ones((1, 9, 80, 80, 2), np.float32)
    kernel = np.ones((2, 1, 5, 2, 2), np.float32)
    (picture,) = strips([kernel], output=output, kind="Conv3D")
    assert "filters: slice 2 of 5" in picture.caption
    assert "feature maps: slice 4 of 9" in picture.caption
    side = FilmStrip().keep(snapshot(layer(output=output)))["maps conv1"].shape[-1]
    assert side <= 32
    assert f"1 pixel = mean of {-(-80 // side)}x{-(-80 // side)}" in picture.caption
    (dense,) = strips([np.ones((100, 100), np.float32)])
    assert "weights: 1 cell = mean of 2x3" in dense.caption


# -- what changed ----------------------------------------------------------------------------------------


def test_the_change_is_the_mean_magnitude_of_now_minus_before():
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(3, 2, 4, 4)).astype(np.float32)
    held = HeldRange(5.0, True, 0)
    section = Section.of([KeptPart(each, (0, 1), held) for each in arrays])
    values, there = section.change
    assert there[:, 0].tolist() == [False, True, True]
    for place in (1, 2):
        expected = (
            abs(arrays[place, 0] - arrays[place - 1, 0]) + abs(arrays[place, 1] - arrays[place - 1, 1])
        ) / 2
        np.testing.assert_allclose(values[place, 0], expected, rtol=1e-6)


def test_the_tile_of_the_change_has_the_colour_of_its_value():
    *_, last = strips([corner(value) for value in (0.125, 0.25, 0.5)])
    inset = (KERNEL_COLUMNS.pitch - 4 - 42) // 2
    places = [8 + KERNEL_COLUMNS.left + place * KERNEL_COLUMNS.pitch + inset for place in (1, 2)]
    assert "changed: up to 0.25" in plain(last)
    for value, left in zip((0.125, 0.25), places, strict=True):
        assert left in tile_of(last, value, 0.25, signed=False)


def test_units_of_a_vector_change_each_on_its_own():
    held = HeldRange(5.0, True, 0)
    parts = [KeptPart(np.array(each, np.float32), (0, 1), held) for each in ([1, 1], [1, 3], [0, 3])]
    values, there = Section.of(parts).change
    assert values[there].tolist() == [0, 2, 1, 0]


def test_columns_of_another_resolution_are_drawn_but_not_compared():
    held = HeldRange(5.0, True, 0)
    sizes = [4, 4, 2, 2]
    parts = [
        KeptPart(np.full((1, size, size), place, np.float32), (0,), held) for place, size in enumerate(sizes)
    ]
    section = Section.of(parts)
    assert section.values[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert section.change[1][:, 0].tolist() == [False, True, False, True]
    np.testing.assert_array_equal(section.change[0][[1, 3]], 1)


def test_the_distance_is_that_of_the_whole_kernel_relative_to_its_start():
    rng = np.random.default_rng(1)
    kernels = rng.normal(size=(3, 16, 8, 3, 3)).astype(np.float32)
    pictures = strips(kernels)
    for picture, kernel in zip(pictures, kernels, strict=True):
        expected = np.linalg.norm(kernel - kernels[0]) / np.linalg.norm(kernels[0])
        assert f"relative L2 distance from step 0: {expected:.3g}" in plain(picture)


def test_of_a_large_kernel_the_sheet_says_of_which_part_the_distance_is():
    rng = np.random.default_rng(2)
    wide, dense = (128, 64, 3, 3), (600, 700)
    for shape, words in ((wide, "of 6 of 128 channels"), (dense, "of 1 in 2 rows, means of 3x3 weights")):
        kernels = rng.normal(size=(2, *shape)).astype(np.float32)
        *_, last = strips(kernels)
        assert words in plain(last)
    moved = rng.normal(size=wide).astype(np.float32)
    start = np.ones(wide, np.float32)
    expected = np.linalg.norm((moved - start)[:6].mean(1)) / np.linalg.norm(start[:6].mean(1))
    *_, last = strips([start, moved])
    assert f"of 6 of 128 channels, the inputs' mean: {expected:.3g}" in plain(last)


def test_of_a_large_kernel_whose_weights_are_sampled_the_distance_is_that_of_the_sample():
    rng = np.random.default_rng(6)
    start, moved = rng.normal(size=(2, 128, 64, 3, 3)).astype(np.float32)
    first, second = weight_sample(start), weight_sample(moved)
    assert first.values.shape == (128, 256)
    expected = np.linalg.norm(second.values - first.values) / np.linalg.norm(first.values)
    sampled = [
        (step, replace(layer(kernel=kernel), statistics=LayerStatistics(None, found)), False)
        for step, (kernel, found) in enumerate(((start, first), (moved, second)))
    ]
    (_, (last,)), _ = filmed(sampled)
    words = "relative L2 distance from step 0 of 128x256 of 128x576 weights, spread evenly"
    assert f"{words}: {expected:.3g}" in plain(last)
    unsampled = [*sampled, (2, layer(kernel=moved), False)]
    drawn, album = filmed(unsampled)
    assert KeptLayer.from_arrays(album.frames[-1].kept, "conv1").distance.distance is None
    assert f"{words} at step 1: {expected:.3g}" in plain(drawn[-1][0])


def test_a_kernel_that_began_as_zero_has_an_absolute_distance():
    *_, last = strips([corner(0.0), corner(3.0)])
    assert "; L2 distance from step 0: 3." in plain(last)


def test_a_kernel_that_became_nan_has_no_number_but_a_mark():
    *_, last = strips([corner(1.0), corner(np.nan)])
    assert "marked: NaN" in last.caption
    assert "distance from step 0: nan" in plain(last)
    assert (last.pixels == palette.NOT_A_NUMBER).sum() > 100


# -- scales ----------------------------------------------------------------------------------------------


def test_one_range_holds_for_all_columns_and_only_grows():
    pictures = strips([corner(value) for value in (0.9, 0.3, 1.2, 0.3)])
    ranges = [re.search(r"filters: (.*?) to (.*?)[;.]", plain(picture)).groups() for picture in pictures]
    assert [high for _, high in ranges] == ["1", "1", "1", "1"] or ranges[1] == ("-1", "1")
    assert "the range grew here, from 1 to 1.5" in pictures[2].caption
    assert "range grew" not in pictures[3].caption
    assert len(tile_of(pictures[3], 0.3, 1.5)) >= 2, "the second column and the fourth"
    assert tile_of(pictures[3], 0.9, 1.5) and tile_of(pictures[3], 1.2, 1.5)


def test_the_range_stays_when_its_step_is_no_longer_remembered():
    kernels = [corner(1.0)] * 3 + [corner(50.0)] + [corner(1.0)] * 60
    _, album = filmed([(step, layer(kernel=kernel), False) for step, kernel in enumerate(kernels)], most=5)
    assert 3 not in [frame.step for frame in album.frames]
    assert album.frames[-1].kept["range of kernels conv1"][0] == 50


def test_all_colours_differ_and_stand_for_their_values():
    assert len(np.unique(film_palette(), axis=0)) == 256
    for scale in (Scale(2.0, signed=True), Scale(2.0, signed=False)):
        values = np.linspace(-2.0 if scale.signed else 0.0, 2.0, 111).astype(np.float32)
        colours = film_palette()[film_indices(values, scale)].astype(int)
        reference = scale.palette[scale.levels(values)].astype(int)
        assert np.abs(colours - reference).max() <= 6, "no more than a level apart"
    letters = np.arange(palette.LEVELS, 256, dtype=np.uint8)
    for signed in (True, False):
        np.testing.assert_array_equal(in_film_palette(letters, signed=signed), letters)
    np.testing.assert_array_equal(film_palette()[palette.LEVELS :], palette.sequential()[palette.LEVELS :])


def test_dead_and_constant_channels_are_crossed_out_and_counted():
    output = np.zeros((1, 4, 4, 3), np.float32)
    output[..., 1] = 2.0
    output[0, 0, 0, 2] = 1.0
    (picture,) = strips([output], what="output")
    assert "crossed out: all zero" in picture.caption and "crossed out: constant" in picture.caption
    assert (picture.pixels == palette.DEAD).sum() > 2 * 40


# -- what is read, kept and missing -------------------------------------------------------------------------


def test_what_was_not_read_at_a_step_is_left_blank():
    output = np.ones((1, 2, 2, 1), np.float32)
    output[0, 0, 0, 0] = 0
    shown = layer(kernel=corner(1.0), output=output)
    without = replace(shown, output=None, kernel=None)
    drawn, album = filmed([(0, shown, False), (1, without, False), (2, shown, False), (3, without, False)])
    parts = [KeptLayer.from_arrays(frame.kept, "conv1") for frame in album.frames]
    section = Section.of([part.maps for part in parts])
    assert section.there[:, 0].tolist() == [True, False, True, False]
    assert not section.change[1].any(), "no two neighbours were read"
    assert [part.distance.distance for part in parts] == [0.0, None, 0.0, None]
    assert all(len(pictures) == 1 for pictures in drawn)


def test_a_layer_that_is_read_for_the_first_time_later_begins_there():
    shown = layer(kernel=corner(2.0))
    drawn, _ = filmed([(0, replace(shown, kernel=None), False), (1, shown, False), (2, shown, False)])
    assert drawn[0] == []
    assert "distance from step 1: 0" in plain(drawn[2][0])


def test_a_film_asks_for_nothing_that_filters_and_feature_maps_do_not_read():
    kernels = {"conv": (64, 3, 3, 3), "dense": (4096, 9000), "deep": (32, 16, 3, 3, 3)}
    outputs = {"conv": (8, 224, 224, 64), "dense": (8, 4096), "deep": (8, 16, 64, 64, 32)}
    layers = [
        Layer(name, "Conv", place, kernel_shape=kernels[name], output_shape=outputs[name])
        for place, name in enumerate(kernels, start=1)
    ]
    images = np.zeros((8, 32, 32, 1), np.float32)
    shapes_only = snapshot(*layers, inputs=images)
    entries = [LayerEntry(name, None, True) for name in kernels]
    shown = [Filters(), FeatureMaps()]
    without = request_of(plan_of(shown, None, entries), shapes_only)
    both = request_of(plan_of([*shown, FilmStrip()], None, entries), shapes_only)
    assert both.output_cuts == without.output_cuts
    assert both.kernel_cuts["dense"] == without.kernel_cuts["dense"]
    fewer = [view.reduced(2) for view in [*shown, FilmStrip()]]
    assert (
        request_of(plan_of(fewer, None, entries), shapes_only).output_cuts
        == request_of(plan_of(fewer[:2], None, entries), shapes_only).output_cuts
    )


def test_what_is_kept_does_not_depend_on_what_other_views_read():
    kernel = gabors(16, 5)
    full = layer(kernel=kernel, output=convolve(shapes(56), kernel))
    view = FilmStrip(sample=1)
    alone = view.keep(snapshot(full, inputs=shapes(56)))
    from layerviz_callbacks.cut import cut_kernel, cut_output

    now = snapshot(full, inputs=shapes(56))
    for views in ([view], [Filters(), FeatureMaps(), view], [FeatureMaps(channels="strongest"), view]):
        request = request_of(plan_of(views, None, [LayerEntry("conv1", None, True)]), now)
        output, output_taken = cut_output(full.output, request.output_cuts["conv1"])
        part, kernel_taken = cut_kernel(kernel, request.kernel_cuts["conv1"])
        read = replace(full, kernel=part, kernel_taken=kernel_taken, output=output, output_taken=output_taken)
        kept = view.keep(snapshot(read, inputs=shapes(56)))
        assert kept.keys() == alone.keys()
        for name, array in alone.items():
            np.testing.assert_allclose(kept[name], array, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("kernel", "output"),
    [((64, 64, 3, 3), (4, 224, 224, 64)), ((64, 8, 9), (4, 6000, 64)), ((1000, 2048), (4, 1000)),
     ((16, 8, 3, 3, 3), (4, 32, 64, 64, 16))],
)  # fmt: skip
def test_a_frame_is_small_and_holds_on_to_nothing_large(kernel, output):
    rng = np.random.default_rng(3)
    arrays = {"kernel": rng.normal(size=kernel).astype(np.float32), "output": np.ones(output, np.float32)}
    kept = FilmStrip().keep(snapshot(layer(**arrays)))
    sizes = {name: array.nbytes for name, array in kept.items()}
    assert sum(size for name, size in sizes.items() if not name.startswith("start ")) <= 26_000
    assert sizes["start conv1"] <= 8 << 15
    for array in kept.values():
        assert array.base is None or array.base.nbytes <= 2 * array.nbytes


def test_what_does_not_change_is_one_array_in_all_frames():
    _, album = filmed([(step, layer(kernel=corner(step)), False) for step in range(100)])
    assert len(album.frames) == 24
    assert len({id(frame.kept["start conv1"]) for frame in album.frames}) == 1


def test_small_maps_are_means_of_blocks():
    values = np.arange(64 * 64, dtype=np.float32).reshape(1, 64, 64)
    small, factor = small_maps(values)
    assert small.shape == (1, 32, 32) and factor == 2
    assert small[0, 0, 0] == np.mean([0, 1, 64, 65])
    assert small_maps(np.zeros((1, 16, 64), np.float32))[1] == 1
    matrix, factors = small_matrix(np.ones((128, 39), np.float32))
    assert matrix.shape == (64, 20) and factors == (2, 2)


def test_fewer_channels_are_drawn_where_less_is_to_be_drawn():
    output = np.random.default_rng(4).normal(size=(2, 6, 6, 8)).astype(np.float32)
    shown = snapshot(layer(output=output))
    whole, half = FilmStrip(), FilmStrip().reduced(2)
    assert len(whole.keep(shown)["maps conv1"]) == 6
    assert len(half.keep(shown)["maps conv1"]) == 3
    frames = (Frame(0, kept=whole.keep(shown)), Frame(1, kept=whole.keep(replace(shown, step=1))))
    (picture,) = half.draw(replace(shown, step=2, history=frames))
    assert "3 of 8 channels" in picture.caption
    assert "Columns: steps 0, 1, 2" in plain(picture)


# -- with a recorder -----------------------------------------------------------------------------------------


class Learning(CountingReader):
    """Two layers whose kernels and outputs grow a little at each reading."""

    def __init__(self):
        super().__init__()
        self.read_so_far = 0

    def read(self, request):
        step, self.read_so_far = self.read_so_far, self.read_so_far + 1
        y = np.linspace(-1, 1, 8, dtype=np.float32)
        image = (y[:, None] * y)[None, :, :, None] * np.ones((2, 8, 8, 1), np.float32)
        kernel = gabors(4, 3) * (1 + step / 4)
        conv = layer("conv1", place=1, kernel=kernel, output=convolve(image, kernel) + np.float32(step / 10))
        weights = np.sin(np.arange(20, dtype=np.float32).reshape(4, 5) * (1 + step / 20))
        head = layer("head", "Dense", 2, kernel=weights, output=weights.T[:2])
        return Snapshot({"conv1": conv, "head": head}, Probe(image), {"input": image})


class Pictures(ListSink):
    def write(self, pictures, step):
        self.kept = [*getattr(self, "kept", []), *((step, picture) for picture in pictures)]


def recorded(views, *, epochs=4, worker=None, step=0, budget=None):
    sink = Pictures()
    recorder = Recorder(log_dir=sink, views=views, worker=worker, budget=budget, on_error="raise")
    recorder.begin(Learning(), step=step, total=step + epochs)
    for epoch in range(step + 1, step + epochs + 1):
        recorder.epoch_end(epoch, last=epoch == step + epochs)
    recorder.end()
    return [(step, picture) for step, picture in sink.kept if picture.tag.startswith("1 film")]


def test_the_drawing_process_draws_the_same_films():
    here = recorded([FilmStrip(film=True)])
    there = recorded([FilmStrip(film=True)], worker="process")
    assert [(step, picture.tag) for step, picture in here] == [(step, picture.tag) for step, picture in there]
    assert len(here) == 2 * 2 * 5
    for (_, one), (_, other) in zip(here, there, strict=True):
        assert one.png() == other.png()


def test_a_film_that_is_due_at_some_epochs_has_these_as_columns():
    pictures = [
        picture for step, picture in recorded([FilmStrip(layers="conv1", every_n_epochs=3)], epochs=7)
    ]
    assert [re.search(r"Columns: steps (.*?)\. ", plain(picture))[1] for picture in pictures] == [
        "0", "0, 3", "0, 3, 6", "0, 3, 6, 7",
    ]  # fmt: skip


def test_a_film_is_drawn_at_fewer_and_fewer_steps_and_holds_those_between():
    drawn = recorded([FilmStrip(layers="conv1")], epochs=20)
    assert [step for step, _ in drawn] == [*range(9), 10, 12, 14, 16, 19, 20]
    columns = re.search(r"Columns: steps (.*?)\. ", plain(drawn[-1][1]))[1].split(", ")
    assert {"0", "20"} < {*columns} and {"9", "11", "13", "15", "17", "18"} & {*columns}


def test_films_are_drawn_by_default_but_not_of_a_single_snapshot():
    assert any(isinstance(view, FilmStrip) for view in default_views())
    shown = snapshot(layer(kernel=corner(1.0), output=np.ones((1, 2, 2, 1), np.float32)))
    assert {picture.tag.partition("/")[0] for picture in shown.pictures()} == {
        "filters", "feature maps", "health"
    }  # fmt: skip
    assert len(shown.pictures(FilmStrip())) == 1


def test_two_film_strips_remember_each_their_own_layers():
    pictures = recorded([FilmStrip(layers="conv1"), FilmStrip(layers="head")])
    for name in ("conv1", "head"):
        last = [picture for _, picture in pictures if picture.tag.endswith(name)][-1]
        assert "Columns: steps 0, 1, 2, 3, 4" in plain(last)


def test_a_resumed_training_draws_its_own_steps():
    pictures = [picture for _, picture in recorded([FilmStrip(layers="conv1")], step=10, epochs=2)]
    assert "Columns: steps 11, 12" in plain(pictures[-1])
    assert "distance from step 11" in plain(pictures[-1])


def test_the_same_training_gives_the_same_films():
    assert [picture.png() for _, picture in recorded([FilmStrip()])] == [
        picture.png() for _, picture in recorded([FilmStrip()])
    ]


def test_a_sheet_keeps_its_size_from_the_second_step_on():
    sizes = {picture.size for step, picture in recorded([FilmStrip(layers="head")], epochs=6) if step}
    assert len(sizes) == 1


def test_a_torch_training_is_filmed_as_it_was(tmp_path):
    torch = pytest.importorskip("torch")
    from layerviz_callbacks.sinks import Folder
    from layerviz_callbacks.torch import attach

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3)
    )
    sink = Pictures()
    shown = [Filters(), FeatureMaps(), FilmStrip(sample=1)]
    with attach(model, torch.rand(2, 1, 8, 8), log_dir=[sink, Folder(tmp_path)], views=shown) as record:
        start = model[0].weight.detach().clone()
        for epoch in (1, 2, 3):
            with torch.no_grad():
                model[0].weight.add_(0.1 * torch.randn_like(start))
            record(epoch)
    moved = float((model[0].weight.detach() - start).norm() / start.norm())
    *_, last = (picture for _, picture in sink.kept if picture.tag == "1 film strip/01_0")
    assert f"relative L2 distance from step 0: {moved:.3g}." in plain(last)
    assert "Columns: steps 0, 1, 2, 3. filters" in plain(last)
    written = tmp_path / "1 film strip" / "01_0" / "step_0003.png"
    np.testing.assert_array_equal(np.array(Image.open(written).convert("RGB")), last.rgb())


# -- arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sample": -1}, "sample=-1 is no sample"),
        ({"sample": 1.5}, "sample=1.5 is no sample"),
        ({"sample": True}, "sample=True is no sample"),
        ({"film": "yes"}, "film='yes' is not an option"),
        ({"channels": "weakest"}, "channels='weakest' is not an option"),
        ({"max_channels": 0}, "max_channels=0 is not a count"),
    ],
)
def test_wrong_arguments_are_told_at_once(options, words):
    with pytest.raises(ArgumentError, match=re.escape(words)):
        FilmStrip(**options)


@pytest.mark.parametrize(("sample", "words"), [("nin", "Did you mean 'nine'"), (2, "has 2 samples")])
def test_a_sample_that_is_not_there_is_told_at_train_begin(sample, words):
    shown = snapshot(layer(output=np.ones((2, 2, 2, 1), np.float32)), names=["nine", "two"])
    with pytest.raises(ArgumentError, match=words):
        FilmStrip(sample=sample).check(shown)
    FilmStrip(sample="two").check(shown)


# -- the animation -------------------------------------------------------------------------------------------


def frames_of(png):
    """The frames of an animation with their milliseconds, and the picture for those who play none."""
    with Image.open(io.BytesIO(png)) as image:
        assert image.info["default_image"]
        still = np.array(image.convert("RGB"))
        frames = []
        for place in range(1, image.n_frames):
            image.seek(place)
            frames.append((np.array(image.convert("RGB")), image.info["duration"]))
    return frames, still


def test_an_animated_png_holds_every_frame_and_a_still_of_its_own():
    rng = np.random.default_rng(5)
    still, *frames = rng.integers(0, 256, (4, 5, 7)).astype(np.uint8)
    for colours in (palette.diverging(), None):
        shown = [frame if colours is not None else palette.diverging()[frame] for frame in frames]
        base = still if colours is not None else palette.diverging()[still]
        decoded, alone = frames_of(encode_animated_png(shown, [0.5, 0.5, 2.0], colours, still=base))
        assert [duration for _, duration in decoded] == [500, 500, 2000]
        np.testing.assert_array_equal(alone, palette.diverging()[still])
        for (found, _), frame in zip(decoded, frames, strict=True):
            np.testing.assert_array_equal(found, palette.diverging()[frame])


def test_the_film_has_a_frame_a_step_in_the_strip_s_range():
    view = FilmStrip(film=True)
    drawn, _ = filmed(
        [(step, layer(kernel=corner(value)), False) for step, value in enumerate((0.2, 0.4, 1.0))], view
    )
    strip, film = drawn[-1]
    assert (strip.tag, film.tag) == ("1 film strip/01_conv1", "1 film/01_conv1")
    frames, still = frames_of(film.png())
    assert [duration for _, duration in frames] == [500, 500, 2000]
    assert "3 steps: 0, 1, 2" in film.caption
    np.testing.assert_array_equal(frames[-1][0], still)
    np.testing.assert_array_equal(still, film.rgb())
    for (frame, _), value in zip(frames, (0.2, 0.4, 1.0), strict=True):
        colour = film_palette()[film_indices(np.array([value]), Scale(1.0, signed=True))[0]]
        assert (frame == colour).all(axis=-1).sum() >= 52 * 52
    assert (frames[0][0] != frames[1][0]).any(axis=-1)[:44].any(), "the step's number is drawn in"


def test_without_film_there_is_a_strip_alone():
    assert len(FilmStrip().draw(snapshot(layer(kernel=corner(1.0))))) == 1


# -- golden --------------------------------------------------------------------------------------------------


def grown(make, *, steps=(0, 1, 2, 3, 5, 8, 13, 21, 34), best=(13,), view=None, inputs=None, **options):
    """The last strip of a layer whose arrays `make` gives at a share of the training from 0 to 1."""
    view, album = view or FilmStrip(), Album()
    for step in steps:
        shown = layer(**make(1 - 0.9**step), **options)
        now = replace(
            snapshot(shown, inputs=inputs, when=f"epoch {step}/34"), step=step, best=step in best,
            history=album.frames, ranges={},
        )  # fmt: skip
        pictures = view.draw(now)
        album.add(Frame(step, now.when, {}, now.best, view.keep(now)))
    return pictures


def noise(shape):
    """The same numbers everywhere, without a pattern."""
    count = int(np.prod(shape))
    return (
        (np.sin(np.arange(1, count + 1, dtype=np.float64) ** 2 * 0.7) * 0.4).reshape(shape).astype(np.float32)
    )


def test_a_film_strip_of_images_looks_as_accepted(check_golden):
    def make(share):
        kernel = share * gabors(8, 5) + (1 - share) * noise((8, 1, 5, 5))
        kernel[4] = 0
        return {"kernel": kernel, "output": np.maximum(0, convolve(shapes(28), kernel))}

    strip, film = grown(make, inputs=shapes(28), view=FilmStrip(film=True, sample=2))
    check_golden(strip, "film_images")
    frames, _ = frames_of(film.png())
    assert len(frames) == 9


def test_a_film_strip_of_colours_looks_as_accepted(check_golden):
    images = np.concatenate([shapes(24)] * 3, axis=-1)

    def make(share):
        kernel = share * gabors(8, 7, colours=3) + (1 - share) * noise((8, 3, 7, 7))
        return {"kernel": kernel, "output": convolve(shapes(24), kernel[:, :1])}

    check_golden(grown(make, inputs=images)[0], "film_colours")


def test_a_film_strip_over_time_looks_as_accepted(check_golden):
    trace = waves()

    def make(share):
        time = np.linspace(-1, 1, 15, dtype=np.float32)
        kernel = np.stack([share * np.cos(4 * time + out) + (1 - share) * noise(15) for out in range(4)])[
            :, None
        ]
        rows = [[np.convolve(row[:, 0], one[0], "same") for one in kernel] for row in trace]
        return {"kernel": kernel.astype(np.float32), "output": np.moveaxis(np.array(rows, np.float32), 1, 2)}

    check_golden(grown(make, inputs=trace, name="pick", kind="Conv1D")[0], "film_curves")


def test_a_film_strip_of_a_dense_layer_looks_as_accepted(check_golden):
    def make(share):
        kernel = noise((10, 48)) * (1 - share) + share * np.sin(np.arange(480, dtype=np.float32) / 9).reshape(
            10, 48
        )
        return {"kernel": kernel.astype(np.float32), "output": (3 * share * kernel.T[:2]).astype(np.float32)}

    check_golden(grown(make, name="head", kind="Dense")[0], "film_dense")
