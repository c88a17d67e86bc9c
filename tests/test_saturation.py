"""Saturated channels are marked where it is certain, with a mark of their own, and said once in words."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from view_models import layer, snapshot

from layerviz_callbacks.cut import OutputCut, cut_output
from layerviz_callbacks.health.statistics import output_statistics
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.bars import plain_bars
from layerviz_callbacks.render.grid import mark_corners
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.views import FeatureMaps
from layerviz_callbacks.views.film_kept import KeptLayer
from layerviz_callbacks.views.saturation import bounds_of, least_shares, saturation_of

FAR, NEAR_HALF = 8.0, 0.5  # what an activation is given: at its bound, and far from it


def shared(shares, *, values=100, sign=-1.0, activation=np.tanh):
    """Vectors `(values, channel)`: of each channel this share lies at the bounds of the activation."""
    given = np.full((values, len(shares)), NEAR_HALF, np.float32)
    for channel, share in enumerate(shares):
        given[: round(share * values), channel] = FAR
    given[::2] *= sign
    return activation(given).astype(np.float32)


def found(output, **cut):
    saturation = saturation_of(*cut_output(output, OutputCut(**cut)), output.shape)
    return None if saturation is None else saturation.channels.tolist()


def test_a_channel_is_saturated_from_nine_tenths_of_its_values_on():
    assert found(shared([0.89, 0.9, 1.0, 0.0])) == [False, True, True, False]


def test_a_sigmoid_s_bounds_are_0_and_1():
    output = shared([1.0, 0.5, 0.95], activation=expit)
    assert saturation_of(*cut_output(output, OutputCut()), output.shape).bounds == (0, 1)
    assert found(output) == [True, False, True]


@pytest.mark.parametrize(
    "output",
    [
        np.maximum(0, shared([1.0, 1.0])),  # a ReLU has exact zeros
        1.5 * shared([1.0, 0.5]),  # beyond 1
        0.01 * shared([1.0, 0.5], sign=1.0),  # small numbers: nothing says that 1 is their bound
        softmax(np.eye(5, dtype=np.float32) * 30, axis=1),  # probabilities that are sure
        np.full((4, 2), np.nan, np.float32),
        np.float32([[1, -1], [np.inf, 0.5]]),
    ],
)
def test_what_has_no_such_bounds_is_not_saturated(output):
    assert found(output) is None


def test_probabilities_are_known_by_some_of_their_classes():
    output = softmax(np.eye(6, dtype=np.float32) * 30, axis=1)
    assert found(output, channels=(0, 1, 2)) is None
    assert found(np.float32([[0.999, 0.999, 0.5]] * 2), channels=(0, 1)) == [True, True]


def test_of_blocks_no_more_is_counted_than_must_be():
    rng = np.random.default_rng(0)
    signs = np.repeat(np.repeat(rng.choice([-1.0, 1.0], (2, 5, 5, 4)), 4, axis=1), 4, axis=2)[:, :18, :18]
    output = signs.astype(np.float32)
    output[..., 1] *= np.where(rng.random((2, 18, 18)) < 0.07, 0.9, 1)  # 93 % at the bounds, spread out
    output[..., 2] *= np.where(rng.random((2, 18, 18)) < 0.3, 0.9, 1)
    output[..., 3] = rng.choice([-1.0, 1.0], (2, 18, 18))  # means of blocks tell nothing
    exact = (np.abs(output) >= 0.98).mean(axis=(0, 1, 2))
    assert (exact[[0, 1, 3]] > 0.9).all() and exact[2] < 0.9
    whole, reduced = cut_output(output, OutputCut())[0], cut_output(output, OutputCut(block=4))[0]
    np.testing.assert_allclose(least_shares(whole, (-1, 1), output.shape, OutputCut()), exact, rtol=1e-6)
    least = least_shares(reduced, (-1, 1), output.shape, OutputCut(block=4))
    assert (least <= exact + 1e-6).all()
    assert least[0] == 1
    assert found(output, block=4) == [True, False, False, False]


def test_statistics_count_every_value_where_means_of_blocks_tell_nothing():
    output = np.random.default_rng(1).choice([-1.0, 1.0, 0.3], (2, 16, 16, 2), p=[0.475, 0.475, 0.05])
    output[..., 1] *= 0.9
    part, taken = cut_output(np.float32(output), OutputCut(block=4))
    statistics = output_statistics(output)
    assert not saturation_of(part, taken, output.shape).channels.any()
    assert saturation_of(part, taken, output.shape, statistics).channels.tolist() == [True, False]
    some = cut_output(np.float32(output), OutputCut(samples=1, block=4))
    assert not saturation_of(*some, output.shape, statistics).channels.any(), "not of what is drawn alone"


def test_of_stretches_of_a_curve_those_count_that_stay_at_one_bound():
    time = np.arange(1000)
    square = np.where(time // 250 % 2, 1.0, -1.0)
    hum = np.where(time % 2, 1.0, -1.0)  # changes within every stretch
    output = np.float32(np.stack([square, hum, 0.9 * square], axis=-1)[None])
    cut = OutputCut(stretches=50)
    part, _ = cut_output(output, cut)
    assert part.shape == (1, 150, 3)
    np.testing.assert_allclose(least_shares(part, (-1, 1), output.shape, cut), [48 / 50, 0.0, 0.0])
    assert found(output, stretches=50) == [True, False, False]


def test_the_bounds_are_those_of_all_channels_that_are_drawn():
    _, taken = cut_output(np.float32([[0.99, -0.2], [0.995, 0.1]]), OutputCut())
    assert bounds_of(taken) == (-1, 1)
    assert bounds_of(taken.only([0])) == (0, 1)
    assert bounds_of(taken.only([1])) == (-1, 1)


# -- what is drawn -------------------------------------------------------------------------------------------


def maps(*shares, size=10):
    """One sample of maps `(1, size, size, channel)`, with these shares at the bounds of a tanh."""
    return shared(shares, values=size * size).reshape(1, size, size, len(shares))


def test_the_mark_is_a_triangle_in_a_corner_and_leaves_the_rest():
    tiles = np.zeros((2, 24, 24), np.uint8)
    marked = mark_corners(tiles, np.array([False, True]))
    assert (marked[0] == 0).all() and (tiles == 0).all()
    inside = marked[1] == palette.DEAD
    assert inside[0, -8:].all() and inside[7, -1] and not inside[8:].any() and not inside[:, :-8].any()
    assert inside.sum() == 36
    assert (marked[1][inside | (marked[1] == palette.PAPER)].size) == 55, "with a line of paper about it"


@pytest.mark.parametrize("shape", [(28, 28), (400,), ()])
def test_feature_maps_mark_saturated_channels_and_say_once_what_that_is(shape):
    output = np.stack([shared([1.0, 0.2, 0.95], values=400)] * 2)
    if len(shape) == 2:
        output = np.resize(output, (2, 28, 28, 3))
        output[..., 0] = np.sign(output[..., 0])
        output[..., 1] = 0.5
        output[0, 0, 0, 1] = -0.1
    if shape == ():
        output = output[:, 0]
        output[:, 0] = 1, 0.99
        output[:, 1] = -0.2, 0.4
        output[:, 2] = -1, 0.995
    elif len(shape) == 1:
        output[..., [0, 2]] = np.repeat(np.float32([1, -0.995]), 200)[None, :, None]
    (picture,) = FeatureMaps().draw(snapshot(layer(output=output)))
    assert "2 saturated" in picture.caption
    assert picture.caption.count("90 % or more of the values within 0.02 of -1 or 1") == 1
    assert ("with a cap" if shape == () else "with a corner") in picture.caption
    assert (picture.pixels == palette.DEAD).sum() >= 2 * 2 * 20
    (calm,) = FeatureMaps().draw(snapshot(layer(output=output / 2)))
    assert "saturated" not in calm.caption
    assert not (calm.pixels == palette.DEAD).any()


def test_a_constant_channel_at_a_bound_is_crossed_out_and_not_called_saturated():
    output = maps(1.0, 0.2)
    output[..., 0] = 1
    (picture,) = FeatureMaps().draw(snapshot(layer(output=output)))
    assert "1 constant" in picture.caption and "saturated" not in picture.caption


def test_a_bar_has_a_cap_over_its_end():
    drawn = plain_bars(
        np.float32([0.5, 1.0]), Scale(1.0, signed=False), height=20, bar=2, gap=0,
        saturated=np.array([False, True]),
    )  # fmt: skip
    assert (drawn[:6, 2:] == palette.DEAD).all()
    assert not (drawn[6:] == palette.DEAD).any() and not (drawn[:, :2] == palette.DEAD).any()


def test_a_film_marks_the_steps_at_which_a_channel_is_saturated():
    from test_views_film import filmed

    outputs = [maps(0.1, 0.1, size=20), maps(1.0, 0.1, size=20), maps(0.95, 1.0, size=20)]
    drawn, album = filmed([(step, layer(output=output), False) for step, output in enumerate(outputs)])
    kept = [KeptLayer.from_arrays(frame.kept, "conv1").maps.saturated for frame in album.frames]
    assert kept == [(), (True, False), (True, True)]
    captions = [picture.caption for (picture,) in drawn]
    assert "saturated" not in captions[0]
    for caption in captions[1:]:
        assert caption.count("within 0.02 of -1 or 1") == 1
    corners = [int((picture.pixels == palette.DEAD).sum()) for (picture,) in drawn]
    panel, legend = 16 * 17 // 2, 11 * 12 // 2
    assert corners == [0, panel + legend, 3 * panel + legend]


def test_marks_of_every_kind_look_as_accepted(check_golden):
    rows = np.linspace(-3, 3, 24, dtype=np.float32)
    given = np.sin(rows[:, None] * np.arange(1, 3)[:, None, None] + rows) * 2
    output = np.tanh(np.stack([given * gain for gain in (0.3, 400, 1, 0, 900, 0.1)], axis=-1))
    output[..., 5] = 0.4
    output[0, :6, :6, 2] = np.nan
    shown = layer(output=output.astype(np.float32))
    check_golden(FeatureMaps().draw(snapshot(shown))[0], "feature_maps_marks")
