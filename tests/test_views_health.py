"""The view Health: what it asks for, numbers, histograms, words, and its sheet."""

from dataclasses import replace

import numpy as np
import pytest
from health_steps import followed, head, layer, step_of, well

from layerviz_callbacks import ArgumentError, Layer, Probe, Snapshot, Thresholds, views
from layerviz_callbacks.coverage import coverage
from layerviz_callbacks.health import LayerHealth
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.text import LINE_HEIGHT, draw_line
from layerviz_callbacks.views import health_sheet
from layerviz_callbacks.views.health_columns import COLUMNS
from layerviz_callbacks.views.health_sheet import draw_health

RED, CALM = 13, 0


def shapes():
    layers = [
        Layer("conv", "Conv2d", 1, 100, kernel_shape=(16, 3, 3, 3), output_shape=(4, 8, 8, 16)),
        Layer("norm", "BatchNorm2d", 2, 32, output_shape=(4, 8, 8, 16)),
        Layer("relu", "ReLU", 3, output_shape=(4, 8, 8, 16)),
        Layer("prelu", "PReLU", 4, 16, output_shape=(4, 8, 8, 16)),
        Layer("pool", "MaxPool2d", 5, output_shape=(4, 4, 4, 16)),
        Layer("token", "Parameter", 6, 16, kernel_shape=(1, 16)),
        Layer("attn", "MultiheadAttention", 7, kernel_shape=(48, 16), output_shape=(4, 16, 16),
              attention_shape=(4, 2, 16, 16)),
        Layer("huge", "MultiheadAttention", 8, output_shape=(4, 9, 16), attention_shape=(4, 8, 4096, 4096)),
        Layer("broken", "Conv2d", 9, 5, kernel_shape=(5, 1, 1, 1), refusal="it cannot be read"),
        Layer("softmax", "Softmax", 10, output_shape=(4, 10)),
    ]  # fmt: skip
    probe = Probe(np.zeros((4, 3), np.float32))
    return Snapshot({one.name: one for one in layers}, probe, {})


def sick(step=1):
    silent = np.maximum(well(3, 4, 8, 8, 16), 0)
    silent[..., :14] = 0
    kernel = well(1, 16, 4, 3, 3)
    return step_of(step, layer("conv", 7, kernel=kernel, output=silent), head(step))


def test_it_asks_for_layers_with_kernels_activation_layers_and_attention_that_is_not_too_large():
    request = views.Health().request([], shapes())
    assert request.statistics == {"conv", "relu", "attn", "softmax"}
    assert request.attention == {"attn"}
    assert request.attention_samples == 2
    assert request.runs_model
    assert views.Health(layers="conv*").request([], shapes()).statistics == {"conv"}


def test_each_number_is_a_scalar_in_a_group_of_its_measure():
    (snapshot,) = followed(sick())
    found = views.Health().scalars(snapshot)
    numbers = snapshot.health["conv"].numbers
    assert found["health silent share/07_conv"] == numbers["silent"] == 14 / 16
    assert found["health weight norm/07_conv"] == numbers["weight norm"]
    assert found["health weight norm/99_head"] == snapshot.health["head"].numbers["weight norm"]
    groups = [tag.partition("/")[0] for tag in found]
    assert groups == sorted(groups, key=groups.index)
    assert all(np.isfinite(value) for value in found.values())


def test_histograms_count_as_many_values_as_there_are():
    kernel = well(1, 300, 40, 3, 3)
    known = step_of(0, layer("conv", 1, kernel=kernel, output=well(2, 4, 8, 8, 16)))
    found = views.Health().histograms(known)
    assert list(found) == ["weights/01_conv", "outputs/01_conv"]
    assert found["weights/01_conv"].counts.sum() == pytest.approx(300 * 360)
    assert found["outputs/01_conv"].counts.sum() == pytest.approx(4 * 8 * 8 * 16)
    edges, counts = found["weights/01_conv"].edges, found["weights/01_conv"].counts
    below = counts[edges[1:] <= 0.5].sum() / counts.sum()
    assert below == pytest.approx((kernel < 0.5).mean(), abs=0.1)
    assert views.Health(histograms=False).histograms(known) == {}


def test_nothing_finite_gives_no_histogram():
    known = step_of(0, layer("conv", 1, output=np.full((4, 2, 2, 3), np.nan, np.float32)))
    assert views.Health().histograms(known) == {}


