"""The pictures of a comparison show its numbers, filters and maps, and nothing else."""

import argparse
from dataclasses import replace

import numpy as np
import pytest
from compared_models import images, permuted, snapshot_of, weights
from test_comparing import FIRST, SECOND, run_file, without_outputs
from view_models import layer, snapshot, waves

from layerviz_callbacks import ArgumentError, LayerVizError, compare
from layerviz_callbacks.cli import main
from layerviz_callbacks.commands import compare as command
from layerviz_callbacks.comparing.cka_sheet import draw_cka
from layerviz_callbacks.comparing.overview_sheet import draw_overview
from layerviz_callbacks.comparing.pair_panels import SIDE, filter_panels, map_panels
from layerviz_callbacks.render import palette
from layerviz_callbacks.render.grid import enlarge
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.views.film_palette import film_indices


def two_networks(seed=1):
    kernels, classes = weights(), np.arange(40) % 4
    changed = {**permuted(kernels, FIRST, SECOND), "conv2": weights(seed)["conv2"]}
    return compare(
        *(snapshot_of(known, targets=classes, metrics={"loss": 0.5}) for known in (kernels, changed))
    )


def holds(picture, tile):
    """Whether a rectangle of pixels is somewhere in a picture."""
    windows = np.lib.stride_tricks.sliding_window_view(picture.pixels, tile.shape[0], axis=0)
    at = np.flatnonzero((picture.pixels == tile[0, 0]).any(axis=1))
    assert windows.size
    for top in at:
        block = picture.pixels[top : top + tile.shape[0]]
        if len(block) == tile.shape[0]:
            beside = np.lib.stride_tricks.sliding_window_view(block, tile.shape[1], axis=1)
            if (beside.transpose(1, 0, 2) == tile).all(axis=(1, 2)).any():
                return True
    return False


def test_the_pictures_are_an_overview_the_cka_and_a_sheet_a_layer():
    tags = [picture.tag for picture in two_networks().pictures()]
    assert tags == [
        "comparison/overview", "comparison/cka",
        "compared filters/01_conv1", "compared filters/02_conv2", "compared filters/03_head",
        "compared feature maps/01_conv1", "compared feature maps/02_conv2", "compared feature maps/03_head",
    ]  # fmt: skip
    only_weights = compare(*(without_outputs(snapshot_of(weights(seed))) for seed in (0, 1)))
    assert [picture.tag for picture in only_weights.pictures()] == [
        "comparison/overview", "compared filters/01_conv1", "compared filters/02_conv2",
        "compared filters/03_head",
    ]  # fmt: skip
    for picture in two_networks().pictures():
        assert picture.size[0] == 700 and picture.png()[:4] == b"\x89PNG"


def test_cells_of_the_heat_map_have_the_colours_of_their_numbers():
    found = two_networks()
    picture = draw_cka(found)
    levels = Scale(1.0, signed=False).levels(found.cka)
    for (_, column), level in np.ndenumerate(levels):
        lines = picture.pixels[:, 8 + 200 + 72 * column + 6]  # inside the frame, left of the number
        assert (lines == level).sum() >= 60
    assert (picture.pixels == palette.CURVES[1]).sum() == 3 * (
        72**2 - 64**2
    ) + 18**2 - 10**2  # of the key, too
    assert "the same but for rotation" in picture.description
    empty = compare(*(without_outputs(snapshot_of(weights(seed))) for seed in (0, 1)))
    assert draw_cka(empty) is None


def test_bars_are_as_long_as_their_numbers():
    found = two_networks()
    picture = draw_overview(found)
    bars = (picture.pixels == palette.CURVES[0]).sum(axis=1)
    rooms = np.isin(picture.pixels, [palette.CURVES[0], palette.PANEL]).sum(axis=1)
    rows = np.flatnonzero(bars > 18)
    rows = rows[np.flatnonzero(np.diff(rows, prepend=-9) > 1)]  # the first line of each row of bars
    spans = [max(1.0, *(max(one.distance, one.matched_distance) for one in found.layers)), 1.0, 1.0, 1.0]
    for top, compared in zip(rows, found.layers, strict=True):
        values = (
            compared.matched_distance, compared.matched_cosine, compared.matched_correlation, compared.cka,
        )  # fmt: skip
        shares = [min(max(value / span, 0), 1) for value, span in zip(values, spans, strict=True)]
        assert bars[top + 2] == pytest.approx(sum(shares) * rooms[top + 2] / 4, abs=4)
    assert found.parts_at == "conv2" and (picture.pixels == palette.CURVES[1]).sum() == 4 * 684


