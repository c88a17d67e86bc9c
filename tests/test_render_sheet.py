import numpy as np
import pytest

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.blocks import BLOCK_GAP, Blocks, fit_blocks
from layerviz_callbacks.render.grid import GAP
from layerviz_callbacks.render.layout import (
    BODY_HEIGHT,
    BODY_HEIGHTS,
    CONTENT_WIDTH,
    LARGEST_TILE,
    WIDTH,
    fit_count,
    fit_pairs,
    fit_panels,
    fit_tiles,
)
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line, drawable, measure, shorten


def test_capital_letters_are_at_least_18_pixels_high():
    rows = np.flatnonzero((draw_line("H") < palette.PAPER).any(axis=1))
    assert rows[-1] - rows[0] + 1 >= 18


def test_letters_are_left_at_half_size():
    for bold in (False, True):
        letters = draw_line("conv1 epoch 3/12", bold=bold)
        assert (letters[::2, ::2] < palette.INK + 6).sum() > 0.2 * (letters < palette.INK + 6).sum()


def test_letters_are_greys_on_paper():
    letters = draw_line("Agjx", faded=True)
    assert letters.min() > palette.INK
    assert letters.max() == palette.PAPER


def test_long_text_is_shortened_in_the_middle():
    name = "encoder_" + "x" * 200 + "_conv1"
    cut = shorten(name, 300)
    assert measure(cut) <= 300
    assert cut.startswith("encoder_")
    assert cut.endswith("_conv1")
    assert "..." in cut
    assert draw_line(name, width=300).shape[1] <= 300


@pytest.mark.parametrize("width", [0, 1, 5, 20, 40])
def test_there_may_be_hardly_any_room(width):
    assert draw_line("conv1", width=width).shape[1] <= max(width, 2)


def test_letters_that_the_font_lacks_get_a_stand_in():
    assert drawable("3×3 é ß 中\n\t\x00") == "3x3 e ss ?   "


def test_the_colour_bar_holds_every_level_once_a_row():
    for scale, count in ((Scale(2.0, signed=True), 223), (Scale(2.0, signed=False), 224)):
        top = sheet.colour_bar(scale)[5]
        assert top[top < palette.LEVELS].tolist() == list(range(count))


def test_the_range_is_told_at_the_ends():
    assert sheet.range_words(Scale(0.12345, signed=True)) == ("-0.123", "0.123")
    assert sheet.range_words(Scale(3.0, signed=False)) == ("0", "3")
    assert sheet.range_words(Scale(np.ones(2), signed=True)) == ("-max", "max")


def test_pieces_flow_into_the_next_row_instead_of_being_cut():
    pieces = [np.zeros((34, 300), np.uint8)] * 3
    rows = sheet.flow(pieces)
    assert len(rows) == 2
    assert sum((row == 0).sum() for row in rows) == 3 * 34 * 300


