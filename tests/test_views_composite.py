import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from view_models import (
    convolve,
    convolve_volumes,
    gabors,
    layer,
    only_shapes,
    read_with,
    shapes,
    snapshot,
    volumes,
    waves,
    waves_in_space,
)

from layerviz_callbacks import ArgumentError, Layer
from layerviz_callbacks.coverage import coverage
from layerviz_callbacks.plan import checked_views, plan_of
from layerviz_callbacks.reader import LayerEntry
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.resize import resized, resized_classes
from layerviz_callbacks.views import Composite, FeatureMaps
from layerviz_callbacks.views.composite_drawings import SHADES, group_palette
from layerviz_callbacks.views.composite_methods import (
    clusters,
    mean_magnitude,
    principal_component,
    strongest,
)

METHODS = ["mean", "top-k", "principal component", "clusters"]
RANDOM = np.random.default_rng(7)


def draw(output, *, inputs=None, outputs=None, names=None, kind="Conv2D", **options):
    shown = snapshot(layer(kind=kind, output=output), inputs=inputs, names=names)
    shown = replace(shown, outputs=outputs or {})
    (picture,) = Composite(**options).draw(shown)
    return picture


# -- methods ---------------------------------------------------------------------------------------------


def test_the_mean_is_that_of_magnitudes():
    output = np.array([[1.0, -3.0], [0.0, 2.0], [-4.0, -4.0]]).reshape(1, 3, 1, 2)
    np.testing.assert_array_equal(mean_magnitude(output).ravel(), [2, 1, 4])


def test_the_principal_component_of_two_channels_is_the_one_computed_on_paper():
    # centred: (2, 1), (-2, -1), (0, 0); all on the line (2, 1) / sqrt(5), so that it explains everything
    output = np.array([[7.0, 4.0], [3.0, 2.0], [5.0, 3.0]]).reshape(1, 3, 1, 2)
    found = principal_component(output)
    np.testing.assert_allclose(found.maps.ravel(), np.array([1, -1, 0]) * np.sqrt(5), atol=1e-6)
    np.testing.assert_allclose(found.weights, [2 / np.sqrt(5), 1 / np.sqrt(5)], atol=1e-9)
    assert found.share == pytest.approx(1)
    # channels (2, -2, 0, 0) and (0, 0, 1, -1): the first has 8 of the 10 of the variance
    apart = np.array([[2.0, 0], [-2, 0], [0, 1], [0, -1]]).reshape(1, 2, 2, 2)
    assert principal_component(apart).share == pytest.approx(0.8)
    np.testing.assert_allclose(np.abs(principal_component(apart).weights), [1, 0], atol=1e-9)


def test_the_larger_side_of_the_principal_component_is_positive():
    output = np.array([-5.0, 1, 1, 1, 2]).reshape(1, 5, 1, 1)
    found = principal_component(output)
    assert found.maps.max() > -found.maps.min()
    np.testing.assert_allclose(found.maps.ravel(), [5, -1, -1, -1, -2])


@pytest.mark.parametrize("shape", [(3, 8, 8, 12), (2, 4, 4, 300), (3, 12, 12, 300)])
def test_the_principal_component_is_that_of_scikit_learn(shape):
    common = RANDOM.normal(size=(*shape[:-1], 3))
    output = common @ (RANDOM.normal(size=(3, shape[-1])) * [[3], [2], [1]])
    output = output + 0.2 * RANDOM.normal(size=shape)
    found = principal_component(output.astype(np.float32))
    flat = output.astype(np.float32).reshape(-1, shape[-1]).astype(np.float64)
    oracle = PCA(1, svd_solver="full").fit(flat)
    expected = oracle.transform(flat)[:, 0].reshape(shape[:-1])
    expected *= np.sign((expected * found.maps).sum())
    np.testing.assert_allclose(found.maps, expected, rtol=1e-3, atol=1e-3)
    assert found.share == pytest.approx(oracle.explained_variance_ratio_[0], rel=1e-5)


