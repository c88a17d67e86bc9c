import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy
from view_models import layer, shapes, snapshot, volumes, waves

from layerviz_callbacks import ArgumentError, Layer
from layerviz_callbacks.coverage import coverage
from layerviz_callbacks.health.attention_measures import entropies
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.text import LINE_HEIGHT, measure
from layerviz_callbacks.request import Request
from layerviz_callbacks.views import Attention, Filters, head_tiles
from layerviz_callbacks.views.attention_curves import time_section
from layerviz_callbacks.views.attention_measures import distances, received, rollout
from layerviz_callbacks.views.attention_sections import Style, map_section, patch_section
from layerviz_callbacks.views.head_tiles import fit_head_tiles, largest_of_blocks
from layerviz_callbacks.views.patches import Placement, placement_of

RANDOM = np.random.default_rng(11)


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def some(*shape, sharpness=2.0):
    return softmax(sharpness * RANDOM.normal(size=shape))


def attending(weights, name="attention", place=5, kind="MultiHeadAttention", **options):
    options = {"attention_shape": weights.shape, **options}
    return Layer(name, kind, place, attention=weights, **options)


def maps_of(*shape, place=1, name="embedding"):
    return Layer(name, "Conv2D", place, kernel_shape=(shape[-1], 1, 4, 4), output_shape=shape)


def draw(weights, *others, inputs=None, names=None, **options):
    known = snapshot(*others, attending(weights), inputs=inputs, names=names)
    return Attention(**{"rollout": False, **options}).draw(known)[-1]


# -- what is computed ------------------------------------------------------------------------------------


def test_entropy_is_one_for_even_attention_and_zero_for_a_single_key():
    even, single = np.full((1, 1, 3, 4), 0.25), np.eye(4)[None, None, :3]
    half = np.array([[[[0.5, 0.5, 0, 0], [0.25] * 4]]])  # log 2 / log 4 and 1
    assert entropies(even).tolist() == [1]
    assert entropies(single).tolist() == [0]
    assert entropies(half).tolist() == [0.75]
    assert entropies(np.concatenate([even, single], axis=1)).tolist() == [1, 0]


def test_entropy_is_that_of_scipy():
    weights = some(3, 4, 7, 9)
    expected = scipy_entropy(weights.astype(np.float64), axis=-1).mean(axis=(0, 2)) / np.log(9)
    np.testing.assert_allclose(entropies(weights), expected, rtol=1e-6)


def test_distance_is_counted_in_places():
    # query 0 looks at key 2, query 1 half at 0 and half at 1, query 2 at itself: (2 + 0.5 + 0) / 3
    weights = np.array([[[[0, 0, 1.0], [0.5, 0.5, 0], [0, 0, 1]]]])
    assert distances(weights, None)[0] == pytest.approx(2.5 / 3)


def test_distance_on_patches_is_euclidean_and_leaves_the_class_token_out():
    grid = Placement("input", (2, 2), further=1)
    weights = np.zeros((1, 1, 5, 5))
    weights[0, 0, 0, 4] = 1  # the class token looks anywhere
    weights[0, 0, 1, [0, 4]] = 0.6, 0.4  # across the diagonal, and at the class token
    weights[0, 0, 2, 1], weights[0, 0, 3, 3], weights[0, 0, 4, 3] = 1, 1, 1  # aside, itself, aside
    assert distances(weights, grid)[0] == pytest.approx((np.sqrt(2) + 1 + 0 + 1) / 4)


@pytest.mark.parametrize("grid", [(60,), (6, 10), (3, 4, 5)])
def test_distance_is_that_of_plain_loops(grid):
    weights, places = some(2, 3, 60, 60), list(np.ndindex(*grid))
    expected = np.zeros(3)
    for query in range(60):
        for key in range(60):
            apart = np.linalg.norm(np.subtract(places[query], places[key]))
            expected += weights[:, :, query, key].mean(axis=0) * apart / 60
    np.testing.assert_allclose(distances(weights, Placement("", grid)), expected, rtol=1e-5)


def test_rows_that_are_no_weights_are_left_out_of_numbers():
    weights = np.full((1, 1, 4, 2), 0.5)
    expected = entropies(weights[:, :, :1]), distances(weights[..., :2, :], None)
    odd = weights.copy()
    odd[0, 0, 1], odd[0, 0, 2], odd[0, 0, 3] = np.nan, 0, [1.5, -0.5]
    assert entropies(odd) == expected[0] == 1
    assert np.isnan(entropies(odd[:, :, 1:])).all()
    assert np.isnan(entropies(np.ones((1, 2, 3, 1)))).all(), "of one key there is no entropy"


