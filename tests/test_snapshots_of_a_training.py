"""`snapshots=`: every recorded step in a file, whatever happens to it; a resumed training goes on with it."""

import copy
import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import CountingReader, Keeps, ListSink, Shapes
from stored_snapshots import differences

from layerviz_callbacks import ArgumentError, Layer, Probe, Snapshot, SnapshotFile, Snapshots, views
from layerviz_callbacks.cut import cut_output
from layerviz_callbacks.health import LayerHealth, LayerStatistics, Verdict, output_statistics, weight_sample
from layerviz_callbacks.health.follower import HealthFollower
from layerviz_callbacks.recorder import Recorder
from layerviz_callbacks.store import MissingLibraryError, SnapshotWriter
from layerviz_callbacks.views.base import View

pytest.importorskip("h5py")


class ArrayReader(CountingReader):
    """A model of one layer that `train` changes; gives what was asked for, and no more."""

    def __init__(self, model=None, *, channels=3):
        super().__init__(model)
        self.trained = 0
        self.channels = channels

    def entries(self):
        return [one for one in super().entries() if one.name == "conv1"]

    def read(self, request):
        self.requests.append(request)
        noise = np.random.default_rng(self.trained)
        kernel = noise.normal(0, 1 + self.trained, (self.channels, 1, 3, 3)).astype(np.float32)
        output = noise.normal(0, 1 + self.trained, (2, 6, 6, self.channels)).astype(np.float32)
        taken = None
        if "conv1" in request.output_cuts:
            output, taken = cut_output(output, request.output_cuts["conv1"])
        layer = Layer(
            "conv1", "Conv2D", 1, parameters=9 * self.channels, kernel_shape=kernel.shape,
            output_shape=(2, 6, 6, self.channels),
            kernel=kernel if "conv1" in request.kernels else None,
            output=output if "conv1" in request.outputs else None, output_taken=taken,
            weights={"bias": kernel[:, 0, 0, 0]} if "conv1" in request.weights else {},
        )  # fmt: skip
        batch = np.arange(2 * 8 * 8.0).reshape(2, 8, 8, 1)
        outputs = {"output": output.sum((1, 2))} if request.model_outputs else {}
        return Snapshot({"conv1": layer}, Probe(batch), {"input": batch}, outputs=outputs)


class Counts(Shapes):
    """Counts the steps it goes through, and finds a layer ill from the second on."""

    family = "counts"

    def scalars(self, snapshot):
        return {"counts/steps": snapshot.health["conv1"].numbers["steps"], "counts/nan": float("nan")}

    def follower(self):
        return CountingFollower()


class CountingFollower:
    def __init__(self):
        self.steps = 0
        self.since = None

    def follow(self, snapshot):
        self.steps += 1
        verdicts = ()
        if self.steps > 1:
            self.since = self.since or (snapshot.step, snapshot.when)
            verdicts = (Verdict("conv1", "counted", f"{self.steps} steps", *self.since),)
        health = {"conv1": LayerHealth({"steps": float(self.steps)}), "pool": LayerHealth()}
        return replace(snapshot, health=health, verdicts=verdicts)

    def resume(self, snapshot):
        self.steps = int(snapshot.health["conv1"].numbers["steps"])
        for verdict in snapshot.verdicts:
            self.since = verdict.since, verdict.when


def recorder_of(path, sink=None, **options):
    options = {"views": [views.Filters(), views.FeatureMaps()], "worker": None, "snapshots": path, **options}
    return Recorder(log_dir=sink or ListSink(), **options)


def train(recorder, epochs, reader=None, *, step=0, losses=None):
    reader = reader or ArrayReader()
    reader.trained = step
    recorder.begin(reader, step=step, total=step + epochs)
    for epoch in range(step + 1, step + epochs + 1):
        reader.trained = epoch
        loss = 1 / epoch if losses is None else losses[epoch - 1]
        recorder.epoch_end(epoch, metrics={"loss": loss}, last=epoch == step + epochs)
    recorder.end()
    return recorder


def test_every_recorded_step_is_in_the_file_as_it_was_read(tmp_path):
    keeps = Keeps()
    train(recorder_of(tmp_path / "run.h5", views=[keeps, views.Filters()], every_n_epochs=2), 5)
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert file.steps == (0, 2, 4, 5)
        for step, seen in zip(file.steps, keeps.snapshots, strict=True):
            stored = Snapshot.load(tmp_path / "run.h5", step=step)
            held = stored.ranges["filters/01_conv1"]  # that of this step: what was seen is that before
            assert held.limit >= np.abs(stored["conv1"].kernel).max()
            assert differences(replace(seen, ranges=None), replace(stored, ranges=None)) == []
            assert stored["conv1"].kernel is not None and stored["conv1"].output is not None
        assert file.metrics["loss"].tolist()[1:] == [1 / 2, 1 / 4, 1 / 5]