def test_channels_are_grouped_by_the_correlation_of_their_maps():
    # 0 and 2 are the same but for size and offset; 1 and 3 likewise
    left, top = np.array([1.0, 0, 1, 0]), np.array([1.0, 1, 0, 0])
    output = np.stack([left, top, 5 * left + 1, 2 * top], axis=-1).reshape(1, 2, 2, 4)
    found = clusters(output, 2)
    assert found.groups == ((0, 2), (1, 3))
    # mean magnitudes: group 1 (1 + 6, 0 + 1, 1 + 6, 0 + 1) / 2, group 2 (1 + 2, 1 + 2, 0, 0) / 2
    np.testing.assert_array_equal(found.leading.ravel(), [0, 1, 0, 0])
    np.testing.assert_allclose(found.strength.ravel(), [3.5, 1.5, 3.5, 0.5])


def test_channels_that_never_change_are_in_no_group():
    output = np.zeros((1, 4, 1, 3))
    output[0, :, 0, 1], output[0, :, 0, 2] = [1, 0, 0, 0], 3
    assert clusters(output, 2).groups == ((1,),)
    nothing = clusters(np.ones((1, 4, 1, 2)), 2)
    assert nothing.groups == () and (nothing.leading == -1).all()


def test_clusters_are_those_of_scikit_learn():
    common = RANDOM.normal(size=(600, 4))
    member = np.arange(24) % 4
    output = (common[:, member] + 0.4 * RANDOM.normal(size=(600, 24))).reshape(1, 20, 30, 24)
    found = clusters(output, 4)
    flat = output.reshape(600, 24)
    standardized = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    oracle = KMeans(4, n_init=10, random_state=0).fit(standardized.T).labels_
    expected = sorted(tuple(np.flatnonzero(oracle == number).tolist()) for number in range(4))
    assert list(found.groups) == expected


def test_every_method_is_deterministic_and_takes_nan_as_nan():
    output = RANDOM.normal(size=(2, 6, 6, 5)).astype(np.float32)
    output[0, 2, 3, 1], output[1, 0, 0, 2] = np.nan, np.inf
    for join in (mean_magnitude, lambda x: principal_component(x).maps, lambda x: clusters(x, 3).strength):
        first, second = join(output), join(output.copy())
        np.testing.assert_array_equal(first, second)
        assert np.isnan(first[0, 2, 3]) and np.isinf(first[1, 0, 0])
        assert np.isfinite(first).sum() == first.size - 2


def test_the_strongest_channels_have_the_largest_mean_magnitude():
    assert strongest(np.array([[1.0, -3.0, 2.0], [1.0, 3.0, 2.0]]).reshape(1, 2, 1, 3), 2) == (1, 2)


# -- sheets ----------------------------------------------------------------------------------------------


def test_a_2x2_map_is_four_squares_of_its_means():
    output = np.array([[[4.0, 4], [0, 0]], [[1, 3], [-2, 0]]]).reshape(1, 2, 2, 2).astype(np.float32)
    picture = draw(output)
    tile = picture.pixels[-328:-8, 8:328]
    assert (tile[:160, :160] == 223).all() and (tile[:160, 160:] == 0).all()
    assert (tile[160:, :160] == 112).all() and (tile[160:, 160:] == 56).all()  # 2 and 1 of 4
    assert "colours from 0 to 4" in picture.caption


def test_the_picture_is_that_of_the_map_at_every_pixel():
    images = shapes(8)
    output = convolve(images, gabors(6, 3))
    picture = draw(output, inputs=images, method="principal component")
    assert picture.palette is palette.diverging()
    maps = principal_component(output).maps
    limit = float(np.abs(maps).max())
    largest = np.unravel_index(np.abs(maps).argmax(), maps.shape)
    assert maps[largest] > 0  # the larger side
    assert (picture.pixels == 222).sum() > 100
    assert f"colours from -{limit:.3g} to {limit:.3g}" in picture.caption
    assert re.search(r"first principal component: \d+% of the variance", picture.caption)