def test_the_text_is_a_table_of_verdicts_and_says_where_there_are_none():
    (snapshot,) = followed(sick())
    text = views.Health().texts(snapshot)["health/verdicts"]
    assert "| 1 | conv | 14 of 16 channels are silent at all 256 places of 4 samples | epoch 1 |" in text
    assert text.count("\n") == 2
    (well_off,) = followed(step_of(1, head(1)))
    assert views.Health().texts(well_off) == {
        "health/verdicts": "Nothing is wrong with the layers, as far as was looked."
    }


def test_a_name_of_a_layer_is_no_markup():
    kernel = np.full((16, 4, 3, 3), np.nan, np.float32)
    (snapshot,) = followed(step_of(0, layer("a|b*", 1, kernel=kernel), head(0)))
    assert "a\\|b\\*" in views.Health().texts(snapshot)["health/verdicts"]


def places_of(sheet, piece):
    """Where a piece of letters stands on the sheet: (row, column) of each."""
    fullest = int((piece < palette.PAPER).sum(axis=1).argmax())
    needle, found = piece[fullest].tobytes(), []
    for row in range(fullest, len(sheet)):
        line, column = sheet[row].tobytes(), -1
        while (column := line.find(needle, column + 1)) >= 0:
            top = row - fullest
            if (sheet[top : top + len(piece), column : column + piece.shape[1]] == piece).all():
                found.append((top, column))
    return found


def ground_under(sheet, row):
    """The tints of a row of cells, by column of pixels."""
    line = sheet[row + LINE_HEIGHT // 2]
    return line[line < palette.LEVELS] // palette.GREYS


def test_the_sheet_says_what_is_wrong_and_marks_its_numbers_red():
    (snapshot,) = followed(sick())
    (picture,) = views.Health().draw(snapshot)
    assert picture.tag == "health/look here first"
    assert picture.pixels.shape[1] == 700
    words = draw_line("conv: 14 of 16 channels are silent at all 256")
    assert len(places_of(picture.pixels, words)) == 1
    (row,) = {row for row, _ in places_of(picture.pixels, draw_line("conv", bold=True))}
    assert set(ground_under(picture.pixels, row)) == {CALM, RED}
    (calm,) = [row for row, column in places_of(picture.pixels, draw_line("head")) if column == 8]
    assert set(ground_under(picture.pixels, calm)) == {CALM}
    assert picture.caption.startswith(
        "look here first, epoch 1: 2 layers, 1 verdict, the worst first; 4 samples"
    )
    assert "silent: share of channels that are zero everywhere on the probe" in picture.description.replace(
        "\\", ""
    )


def test_of_many_layers_the_worst_are_shown_and_how_many_there_are():
    layers = [layer(f"dense{k:02}", k, kernel=well(k, 16, 20), output=well(k, 4, 16)) for k in range(1, 41)]
    kernel = np.ones((16, 20), np.float32)
    layers[30] = layer("copies", 31, kernel=kernel, output=well(3, 4, 16))
    (snapshot,) = followed(step_of(1, *layers))
    (picture,) = views.Health().draw(snapshot)
    assert len(places_of(picture.pixels, draw_line("copies", bold=True))) == 1
    assert "20 of 40 layers" in picture.caption
    names = [f"dense{k:02}" for k in range(1, 41)]
    assert sum(len(places_of(picture.pixels, draw_line(name))) for name in names) == 19
    assert places_of(picture.pixels, draw_line("dense01")) and places_of(picture.pixels, draw_line("dense40"))


@pytest.mark.parametrize("first", range(0, len(COLUMNS) - 4))
def test_no_title_of_a_column_is_ever_cut(first, monkeypatch):
    """Whatever five columns stand beside each other, and with numbers as long as they get."""
    chosen = COLUMNS[first : first + 5]
    monkeypatch.setattr(health_sheet, "COLUMNS", chosen)
    monkeypatch.setattr(health_sheet, "USUAL", frozenset(column.name for column in chosen))
    numbers = {column.name: -0.0012345 for column in chosen}
    snapshot = replace(shapes(), health={"conv": LayerHealth(numbers), "attn": LayerHealth(numbers)})
    sheet = draw_health("health/look here first", snapshot, Thresholds()).pixels
    assert sheet.shape[1] == 700
    (heading,) = {row for row, _ in places_of(sheet, draw_line("layer", bold=True))}
    for column in chosen:
        assert heading in {row for row, _ in places_of(sheet, draw_line(column.title, bold=True))}
    assert places_of(sheet, draw_line("conv")) and places_of(sheet, draw_line("attn"))


def test_long_names_keep_their_ends_and_the_places_that_tags_have():
    names = [f"backbone.encoder.stages.{k // 3}.blocks.{k}.feed_forward.conv" for k in range(1, 5)]
    layers = [
        layer(name, k, kernel=well(k, 16, 20), output=well(k, 4, 16)) for k, name in enumerate(names, start=1)
    ]
    (snapshot,) = followed(step_of(0, *layers))
    sheet = views.Health().draw(snapshot)[0].pixels
    for k in range(1, 5):
        ((row, _),) = places_of(sheet, draw_line(f"blocks.{k}.feed_forward.conv"))
        assert (row, 8) in places_of(sheet, draw_line(f"0{k}"))


def test_many_verdicts_are_cut_and_said_to_be():
    layers = [
        layer(f"dense{k}", k, kernel=np.ones((16, 20), np.float32), output=well(k, 4, 16))
        for k in range(1, 10)
    ]
    (snapshot,) = followed(step_of(1, *layers))
    assert len(snapshot.verdicts) == 8  # all but the last layer
    sheet = views.Health().draw(snapshot)[0].pixels
    assert len(places_of(sheet, draw_line("and 2 verdicts more: see the text page"))) == 1


def test_the_grounds_can_be_told_from_each_other_and_rise_in_grey():
    (snapshot,) = followed(sick())
    colours = draw_health("health/look here first", snapshot, Thresholds()).palette
    grounds = colours[: palette.LEVELS : palette.GREYS].astype(float)
    lightness = grounds @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness[1:]) < 0).all()
    assert (np.abs(np.diff(grounds, axis=0)).sum(axis=1) > 8).all()


