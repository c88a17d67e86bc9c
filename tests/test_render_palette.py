import matplotlib
import numpy as np
import pytest

from layerviz_callbacks.render import palette


def luminance(colours):
    part = np.asarray(colours, float) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return (linear * [0.2126, 0.7152, 0.0722]).sum(axis=-1)


@pytest.mark.parametrize(
    "colours",
    [palette.sequential(), palette.diverging(), palette.grey()],
    ids=["sequential", "diverging", "grey"],
)
class TestEachPalette:
    def test_all_256_colours_are_distinct(self, colours):
        assert colours.shape == (256, 3)
        assert len({tuple(colour) for colour in colours.tolist()}) == 256

    def test_each_level_is_lighter_than_the_one_before(self, colours):
        assert (np.diff(luminance(colours[: palette.LEVELS])) > 0).all()

    def test_greys_rise_from_ink_to_paper(self, colours):
        greys = luminance(colours[palette.INK : palette.PAPER + 1])
        assert len(greys) == 16
        assert (np.diff(greys) > 0).all()
        assert greys[0] < 0.02
        assert greys[-1] > 0.95

    def test_nobody_can_change_them(self, colours):
        with pytest.raises(ValueError, match="read-only"):
            colours[0] = 0


def test_sequential_is_viridis_as_matplotlib_has_it():
    viridis = matplotlib.colormaps["viridis"].resampled(224)(np.arange(224), bytes=True)[:, :3]
    assert np.abs(viridis.astype(int) - palette.sequential()[:224]).max() <= 1


def test_zero_of_the_diverging_palette_is_a_neutral_mid_grey():
    red, green, blue = palette.diverging()[111].astype(int)
    assert max(red, green, blue) - min(red, green, blue) <= 3
    assert 120 < green < 160


def test_the_grey_palette_has_no_colour_in_its_levels_and_mid_grey_at_zero():
    levels = palette.grey()[: palette.LEVELS]
    assert (levels == levels[:, :1]).all() and levels[0, 0] <= 1 and levels[-1, 0] >= 254
    assert levels[111, 0] == 127
    np.testing.assert_array_equal(palette.grey()[palette.LEVELS :], palette.sequential()[palette.LEVELS :])


def test_curve_colours_are_those_of_okabe_and_ito():
    blue, vermillion, green = palette.sequential()[list(palette.CURVES[:3])].tolist()
    assert (blue, vermillion, green) == ([0, 114, 178], [213, 94, 0], [0, 158, 115])