def test_a_stack_is_700_wide_and_in_colours_where_a_band_is():
    indices = np.full((10, 20), 7, np.uint8)
    plain = sheet.stack([indices], palette.sequential())
    assert plain.shape == (26, WIDTH)
    assert (plain == 7).sum() == 200
    coloured = sheet.stack([indices, np.full((5, 5, 3), 9, np.uint8)], palette.sequential())
    assert coloured.shape == (37, WIDTH, 3)
    assert (coloured == palette.sequential()[7]).all(axis=-1).sum() == 200
    assert (coloured == 9).all(axis=-1).sum() == 25


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (8, 8), (64, 64), (500, 500), (8, 200), (200, 8)])
@pytest.mark.parametrize("count", [1, 7, 32, 64])
def test_tiles_fit_into_their_room_and_hold_all_maps(shape, count):
    tiles = fit_tiles(*shape, count, CONTENT_WIDTH, BODY_HEIGHT)
    assert tiles.total_width <= CONTENT_WIDTH
    assert tiles.total_height <= BODY_HEIGHT
    assert tiles.columns * tiles.rows >= count
    assert min(tiles.enlarge, tiles.reduce) == 1
    assert tiles.height == -(-shape[0] // tiles.reduce) * tiles.enlarge
    assert tiles.width == -(-shape[1] // tiles.reduce) * tiles.enlarge


def test_no_row_of_tiles_stays_half_empty_where_that_costs_little():
    assert fit_tiles(3, 3, 32, CONTENT_WIDTH, 585).columns == 8
    assert fit_tiles(7, 7, 64, CONTENT_WIDTH, 585).columns == 8


@pytest.mark.parametrize("count", [1, 16, 64])
def test_panels_fit_into_their_room(count):
    tiles = fit_panels(count, CONTENT_WIDTH, BODY_HEIGHT)
    assert tiles.total_width <= CONTENT_WIDTH
    assert tiles.total_height <= BODY_HEIGHT
    assert tiles.columns * tiles.rows >= count


@pytest.mark.parametrize(("samples", "count"), [(1, 1), (4, 32), (8, 64), (8, 2048), (500, 3)])
def test_blocks_never_make_a_sheet_of_absurd_height(samples, count):
    def fit(wanted, width, height):
        return fit_tiles(8, 8, wanted, width, height)

    blocks = fit_blocks(fit, samples=samples, count=count, label=34, side=True)
    rows = -(-blocks.samples // blocks.columns)
    height = rows * (34 + 14 + max(blocks.side, blocks.tiles.total_height)) - 14
    assert height <= BODY_HEIGHTS[-1]
    assert 1 <= blocks.count <= count
    assert 1 <= blocks.samples <= samples
    assert blocks.columns * (blocks.width + 14) - 14 <= CONTENT_WIDTH
    assert blocks.side + 14 + blocks.tiles.total_width <= blocks.width


SPACES = [(24, 40), (48, 80), (6, 10), (96, 160), (32, 32), (8, 8), (64, 64), (7, 7), (28, 28), (28, 14),
          (100, 20), (3, 3), (224, 224), (9, 200)]  # fmt: skip


def larger_tiles_fit(space, blocks, *, side):
    """Whether tiles larger by the next whole factor fit into a body of 780 pixels, in any arrangement."""
    tiles = blocks.tiles
    enlarge, reduce = (tiles.enlarge + 1, 1) if tiles.reduce == 1 else (1, tiles.reduce - 1)
    height, width = (-(-length // reduce) * enlarge for length in space)
    if enlarge > 1 and max(height, width) > LARGEST_TILE:
        return False
    for columns in range(1, blocks.samples + 1):
        block = (CONTENT_WIDTH + BLOCK_GAP) // columns - BLOCK_GAP
        beside = min(112, max(40, block // 6)) + BLOCK_GAP if side else 0
        across = (block - beside + GAP) // (width + GAP)
        if block < 60 or across < 1:
            continue
        inner = max(beside - BLOCK_GAP, -(-blocks.count // across) * (height + GAP) - GAP)
        rows = -(-blocks.samples // columns)
        if rows * (LINE_HEIGHT + inner + BLOCK_GAP) - BLOCK_GAP <= BODY_HEIGHT:
            return True
    return False


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("side", [True, False])
def test_no_layout_leaves_a_third_of_the_width_unused_where_larger_tiles_would_fit(space, side):
    narrow = 0
    for samples in (1, 2, 3, 4, 5, 8):
        for count in (1, 4, 6, 12, 16, 24, 32, 48, 64):
            blocks = fit_blocks(
                lambda *room: fit_tiles(*space, *room), samples=samples, count=count, label=34, side=side
            )
            assert (blocks.samples, blocks.count) == (samples, count)
            if blocks.used < 2 / 3:
                narrow += 1
                assert not larger_tiles_fit(space, blocks, side=side), (samples, count, blocks)
    assert narrow < 54 / 2


def test_one_grid_uses_its_width_where_larger_tiles_would_fit():
    for space in SPACES:
        for count in (1, 4, 6, 12, 16, 24, 32, 48, 64):
            _, tiles = fit_count(lambda *room, space=space: fit_tiles(*space, *room), count)
            if tiles.total_width < CONTENT_WIDTH * 2 / 3:
                alone = Blocks(1, CONTENT_WIDTH, 0, tiles, 1, count)
                assert not larger_tiles_fit(space, alone, side=False), (space, count, tiles)


def test_more_channels_do_not_shrink_tiles_beside_blank_space():
    for space in ((24, 40), (48, 80)):
        fitted = {
            count: fit_blocks(
                lambda *room, space=space: fit_tiles(*space, *room),
                samples=3,
                count=count,
                label=34,
                side=True,
            )
            for count in (12, 16)
        }
        assert {blocks.tiles.width for blocks in fitted.values()} == {80}
        assert {blocks.tiles.reduce for blocks in fitted.values()} == {1}
        assert min(blocks.used for blocks in fitted.values()) > 0.9


def test_too_many_tiles_are_cut_to_what_fits():
    def fit(*room):
        return fit_tiles(11, 11, *room)

    count, tiles = fit_count(fit, 20_000)
    assert count < 20_000
    assert tiles.columns * tiles.rows >= count
    rows, columns, tiles = fit_pairs(fit, rows=500, columns=300)
    assert tiles.columns == columns < 300
    assert tiles.rows == rows
    assert tiles.total_height <= BODY_HEIGHTS[-1]


def test_a_map_of_an_odd_shape_still_has_a_place():
    count, tiles = fit_count(lambda *room: fit_tiles(1, 100_000, *room), 3)
    assert count >= 1
    assert tiles.total_width <= CONTENT_WIDTH


def test_a_best_step_is_told_without_the_long_name_of_its_metric():
    told = sheet.title("conv1", "epoch 127/1000, best val/multiclass f1, macro so far")
    assert np.array_equal(told, sheet.title("conv1", "epoch 127/1000, best so far"))
    assert not np.array_equal(told, sheet.title("conv1", "epoch 127/1000"))
    assert measure("epoch 127/300, best so far", bold=True) <= CONTENT_WIDTH // 2  # not shortened
