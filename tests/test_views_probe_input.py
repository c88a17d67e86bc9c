import numpy as np
import pytest
from test_views_feature_maps import contains
from view_models import shapes, volumes, waves

from layerviz_callbacks import Probe, Snapshot
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.text import draw_line
from layerviz_callbacks.views import draw_probe
from layerviz_callbacks.views.probe_input import probe_refusal


def draw(inputs, **options):
    return draw_probe(Snapshot({}, Probe(inputs, **options), {"input": inputs}))


def test_unsigned_8_bit_images_are_shown_as_they_are():
    images = np.array([[10, 20], [30, 200]], np.uint8).reshape(1, 2, 2, 1)
    (picture,) = draw(images)
    assert "shown as they are" in picture.caption
    colours = {tuple(colour) for colour in picture.rgb().reshape(-1, 3).tolist()}
    assert {(value,) * 3 for value in (10, 20, 30, 200)} <= colours


def test_colour_images_keep_their_colours():
    images = np.zeros((1, 2, 2, 3), np.uint8)
    images[0, 0, 0] = [200, 100, 50]
    (picture,) = draw(images)
    size = (picture.rgb() == [200, 100, 50]).all(axis=-1).sum()
    assert size >= 50 * 50


def test_other_images_are_shown_from_the_batchs_minimum_to_its_maximum_which_is_told():
    images = np.array([-1.0, 0.0, 2.0, 3.0], np.float32).reshape(1, 2, 2, 1)
    (picture,) = draw(images)
    assert "black -1, white 3 (the batch's range)" in picture.caption
    colours = {tuple(colour) for colour in picture.rgb().reshape(-1, 3).tolist()}
    assert {(0,) * 3, (64,) * 3, (191,) * 3, (255,) * 3} <= colours


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (2, 8, 8, 3), (2, 50, 2), (2, 9)])
def test_a_constant_probe_is_drawn(shape):
    for value in (0.0, 3.0):
        (picture,) = draw(np.full(shape, value, np.float32))
        assert picture.size[0] == 700


def test_names_and_targets_stand_at_the_samples():
    (picture,) = draw(shapes(), names=["ring", "bar", "cross"], targets=[7, 1, 4])
    for words in ("ring, target 7", "bar, target 1", "cross, target 4"):
        assert contains(picture.pixels, palette.sequential()[draw_line(words)])


def test_targets_that_are_no_single_number_are_left_out():
    (picture,) = draw(shapes(), targets=np.zeros((3, 16, 16)))
    assert contains(picture.pixels, palette.sequential()[draw_line("sample 1")])


def test_waveforms_have_a_panel_a_component():
    (picture,) = draw(waves())
    assert "3 components, 3 samples" in picture.caption
    column = picture.pixels[:, 350]
    panels = np.count_nonzero(np.diff((column == palette.PAPER).astype(int)) == -1)
    assert panels >= 9


def test_vectors_are_bars():
    (picture,) = draw(np.array([[1.0, 2.0], [-3.0, 4.0]]))
    assert "bars from -4 to 4" in picture.caption
    assert (picture.pixels == palette.CURVES[1]).any()


def test_several_inputs_have_a_picture_each():
    inputs = {"image": shapes(), "age": np.ones((3, 1)), "scan": np.ones((3, 2, 2, 2, 2, 1))}
    pictures = draw_probe(Snapshot({}, Probe(inputs), inputs))
    assert [picture.tag for picture in pictures] == ["probe/image", "probe/age"]
    assert draw(shapes())[0].tag == "probe/input"


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((2, 3, 3, 3, 3, 1), "4-D inputs are not drawn yet"),
        ((2, 3, 3, 3, 1), ""),
        ((2, 8, 8, 12), ""),
        ((2,), "inputs of shape (2,) are not drawn"),
        ((2, 8, 8, 3), ""),
    ],
)
def test_what_cannot_be_drawn_says_why(shape, reason):
    assert probe_refusal(np.zeros(shape)) == reason
    if reason and len(shape) > 1:
        assert draw(np.zeros(shape)) == []


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1, 1), (16, 28, 28, 1), (64, 8, 8, 3), (2, 500, 500, 3), (4, 8, 300, 1), (4, 300, 8, 1),
        (1, 4000, 1, 1), (1, 4000, 1, 2), (3, 8, 8, 12), (2, 200, 300, 5),
        (16, 4, 8, 8, 1), (2, 12, 30, 40, 3), (3, 9, 20, 20, 4), (1, 1, 1, 1, 1), (1, 2, 500, 500, 2),
        (4, 1, 1), (3, 6000, 3), (30, 100, 40), (4, 1), (8, 10), (40, 5000),
    ],
)  # fmt: skip
def test_sheets_of_all_sizes_are_700_wide_and_never_absurdly_high(shape):
    inputs = np.random.default_rng(0).random(shape).astype(np.float32)
    before = inputs.copy()
    (picture,) = draw(inputs)
    assert picture.size[0] == 700
    assert 150 < picture.size[1] < 2100
    np.testing.assert_array_equal(inputs, before)