def test_a_filter_stands_above_its_match_and_above_their_difference():
    found = two_networks()["conv1"]
    picture = two_networks().pictures()[2]
    one, other = found.kernels.one[:, 0, 0], found.kernels.other[:, 0, 0]
    partners = np.argsort(FIRST)
    scale = Scale.of(np.concatenate([one, other]), signed=True)
    for channel in range(6):
        np.testing.assert_array_equal(one[channel], other[partners[channel]])
        tile = enlarge(film_indices(one[channel], scale), SIDE // 3)
        assert holds(picture, tile)
    zero = enlarge(film_indices(np.zeros((3, 3), np.float32), scale), SIDE // 3)
    assert holds(picture, zero)
    assert "6 pairs" in picture.caption and "cosine of the filters" in picture.caption


def test_of_many_pairs_the_least_and_the_most_alike_are_drawn():
    first = [snapshot_of(weights(seed, first=40)) for seed in (0, 1)]
    found = compare(*first)
    picture = next(one for one in found.pictures() if one.tag == "compared filters/01_conv1")
    assert "16 of 40 pairs" in picture.caption
    fewer = next(one for one in found.pictures(pairs=4) if one.tag == "compared filters/01_conv1")
    assert "4 of 40 pairs" in fewer.caption and fewer.size[1] < picture.size[1]
    with pytest.raises(ArgumentError, match="pairs=0"):
        found.pictures(pairs=0)


def test_a_negative_match_is_drawn_as_its_negative():
    kernels = weights()
    flipped = {**kernels, "conv1": -kernels["conv1"]}
    found = compare(*(without_outputs(snapshot_of(known)) for known in (kernels, flipped)))["conv1"]
    places = [(0, 0, -1.0), (1, 1, -1.0)]
    panels = filter_panels(found.kernels, places, colours=False)
    np.testing.assert_array_equal(panels.one, panels.other)
    np.testing.assert_array_equal(panels.one, kernels["conv1"][:2, 0])


@pytest.mark.parametrize(
    ("kind", "kernel", "output", "gates"),
    [
        ("Conv1D", (5, 2, 7), (3, 120, 5), ()),
        ("Conv1D", (5, 9, 7), (3, 50, 5), ()),
        ("Conv2D", (5, 3, 90, 4), (3, 200, 130, 5), ()),
        ("Conv3D", (5, 2, 3, 3, 3), (3, 9, 8, 7, 5), ()),
        ("Dense", (5, 300), (40, 5), ()),
        ("LSTM", (20, 6), (40, 5), ("input", "forget", "cell", "output")),
        ("ConvLSTM2D", (20, 6, 3, 3), (3, 4, 4, 5), ("input", "forget", "cell", "output")),
        ("MaxPooling2D", None, (3, 8, 8, 5), ()),
    ],
)
def test_layers_of_all_kinds_are_drawn(kind, kernel, output, gates):
    generator = np.random.default_rng(0)
    one, other = (
        snapshot(
            layer(
                kind.lower(), kind, 1, gates=gates,
                kernel=None if kernel is None else generator.normal(size=kernel),
                output=np.abs(generator.normal(size=output)),
            ),
            inputs=np.zeros((output[0], 5), np.float32),
        )
        for _ in range(2)
    )  # fmt: skip
    found = compare(one, other)
    tags = {picture.tag.split("/")[0] for picture in found.pictures()}
    expected = {"comparison", "compared feature maps"} | ({"compared filters"} if kernel else set())
    assert tags == expected
    assert all(picture.size[0] == 700 and picture.size[1] < 1100 for picture in found.pictures())


def test_curves_of_three_inputs_have_their_colours_and_colour_filters_are_coloured():
    traces = waves()
    kernels = np.random.default_rng(0).normal(size=(4, 3, 7)).astype(np.float32)
    seen = snapshot(layer(kind="Conv1D", kernel=kernels), inputs=traces)
    picture = compare(seen, seen).pictures()[1]
    assert {*palette.CURVES[:3]} <= {*np.unique(picture.pixels)}
    photo = images(samples=2)
    tiles = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    coloured = snapshot(layer(kernel=tiles), inputs=np.repeat(photo, 3, axis=-1))
    assert compare(coloured, coloured).pictures()[1].palette is None
    assert compare(*[snapshot(layer(kernel=tiles), inputs=photo)] * 2).pictures()[1].palette is not None


def test_maps_are_those_of_the_first_sample():
    found = two_networks()["conv2"]
    panels = map_panels(found.outputs, [(3, 5, 1.0)])
    np.testing.assert_array_equal(panels.one[0], found.outputs.one[0, ..., 3])
    np.testing.assert_array_equal(panels.other[0], found.outputs.other[0, ..., 5])


# the command


def run_command(*typed):
    parser = argparse.ArgumentParser()
    command.add_to(parser.add_subparsers())
    given = parser.parse_args(["compare", *map(str, typed)])
    return given.run(given)


def test_the_command_prints_the_table_and_writes_the_pictures(tmp_path, capsys):
    one, other = run_file(tmp_path / "a.h5", [0, 1]), run_file(tmp_path / "b.h5", [0, 2])
    assert run_command(one, other, "--out", tmp_path / "compared") == 0
    told = capsys.readouterr().out
    assert str(compare(one, other)) in told and "8 pictures: " in told
    written = {
        str(path.relative_to(tmp_path / "compared")) for path in (tmp_path / "compared").rglob("*.png")
    }
    assert len(written) == 8 and "comparison/overview/step_0001.png" in written
    assert "They part" in (tmp_path / "compared/comparison/table/step_0001.md").read_text()


def test_the_command_compares_two_epochs_and_chosen_layers(tmp_path, capsys):
    path = run_file(tmp_path / "run.h5", [0, 1, 2])
    assert run_command(path, "--step", "0", "--step", "2", "--layer", "conv*") == 0
    assert capsys.readouterr().out == f"{compare(path, step=(0, 2), layers=['conv*'])}\n"
    assert run_command(path, "--step", "first", "1", "--log-dir", tmp_path / "logs") == 0
    assert list((tmp_path / "logs").rglob("events*"))


def test_a_layer_that_is_not_there_is_told_in_the_words_that_are_typed(tmp_path, capsys):
    path = run_file(tmp_path / "run.h5", [0, 1])
    assert main(["compare", str(path), "--layer", "cnov1"]) == 2
    assert capsys.readouterr().err.startswith("layerviz: --layer cnov1 matches no layer.")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["run.h5", "--step", "1"], "only --step 1 was given"),
        (["run.h5", "run.h5", "run.h5"], "one file or two, and 3 were given"),
        (["run.h5", "--step", "0", "1", "2"], "one step or two, and 3 were given"),
        (["run.h5", "--step", "0", "7"], "has no step 7"),
        (["run.h5", "nope.h5"], "nope.h5"),
        (["run.h5", "--layer", "conv9"], "conv9"),
    ],
)
def test_what_the_command_cannot_do_is_said(tmp_path, monkeypatch, typed, words):
    monkeypatch.chdir(tmp_path)
    run_file(tmp_path / "run.h5", [0, 1])
    with pytest.raises(LayerVizError, match=words):
        run_command(*typed)


def test_names_of_steps_are_in_the_title(tmp_path):
    found = compare(run_file(tmp_path / "run.h5", [0, 1]))
    overview = draw_overview(replace(found))
    assert "a: run.h5, epoch 0; b: run.h5, epoch 1" in overview.caption
