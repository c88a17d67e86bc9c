"""The report without a browser: reels lose nothing, ranges hold still, and errors say what to type."""

import base64
import html
import json
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
from stored_snapshots import full_snapshot, small_snapshot

from layerviz_callbacks import (
    ArgumentError,
    SelectionError,
    SinkError,
    SnapshotFile,
    SnapshotFileError,
    SnapshotWriter,
    cli,
    views,
    write_report,
)
from layerviz_callbacks.cut import KernelCut, Taken
from layerviz_callbacks.health import LayerHealth, Verdict
from layerviz_callbacks.history import Frame
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render import palette
from layerviz_callbacks.report.contents import Contents
from layerviz_callbacks.report.curves import Curves, distances_from_start
from layerviz_callbacks.report.films import Film, films_of, pictures_with_one_range
from layerviz_callbacks.report.findings import findings_of
from layerviz_callbacks.report.reels import reels_of, thinned
from layerviz_callbacks.report.views import views_for
from layerviz_callbacks.views.sample_panels import PanelSheet, draw_panel_sheet, places_of_panels


def unpacked(reel):
    """The pixels of a reel by step, in the slowest way that can be read."""
    raw = np.frombuffer(zlib.decompress(reel.data), np.uint8)
    width, height = reel.size
    structure, changes = raw[: width * height].reshape(height, width), raw[width * height :]
    channels = 3 if reel.colours is None else 1
    values = np.cumsum(changes.reshape(len(reel.steps), channels, reel.values), axis=0) % 256
    shown = {}
    for step, own in zip(reel.steps, values, strict=True):
        pixels, taken = np.zeros((height, width, channels), np.uint8), 0
        for y in range(height):
            for x in range(width):
                if structure[y, x] == 0:
                    pixels[y, x] = own[:, taken]
                    taken += 1
                else:
                    pixels[y, x] = pixels[y, x - 1] if structure[y, x] == 1 else pixels[y - 1, x]
        assert taken == reel.values
        shown[step] = pixels if channels == 3 else pixels[..., 0]
    return shown


@pytest.mark.parametrize("colours", [palette.diverging(), None])
def test_a_reel_loses_nothing(colours):
    random, shape = np.random.default_rng(0), (9, 12) + (() if colours is not None else (3,))
    small = [random.integers(0, 256, (3, 4, *shape[2:]), np.uint8) for _ in range(4)]
    pictures = {step: Picture("a", one.repeat(3, 0).repeat(3, 1), colours) for step, one in enumerate(small)}
    pictures[7] = Picture("a", random.integers(0, 256, shape, np.uint8), colours)  # nothing stands still
    pictures[8] = Picture("a", random.integers(0, 256, (5, *shape[1:]), np.uint8), colours)  # of another size
    found = {}
    for reel in reels_of(pictures):
        found |= unpacked(reel)
    assert list(found) == list(pictures)
    for step, picture in pictures.items():
        assert np.array_equal(found[step], picture.pixels)


def test_what_is_enlarged_and_stands_still_is_written_once():
    random = np.random.default_rng(0)
    first = random.integers(0, 224, (10, 10), np.uint8)
    pictures = {
        step: Picture("a", (first + step % 2).repeat(20, 0).repeat(20, 1), palette.sequential())
        for step in range(50)
    }
    [reel] = reels_of(pictures)
    assert reel.values <= 100
    assert len(reel.data) * 20 < sum(len(picture.png()) for picture in pictures.values())


def test_a_thinned_reel_has_the_same_pictures_at_fewer_steps():
    random = np.random.default_rng(0)
    pictures = {step: Picture("a", random.integers(0, 256, (5, 6, 3), np.uint8)) for step in (0, 1, 4, 9, 12)}
    [reel] = reels_of(pictures)
    found = unpacked(thinned(reel, {1, 9, 12, 99}))
    assert list(found) == [1, 9, 12]
    assert all(np.array_equal(found[step], pictures[step].pixels) for step in found)
    assert thinned(reel, {99}) is None