def grey_tiles(picture):
    """The grey levels of the columns of one row of pixels through the tiles, in order, each once."""
    rgb = picture.rgb()
    row = next(
        row for row in rgb[8 + 4 * 40 + 34 + 4 :] if (row[8] != palette.sequential()[palette.PAPER]).any()
    )
    assert (row[:, 0] == row[:, 1])[8:200].all()
    return [int(level) for level in dict.fromkeys(row[8:-8, 0].tolist()) if level != 253]


def test_a_volume_is_shown_by_slices_which_are_named():
    volume = np.arange(16, dtype=np.uint8).reshape(1, 16, 1, 1, 1) * np.ones((1, 1, 8, 8, 1), np.uint8) * 10
    (picture,) = draw(volume)
    assert "grey volumes 16x8x8, 1 sample" in picture.caption
    assert "slices 1, 4, 8, 11, 14 of 16, left to right" in picture.caption
    assert grey_tiles(picture) == [10, 40, 80, 110, 140]


def test_bands_are_grey_tiles_with_their_names_each_in_its_own_range():
    image = np.zeros((1, 8, 8, 12), np.float32)
    image[..., :4, :] = np.arange(1, 13) ** 3
    (picture,) = draw(image)
    assert "images of 12 bands, 8x8, 1 sample" in picture.caption
    assert "each band's own range" in picture.caption
    for band in range(6):
        assert contains(picture.pixels, palette.sequential()[draw_line(f"band {band}", faded=True)])
    assert not contains(picture.pixels, palette.sequential()[draw_line("band 6", faded=True)])
    assert grey_tiles(picture) == [255, 0]


def test_bands_of_volumes_stand_in_rows():
    volume = np.zeros((1, 2, 4, 4, 2), np.uint8)
    volume[0, 0, ..., 0], volume[0, 1, ..., 0] = 10, 20
    volume[0, 0, ..., 1], volume[0, 1, ..., 1] = 30, 40
    (picture,) = draw(volume)
    assert "bands 0, 1 of 2, from above; 2 slices, left to right" in picture.caption
    rgb = picture.rgb().astype(int)
    grey = np.where((rgb == rgb[..., :1]).all(axis=-1), rgb[..., 0], -1)
    (top, left), (_, right), (bottom, _) = (np.argwhere(grey == level)[0] for level in (10, 20, 30))
    assert right > left
    assert bottom > top
    assert grey[bottom, right] == 40


def test_colour_volumes_keep_their_colours():
    video = np.zeros((1, 3, 2, 2, 3), np.uint8)
    video[0, 1] = [200, 100, 50]
    (picture,) = draw(video)
    assert "RGB volumes 3x2x2" in picture.caption
    assert (picture.rgb() == [200, 100, 50]).all(axis=-1).sum() >= 50 * 50


def test_a_volume_looks_as_accepted(check_golden):
    (picture,) = draw(volumes(), names=["ball", "rod"])
    check_golden(picture, "probe_volumes")


def test_the_probe_looks_as_accepted(check_golden):
    (picture,) = draw(shapes(), names=["ring", "bar", "cross"], targets=[0, 1, 2])
    check_golden(picture, "probe_images")
