import numpy as np
import pytest

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.scale import Scale, constant_channels, finite_range


def test_non_negative_values_fill_levels_from_0_to_223():
    values = np.array([[0.0, 1.0], [2.0, 4.0]])
    scale = Scale.of(values)
    assert (scale.limit, scale.signed) == (4.0, False)
    assert scale.levels(values).tolist() == [
        [0, 56],
        [112, 223],
    ]  # rint(223 * [0, 1/4, 1/2, 1]), half to even


def test_signed_values_are_symmetric_about_level_111():
    values = np.array([[-1.0, 0.0], [1.0, 2.0]])
    scale = Scale.of(values)
    assert (scale.limit, scale.signed) == (2.0, True)
    assert scale.levels(values).tolist() == [[56, 111], [166, 222]]


@pytest.mark.parametrize("low", [0.0, -3.0], ids=["non-negative", "signed"])
def test_pixels_turn_back_into_values_to_half_a_level(low):
    values = np.linspace(low, 5.0, 1000).reshape(20, 50)
    scale = Scale.of(values)
    half_a_level = scale.limit / (111 if scale.signed else 223) / 2
    assert np.abs(scale.values(scale.levels(values)) - values).max() <= half_a_level * 1.0001


def test_every_level_comes_back_as_itself():
    for scale, count in ((Scale(0.7, signed=False), 224), (Scale(0.7, signed=True), 223)):
        levels = np.arange(count, dtype=np.uint8)
        np.testing.assert_array_equal(scale.levels(scale.values(levels)), levels)


def test_strange_values_have_their_own_colours_and_do_not_count_for_the_range():
    values = np.array([1.0, np.nan, np.inf, -np.inf], np.float32)
    scale = Scale.of(values)
    assert scale.limit == 1.0
    assert scale.levels(values).tolist() == [
        223, palette.NOT_A_NUMBER, palette.PLUS_INFINITY, palette.MINUS_INFINITY,
    ]  # fmt: skip
    assert np.isnan(scale.values(scale.levels(values))[1:]).all()


@pytest.mark.filterwarnings("error")
def test_a_map_of_zeros_is_flat():
    zeros = np.zeros((2, 2), np.float32)
    assert Scale.of(zeros).levels(zeros).tolist() == [[0, 0], [0, 0]]
    assert Scale.of(zeros, signed=True).levels(zeros).tolist() == [[111, 111], [111, 111]]


def test_a_constant_map_is_never_stretched():
    steady = np.full((2, 2), 3.0) + np.array([[0, 0], [0, 1e-12]])
    assert len(np.unique(Scale.of(steady).levels(steady))) == 1


@pytest.mark.filterwarnings("error")
def test_nothing_but_nan_is_all_nan():
    values = np.full((2, 2), np.nan, np.float32)
    assert (Scale.of(values).levels(values) == palette.NOT_A_NUMBER).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e-44, 1e38])
def test_the_smallest_and_largest_numbers_are_scaled(size):
    values = np.array([0, size], np.float32)
    assert Scale.of(values).levels(values).tolist() == [0, 223]


def test_a_given_range_cuts_what_lies_beyond():
    assert Scale(1.0, signed=True).levels(np.array([-9.0, 9.0])).tolist() == [0, 222]
    assert Scale(1.0, signed=False).levels(np.array([-9.0, 9.0])).tolist() == [0, 223]


def test_each_channel_may_have_a_range_of_its_own():
    values = np.array([[0.0, 1.0], [0.0, 10.0]])
    assert Scale.of(values).levels(values).tolist() == [[0, 22], [0, 223]]
    assert Scale.of(values, axes=[1]).levels(values).tolist() == [[0, 223], [0, 223]]


def test_the_callers_array_is_not_changed():
    values = np.array([[1.0, np.nan], [-2.0, np.inf]])
    before = values.copy()
    values.setflags(write=False)
    Scale.of(values).levels(values)
    np.testing.assert_array_equal(values, before)


def test_the_range_over_some_axes_is_numpys_own():
    values = np.random.default_rng(0).normal(size=(3, 4, 5, 6))
    low, high = finite_range(values, axes=[0, 1, 2])
    np.testing.assert_array_equal(low, values.min(axis=(0, 1, 2), keepdims=True))
    np.testing.assert_array_equal(high, values.max(axis=(0, 1, 2), keepdims=True))


def test_one_single_number_is_not_called_constant_but_zero_is_dead():
    zero, constant = constant_channels(np.array([[0.0, 2.0]]), axes=[0])
    assert zero.tolist() == [True, False]
    assert constant.tolist() == [False, False]


def test_a_channel_of_nan_is_neither_dead_nor_constant():
    zero, constant = constant_channels(np.full((2, 2), np.nan), axes=[0])
    assert not zero.any()
    assert not constant.any()
