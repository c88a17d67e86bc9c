import numpy as np
import pytest

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.curve import draw_curves, envelope, panels
from layerviz_callbacks.render.scale import Scale

LINE = palette.CURVES[0]


def drawn(values, height, width, *, limit=1.0, signed=True):
    values = np.asarray(values, np.float32)
    scale = Scale(limit, signed)
    return draw_curves(panels(height, width, leading=values.shape[:-1], scale=scale), values, scale)


def plain_envelope(curve, columns):
    """The same by a loop: samples of the column, and the first of the next."""
    low, high = [], []
    for column in range(columns):
        first = column * len(curve) // columns
        last = (column + 1) * len(curve) // columns
        held = curve[first : last + 1]
        low.append(held.min())
        high.append(held.max())
    return low, high


@pytest.mark.parametrize(("length", "columns"), [(6000, 300), (301, 300), (1000, 7)])
def test_the_envelope_of_a_long_curve_is_that_of_a_plain_loop(length, columns):
    curves = np.random.default_rng(0).normal(size=(3, length))
    low, high = envelope(curves, columns)
    for place in range(3):
        expected = plain_envelope(curves[place], columns)
        np.testing.assert_array_equal(low[place], expected[0])
        np.testing.assert_array_equal(high[place], expected[1])


@pytest.mark.parametrize("length", [2, 5, 40, 299, 300])
def test_a_short_curve_goes_through_all_its_samples_in_straight_lines(length):
    curve = np.random.default_rng(length).normal(size=length)
    low, high = envelope(curve, 300)
    positions = np.arange(300) * (length - 1) / 299
    interpolated = np.interp(positions, np.arange(length), curve)
    assert (low <= interpolated + 1e-9).all()
    assert (high >= interpolated - 1e-9).all()
    assert (low.min(), high.max()) == (curve.min(), curve.max())
    assert (low[1:] <= high[:-1] + 1e-9).all(), "the line is unbroken"
    assert (high[1:] >= low[:-1] - 1e-9).all(), "the line is unbroken"


def test_a_single_sample_is_a_level_line():
    low, high = envelope(np.array([3.0]), 4)
    assert low.tolist() == high.tolist() == [3, 3, 3, 3]


def test_a_rising_line_counted_by_hand():
    # two columns of two pixels: the left rises from 0 to 1/2, the right to 1; lines are two pixels thick
    g, z = palette.PANEL, palette.ZERO_LINE
    assert drawn([0.0, 1.0], 6, 4, signed=False).tolist() == [
        [g, g, LINE, LINE],
        [g, g, LINE, LINE],
        [LINE, LINE, LINE, LINE],
        [LINE, LINE, LINE, LINE],
        [LINE, LINE, z, z],
        [LINE, LINE, z, z],
    ]


def test_the_zero_line_is_in_the_middle_of_signed_panels_and_at_the_bottom_of_others():
    signed = panels(10, 4, leading=(), scale=Scale(1.0, signed=True))
    other = panels(10, 4, leading=(), scale=Scale(1.0, signed=False))
    assert np.flatnonzero(signed[:, 0] == palette.ZERO_LINE).tolist() == [4, 5]
    assert np.flatnonzero(other[:, 0] == palette.ZERO_LINE).tolist() == [8, 9]


@pytest.mark.parametrize("length", [1, 2, 5, 6000])
def test_every_column_of_a_curve_is_left_at_half_size(length):
    curve = drawn(np.random.default_rng(0).uniform(-1, 1, length), 40, 120)
    for row in (0, 1):
        for column in (0, 1):
            assert (curve[row::2, column::2] == LINE).any(axis=0).all()


def test_a_single_spike_of_6000_samples_is_seen_at_half_size():
    values = np.zeros(6000)
    values[4321] = 1
    curve = drawn(values, 40, 120)
    column = 4321 * 60 // 6000
    assert (curve[:20:2, ::2][:, column] == LINE).all()


def test_all_curves_of_a_sheet_are_drawn_at_once_as_each_alone():
    values = np.random.default_rng(0).uniform(-1, 1, (2, 3, 50))
    together = drawn(values, 20, 30)
    assert together.shape == (2, 3, 20, 30)
    np.testing.assert_array_equal(together[1, 2], drawn(values[1, 2], 20, 30))


def test_each_panel_may_have_a_range_of_its_own():
    values = np.array([[0.0, 1.0], [0.0, 100.0]])
    own = drawn(values, 20, 20, limit=np.array([[1.0], [100.0]]))
    np.testing.assert_array_equal(own[0], own[1])


def test_curves_of_zeros_lie_on_the_zero_line():
    curve = drawn(np.zeros(7), 10, 12, limit=0.0)
    assert np.flatnonzero((curve == LINE).any(axis=1)).tolist() == [4, 5]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("length", [10, 500])
def test_nan_and_infinities_are_marked_where_they_are(length):
    values = np.zeros(length, np.float32)
    values[0], values[length // 2], values[-1] = np.nan, np.inf, -np.inf
    curve = drawn(values, 40, 120)
    where = {
        mark: np.flatnonzero((curve == mark).any(axis=0))
        for mark in (palette.NOT_A_NUMBER, palette.PLUS_INFINITY, palette.MINUS_INFINITY)
    }
    assert where[palette.NOT_A_NUMBER].max() < 30
    assert 40 < where[palette.PLUS_INFINITY].min() <= where[palette.PLUS_INFINITY].max() < 80
    assert where[palette.MINUS_INFINITY].min() > 90
    assert (curve == LINE).any()


@pytest.mark.filterwarnings("error")
def test_nothing_but_nan_draws_no_line():
    assert not (drawn(np.full((2, 300), np.nan), 30, 60) == LINE).any()


def test_a_second_curve_is_drawn_over_the_first():
    scale = Scale(1.0, signed=True)
    empty = panels(20, 20, leading=(1,), scale=scale)
    first = draw_curves(empty, np.array([[0.5, 0.5]]), scale)
    both = draw_curves(first, np.array([[-0.5, -0.5]]), scale, colour=palette.CURVES[1])
    assert (both == palette.CURVES[0]).sum() == (both == palette.CURVES[1]).sum() == 40
    assert not (empty == palette.CURVES[0]).any()