def test_a_page_that_would_be_too_large_has_its_largest_pictures_at_fewer_steps(tmp_path):
    random = np.random.default_rng(0)
    steps = [
        small_snapshot(
            step, output=random.random((2, 5, 3), np.float32), kernel=np.ones((3, 1, 2), np.float32)
        )
        for step in range(20)
    ]
    path = stored(tmp_path / "run.h5", *steps, best=13)
    drawn = [views.Filters(), views.FeatureMaps()]
    films = {
        most: {
            film["tag"]: sorted(step for reel in film["reels"] for step in reel["steps"])
            for film in facts_of(
                write_report(path, tmp_path / f"{most}.html", views=drawn, most_megabytes=most)
            )["films"]
        }
        for most in (20, 0.08)
    }
    whole, fitted = films[20], films[0.08]
    assert whole["feature maps/01_conv"] == whole["filters/01_conv"] == list(range(20))
    assert len(fitted["feature maps/01_conv"]) <= 10 and {0, 13, 19} <= {*fitted["feature maps/01_conv"]}
    assert fitted["filters/01_conv"] == list(range(20))
    assert "feature maps/01_conv" in "".join(facts_of(tmp_path / "0.08.html")["notes"])


def test_every_step_has_the_range_that_holds_the_values_of_all_steps():
    outputs = [np.full((2, 5, 3), value, np.float32) for value in (0.1, 5.5, 0.2, 1.7)]
    for output in outputs:
        output[0, 0] = 0
    snapshots = [small_snapshot(step, output=output) for step, output in enumerate(outputs)]
    drawn = pictures_with_one_range(views.FeatureMaps(layers="conv").draw, snapshots)
    [(_, pictures)] = drawn.items()
    assert list(pictures) == [0, 1, 2, 3]
    assert {(picture.held.limit, picture.held.signed) for picture in pictures.values()} == {(6.0, False)}
    assert not any("range grew" in picture.caption for picture in pictures.values())
    alone = views.FeatureMaps(layers="conv").draw(
        replace(snapshots[0], ranges={"feature maps/01_conv": pictures[3].held})
    )
    assert np.array_equal(alone[0].pixels, pictures[0].pixels)


def test_a_distance_is_that_of_the_kernel_from_its_start():
    kernel = np.array([3.0, 4.0], np.float32).reshape(2, 1, 1)
    snapshots = [small_snapshot(step, kernel=kernel * factor) for step, factor in enumerate((1, 1, 2.5))]
    assert distances_from_start(snapshots) == {"conv": pytest.approx({0: 0.0, 1: 0.0, 2: 1.5})}


def test_numbers_become_charts_by_layer_and_what_is_measured():
    curves = Curves()
    curves.add(small_snapshot(0))
    curves.add(
        small_snapshot(
            1,
            metrics={"loss": 2.0, "val_loss": 3.0},
            numbers={"entropy/01_conv/head 2": 1.0, "entropy/01_conv/head 3": 4.0, "health/sick layers": 5.0},
        )
    )
    found = {
        (one.layer, one.name): {name: line[1] for name, line in one.lines.items()} for one in curves.charts()
    }
    assert found == {
        ("", "loss"): {"loss": 2.0, "val_loss": 3.0},
        ("conv", "entropy"): {"head 2": 1.0, "head 3": 4.0},
        ("", "health/sick layers"): {"health/sick layers": 5.0},
    }
    assert all(line[0] is None for one in curves.charts() for line in one.lines.values())


def test_charts_are_those_of_metrics_of_health_and_others():
    curves = Curves()
    numbers = {"health dead share/01_conv": 0.5, "weight norm/01_conv": 2.0, "entropy/01_conv": 1.0}
    curves.add(small_snapshot(1, metrics={"val_loss": 3.0}, numbers=numbers))
    assert [(one.group, one.layer, one.name) for one in curves.charts()] == [
        ("metrics", "", "val_loss"),
        ("health", "conv", "dead share"),
        ("health", "conv", "weight norm"),
        ("numbers", "conv", "entropy"),
    ]


def _failed(what, error):
    raise AssertionError(what) from error


