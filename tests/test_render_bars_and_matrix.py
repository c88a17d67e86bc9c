import numpy as np
import pytest

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.bars import draw_bars, fit_bars, plain_bars
from layerviz_callbacks.render.layout import CONTENT_WIDTH
from layerviz_callbacks.render.matrix import GREATEST_HEIGHT, GROUP_GAP, draw_matrix, fit_matrix
from layerviz_callbacks.render.scale import Scale

UP, DOWN = palette.CURVES[:2]
GROUND, ZERO = palette.PANEL, palette.ZERO_LINE


def test_signed_bars_counted_by_hand():
    bars = plain_bars(np.array([1.0, -0.5]), Scale(1.0, signed=True), height=10, bar=2, gap=1)
    assert bars[:, 0].tolist() == [UP] * 4 + [ZERO] * 2 + [GROUND] * 4
    assert bars[:, 1].tolist() == bars[:, 0].tolist()
    assert bars[:, 2].tolist() == [GROUND] * 4 + [ZERO] * 2 + [GROUND] * 4
    assert bars[:, 3].tolist() == [GROUND] * 4 + [ZERO] * 2 + [DOWN] * 2 + [GROUND] * 2
    assert bars.shape == (10, 5)


def test_non_negative_bars_stand_at_the_bottom():
    bars = plain_bars(np.array([0.5]), Scale(1.0, signed=False), height=10, bar=1, gap=0)
    assert bars[:, 0].tolist() == [GROUND] * 4 + [UP] * 4 + [ZERO] * 2


@pytest.mark.filterwarnings("error")
def test_strange_values_fill_their_place_in_their_own_colour():
    values = np.array([np.nan, np.inf, -np.inf, 0.0])
    bars = plain_bars(values, Scale(1.0, signed=True), height=10, bar=1, gap=0)
    assert bars[0].tolist() == [palette.NOT_A_NUMBER, palette.PLUS_INFINITY, palette.MINUS_INFINITY, GROUND]


def test_dead_values_are_marked_at_their_foot():
    dead = np.array([False, True])
    bars = plain_bars(np.zeros(2), Scale(0.0, signed=False), height=10, bar=2, gap=2, dead=dead)
    assert not (bars[:, :2] == palette.DEAD).any()
    assert (bars[:, 4:6] == palette.DEAD).any()


def test_wide_bars_are_numbered_and_narrow_ones_are_not():
    scale = Scale(1.0, signed=False)
    wide, narrow = fit_bars(10, 600, 130), fit_bars(64, 600, 130)
    numbered = draw_bars(np.ones((2, 10)), scale, tiles=wide)
    assert (numbered[0, -20:] < palette.PAPER).any()
    assert numbered.shape[:2] == draw_bars(np.ones((2, 64)), scale, tiles=narrow).shape[:2] == (2, 130)


@pytest.mark.parametrize(
    ("rows", "columns"), [(128, 3136), (3136, 128), (1, 1), (10, 64), (1, 3000), (64, 1)]
)
def test_a_matrix_of_any_size_fits_on_the_sheet_with_cells_of_two_pixels_at_least(rows, columns):
    fitted = fit_matrix(rows, columns)
    shape = (-(-rows // fitted.reduce_rows), -(-columns // fitted.reduce_columns))
    drawn = draw_matrix(np.zeros((1, *shape), np.uint8), fitted)
    assert drawn.shape[1] <= CONTENT_WIDTH
    assert drawn.shape[0] <= GREATEST_HEIGHT + 34
    assert min(fitted.cell_height, fitted.cell_width) >= 2
    assert (drawn == 0).sum() == shape[0] * fitted.cell_height * shape[1] * fitted.cell_width


@pytest.mark.parametrize("rows", [1, 8, 100, 1000])
def test_groups_of_rows_stand_apart_and_all_of_them_fit(rows):
    names = ("update", "reset", "candidate")
    fitted = fit_matrix(rows, 500, groups=3, beside=names)
    shape = (3, -(-rows // fitted.reduce_rows), -(-500 // fitted.reduce_columns))
    levels = np.broadcast_to(np.arange(3, dtype=np.uint8)[:, None, None], shape)
    drawn = draw_matrix(levels, fitted, above="in", beside=names)
    assert drawn.shape[1] <= CONTENT_WIDTH
    assert drawn.shape[0] <= GREATEST_HEIGHT + 34
    rows_of = [np.flatnonzero((drawn == group).any(axis=1)) for group in range(3)]
    assert rows_of[1][0] - rows_of[0][-1] > GROUP_GAP
    assert rows_of[2][0] - rows_of[1][-1] > GROUP_GAP


def test_the_matrix_has_rows_out_and_columns_in():
    levels = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    fitted = fit_matrix(2, 3)
    drawn = draw_matrix(levels[None], fitted)
    cells = drawn[34:, -3 * fitted.cell_width :]
    assert cells[:: fitted.cell_height, :: fitted.cell_width].tolist() == levels.tolist()