def test_the_models_own_answers_are_asked_for_though_no_view_draws_them(tmp_path):
    reader = ArrayReader()
    train(recorder_of(tmp_path / "run.h5", views=[views.Filters()]), 2, reader)
    assert Snapshot.load(tmp_path / "run.h5")["conv1"].output is None
    reader.trained = 2
    expected = reader.read(replace(reader.requests[-1], outputs=frozenset({"conv1"})))["conv1"].output
    assert np.array_equal(Snapshot.load(tmp_path / "run.h5").outputs["output"], expected.sum((1, 2)))
    asked = ArrayReader()
    train(recorder_of(None, views=[views.Filters()]), 2, asked)
    assert not any(request.model_outputs for request in asked.requests)


def test_a_stored_step_is_drawn_with_the_pixels_that_were_written_while_it_trained(tmp_path):
    class Sink(ListSink):
        def write(self, pictures, step):
            self.pictures += [(step, picture.tag, picture.pixels) for picture in pictures]

    sink = Sink()
    train(recorder_of(tmp_path / "run.h5", sink), 4)
    written = {(step, tag): pixels for step, tag, pixels in sink.pictures if not tag.startswith("probe")}
    drawn = 0
    with SnapshotFile(tmp_path / "run.h5") as file:
        for snapshot in file:
            for picture in snapshot.pictures(views.Filters(), views.FeatureMaps()):
                assert np.array_equal(written[snapshot.step, picture.tag], picture.pixels)
                drawn += 1
    assert drawn == len(written) == 10


def test_numbers_health_and_verdicts_are_kept(tmp_path):
    train(recorder_of(tmp_path / "run.h5", views=[Counts()]), 2)
    first, _, last = (Snapshot.load(tmp_path / "run.h5", step=step) for step in (0, 1, 2))
    assert first.verdicts == ()
    assert last.verdicts == (Verdict("conv1", "counted", "3 steps", 1, "epoch 1/2"),)
    assert last.health == {"conv1": LayerHealth({"steps": 3.0}), "pool": LayerHealth()}
    assert list(last.numbers) == ["counts/steps", "counts/nan"]
    assert last.numbers["counts/steps"] == 3.0 and np.isnan(last.numbers["counts/nan"])


def test_everything_keeps_whole_arrays_where_else_the_parts_that_are_drawn_are_kept(tmp_path):
    one_channel = [views.FeatureMaps(max_channels=1)]
    train(recorder_of(tmp_path / "part.h5", views=one_channel), 1)
    train(recorder_of(Snapshots(tmp_path / "whole.h5", everything=True), views=one_channel), 1)
    part, whole = (Snapshot.load(tmp_path / name)["conv1"] for name in ("part.h5", "whole.h5"))
    assert part.kernel is None and part.output.shape[-1] == 1 and not part.weights
    assert whole.kernel.shape == (3, 1, 3, 3) and whole.output.shape == (2, 6, 6, 3)
    assert whole.output_taken is None and list(whole.weights) == ["bias"]


def test_the_best_step_is_marked(tmp_path):
    losses = [0.5, 0.6, 0.3, 0.3, 0.4]
    recorder = recorder_of(tmp_path / "run.h5", every_n_epochs=5, monitor="loss")
    train(recorder, 5, losses=losses)
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert (file.steps, file.best_step) == ((0, 1, 3, 5), 3)
        assert [file[step].best for step in file.steps] == [False, True, True, False]
        assert file.when(3) == "epoch 3/5, best loss so far"