def test_top_k_names_the_channels_and_joins_no_others():
    output = np.zeros((2, 4, 4, 6), np.float32)
    output[..., 4], output[..., 1], output[..., 0] = 8, 4, 100
    output[..., 0] = 0
    picture = draw(output, method="top-k", count=2)
    assert "strongest channels: 4, 1" in picture.caption and "2 of 6 channels" in picture.caption
    assert "colours from 0 to 6" in picture.caption


def test_chosen_channels_are_joined_and_named():
    output = np.zeros((1, 4, 4, 6), np.float32)
    output[0, 0, 0] = [1, 2, 3, 4, 5, 6]
    picture = draw(output, channels=[5, 3])
    assert "colours from 0 to 5" in picture.caption and "channels 5, 3" in picture.caption
    refused = Composite(channels=[9]).refusal(layer(output=output))
    assert "none of channels=[9] is there" in refused


def test_clusters_show_a_colour_a_group_as_bright_as_it_is_strong():
    output = np.zeros((1, 4, 4, 3), np.float32)
    output[0, :2, :, 0], output[0, 2:, :, 1], output[0, 2:, :, 2] = 4, 2, 2
    picture = draw(output, method="clusters", count=2)
    bright, half = SHADES - 1, SHADES + (SHADES - 1) // 2
    both = [int((picture.pixels == level).sum()) for level in (bright, half)]
    assert min(both) > 1000
    assert "colour 1: 1 channel; colour 2: 2 channels" in picture.caption
    assert "brightness from 0 to 4" in picture.caption


def test_colours_of_groups_are_told_apart_by_colour_blind_eyes():
    # Machado, Oliveira and Fernandes 2009, full protanopia, deuteranopia and tritanopia, in linear RGB
    seen_by = {
        "all": np.eye(3),
        "protan": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
        "deutan": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
        "tritan": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
    }  # fmt: skip
    brightest = group_palette()[SHADES - 1 : 6 * SHADES : SHADES] / 255
    for name, matrix in seen_by.items():
        seen = np.clip(brightest**2.2 @ np.transpose(matrix), 0, 1) ** (1 / 2.2)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
        assert apart[~np.eye(6, dtype=bool)].min() > 0.12, name


def test_the_input_and_the_models_own_output_stand_beside():
    images = shapes(16)
    output = convolve(images, gabors(6, 3))
    classes = RANDOM.random((3, 16, 16, 4)).astype(np.float32)
    alone = draw(output)
    beside = draw(output, inputs=images, outputs={"output": classes})
    assert "input" not in alone.caption
    assert "input, composite, the model's output (classes)" in beside.caption
    for number in range(4):
        assert (beside.pixels == palette.CURVES[number]).sum() > 500
        assert not (alone.pixels == palette.CURVES[number]).any()
    grey = draw(output, inputs=images, outputs={"output": classes}, method="clusters")
    assert "classes in greys" in grey.caption and not (grey.pixels == palette.CURVES[0]).any()
    vector = draw(output, inputs=images, outputs={"output": classes[:, 0, 0]})
    assert "the model's output" not in vector.caption


def test_a_layer_of_another_rank_than_the_input_is_drawn_alone():
    picture = draw(RANDOM.random((3, 10, 4)).astype(np.float32), inputs=shapes(8), kind="Dense")
    assert "input" not in picture.caption and "length 10" in picture.caption


def test_curves_share_the_axis_of_the_input():
    traces = waves(300)
    output = np.zeros((3, 150, 4), np.float32)
    output[:, 75:] = 1  # from the middle on
    picture = draw(output, inputs=traces, kind="Conv1D", outputs={"output": traces[..., :1] ** 2})
    assert "from above: input, composite, the model's output" in picture.caption
    blue = picture.pixels == palette.CURVES[0]
    top = np.flatnonzero(blue.sum(axis=1) > 300)[0]
    columns = np.flatnonzero(blue[top])
    assert abs(columns.min() - 350) < 6  # the middle of the sheet
    ribbon = draw(output + RANDOM.random((3, 150, 4)).astype(np.float32), inputs=traces, method="clusters")
    assert "colour 1:" in ribbon.caption


