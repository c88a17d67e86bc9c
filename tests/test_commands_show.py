"""`layerviz show`: a file of snapshots as tables, and its pictures drawn again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from layerviz_callbacks import Layer, Probe, Snapshot, SnapshotWriter
from layerviz_callbacks.cli import main
from layerviz_callbacks.delivery import Delivery
from layerviz_callbacks.failure import FailurePolicy
from layerviz_callbacks.health import LayerHealth, Verdict
from layerviz_callbacks.job import Job
from layerviz_callbacks.plan import PlannedView
from layerviz_callbacks.sinks import Folder
from layerviz_callbacks.views import FeatureMaps, FilmStrip, Filters

STEPS = 4
PROBE = Probe(np.linspace(0, 1, 2 * 64, dtype=np.float32).reshape(2, 8, 8, 1), names=["seven", "nine"])


def snapshot(step):
    """Two layers that grow with the steps."""
    kernel = np.linspace(-1, 1, 27, dtype=np.float32).reshape(3, 1, 3, 3) * (1 + step)
    output = np.linspace(0, 1, 2 * 36 * 3, dtype=np.float32).reshape(2, 6, 6, 3) * (1 + step)
    layers = {
        "conv1": Layer(
            "conv1", "Conv2D", 1, 30, kernel_shape=(3, 1, 3, 3), kernel=kernel,
            output_shape=(2, 6, 6, 3), output=output,
        ),
        "head": Layer("head", "Dense", 2, 10, kernel_shape=(2, 5), kernel=np.ones((2, 5), np.float32) * step),
    }  # fmt: skip
    return Snapshot(
        layers, PROBE, dict(PROBE.arrays), step=step, when=f"epoch {step}/3" if step else "before training",
        metrics={"loss": 1 / (1 + step)}, best=step == 2,
        numbers={"health/dead/01_conv1": step / 10},
    )  # fmt: skip


@pytest.fixture
def run_file(tmp_path, monkeypatch):
    """A training of three epochs, recorded in `recorded`, and kept in run.h5."""
    monkeypatch.chdir(tmp_path)
    sink = Folder("recorded")
    sink.open(first_step=0)
    delivery = Delivery([sink], FailurePolicy("raise"))
    plan = [PlannedView(view, None) for view in (Filters(), FeatureMaps(), FilmStrip())]
    with SnapshotWriter("run.h5") as writer:
        for step in range(STEPS):
            delivery.deliver(Job(snapshot(step), plan, keep=True))
            writer.append(snapshot(step))
    delivery.close()
    return tmp_path


def pngs(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*.png")}


def test_all_steps_drawn_again_are_the_recorded_pictures_bit_for_bit(run_file, capsys):
    typed = ["show", "run.h5", "--view", "filters", "feature-maps", "--step", "all"]
    assert main([*typed, "--out", "pictures"]) == 0
    found = pngs("pictures")
    assert len({content for name, content in found.items() if name.startswith("filters/01")}) == STEPS
    assert found == {name: content for name, content in pngs("recorded").items() if "film" not in name}
    told = capsys.readouterr().out
    assert f"filters: {2 * STEPS} pictures" in told
    assert f"Pictures: {run_file / 'pictures'}" in told


def test_the_film_of_one_layer_has_every_step_that_went_before(run_file):
    typed = ["show", "run.h5", "--layer", "conv1", "--view", "film"]
    assert main(typed) == 0
    name = "1 film strip/01_conv1/step_0003.png"
    assert pngs("pictures") == {name: pngs("recorded")[name]}
    assert main([*typed, "--step", "best", "--out", "best"]) == 0
    assert list(pngs("best")) == ["1 film strip/01_conv1/step_0002.png"]
    assert pngs("best").popitem()[1] == pngs("recorded")["1 film strip/01_conv1/step_0002.png"]


def test_tensorboard_gets_all_steps_in_their_order_with_the_numbers(run_file):
    assert main(["show", "run.h5", "--layer", "conv*", "--step", "all", "--log-dir", "logs"]) == 0
    events = EventAccumulator("logs/layerviz", size_guidance={"images": 0, "scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    assert "filters/01_conv1" in [*tags["images"], *tags["tensors"]]
    found = [*tags["images"], *tags["tensors"]]
    assert [tag for tag in found if "head" in tag and not tag.startswith("health ")] == []  # that is of all
    points = (
        events.Tensors("health/dead/01_conv1")
        if not tags["scalars"]
        else events.Scalars("health/dead/01_conv1")
    )
    assert [point.step for point in points] == [0, 1, 2, 3]
    assert not Path("pictures").exists()


def test_without_a_view_the_file_is_told_as_tables(run_file, capsys):
    assert main(["show", "run.h5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["step", "when", "loss"]
    assert lines[2].split() == ["0", "before", "training", "1"]
    assert lines[4].split() == ["2", "epoch", "2/3", "(best)", "0.3333"]
    (conv,) = [line for line in lines if line.startswith("conv1")]
    assert conv.split("  ")[-1] == "kernel, output"
    (head,) = [line for line in lines if line.startswith("head")]
    assert head.split()[-2:] == ["10", "kernel"]
    assert "Probe: 2 samples: seven, nine" in lines
    assert "Best step: 2 (epoch 2/3)" in lines
    assert not any("nothing is wrong" in line for line in lines)  # nobody looked
    assert main(["show", "run.h5", "--layer", "head"]) == 0
    assert "conv1" not in capsys.readouterr().out
    assert sorted(Path().iterdir()) == [Path("recorded"), Path("run.h5")]  # nothing was drawn


def test_verdicts_are_told_the_worst_first(tmp_path, capsys):
    verdicts = (
        Verdict("conv1", "dead channels", "3 of 3 channels are dead", 1, tag="filters/01_conv1"),
        Verdict("head", "idle", "its weights do not move", 0),
    )
    health = {"conv1": LayerHealth({"dead": 1.0})}
    replace(snapshot(1), verdicts=verdicts, health=health).save(tmp_path / "sick.h5")
    assert main(["show", str(tmp_path / "sick.h5")]) == 0
    told = capsys.readouterr().out
    assert "epoch 1/3: look here first\n1. conv1: 3 of 3 channels are dead since step 1" in told
    assert "2. head: its weights do not move since step 0" in told


def test_a_long_training_is_told_in_a_choice_of_steps_with_the_best(tmp_path, capsys):
    with SnapshotWriter(tmp_path / "long.h5", durable=False) as writer:
        for step in range(60):
            loss = {"loss": float(step)}
            writer.append(Snapshot({}, PROBE, {}, step=step, metrics=loss, best=step == 41))
    assert main(["show", str(tmp_path / "long.h5")]) == 0
    told = capsys.readouterr().out
    listed = [
        int(line.split()[0]) for line in told.splitlines() if line.split()[:1] and line.split()[0].isdigit()
    ]
    assert listed[0] == 0
    assert listed[-1] == 59
    assert 41 in listed
    assert len(listed) == 24
    assert "... 36 of 60 steps are not listed; --step all lists them" in told
    assert main(["show", str(tmp_path / "long.h5"), "--step", "all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 60


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--view", "grad-cam"], "needs gradients and model outputs, and run.h5 holds none"),
        (["--view", "saliency"], "record with views=[..., views.Saliency()]"),
        (["--view", "attention"], "--view attention draws none of the layers of run.h5"),
        (
            ["--view", "feature-maps", "--layer", "head"],
            "none of these layers: was not called in the forward pass",
        ),
        (
            ["--layer", "conv7"],
            "--layer conv7 matches no layer. This model has ['conv1', 'head']. Did you mean 'conv1'?",
        ),
        (["--step", "9"], "It has 4 steps from 0 to 3; the nearest is 3"),
    ],
)
def test_what_the_file_lacks_is_refused_in_words(typed, said, run_file, capsys):
    assert main(["show", "run.h5", *typed, "--out", "pictures"]) == 2
    assert said in capsys.readouterr().err
    assert not Path("pictures").exists()


def test_a_layer_that_is_not_there_is_told_before_any_table(run_file, capsys):
    assert main(["show", "run.h5", "--layer", "conv7"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("layerviz: --layer conv7 matches no layer.")


def test_what_is_no_file_of_snapshots_is_told_in_words(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("no snapshots")
    Path("photos").mkdir()
    with SnapshotWriter("empty.h5"):
        pass
    for name, said in (
        ("notes.txt", "is no file of snapshots. Allowed: one that snapshots= of a callback, "),
        ("photos", "layerviz: 'photos' is a folder."),
        ("empty.h5", "empty.h5' holds no step yet."),
    ):
        for command in ("show", "report", "compare"):
            assert main([command, name]) == 2
            told = capsys.readouterr()
            assert said in told.err
            assert told.out == ""
    assert not Path("empty.html").exists()


def test_the_name_of_the_file_behind_an_option_that_takes_it_is_explained(run_file, capsys):
    with pytest.raises(SystemExit):
        main(["show", "--layer", "conv1", "run.h5"])
    assert "Write it first, directly after 'layerviz show'" in capsys.readouterr().err


def test_a_file_without_a_best_step_says_so(tmp_path, capsys):
    snapshot(1).save(tmp_path / "one.h5")
    assert main(["show", str(tmp_path / "one.h5"), "--step", "best"]) == 2
    assert "no step of this file is marked as the best" in capsys.readouterr().err


def test_a_view_that_fails_is_told_and_the_others_are_drawn(run_file, monkeypatch, caplog):
    def fails(self, layer, snapshot):
        raise ValueError("a fault")

    monkeypatch.setattr(Filters, "draw_layer", fails)
    assert main(["show", "run.h5", "--view", "filters", "feature-maps", "--out", "pictures"]) == 1
    assert list(pngs("pictures")) == ["feature maps/01_conv1/step_0003.png"]
    assert "the view Filters failed, it is left out: ValueError: a fault" in caplog.text