def test_rows_are_divided_by_their_sums_before_they_are_measured():
    weights = some(1, 2, 5, 5)
    np.testing.assert_allclose(entropies(0.25 * weights), entropies(weights), rtol=1e-6)
    np.testing.assert_allclose(distances(3 * weights, None), distances(weights, None), rtol=1e-6)


def test_what_a_key_receives_is_the_mean_over_queries():
    weights = np.array([[[[0.9, 0.1], [0.5, 0.5], [np.nan, np.nan]]]])
    values, words = received(weights, 0)
    np.testing.assert_allclose(values, [[[0.7, 0.3]]])
    assert words == "mean over 3 queries"
    assert np.isnan(received(weights[:, :, 2:].repeat(2, axis=2), 0)[0]).all()


def test_with_a_class_token_it_is_what_that_token_gives():
    weights = some(2, 3, 5, 5)
    values, words = received(weights, 1)
    np.testing.assert_array_equal(values, weights[:, :, 0, 1:])
    assert "class token" in words
    values, words = received(weights[:, :, 2:3], 1)
    np.testing.assert_array_equal(values, weights[:, :, 2, 1:])
    assert words == "weights of the one query"


def test_rollout_of_two_layers_is_the_product_computed_on_paper():
    first = np.array([[[[0.0, 1], [0, 1]]]])  # A = [[.5, .5], [0, 1]]
    second = np.array([[[[1.0, 0], [1, 0]]]])  # A = [[1, 0], [.5, .5]]
    np.testing.assert_array_equal(rollout([first, second])[0], [[0.5, 0.5], [0.25, 0.75]])
    np.testing.assert_array_equal(rollout([second, first])[0], [[0.75, 0.25], [0.5, 0.5]])


def test_rollout_averages_heads_and_divides_rows_by_their_sums():
    heads = np.array([[[[1.0, 0], [1, 0]], [[0, 1], [0, 1]]]])  # W = [[.5, .5], [.5, .5]]
    expected = np.array([[0.75, 0.25], [0.25, 0.75]])
    np.testing.assert_array_equal(rollout([heads, heads])[0], expected @ expected)
    doubled = 0.5 * np.array([[2.0, 0], [2, 0]]) + 0.5 * np.eye(2)  # rows sum to 1.5
    np.testing.assert_allclose(rollout([2 * heads[:, :1]])[0], doubled / 1.5)


def test_rollout_is_that_of_plain_code_and_its_row_is_found_without_the_matrix():
    attentions = [some(2, 3, 10, 10) for _ in range(4)]
    expected = np.broadcast_to(np.eye(10), (2, 10, 10))
    for attention in attentions:
        joined = 0.5 * attention.astype(np.float64).mean(axis=1) + 0.5 * np.eye(10)
        expected = (joined / joined.sum(axis=-1, keepdims=True)) @ expected
    np.testing.assert_allclose(rollout(attentions), expected, atol=1e-12)
    np.testing.assert_allclose(rollout(attentions, np.eye(10)[3]), expected[:, 3], atol=1e-12)
    np.testing.assert_allclose(rollout(attentions, np.full(10, 0.1)), expected.mean(axis=1), atol=1e-12)


def test_a_query_that_may_attend_to_nothing_stays_itself_in_rollout():
    masked = np.array([[[[0.0, 1], [np.nan, np.nan]]]])
    np.testing.assert_array_equal(rollout([masked])[0], [[0.5, 0.5], [0, 1]])