def test_precision_and_a_new_name_for_a_new_run(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(2):
        recorder = train(recorder_of(Snapshots(tmp_path / "run.h5", precision="uint8")), 1)
    assert recorder.snapshot_file == tmp_path / "run-2.h5"
    stored = Snapshot.load(tmp_path / "run.h5")["conv1"].kernel
    reader = ArrayReader()
    reader.trained = 1
    exact = reader.read(recorder_request())["conv1"].kernel
    assert 0 < np.abs(stored - exact).max() < np.ptp(exact) / 500
    size = (tmp_path / "run-2.h5").stat().st_size
    bill = [record.message for record in caplog.records if record.message.startswith("Recorded 2 steps")][-1]
    assert bill.endswith(f"Snapshots: 2 steps in {tmp_path / 'run-2.h5'}, {size / 1e6:.2g} MB")


def recorder_request():
    from layerviz_callbacks.request import Request

    return Request(kernels=frozenset({"conv1"}))


@pytest.mark.parametrize(
    "fault", [OSError(28, "No space left on device"), MemoryError(), ValueError("a fault of ours")]
)
def test_a_fault_of_the_file_is_told_once_and_costs_the_file_alone(fault, tmp_path, monkeypatch, caplog):
    append, sink = SnapshotWriter.append, ListSink()

    def fails(self, snapshot, **options):
        if snapshot.step >= 2:
            raise fault
        append(self, snapshot, **options)

    monkeypatch.setattr(SnapshotWriter, "append", fails)
    train(recorder_of(tmp_path / "run.h5", sink), 4)
    errors = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert f"writing to {tmp_path / 'run.h5'} failed, it is switched off and training goes on" in errors[0]
    assert sink.steps("filters/01_conv1") == [0, 1, 2, 3, 4]
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert file.steps == (0, 1)


def test_a_metric_that_is_no_number_is_left_out_of_the_file_and_costs_nothing_else(tmp_path):
    recorder = recorder_of(tmp_path / "run.h5", on_error="raise")
    recorder.begin(ArrayReader(), step=0, total=1)
    recorder.epoch_end(1, metrics={"loss": np.float32(0.5), "note": "warm", "each": np.ones(2), "none": None})
    recorder.end()
    assert Snapshot.load(tmp_path / "run.h5", step=1).metrics == {"loss": 0.5}


def test_a_file_that_is_deleted_meanwhile_costs_nothing_else(tmp_path, caplog):
    class Deletes(Shapes):
        def draw_layer(self, layer, snapshot):
            if snapshot.step == 2:
                (tmp_path / "run.h5").unlink()
            return super().draw_layer(layer, snapshot)

    sink = ListSink()
    train(recorder_of(tmp_path / "run.h5", sink, views=[Deletes()]), 4)
    assert sink.steps("shapes/01_conv1") == [0, 1, 2, 3, 4]
    assert caplog.text.count("is gone: it was deleted or moved") >= 1
    assert not (tmp_path / "run.h5").exists()


def test_with_no_sink_left_the_file_is_still_written(tmp_path):
    sink = ListSink()
    sink.fail_with = OSError("full")
    train(recorder_of(tmp_path / "run.h5", sink), 3)
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert file.steps == (0, 1, 2, 3)


def test_a_file_that_cannot_be_made_raises_at_train_begin(tmp_path):
    (tmp_path / "file").write_text("no folder")
    recorder = recorder_of(tmp_path / "file" / "run.h5")
    with pytest.raises(OSError, match="is not a folder"):
        recorder.begin(ArrayReader(), step=0, total=1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "snapshots=3 is no file"),
        ("", "is no name of a file"),
        (Snapshots, "is no file"),
        (lambda folder: folder, "is a folder"),
    ],
)
def test_what_is_no_file_is_refused_at_construction(given, words, tmp_path):
    given = given(tmp_path) if callable(given) and not isinstance(given, type) else given
    with pytest.raises(ArgumentError, match=words):
        recorder_of(given)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "float8"}, "precision='float8' is not an option"),
        ({"everything": 1}, "everything=1 is not an option"),
        ({"durable": None}, "durable=None is not an option"),
    ],
)
def test_bad_options_of_snapshots_are_refused_at_construction(options, words):
    with pytest.raises(ArgumentError, match=words):
        Snapshots("run.h5", **options)


def test_without_h5py_one_is_told_at_construction_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'layerviz_callbacks\[hdf5\]'"):
        recorder_of("run.h5")


def test_a_recorder_with_a_file_can_be_copied_and_the_copy_writes_its_own(tmp_path):
    recorder = train(recorder_of(tmp_path / "run.h5", tmp_path / "logs"), 1)
    for twin in (copy.deepcopy(recorder), pickle.loads(pickle.dumps(recorder))):
        assert twin.snapshot_file is None
    train(twin, 1)
    assert sorted(path.name for path in tmp_path.glob("*.h5")) == ["run-2.h5", "run.h5"]


# --- resumed ---


def film_pictures(sink):
    return {(step, tag): pixels for step, tag, pixels in sink.pictures if "film" in tag}


