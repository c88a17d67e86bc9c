import numpy as np
import pytest

from layerviz_callbacks.render import palette
from layerviz_callbacks.render.grid import (
    GAP,
    GAP_OF_STRIPS,
    STRIP_GAP,
    cross,
    cross_out,
    enlarge,
    grid,
    mean_blocks,
    strips,
)


def test_two_by_two_tiles_counted_by_hand():
    tiles = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 10], [11, 12]]], np.uint8)
    p = palette.PAPER
    assert grid(tiles, 2, gap=1).tolist() == [
        [1, 2, p, 5, 6],
        [3, 4, p, 7, 8],
        [p, p, p, p, p],
        [9, 10, p, p, p],
        [11, 12, p, p, p],
    ]


def test_enlarged_pixels_are_whole_squares():
    assert enlarge(np.array([[1, 2]]), 3).tolist() == [[1, 1, 1, 2, 2, 2]] * 3
    assert enlarge(np.array([[1], [2]]), (1, 2)).tolist() == [[1, 1], [2, 2]]


def test_gaps_are_wide_enough_for_a_card_at_half_size():
    assert GAP >= 4
    sheet = grid(np.zeros((2, 6, 6), np.uint8), 2)
    assert sheet.shape == (6, 6 + GAP + 6)
    assert (sheet[::2, ::2] == palette.PAPER).any()


@pytest.mark.parametrize("factor", [1, 2, 3, 5, 9])
def test_block_means_are_those_of_a_plain_loop(factor):
    values = np.random.default_rng(factor).normal(size=(2, 7, 9))
    reduced = mean_blocks(values, factor)
    for sample in range(2):
        for row in range(reduced.shape[1]):
            for column in range(reduced.shape[2]):
                rows = slice(row * factor, (row + 1) * factor)
                columns = slice(column * factor, (column + 1) * factor)
                assert np.isclose(reduced[sample, row, column], values[sample, rows, columns].mean())
    assert reduced.shape == (2, -(-7 // factor), -(-9 // factor))


@pytest.mark.filterwarnings("error")
def test_a_block_with_nan_or_inf_shows_it():
    values = np.array([[1, 1, np.nan, 1, np.inf, 1, np.inf, -np.inf]], np.float32)
    means = mean_blocks(values, (1, 2))
    assert means[0, 0] == 1
    assert np.isnan(means[0, 1])
    assert means[0, 2] == np.inf
    assert np.isnan(means[0, 3])


def test_only_chosen_tiles_are_crossed_out_and_the_originals_stay():
    tiles = np.zeros((2, 3, 12, 12), np.uint8)
    crossed = cross_out(tiles, np.array([False, True, False]))
    assert not tiles.any()
    assert not crossed[:, [0, 2]].any()
    assert (crossed[:, 1] == palette.DEAD).sum() == 2 * cross(12, 12).sum() > 0


@pytest.mark.parametrize("size", [8, 12, 25, 26, 80, 81])
def test_the_cross_survives_half_size_from_every_pixel(size):
    for row in (0, 1):
        for column in (0, 1):
            assert cross(size, size)[row::2, column::2].sum() >= 3


def test_slices_of_a_channel_stand_nearer_than_channels():
    p = palette.PAPER
    assert strips(np.array([[[1], [2]], [[3], [4]]], np.uint8)).tolist() == [[1, p, p, 3], [2, p, p, 4]]
    assert STRIP_GAP >= 2, "one pixel of it is left at half size"
    assert GAP_OF_STRIPS >= 3 * STRIP_GAP