# -- where keys stand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "inputs", "outputs", "expected"),
    [
        (300, (300, 3), [], ((300,), 0)),
        (47, (6000, 3), [(94, 8), (47, 8)], ((47,), 0)),
        (47, (6000, 3), [], ((47,), 0)),  # pooled by 128, rounded up
        (61, (6000, 1), [(60, 8), (61, 8)], ((60,), 1)),
        (51, (100, 1), [], ((50,), 1)),
        (99, (100, 1), [], None),
        (128, (100, 1), [], None),
        (197, (224, 224, 3), [(14, 14, 64)], ((14, 14), 1)),
        (197, (224, 224, 3), [], ((14, 14), 1)),
        (196, (224, 224, 3), [], ((14, 14), 0)),
        (261, (224, 224, 3), [(16, 16, 64)], ((16, 16), 5)),  # a class token and four registers
        (9, (96, 96, 3), [(24, 24, 8), (3, 3, 8)], ((3, 3), 0)),
        (144, (32, 32, 3), [(72, 72, 3)], ((12, 12), 0)),  # the image is enlarged first
        (70, (64, 64, 3), [], None),  # not 8x8 and six more
        (8 * 64, (128, 1024, 1), [], ((8, 64), 0)),
        (100, (200, 200, 3), [(25, 25, 64)], None),  # object queries, not patches
        (50, (49, 49, 3), [], ((7, 7), 1)),
        (65, (16, 16, 16, 1), [(4, 4, 4, 8)], ((4, 4, 4), 1)),
        (64, (16, 16, 16, 1), [], ((4, 4, 4), 0)),
        (4, (5,), [], None),
        (5, (5,), [], ((5,), 0)),
    ],
)
def test_keys_are_placed_on_the_input(keys, inputs, outputs, expected):
    given = np.zeros((2, *inputs), np.float32)
    known = [
        Layer(f"layer{place}", "Conv", place, output_shape=(2, *shape))
        for place, shape in enumerate(outputs, start=1)
    ]
    attention = attending(np.zeros((2, 1, 1, keys), np.float32), place=9)
    shown = snapshot(*known, attention, inputs=given)
    found = placement_of(attention, shown)
    assert (None if found is None else (found.grid, found.further)) == expected
    only_shape = replace(attention, attention=None)
    assert placement_of(only_shape, shown) == found


def test_keys_of_windows_or_of_later_layers_are_not_placed():
    images = np.zeros((2, 56, 56, 3), np.float32)
    windows = attending(np.zeros((8, 1, 49, 49), np.float32))
    assert placement_of(windows, snapshot(windows, inputs=images)) is None
    early = attending(np.zeros((2, 1, 33, 33), np.float32), place=1)
    later = maps_of(2, 3, 11, 4, place=2)
    assert placement_of(early, snapshot(early, later, inputs=images)) is None
    assert placement_of(early, snapshot(replace(later, place=0), early, inputs=images)).grid == (3, 11)


def test_of_several_inputs_the_one_that_fits_has_the_keys():
    attention = attending(np.zeros((2, 1, 64, 64), np.float32))
    shown = snapshot(attention)
    inputs = {"age": np.zeros((2, 3), np.float32), "image": np.zeros((2, 32, 32, 3), np.float32)}
    assert placement_of(attention, replace(shown, inputs=inputs)).name == "image"


@pytest.mark.parametrize(("keys", "length"), [(47, 6000), (10, 100), (47, 94), (300, 300), (3000, 6000)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.77, 0.999])
def test_the_weight_of_a_key_stands_under_its_own_part_of_the_trace(keys, length, share):
    key = int(share * keys)
    values = np.zeros((1, 1, keys), np.float32)
    values[0, 0, key] = 1
    trace = np.zeros((1, length, 1), np.float32)
    trace[0, int((key + 0.5) * length / keys)] = 1
    section = time_section(values, trace, ["a"], Style(), samples=1, heads=1)
    panels = section.body[LINE_HEIGHT:]
    middle = len(panels) // 2  # the trace is above, the curve below
    impulse = np.flatnonzero((panels[:4] == palette.INK).any(axis=0))
    curve = np.flatnonzero((panels[middle : middle + 6] == palette.CURVES[0]).any(axis=0))
    width = section.body.shape[1]
    assert curve.min() <= impulse.min() and impulse.max() <= curve.max()
    assert abs(curve.min() - width * key / keys) <= 4
    assert abs(curve.max() + 1 - width * (key + 1) / keys) <= 4


@pytest.mark.parametrize("patch", [0, 5, 11, 3])
def test_the_weight_of_a_patch_stands_at_its_own_place_in_the_image(patch):
    values = np.zeros((1, 1, 12), np.float32)
    values[0, 0, patch] = 1
    image = np.ones((1, 30, 40, 1), np.float32)
    row, column = divmod(patch, 4)
    image[0, 10 * row : 10 * row + 10, 10 * column : 10 * column + 10] = 0
    section = patch_section(values, Placement("", (3, 4)), image, ["a"], Style(), samples=1, heads=1)
    fitted = fit_head_tiles((3, 4), samples=1, heads=1, further=1, aspect=0.75)
    height, width = fitted.height, fitted.width
    tiles = section.body[2 * LINE_HEIGHT :, : 2 * width + 4]
    if fitted.blocks.tiles.columns == 2:
        beside, shown = tiles[:height, :width], tiles[:height, width + 4 :]
    else:
        beside, shown = tiles[:height, :width], tiles[height + 4 + LINE_HEIGHT :][:height, :width]
    np.testing.assert_array_equal(beside == palette.INK, shown == palette.LEVELS - 1)
    assert (shown == palette.LEVELS - 1).mean() == pytest.approx(1 / 12)