def test_a_film_strip_has_at_each_step_those_before_it(tmp_path):
    kernels = [np.full((3, 1, 2), value, np.float32) for value in (1, 1.5, 2)]
    snapshots = [small_snapshot(step, kernel=one) for step, one in enumerate(kernels)]
    drawn = {film.tag: film for film in films_of(views.FilmStrip(), lambda: snapshots, _failed)}
    [film] = [film for tag, film in drawn.items() if tag.endswith("_conv")]
    view, frames = views.FilmStrip(), ()
    for one in snapshots[:2]:
        shown = replace(one, history=frames)
        frames += (Frame(one.step, one.when, one.metrics, one.best, view.keep(shown)),)
    held = {film.tag: film.pictures[2].held} if film.pictures[2].held else {}
    last = replace(snapshots[2], history=frames, ranges=held)
    [expected] = [one for one in view.draw(last) if one.tag == film.tag]
    assert np.array_equal(film.pictures[2].pixels, expected.pixels)
    assert not np.array_equal(film.pictures[2].pixels, film.pictures[1].pixels)


def test_a_best_step_is_told_once_and_not_again_at_steps_that_were_beaten(tmp_path):
    whens = ["epoch 1/2, best val_accuracy so far", "epoch 2/2, best val_accuracy so far"]
    path = stored(
        tmp_path / "run.h5",
        *(replace(small_snapshot(step), when=when) for step, when in enumerate(whens)),
        best=1,
    )
    facts = facts_of(write_report(path, tmp_path / "page.html"))
    assert [one["when"] for one in facts["steps"]] == ["epoch 1/2", "epoch 2/2"]
    assert facts["monitor"] == "val_accuracy"


def test_findings_are_the_worst_first_and_those_that_are_gone_last():
    mild, bad, gone = (
        Verdict(layer, "dead channels", f"{layer} dead", 1, severity=severity)
        for layer, severity in (("mild", 0.2), ("bad", 0.9), ("gone", 1.0))
    )
    looked = {"health": {"conv": LayerHealth()}}
    steps = [
        small_snapshot(1, verdicts=(gone, mild), **looked),
        small_snapshot(2),  # nobody looked
        small_snapshot(3, verdicts=(bad, mild), **looked),
    ]
    assert [(one.verdict.layer, one.until) for one in findings_of(steps)] == [
        ("bad", None), ("mild", None), ("gone", 3),
    ]  # fmt: skip


def test_health_that_nobody_recorded_is_found_from_what_was_kept(tmp_path):
    kernels = [np.full((3, 1, 2), value, np.float32) for value in (1, 1.5, 2)]
    path = stored(
        tmp_path / "run.h5", *(small_snapshot(step, kernel=one) for step, one in enumerate(kernels))
    )
    facts = facts_of(write_report(path, tmp_path / "page.html"))
    [norm] = [chart for chart in facts["charts"] if (chart["name"], chart["layer"]) == ("weight norm", 0)]
    assert norm["lines"][0]["values"] == pytest.approx([6**0.5, 1.5 * 6**0.5, 2 * 6**0.5], rel=1e-4)
    assert any("health of layers was found from" in note for note in facts["notes"])


def test_health_is_found_of_a_part_that_is_all_and_not_of_one_that_is_less(tmp_path):
    kernel = np.arange(18, dtype=np.float32).reshape(3, 2, 3)

    def norms_with(name, channels):
        taken = Taken(KernelCut(channels=channels), channels, *np.zeros((3, len(channels))))
        steps = [small_snapshot(step) for step in (0, 1)]
        parts = {
            "kernel": kernel[list(channels)],
            "kernel_taken": taken,
            "kernel_shape": kernel.shape,
            "output": None,
        }
        steps = [replace(one, layers={**one.layers, "conv": replace(one["conv"], **parts)}) for one in steps]
        facts = facts_of(write_report(stored(tmp_path / f"{name}.h5", *steps), tmp_path / f"{name}.html"))
        return [chart["lines"][0]["values"] for chart in facts["charts"] if chart["name"] == "weight norm"]

    [norm] = norms_with("all", (0, 1, 2))
    assert norm == pytest.approx([float((kernel**2).sum()) ** 0.5] * 2, rel=1e-4)
    assert norms_with("less", (0, 2)) == []