def test_a_dead_layer_is_crossed_out_and_told():
    picture = draw(np.zeros((2, 4, 4, 3), np.float32))
    assert (picture.pixels == palette.DEAD).sum() > 50
    assert "3 all zero" in picture.caption and "crossed out: the same everywhere" in picture.caption


def test_nan_has_its_colour_and_is_counted():
    output = np.ones((2, 8, 8, 3), np.float32)
    output[0, 0, 0, 1] = np.nan
    for method in METHODS:
        picture = draw(output, method=method)
        assert (picture.pixels == palette.NOT_A_NUMBER).sum() > 100, method
        assert "NaN in 1 sample" in picture.caption and "1 with NaN" in picture.caption


def test_volumes_show_slices_and_say_which():
    inputs = volumes(16)
    output = convolve_volumes(inputs, waves_in_space(5))
    for method in METHODS:
        picture = draw(output, inputs=inputs, kind="Conv3D", method=method)
        assert "slices 1, 4, 8, 11, 14 of 16, left to right" in picture.caption


def test_several_methods_stand_side_by_side_in_one_callback():
    composites = [Composite(layers="conv1", method=method) for method in METHODS]
    assert [view.family for view in checked_views(composites)] == [
        "composite", "composite top-k", "composite principal component", "composite clusters",
    ]  # fmt: skip
    assert len(plan_of(composites, None, [LayerEntry("conv1", None, True)])) == 4
    checked_views([Composite(), Composite(method="clusters")])
    with pytest.raises(ArgumentError, match="Composite twice"):
        checked_views([Composite(method="clusters"), Composite(method="clusters", count=3)])
    with pytest.raises(ArgumentError, match="twice for the layers"):
        plan_of(
            [composites[0], Composite(layers="conv1", channels=[0])], None, [LayerEntry("conv1", None, True)]
        )
    output = RANDOM.random((2, 4, 4, 6)).astype(np.float32)
    assert [draw(output, method=method).tag for method in METHODS] == [
        f"{view.family}/01_conv1" for view in composites
    ]

    class Mine(Composite):
        family = "mine"

    assert Mine().family == "mine" and Mine(method="top-k").family == "mine top-k"


# -- choosing and reading --------------------------------------------------------------------------------


def test_layers_with_space_and_a_kernel_are_drawn_by_default_and_vectors_refused_in_words():
    known = [
        Layer("conv", "Conv2D", 1, kernel_shape=(4, 1, 3, 3), output_shape=(2, 8, 8, 4)),
        Layer("pool", "MaxPooling2D", 2, output_shape=(2, 4, 4, 4)),
        Layer("head", "Dense", 3, kernel_shape=(3, 64), output_shape=(2, 3)),
    ]
    shown = replace(snapshot(*known), chosen=None)
    view = Composite()
    assert [one.name for one in view.drawn(shown)] == ["conv"]
    covered = coverage(shown, [(view, None)])
    assert covered.missing["head"] == "vectors have no axis of space to be mapped on"
    assert covered.missing["pool"].startswith("no kernel")
    assert coverage(shown, [(FeatureMaps(), None), (view, None)]).partial == {}
    named = coverage(shown, [(view, frozenset({"head", "pool"}))])
    assert named.pictured == ("pool",)
    assert named.missing == {"head": "vectors have no axis of space to be mapped on"}