class PixelSink(ListSink):
    def write(self, pictures, step):
        self.pictures += [(step, picture.tag, picture.pixels) for picture in pictures]


def options_of_a_film():
    return {"views": [views.FilmStrip(), views.Filters(), Counts()], "monitor": "loss"}


def test_a_resumed_training_goes_on_as_if_it_had_never_stopped(tmp_path):
    losses = [0.9, 0.4, 0.5, 0.6, 0.45, 0.3]
    whole, second = PixelSink(), PixelSink()
    train(recorder_of(tmp_path / "whole.h5", whole, **options_of_a_film()), 6, losses=losses)
    train(recorder_of(tmp_path / "run.h5", PixelSink(), **options_of_a_film()), 4, losses=losses)
    resumed = recorder_of(tmp_path / "run.h5", second, **options_of_a_film())
    train(resumed, 3, step=3, losses=losses)  # out of a checkpoint of epoch 3: epoch 4 is trained again
    films = film_pictures(second)
    assert (6, "1 film strip/01_conv1") in films
    assert np.array_equal(films[6, "1 film strip/01_conv1"], film_pictures(whole)[6, "1 film strip/01_conv1"])
    with SnapshotFile(tmp_path / "run.h5") as file, SnapshotFile(tmp_path / "whole.h5") as other:
        assert file.steps == other.steps == (0, 1, 2, 3, 4, 5, 6)
        assert file.best_step == other.best_step == 6
        assert [file[step].best for step in file.steps] == [other[step].best for step in other.steps]
        for step in file.steps:
            here, there = (
                Snapshot.load(one, step=step) for one in (tmp_path / "run.h5", tmp_path / "whole.h5")
            )
            when = here.when.replace("/4", "/6")
            verdicts = tuple(replace(one, when=one.when.replace("/4", "/6")) for one in here.verdicts)
            assert differences(replace(here, when=when, verdicts=verdicts), there) == []
    assert not list(tmp_path.glob("*-2.h5"))


def test_a_training_resumed_before_its_best_step_forgets_it(tmp_path):
    losses = [0.5, 0.4, 0.1, 0.2, 0.3]
    train(recorder_of(tmp_path / "run.h5", monitor="loss"), 4, losses=losses)
    recorder = recorder_of(tmp_path / "run.h5", monitor="loss")
    recorder.begin(ArrayReader(), step=2, total=5)
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert (file.steps, file.best_step) == ((0, 1, 2), 2)
    for epoch, loss in enumerate([0.45, 0.35, 0.38], 3):
        recorder.epoch_end(epoch, metrics={"loss": loss})
    recorder.end()
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert (file.steps, file.best_step) == ((0, 1, 2, 3, 4, 5), 4)