@pytest.mark.parametrize("across", [True, False])
def test_a_sheet_of_panels_tells_where_each_sample_stands(across):
    fitted = PanelSheet(3, 2, 300, 2, 60, 80, 1, across, lines=3)
    below = [["a"], ["a", "b"], []]
    drawn = [
        np.arange(3, dtype=np.uint8)[:, None, None] + np.full((3, 60, 80), 10 * panel, np.uint8)
        for panel in (1, 2)
    ]
    body = draw_panel_sheet(fitted, drawn, ["x", "y", "z"], below=below)
    places = places_of_panels(fitted, below)
    for sample, (left, top, width, height) in enumerate(places):
        part = body[top : top + height, left : left + width]
        for value in (10 + sample, 20 + sample):
            assert (part == value).sum() == (body == value).sum() == 60 * 80
    assert places[2][1] + places[2][3] == len(body)


def test_where_a_sample_stands_is_told_of_each_step():
    contents = Contents("", [small_snapshot(step) for step in range(3)], best=None)
    pixels = np.zeros((20, 10), np.uint8)
    standing = [[(0, top, 10, 4)] for top in (3, 9, 3)]
    pictures = {
        step: Picture("x", pixels, palette.sequential(), samples=one) for step, one in enumerate(standing)
    }
    contents.add_film(Film("x", "x", "", pictures))
    [film] = contents.facts["films"]
    assert [film["samples"][film["samples_of"][step]] for step in range(3)] == standing


def test_health_that_was_recorded_stays_as_it_was(tmp_path):
    told = Verdict("conv", "made up", "it sings", 0, severity=0.7)
    snapshot = small_snapshot(0, health={"conv": LayerHealth({"dead": 0.25})}, verdicts=(told,))
    path = stored(tmp_path / "run.h5", snapshot)
    facts = facts_of(write_report(path, tmp_path / "page.html"))
    assert [one["words"] for one in facts["findings"]] == ["it sings"]
    assert not any("health of layers was found from" in note for note in facts["notes"])


def stored(path, *snapshots, best=None):
    with SnapshotWriter(path, durable=False) as writer:
        for snapshot in snapshots:
            writer.append(snapshot, best=snapshot.step == best)
    return path


def facts_of(page):
    [text] = re.findall(r'<script type="application/json" id="facts">(.*?)</script>', page.read_text("utf-8"))
    return json.loads(text)


def test_of_many_steps_the_first_the_best_and_the_last_are_pictured_and_it_says_so(tmp_path):
    path = stored(
        tmp_path / "run.h5", *(small_snapshot(step, metrics={"loss": step}) for step in range(30)), best=17
    )
    facts = facts_of(write_report(path, tmp_path / "page.html", most_steps=6))
    steps = [one["step"] for one in facts["steps"]]
    assert len(steps) == 6 and {0, 17, 29} <= {*steps} and steps[facts["best"]] == 17
    assert any("6 of 30 steps are pictured" in note for note in facts["notes"])
    [loss] = [chart for chart in facts["charts"] if chart["name"] == "loss"]
    assert loss["lines"][0]["values"] == list(range(30))


def test_everything_that_a_snapshot_can_hold_makes_a_page_with_nothing_left_open(tmp_path):
    path = stored(tmp_path / "run.h5", full_snapshot(1), full_snapshot(2))
    text = write_report(path, tmp_path / "page.html", title="</script><b>").read_text("utf-8")
    assert "<!--" not in text and "</script><b>" not in text and html.escape("</script><b>") in text
    assert not re.search(r"""(src|href)=["']?(?!data:)""", text.split("</style>")[1].split("<script")[0])
    reels = re.findall(r'id="reel-(\d+)">([^<]*)</script>', text)
    facts = facts_of(tmp_path / "page.html")
    numbers = [reel["number"] for film in facts["films"] for reel in film["reels"]]
    assert numbers == [int(number) for number, _ in reels] == list(range(len(reels)))
    for _, data in reels:
        assert zlib.decompress(base64.b64decode(data))