# -- maps ------------------------------------------------------------------------------------------------


def test_a_map_shows_each_weight_in_whole_factors_queries_down():
    weights = np.array([[[[1.0, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1], [0.25] * 4]]], np.float32)
    section = map_section(weights, ["a"], Style(), samples=1, heads=1)
    side = fit_head_tiles((4, 4), samples=1, heads=1).height
    shown = section.body[2 * LINE_HEIGHT :, :side]
    cells = shown.reshape(4, side // 4, 4, side // 4)
    assert (cells == cells[:, :1, :, :1]).all()
    np.testing.assert_array_equal(cells[:, 0, :, 0], np.rint(weights[0, 0] * 223))


@pytest.mark.parametrize("size", [197, 500, 1000])
def test_lines_and_diagonals_one_weight_wide_keep_their_height_in_large_maps(size):
    weights = np.zeros((1, 2, size, size), np.float32)
    weights[0, 0, range(size), range(size)] = 1
    weights[0, 1, :, size // 3] = 1
    section = map_section(weights, ["a"], Style(), samples=1, heads=2)
    fitted = fit_head_tiles((size, size), samples=1, heads=2)
    assert min(fitted.cell) >= 2, "none is lost on a card that shows each second pixel"
    bright = section.body == palette.LEVELS - 1
    for drawn in (bright, bright[::2, ::2], bright[1::2, 1::2]):
        assert drawn.any(axis=1).sum() >= 0.9 * fitted.height / (len(bright) / len(drawn))
    assert f"largest of {fitted.reduce[0]}x{fitted.reduce[1]} weights" in section.words


def test_blocks_are_reduced_to_their_largest_and_keep_nan():
    values = np.array([[0, 0.9, 0.1], [-1, 0, 0.2], [np.nan, 0, 0.3]])
    np.testing.assert_array_equal(largest_of_blocks(values, (2, 2)), [[-1, 0.2], [np.nan, 0.3]])
    np.testing.assert_array_equal(largest_of_blocks(values[:2], (1, 3)), [[0.9], [-1]])


def test_tiles_are_legible_and_the_sheet_says_how_many_heads_it_leaves_out():
    assert "12 heads, 4 samples" in draw(some(4, 12, 197, 197), inputs=np.zeros((4, 5))).caption
    picture = draw(some(4, 32, 50, 50), inputs=np.zeros((4, 5)))
    assert re.search(r"(8|16) of 32 heads, 4 samples", picture.caption)
    for size, heads in [((197, 197), 12), ((50, 50), 32), ((576, 9), 8), ((1000, 1000), 16)]:
        fitted = fit_head_tiles(size, samples=4, heads=heads)
        assert max(fitted.height, fitted.width) >= 80


def test_the_maps_of_four_samples_over_time_are_large_whole_and_under_whole_names():
    fitted = fit_head_tiles((94, 94), samples=4, heads=1)
    assert fitted.blocks.columns == 2 and fitted.reduce == (1, 1) and fitted.width == 282
    names = ["event RJOB 2009", "event UH3 16:27", "noise f11", "noise MOLA"]
    picture = draw(some(4, 1, 94, 94), inputs=waves(940)[[0, 1, 2, 2]], names=names)
    assert "1 cell" not in picture.caption
    for name in names:
        assert measure(name) <= fitted.blocks.width


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_a_higher_body_of_maps_leaves_no_more_width_unused_than_a_flat_one(samples, heads):
    for size in [(4, 4), (17, 17), (48, 48), (94, 94), (65, 65), (300, 300), (94, 3), (1, 47)]:
        fitted = fit_head_tiles(size, samples=samples, heads=heads)
        flat = head_tiles._largest(head_tiles._wanted(size), samples, heads, head_tiles.BODY_HEIGHTS[0])
        if flat is not None and (fitted.blocks.samples, fitted.blocks.count) == (samples, heads):
            assert fitted.blocks.used >= min(2 / 3, flat.blocks.used)
            assert fitted.side >= flat.side


def test_all_maps_share_one_scale_unless_each_head_is_to_have_its_own():
    weights = np.zeros((1, 2, 4, 4), np.float32)
    weights[0, 0] = np.eye(4)
    weights[0, 1] = 0.25
    common = draw(weights, inputs=np.zeros((1, 5)))
    assert "maps: colours from 0 to 1" in common.caption
    assert (common.pixels == 56).sum() > 1000  # a quarter
    own = draw(weights, inputs=np.zeros((1, 5)), contrast="head")
    assert not (own.pixels[-100:] == 56).any()
    assert "maps of each head have their own scale" in own.caption


# -- sheets ----------------------------------------------------------------------------------------------


def test_the_sheet_of_a_sequence_has_the_mean_of_heads_in_bold_over_single_heads():
    weights = np.zeros((2, 2, 10, 10), np.float32)
    weights[:, 0, :, 2], weights[:, 1, :, 7] = 1, 1
    picture = draw(weights, inputs=waves(100)[:2])
    colours = [int((picture.pixels == index).sum()) for index in palette.CURVES[:2]]
    assert min(colours) > 500
    assert (picture.pixels == palette.CURVES[6]).sum() > max(colours)
    for words in ("bold: the mean of all heads", "head 0; head 1", "mean over 10 queries", "even 0.1"):
        assert words in picture.caption
    many = draw(some(2, 9, 10, 10), inputs=waves(100)[:2])
    assert "thin: each head" in many.caption and not (many.pixels == palette.CURVES[1]).any()


def test_one_query_is_drawn_once_as_a_curve_where_its_keys_are_time_steps():
    picture = draw(some(3, 1, 1, 47), inputs=waves(6000))
    assert "weights of the one query; 47 time steps on the axis of the input's 6000" in picture.caption
    assert "maps" not in picture.caption
    assert "maps" in draw(some(3, 1, 1, 47), inputs=np.zeros((3, 5))).caption


def test_the_sheet_of_tokens_names_them_where_there_is_room():
    tokens = np.array([[101, 7592, 102], [101, 2088, 102]])
    named = draw(some(2, 1, 3, 3), inputs=tokens)
    other = draw(some(2, 1, 3, 3), inputs=tokens + 1)
    assert "3 tokens" in named.caption
    assert named.size == other.size and (named.pixels != other.pixels).any()
    assert "200 tokens" in draw(some(2, 1, 200, 200), inputs=np.tile(tokens, (1, 67))[:, :200]).caption


def test_the_sheet_of_patches_says_whose_weights_it_shows():
    patches = maps_of(3, 4, 4, 8)
    picture = draw(some(3, 2, 17, 17), patches, inputs=shapes(16))
    assert "weights of the class token (query 0); 4x4 patches" in picture.caption
    without = draw(some(3, 2, 16, 16), patches, inputs=shapes(16))
    assert "mean over 16 queries; 4x4 patches" in without.caption
    volume = draw(some(2, 2, 65, 65), maps_of(2, 4, 4, 4, 8), inputs=volumes(16))
    assert "4x4x4 patches, slices 0, 2, 3 of 4" in volume.caption


def test_samples_that_are_not_the_probes_are_rows_and_it_is_said():
    picture = draw(some(8, 3, 49, 49), inputs=shapes(56), names=["ring", "bar", "cross"])
    assert "its 8 samples are not the probe's 3" in picture.caption
    assert "4 of 8 samples" in picture.caption


def test_nan_rows_have_their_colour_and_are_counted():
    weights = some(2, 2, 6, 6)
    weights[1, 0, 2:4] = np.nan
    picture = draw(weights, inputs=np.zeros((2, 5)))
    assert (picture.pixels == palette.NOT_A_NUMBER).sum() > 200
    assert "2 rows with NaN" in picture.caption
    assert np.isfinite(list(Attention().scalars(snapshot(attending(weights))).values())).all()


def test_rows_that_do_not_sum_to_one_are_shown_as_they_are_and_said():
    weights = some(2, 1, 4, 4)
    assert "sum to one" not in draw(weights.astype(np.float16)).caption
    weights[0, 0, 1] *= 0.5
    assert "12% of the rows do not sum to one, but to 0.5" in draw(weights).caption
    assert "even" not in draw(weights * 3).caption


def test_negative_weights_have_colours_on_both_sides_of_zero():
    weights = np.array([[[[1.0, -2.0], [0.5, 0.0]]]], np.float32)
    picture = draw(weights, inputs=np.zeros((1, 5)))
    assert picture.palette is palette.diverging()
    assert "colours from -2 to 2" in picture.caption


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_shape_one_sheet_is_drawn_and_it_has_the_words(seed):
    random = np.random.default_rng(seed)
    samples, heads = random.choice([1, 2, 4, 7]), random.choice([1, 2, 3, 12, 33])
    queries, keys = random.choice([1, 2, 9, 47, 64, 130, 333], size=2)
    keys = queries if random.random() < 0.5 else keys
    weights = random.random((samples, heads, queries, keys), np.float32)
    weights[random.random(weights.shape) < 0.01] = random.choice([0, np.nan, np.inf, -1, 1e30])
    rank = random.integers(0, 4)
    inputs = random.random(
        (random.choice([samples, 3]), *random.choice([8, 16, 47], size=rank), 2), np.float32
    )
    inputs = (100 * inputs).astype(random.choice(["float32", "uint8", "int64"]))
    view = Attention(max_heads=random.choice([None, 3]), contrast=random.choice(["layer", "head"]))
    view = view.reduced(int(random.choice([1, 3])))
    shown = snapshot(
        attending(weights),
        attending(weights[:, :1], "attention 2"),
        layer(output=None, place=3),
        inputs=inputs,
    )
    pictures = view.draw(shown)
    assert len(pictures) == (3 if queries == keys and samples == len(inputs) else 2)
    for picture in pictures:
        assert picture.size[0] == 700 and picture.size[1] < 2600
        assert f"{heads} head" in picture.caption or picture is not pictures[0]
    assert all(np.isfinite(value) for value in view.scalars(shown).values())


def test_the_same_weights_give_the_same_pixels():
    weights = some(3, 4, 17, 17)
    pictures = [
        draw(given, maps_of(3, 4, 4, 8), inputs=shapes(16)) for given in (weights, np.asfortranarray(weights))
    ]
    np.testing.assert_array_equal(pictures[0].pixels, pictures[1].pixels)
    assert pictures[0].png() == pictures[1].png()


# -- rollout ---------------------------------------------------------------------------------------------


def test_rollout_is_one_more_sheet_through_the_drawn_layers_in_their_order():
    first, second = some(3, 2, 17, 17), some(3, 4, 17, 17)
    known = snapshot(
        maps_of(3, 4, 4, 8),
        attending(first, "a", 2),
        attending(second, "b", 3),
        attending(some(3, 2, 17, 5), "cross", 4),
        inputs=shapes(16),
    )
    pictures = Attention().draw(known)
    tags = [picture.tag for picture in pictures]
    assert tags == ["attention/02_a", "attention/03_b", "attention/04_cross", "attention/rollout"]
    caption = pictures[-1].caption
    assert "2 layers, 17 tokens, 3 samples" in caption and "through a, b" in caption
    assert "from the class token (query 0); 4x4 patches" in caption
    flow = rollout([first, second])
    assert f"maps: colours from 0 to {flow.max():.3g}" in caption
    assert f"on the input: colours from 0 to {flow[:, 0, 1:].max():.3g}" in caption
    assert len(Attention(rollout=False).draw(known)) == 3
    assert len(Attention(layers=["a", "cross"]).draw(replace(known, chosen=None))) == 2


def test_there_is_no_rollout_through_layers_of_different_sizes_and_it_is_said_once():
    known = snapshot(attending(some(2, 1, 4, 4), "a", 2), attending(some(2, 1, 9, 9), "b", 3))
    pictures = Attention().draw(known)
    assert [picture.tag for picture in pictures] == ["attention/02_a", "attention/03_b"]
    assert "no rollout: layers attend to different numbers of keys (4, 9)" in pictures[0].caption
    assert "rollout" not in pictures[1].caption
    for samples in (2, 8):
        windows = snapshot(attending(some(samples, 1, 4, 4), "a", 2), attending(some(8, 1, 4, 4), "b", 3))
        first, *others = Attention().draw(windows)
        assert "no rollout: layers attend within 8 windows, not within the 2 samples" in first.caption
        assert len(others) == 1
    assert "rollout" not in Attention(rollout=False).draw(known)[0].caption


def test_rollout_goes_through_the_layers_that_are_named_drawn_or_not():
    trunk, p, s = (some(3, 2, 20, 20) for _ in range(3))
    known = snapshot(
        attending(trunk, "trunk", 2), attending(p, "P", 3), attending(s, "S", 4), inputs=waves(100)
    )
    *_, both = Attention().draw(known)
    assert "through trunk, P, S, taken to follow one another" in both.caption
    for branch, weights in (("P", p), ("S", s)):
        *sheets, picture = Attention(rollout=["trunk", branch]).draw(known)
        assert len(sheets) == 3 and picture.tag == "attention/rollout"
        assert "2 layers, 20 tokens, 3 samples; " in picture.caption
        assert f"through trunk, {branch}, taken to follow" in picture.caption
        assert f"maps: colours from 0 to {rollout([trunk, weights]).max():.3g}" in picture.caption
    one = Attention(layers="P", rollout=("trunk", "S"))
    shown = replace(known, chosen=None)
    assert [picture.tag for picture in one.draw(shown)] == ["attention/03_P", "attention/rollout"]
    assert one.request(one.drawn(shown), shown).attention == {"trunk", "P", "S"}
    assert Attention(layers="P").request(one.drawn(shown), shown).attention == {"P"}


def test_the_layers_of_a_rollout_are_checked_before_training():
    known = snapshot(
        attending(some(2, 1, 4, 4), "trunk", 2), attending(some(2, 1, 4, 4), "P", 3), maps_of(2, 4, 4, 8)
    )
    Attention(rollout=["*"]).check(known)
    Attention().check(known)
    for names, words in [
        (["trunk", "Q"], "rollout=('trunk', 'Q') ('Q') matches no layer. This model has ['trunk', 'P']"),
        (["embedding", "P"], "matches no layer"),
        (["P"], "rollout=['P'] is a single layer of this model. Give two or more"),
    ]:
        with pytest.raises(ArgumentError, match=re.escape(words)):
            Attention(rollout=names).check(known)


def test_rollout_of_many_tokens_is_found_without_maps():
    weights = some(1, 1, 600, 600)
    layers = [attending(weights, "a", 2), attending(weights, "b", 3)]
    *_, picture = Attention().draw(snapshot(*layers, inputs=np.zeros((1, 600, 1), np.float32)))
    assert picture.tag == "attention/rollout" and "maps" not in picture.caption
    assert len(Attention().draw(snapshot(*layers, inputs=np.zeros((1, 5))))) == 2


# -- choosing, reading, numbers --------------------------------------------------------------------------


def test_layers_that_attend_are_drawn_by_default_and_the_others_told():
    known = [
        Layer("conv", "Conv2D", 1, kernel_shape=(4, 1, 3, 3), output_shape=(2, 8, 8, 4)),
        Layer("attention", "MultiHeadAttention", 2, attention_shape=(2, 1, 4, 4)),
        Layer("attention#2", "MultiHeadAttention", 2, attention_shape=(2, 1, 4, 4), part_of="attention"),
    ]
    shown = replace(snapshot(*known), chosen=None)
    view = Attention()
    assert [one.name for one in view.drawn(shown)] == ["attention", "attention#2"]
    told = coverage(shown, [(view, None)])
    assert told.pictured == ("attention",)
    assert told.missing == {"conv": "no attention is computed in them"}
    assert "1 of 2 layers pictured; 1 not: conv (no attention is computed in them)" in told.line()
    named = coverage(shown, [(view, frozenset({"conv"}))])
    assert named.missing == {"conv": "it computes no attention"}
    assert coverage(shown, [(Filters(), None), (view, None)]).missing == {}


def test_no_more_samples_are_asked_for_than_are_drawn():
    known = [
        Layer("a", "MultiHeadAttention", 1, attention_shape=(9, 1, 4, 4)),
        Layer("a attention 2", "MultiHeadAttention", 1, attention_shape=(9, 1, 4, 4), part_of="a"),
    ]
    shown = replace(snapshot(*known), chosen=None)
    view = Attention(max_samples=6)
    expected = Request(attention=frozenset({"a"}), attention_samples=6)
    assert view.request(view.drawn(shown), shown) == expected
    assert view.reduced(2).request(view.drawn(shown), shown).attention_samples == 3
    assert view.reduced(100).request(view.drawn(shown), shown).attention_samples == 1


def test_fewer_heads_and_samples_are_drawn_by_a_reduced_view():
    weights, inputs = some(4, 8, 6, 6), np.zeros((4, 5))
    assert "8 heads, 4 samples" in draw(weights, inputs=inputs).caption
    known = snapshot(attending(weights), inputs=inputs)
    assert "4 of 8 heads, 2 of 4 samples" in Attention().reduced(2).draw(known)[0].caption
    assert "1 of 8 heads, 1 of 4 samples" in Attention().reduced(2).reduced(9).draw(known)[0].caption
    assert "3 of 8 heads" in draw(weights, inputs=inputs, max_heads=3).caption


def test_a_layer_whose_attention_was_not_read_has_no_picture_and_no_numbers():
    read = attending(some(2, 1, 4, 4), "a", 1)
    unread = replace(read, name="b", attention=None)
    known = snapshot(read, unread)
    assert [picture.tag for picture in Attention().draw(known)] == ["attention/01_a"]
    assert {tag.split("/")[1] for tag in Attention().scalars(known)} == {"01_a"}
    assert Attention().draw(snapshot(unread)) == []


def test_what_holds_no_weights_is_refused_in_words():
    view = Attention()
    assert "of shape (2, 0, 4, 4)" in view.refusal(Layer("a", "A", 1, attention_shape=(2, 0, 4, 4)))
    assert (
        view.refusal(Layer("a", "A", 1, attention_shape=(2, 1, 4, 4), refusal="it is sharded"))
        == "it is sharded"
    )


def test_numbers_are_named_by_layer_and_head():
    weights = np.zeros((2, 2, 4, 4), np.float32)
    weights[:, 0], weights[:, 1] = np.eye(4), 0.25
    known = snapshot(attending(weights, "block/attention", 7), attending(weights[:, :, :1], "global", 9))
    numbers = Attention().scalars(known)
    assert numbers == {
        "attention entropy/07_block/attention/head 0": 0,
        "attention entropy/07_block/attention/head 1": 1,
        "attention distance/07_block/attention/head 0": 0,
        "attention distance/07_block/attention/head 1": pytest.approx(1.25),
        "attention entropy/09_global/head 0": 0,
        "attention entropy/09_global/head 1": 1,
    }


def test_numbers_are_of_the_samples_that_are_drawn():
    weights = np.concatenate([np.full((1, 1, 4, 4), 0.25), np.eye(4)[None, None]]).astype(np.float32)
    (entropy, _) = Attention(max_samples=1).scalars(snapshot(attending(weights))).values()
    assert entropy == 1
    (entropy, _) = Attention().scalars(snapshot(attending(weights))).values()
    assert entropy == 0.5


def test_wrong_arguments_say_what_to_type():
    for options, word in [
        ({"max_samples": 0}, "max_samples=1"),
        ({"max_heads": 2.5}, "max_heads=1"),
        ({"rollout": "yes"}, "True, False, or a list of the names of layers"),
        ({"rollout": []}, "True, False, or a list of the names of layers"),
        ({"rollout": [3]}, "True, False, or a list of the names of layers"),
        ({"contrast": "heads"}, "Did you mean 'head'"),
    ]:
        with pytest.raises(ArgumentError, match=re.escape(word)):
            Attention(**options)


# -- golden ----------------------------------------------------------------------------------------------


def looking_at_bright_patches(images, heads=4, side=8):
    """As a trained class token does: each head prefers another brightness, and near patches."""
    size = images.shape[1] // side
    patches = (
        images[..., 0].reshape(len(images), side, size, side, size).mean(axis=(2, 4)).reshape(-1, side**2)
    )
    y, x = np.divmod(np.arange(side**2), side)
    apart = np.hypot(y[:, None] - y, x[:, None] - x)
    scores = np.zeros((len(images), heads, side**2 + 1, side**2 + 1))
    for head in range(heads):
        scores[:, head, :, 1:] = (3 - 2 * head) * 2 * patches[:, None]
        scores[:, head, 1:, 1:] -= apart * (head + 0.5) / 2
    return softmax(scores)


def test_attention_on_images_looks_as_accepted(check_golden):
    images = shapes(32)
    weights = looking_at_bright_patches(images)
    known = snapshot(
        maps_of(3, 8, 8, 16),
        attending(weights, "encoder.0.attention", 2),
        attending(weights[:, ::-1], "encoder.1.attention", 3),
        inputs=images,
        names=["ring", "bar", "cross"],
    )
    first, _, through = Attention().draw(known)
    check_golden(first, "attention_patches")
    check_golden(through, "attention_rollout")


def test_attention_over_time_looks_as_accepted(check_golden):
    traces = waves(1500)
    strength = np.abs(traces[:, :1488]).max(axis=-1).reshape(3, 48, 31).max(axis=-1)
    place = np.arange(48)
    apart = np.abs(place[:, None] - place)
    local = np.where(apart <= 1, 4 * strength[:, None] - apart, -np.inf)[:, None]
    heads = np.stack([6 * strength[:, None] - apart * rate for rate in (0.02, 0.2, 1)], axis=1)
    options = {"inputs": traces, "names": ["event 1", "event 2", "noise"]}
    check_golden(draw(softmax(local), **options), "attention_local")
    check_golden(draw(softmax(heads), **options), "attention_heads")
    check_golden(draw(softmax(6 * strength[:, None, None]), **options), "attention_global")