def test_another_model_does_not_go_on_in_the_file(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train(recorder_of(tmp_path / "run.h5"), 2)
    train(recorder_of(tmp_path / "run.h5"), 2, ArrayReader(channels=5), step=1)
    with SnapshotFile(tmp_path / "run.h5") as file, SnapshotFile(tmp_path / "run-2.h5") as other:
        assert (file.steps, other.steps) == ((0, 1, 2), (2, 3))
    assert "holds another model: it is left as it is" in caplog.text


def test_a_second_fit_goes_on_in_its_own_file_though_another_run_has_begun_a_newer_one(tmp_path):
    reader, recorder = ArrayReader(), recorder_of(tmp_path / "run.h5")
    train(recorder, 2, reader)
    train(recorder_of(tmp_path / "run.h5"), 1)
    recorder.begin(reader, step=0, total=2)
    recorder.epoch_end(1)
    recorder.end()
    with SnapshotFile(tmp_path / "run.h5") as file, SnapshotFile(tmp_path / "run-2.h5") as other:
        assert (file.steps, other.steps) == ((0, 1, 2, 3), (0, 1))


def test_a_damaged_step_costs_the_film_its_beginning_not_the_training(tmp_path, monkeypatch, caplog):
    train(recorder_of(tmp_path / "run.h5"), 2)
    sink = ListSink()
    recorder = recorder_of(tmp_path / "run.h5", sink)

    def broken(self, view, key, names, snapshot):
        raise OSError("a bad sector")

    monkeypatch.setattr("layerviz_callbacks.following.Following.resume", broken)
    train(recorder, 2, step=2)
    assert sink.steps("filters/01_conv1") == [3, 4]
    assert caplog.text.count("reading the earlier steps") == 1


# --- report ---


@pytest.mark.parametrize("worker", [None, "thread"])
def test_a_report_tells_the_verdicts_of_the_last_step_also_after_training(worker):
    reader, recorder = ArrayReader(), recorder_of(None, views=[Counts()], worker=worker)
    assert len(recorder.report()) == 0
    recorder.begin(reader, step=0, total=3)
    recorder.epoch_end(1)
    assert str(recorder.report()).startswith("epoch 1/3: look here first\n1. conv1: 2 steps since epoch 1/3")
    recorder.epoch_end(2)
    recorder.end()
    assert [verdict.words for verdict in recorder.report()] == ["3 steps"]
    recorder.begin(ArrayReader(), step=0, total=3)
    assert len(recorder.report()) == 0  # of the new training
    recorder.end()


def test_a_report_is_empty_where_no_view_looks_and_where_all_is_well_again():
    assert len(train(recorder_of(None), 2).report()) == 0

    class Recovers(View):
        family, needs = "recovers", frozenset()

        def refusal(self, layer):
            return ""

        def draw_layer(self, layer, snapshot):
            return []

        def follower(self):
            return self

        def follow(self, snapshot):
            ill = (Verdict("conv1", "ill", "ill", 1),) if snapshot.step == 1 else ()
            return replace(snapshot, verdicts=ill)

    recorder = recorder_of(None, views=[Recovers()])
    train(recorder, 1)
    assert len(recorder.report()) == 1
    train(recorder, 2)
    assert len(recorder.report()) == 0
    assert str(recorder.report()) == "epoch 2/2: nothing is wrong with the layers, as far as was looked."


TRAINING = textwrap.dedent("""
    import sys
    from pathlib import Path
    from test_snapshots_of_a_training import ArrayReader, recorder_of

    reader = ArrayReader()
    recorder = recorder_of(Path(sys.argv[1]) / "run.h5", Path(sys.argv[1]) / "logs", monitor="loss")
    recorder.begin(reader, step=0, total=None)
    for epoch in range(1, 1_000_000):
        reader.trained = epoch
        recorder.epoch_end(epoch, metrics={"loss": 1 / epoch})
        print(epoch, flush=True)
""")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_training_leaves_every_finished_epoch_in_the_file(tmp_path):
    settings = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", TRAINING, str(tmp_path)]
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout.readline() == "1\n"
        time.sleep(0.2)
        training.kill()
        finished = [1, *map(int, training.stdout.read().split("\n")[:-1])]
    with SnapshotFile(tmp_path / "run.h5") as file:
        last = file.steps[-1]
        assert file.steps == tuple(range(last + 1)) and last >= finished[-1]
        assert file.best_step == last
        reader = ArrayReader()
        for step in (0, last):
            reader.trained = step
            assert np.array_equal(file[step]["conv1"].kernel, reader.read(recorder_request())["conv1"].kernel)


def test_the_health_of_a_resumed_training_knows_the_start_and_since_when_a_layer_is_ill():
    def snapshot(step):
        kernel = np.ones((4, 9), np.float32) * (1 + step)
        reader = ArrayReader(channels=4)
        reader.trained = step
        read = reader.read(recorder_request())
        statistics = LayerStatistics(
            output_statistics(np.zeros((2, 4), np.float32)), weight_sample(kernel)
        )  # nothing but zeros: dead
        layer = replace(
            read["conv1"], kind="ReLU", kernel=kernel, kernel_shape=kernel.shape, statistics=statistics
        )
        return replace(read, layers={"conv1": layer}, step=step, when=f"epoch {step}, best loss so far")

    whole, resumed = HealthFollower(), HealthFollower()
    found = [whole.follow(snapshot(step)) for step in range(4)]
    for one in found[:3]:
        stored = {"conv1": replace(one["conv1"], statistics=None)}
        resumed.resume(replace(one, layers=stored))
    last = resumed.follow(snapshot(3))
    assert found[3].health["conv1"].numbers["distance"] == last.health["conv1"].numbers["distance"] == 3.0
    assert resumed.follow(snapshot(4)).verdicts == whole.follow(snapshot(4)).verdicts
    assert (
        moments(resumed.follow(snapshot(5))) == moments(whole.follow(snapshot(5))) == [("dead channels", 1)]
    )
    fresh = HealthFollower()
    assert "distance" not in fresh.follow(snapshot(3)).health["conv1"].numbers
    assert moments(fresh.follow(snapshot(4))) == [("dead channels", 4)]


def moments(snapshot):
    return [(verdict.illness, verdict.since) for verdict in snapshot.verdicts]