def test_the_layers_that_are_asked_for_are_pictured_alone(tmp_path):
    path = stored(tmp_path / "run.h5", small_snapshot(0), small_snapshot(1))
    page = write_report(path, tmp_path / "page.html", layers="pool", views=[views.FeatureMaps()])
    assert [film["tag"] for film in facts_of(page)["films"] if film["layer"] >= 0] == ["feature maps/02_pool"]
    assert {chart["layer"] for chart in facts_of(page)["charts"]} <= {-1, 1}
    with pytest.raises(SelectionError, match="pol"):
        write_report(path, tmp_path / "other.html", layers="pol")
    assert not (tmp_path / "other.html").exists()


def test_a_view_that_fails_is_told_and_the_others_are_drawn(tmp_path):
    class Broken(views.Filters):
        family = "broken"

        def draw_layer(self, layer, snapshot):
            raise ValueError("no luck")

    path = stored(tmp_path / "run.h5", small_snapshot(0))
    page = write_report(path, tmp_path / "page.html", views=[Broken(), views.Filters()])
    facts = facts_of(page)
    assert "broken of conv: not drawn (ValueError: no luck)" in facts["notes"]
    assert "filters" in {film["family"] for film in facts["films"]}


def test_gradients_and_saliency_that_were_kept_are_drawn_by_their_own_targets():
    snapshot = full_snapshot()
    found = views_for(snapshot)
    recipes = {view.recipe(2) for view in found if isinstance(view, views.Saliency)}
    assert {view.target for view in found if isinstance(view, views.GradCAM)} == {*snapshot.scores}
    assert {(one.method, one.target) for one in recipes} == {
        (one.method, one.target) for one in snapshot.saliency
    }


def test_a_page_that_is_there_is_replaced_only_when_told(tmp_path):
    path, page = stored(tmp_path / "run.h5", small_snapshot(0)), tmp_path / "page.html"
    page.write_text("mine")
    with pytest.raises(SinkError, match="overwrite=True"):
        write_report(path, page)
    assert page.read_text() == "mine"
    assert write_report(path, page, overwrite=True) == page
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert {one.name for one in tmp_path.iterdir()} == {"run.h5", "page.html"}


def test_errors_say_what_to_type(tmp_path):
    path = stored(tmp_path / "run.h5", small_snapshot(0))
    empty = stored(tmp_path / "empty.h5")
    with pytest.raises(SinkError, match="is a folder"):
        write_report(path, tmp_path)
    with pytest.raises(SnapshotFileError, match=r"empty\.h5.*no step yet"):
        write_report(empty, tmp_path / "page.html")
    with pytest.raises(ArgumentError, match="Pass 3 or more"):
        write_report(path, tmp_path / "page.html", most_steps=2)
    with pytest.raises(ArgumentError, match="most_megabytes=20"):
        write_report(path, tmp_path / "page.html", most_megabytes=0)
    with pytest.raises(SnapshotFileError):
        write_report(tmp_path / "none.h5", tmp_path / "page.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be written"):
        write_report(path, tmp_path / "file" / "page.html")


def test_progress_ends_where_it_says(tmp_path):
    path, told = stored(tmp_path / "run.h5", small_snapshot(0), small_snapshot(1)), []
    with SnapshotFile(path) as file:
        write_report(file, tmp_path / "page.html", progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len({total for _, total in told}) == 1 and told[-1][0] == told[-1][1]


def test_the_command_writes_the_page_beside_the_file(tmp_path, capsys):
    path = stored(tmp_path / "run.h5", small_snapshot(0), small_snapshot(1))
    assert cli.main(["report", str(path), "--title", "my run", "--view", "filters"]) == 0
    assert "run.html" in capsys.readouterr().out
    facts = facts_of(tmp_path / "run.html")
    assert facts["title"] == "my run"
    assert {film["family"] for film in facts["films"]} == {"probe", "filters"}
    assert cli.main(["report", str(path)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert cli.main(["report", str(path), "--overwrite", "--layers", "conv"]) == 0