def test_a_single_inspected_step_is_judged_from_its_whole_arrays():
    kernel, output = well(1, 16, 4, 3, 3), np.maximum(well(3, 4, 8, 8, 16), 0)
    output[..., :14] = 0
    one = Layer("conv", "Conv2D", 1, kernel.size, kernel_shape=kernel.shape, kernel=kernel,
                output_shape=output.shape, output=output)  # fmt: skip
    last = Layer("head", "Dense", 2, 9, kernel_shape=(3, 3), kernel=well(2, 3, 3), output_shape=(4, 3),
                 output=well(4, 4, 3))  # fmt: skip
    known = Snapshot({"conv": one, "head": last}, Probe(np.zeros((4, 3), np.float32)), {})
    assert views.Health().scalars(known)["health silent share/01_conv"] == 14 / 16
    assert "14 of 16 channels" in views.Health().texts(known)["health/verdicts"]
    assert len(known.pictures(views.Health())) == 1


def test_nothing_measured_gives_no_picture_and_who_asks_for_one_is_told_what_to_type():
    assert views.Health().draw(shapes()) == []
    wanted = r"Health needs what was not read .* inspect\(model, probe, views=\[views.Health\(\)\]\)"
    with pytest.raises(ArgumentError, match=wanted):
        shapes().pictures(views.Health())
    assert shapes().pictures() == []


def test_health_is_drawn_where_no_views_are_given_and_comes_last():
    assert isinstance(views.default_views()[-1], views.Health)


def test_health_alone_is_said_to_be_of_the_whole_model():
    covered = coverage(shapes(), [(views.Health(), None)])
    assert covered.line().startswith("health of the whole model, no pictures of single layers")
    both = coverage(shapes(), [(views.Health(), None), (views.Predictions(), None)])
    assert both.line().startswith("health and predictions of the whole model, no pictures of single layers")
    assert coverage(shapes(), [(views.Health(), None), (views.Filters(), None)]).line().startswith("4 of 10 ")


def test_pictures_words_numbers_and_histograms_have_different_tags():
    (snapshot,) = followed(sick())
    view = views.Health()
    tags = [
        *(picture.tag for picture in view.draw(snapshot)), *view.texts(snapshot), *view.scalars(snapshot),
        *view.histograms(snapshot),
    ]  # fmt: skip
    assert len(tags) > 10 and len(set(tags)) == len(tags)
    assert all(tag.startswith("health ") for tag in view.scalars(snapshot))


def test_a_view_follows_with_its_own_thresholds():
    follower = views.Health(thresholds=Thresholds(silent=0.9)).follower()
    assert follower.follow(sick()).verdicts == ()
    assert len(views.Health().follower().follow(sick()).verdicts) == 1


@pytest.mark.parametrize("wrong", [{"thresholds": {"dead": 0.5}}, {"histograms": 3}])
def test_wrong_arguments_say_what_to_type(wrong):
    with pytest.raises(ArgumentError, match=r"Pass for example|Allowed: True"):
        views.Health(**wrong)