def test_no_more_is_read_than_is_shown():
    known = layer(output=np.zeros((20, 512, 512, 3), np.float32))
    shown = only_shapes(snapshot(known, inputs=np.zeros((20, 512, 512, 1), np.float32)))
    cut = Composite(max_samples=4).output_cut(shown["conv1"], shown)
    assert cut.samples == 4 and cut.block >= 2 and cut.channels is None
    assert Composite(method="top-k", count=2).output_cut(shown["conv1"], shown).strongest == 2
    assert Composite().reduced(4).output_cut(shown["conv1"], shown).samples == 2
    series = only_shapes(snapshot(layer(output=np.zeros((2, 900, 3), np.float32))))
    assert Composite().output_cut(series["conv1"], series).stretches is None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_what_was_cut_on_the_device_is_drawn_as_the_whole_is(rank, method):
    inputs, kind = {1: (waves(800), "Conv1D"), 2: (shapes(16), "Conv2D"), 3: (volumes(16), "Conv3D")}[rank]
    space = inputs.shape[1:-1]
    output = RANDOM.random((len(inputs), *space, 6)).astype(np.float32)
    whole = snapshot(layer(kind=kind, output=output), inputs=inputs)
    view = Composite(method=method)
    (expected,) = view.draw(whole)
    for others in ([], [FeatureMaps()]):
        (picture,) = view.draw(read_with(whole, view, *others))
        np.testing.assert_array_equal(picture.pixels, expected.pixels)
        assert picture.caption == expected.caption


def test_what_was_read_for_another_view_alone_is_drawn_as_far_as_it_goes():
    series = snapshot(layer(kind="Conv1D", output=waves(1500)), inputs=waves(1500))
    (picture,) = Composite().draw(read_with(series, FeatureMaps()))
    assert "of 1500 places in time" in picture.caption
    large = snapshot(layer(output=RANDOM.random((2, 300, 300, 40)).astype(np.float32)))
    (picture,) = Composite().draw(read_with(large, FeatureMaps()))
    assert "32 of 40 channels" in picture.caption


def test_large_maps_are_reduced_and_it_is_told():
    picture = draw(RANDOM.random((2, 700, 700, 3)).astype(np.float32))
    assert re.search(r"1 value = mean of (\d)x\1", picture.caption)


def test_wrong_arguments_say_what_to_type():
    for options, word in [
        ({"method": "pca"}, "principal component"),
        ({"method": "mean", "count": 3}, "Leave it out"),
        ({"method": "clusters", "count": 9}, "2 to 6"),
        ({"method": "top-k", "channels": [1]}, "by itself"),
        ({"channels": "strongest"}, "method='top-k'"),
        ({"count": 0, "method": "top-k"}, "count=1"),
    ]:
        with pytest.raises(ArgumentError, match=re.escape(word)):
            Composite(**options)


def test_panels_of_other_sizes_lie_on_one_another():
    ramp = np.arange(7.0).reshape(1, 7)
    assert resized(ramp, 1, 14).tolist() == [np.repeat(ramp, 2).tolist()]
    np.testing.assert_allclose(resized(ramp, 1, 3), [[0.5, 2.5, 5]])  # 0-1, 2-3, 4-6
    assert np.isnan(resized(np.array([[np.nan, 1.0]]), 1, 1)).all()
    thin = np.array([[0, 0, 0, 1, 0, 0]])
    assert resized_classes(thin, 1, 2, count=2).tolist() == [[0, 0]]


# -- golden ----------------------------------------------------------------------------------------------


def test_composites_look_as_accepted(check_golden):
    images = shapes(24)
    output = convolve(images, gabors(12, 5))
    truth = (images > 0.5).astype(np.float32)
    options = {"inputs": images, "names": ["ring", "bar", "cross"], "outputs": {"output": truth}}
    check_golden(draw(np.maximum(output, 0), **options), "composite_mean")
    check_golden(draw(output, method="principal component", **options), "composite_component")
    check_golden(draw(np.maximum(output, 0), method="clusters", **options), "composite_clusters")


def test_composites_over_time_and_of_volumes_look_as_accepted(check_golden):
    traces = waves(900)
    output = np.concatenate([np.abs(traces), np.roll(np.abs(traces), 40, axis=1)], axis=-1)[:, ::2]
    check_golden(draw(output, inputs=traces, kind="Conv1D"), "composite_1d")
    check_golden(draw(output, inputs=traces, kind="Conv1D", method="clusters"), "composite_1d_clusters")
    inputs = volumes(16)
    maps = convolve_volumes(inputs, waves_in_space(8))
    check_golden(draw(maps, inputs=inputs, kind="Conv3D", method="principal component"), "composite_3d")
