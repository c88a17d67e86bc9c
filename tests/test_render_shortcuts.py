"""The fast ways draw, pixel for pixel, what the plain ways draw."""

import gc
import weakref

import numpy as np
import pytest
from view_models import layer, shapes, snapshot

from layerviz_callbacks import views
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.colour import crossed_grid_colours
from layerviz_callbacks.render.curve import LINE, draw_curves, panels
from layerviz_callbacks.render.grid import crossed_grid, enlarge, grid
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.views import thumbnails

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("count, columns", [(6, 3), (7, 3), (1, 1), (2, 5)])
@pytest.mark.parametrize("leading", [(), (2,)])
def test_a_grid_that_enlarges_equals_one_of_enlarged_tiles(count, columns, leading):
    tiles = RANDOM.integers(0, 200, (*leading, count, 4, 3)).astype(np.uint8)
    plain = grid(enlarge(tiles, 5), columns, gap=2)
    np.testing.assert_array_equal(grid(tiles, columns, gap=2, factor=5), plain)
    whole = crossed_grid(tiles, np.zeros(count, bool), columns, gap=2, factor=5)
    np.testing.assert_array_equal(whole, plain)


def test_a_cross_changes_its_own_tile_only():
    tiles = np.full((3, 4, 4), 9, np.uint8)
    crossed = crossed_grid(tiles, np.array([False, True, False]), 3, gap=2, factor=5)
    plain = grid(tiles, 3, gap=2, factor=5)
    assert (crossed[:, 22:42] == palette.DEAD).any()
    crossed[:, 22:42] = plain[:, 22:42]
    np.testing.assert_array_equal(crossed, plain)


def test_coloured_tiles_are_enlarged_and_laid_out_as_plain_ones():
    tiles = RANDOM.integers(0, 256, (5, 3, 2, 3)).astype(np.uint8)
    drawn = crossed_grid_colours(tiles, np.zeros(5, bool), 2, factor=4)
    assert drawn.shape == (3 * (8 + 4) - 4, 2 * (12 + 4) - 4, 3)
    np.testing.assert_array_equal(drawn[12:20, 16:28], np.moveaxis(enlarge(tiles[3], 4), 0, -1))
    assert (drawn[8:12] == palette.diverging()[palette.PAPER]).all()


def naive_curves(ground, values, scale, colour):
    """A loop over panels, columns and rows; as many samples as columns."""
    drawn, (_, height, width) = ground.copy(), ground.shape
    for panel, curve in enumerate(values):
        for column in range(width // LINE):
            ends = [curve[column]]
            if column:
                ends.append((curve[column] + curve[column - 1]) / 2)
            if column + 1 < len(curve):
                ends.append((curve[column] + curve[column + 1]) / 2)
            rows = [round((1 - end / scale.limit) / 2 * (height - LINE)) for end in ends]
            rows = slice(min(rows), max(rows) + LINE)
            drawn[panel, rows, column * LINE : (column + 1) * LINE] = colour[panel]
    return drawn


@pytest.mark.parametrize("height, width", [(30, 40), (31, 41), (300, 40), (256, 6), (257, 6)])
def test_curves_equal_those_of_a_loop(height, width):
    steps = RANDOM.integers(-16, 17, (70, width // LINE)) / 16
    values, scale = steps.astype(np.float32), Scale(1.0, signed=True)
    ground = RANDOM.integers(0, 256, (70, height, width)).astype(np.uint8)
    colour = np.arange(70, dtype=np.uint8)
    drawn = draw_curves(ground, values, scale, colour=colour)
    np.testing.assert_array_equal(drawn, naive_curves(ground, values, scale, colour))


def test_curves_over_great_numbers_are_not_taken_for_infinite_ones():
    values = np.full((1, 20), 3e38, np.float32)  # their sum is infinite
    drawn = draw_curves(panels(20, 40, leading=(1,), scale=Scale(3e38, True)), values, Scale(3e38, True))
    assert (drawn[0, :2] == palette.CURVES[0]).all()
    assert palette.PLUS_INFINITY not in drawn


def test_what_is_kept_cannot_be_written():
    for kept in (draw_line("conv1"), panels(20, 40, leading=(2,), scale=Scale(1.0, True))):
        with pytest.raises(ValueError, match="read-only"):
            kept[...] = 0


def test_thumbnails_follow_their_snapshot_and_keep_none_alive():
    images = shapes()
    output = np.ones((3, 4, 4, 2), np.float32)
    pixels = [
        views.FeatureMaps().draw(snapshot(layer(output=output), inputs=inputs))[0].pixels
        for inputs in (images, images[::-1], images)
    ]
    np.testing.assert_array_equal(pixels[0], pixels[2])
    assert (pixels[0] != pixels[1]).any()
    known = snapshot(layer(output=output), inputs=images)
    thumbnails.thumbnails_of(known, 3, 40)
    reference = weakref.ref(known)
    del known
    gc.collect()
    assert reference() is None
