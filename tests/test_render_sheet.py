import numpy as np
import pytest

from layerviz_callbacks.render import palette, sheet
from layerviz_callbacks.render.blocks import fit_blocks
from layerviz_callbacks.render.layout import (
    BODY_HEIGHT,
    BODY_HEIGHTS,
    CONTENT_WIDTH,
    WIDTH,
    fit_count,
    fit_pairs,
    fit_panels,
    fit_tiles,
)
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import draw_line, drawable, measure, shorten


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
