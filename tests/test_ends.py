"""However a training ends, or a part of the recording: nothing stays open, and what is told is true."""

import gc
import logging
import threading
from dataclasses import replace

import pytest
from fakes import CountingReader, Kernels, ListSink, Shapes

from layerviz_callbacks import SnapshotFile
from layerviz_callbacks.health import HealthReport, LayerHealth, Verdict
from layerviz_callbacks.recorder import Recorder
from layerviz_callbacks.store import RunFile
from layerviz_callbacks.worker import ThreadWorker

TAG = "shapes/01_conv1"


class Sparse(Kernels):
    """Drawn at fewer and fewer steps, and at the last."""

    sparse = True


class Finds(Shapes):
    """Finds one layer ill."""

    def __init__(self, layer, severity):
        super().__init__(layers=[layer])
        self.verdict = Verdict(layer, "found", "ill", 0, severity=severity)

    def follower(self):
        verdict = self.verdict

        class Follower:
            def follow(self, snapshot):
                health = {verdict.layer: LayerHealth({"severity": verdict.severity})}
                return replace(snapshot, health=health, verdicts=(verdict,))

        return Follower()


def recorder_of(sink, **options):
    return Recorder(log_dir=sink, **{"views": [Shapes()], "worker": None, **options})


def train(recorder, epochs, reader=None, *, step=0):
    recorder.begin(reader or CountingReader(), step=step, total=step + epochs)
    for epoch in range(step + 1, step + epochs + 1):
        recorder.epoch_end(epoch, metrics={"loss": 1 / epoch}, last=epoch == step + epochs)


def test_what_several_views_find_stands_in_the_report_and_the_file_the_worst_first(tmp_path):
    pytest.importorskip("h5py")
    finding = [Finds("conv1", 0.2), Finds("pool", 0.9), Finds("head", 0.5)]
    recorder = recorder_of(ListSink(), views=finding, snapshots=tmp_path / "run.h5")
    train(recorder, 1)
    recorder.end()
    assert [verdict.layer for verdict in recorder.report()] == ["pool", "head", "conv1"]
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert [verdict.layer for verdict in file[1].verdicts] == ["pool", "head", "conv1"]
        assert {name: found.numbers["severity"] for name, found in file[1].health.items()} == {
            "conv1": 0.2, "pool": 0.9, "head": 0.5,
        }  # fmt: skip


def test_a_report_says_whether_anything_was_recorded_and_whether_a_view_looks():
    blind, seeing = recorder_of(ListSink()), recorder_of(ListSink(), views=[Finds("conv1", 0.5)])
    assert str(blind.report()) == "Nothing was recorded yet."
    train(blind, 1)
    train(seeing, 1)
    for _ in range(2):  # while it is recorded, and afterwards
        said = "No view looks at the health of layers: add views.Health() to views=[...]."
        assert str(blind.report()) == said and len(blind.report()) == 0
        assert str(seeing.report()).startswith("epoch 1/1: look here first")
        blind.end()
        seeing.end()
    assert str(HealthReport()) == "Nothing was recorded yet."


def test_a_training_that_fails_to_begin_leaves_nothing_open_and_the_next_one_begins():
    sink, view = ListSink(), Shapes()
    recorder = recorder_of(sink, views=[view], on_error="raise")
    view.fail_with = RuntimeError("stop here")
    with pytest.raises(RuntimeError, match="stop here"):
        recorder.begin(CountingReader(), step=0, total=1)
    assert not recorder.recording and sink.calls[-1] == ("close",)
    recorder.epoch_end(1)  # nothing is recorded of a training that was not begun
    view.fail_with = None
    train(recorder, 1)
    recorder.end()
    assert sink.steps(TAG) == [0, 1]


def test_where_the_file_cannot_be_opened_the_sinks_are_closed(tmp_path):
    pytest.importorskip("h5py")
    (tmp_path / "file").write_text("no folder")
    sinks = [ListSink(), ListSink()]
    with pytest.raises(OSError, match="is not a folder"):
        recorder_of(sinks, snapshots=tmp_path / "file" / "run.h5").begin(CountingReader(), step=0, total=1)
    assert [sink.calls for sink in sinks] == [[("open", 0), ("close",)]] * 2


def test_each_sink_is_closed_whatever_the_last_picture_or_another_sink_raises():
    class Unclosable(ListSink):
        def close(self):
            super().close()
            raise OSError("No space left on device")

    sinks, view = [Unclosable(), ListSink(), Unclosable()], Sparse()
    recorder = recorder_of(sinks, views=[Shapes(), view], on_error="raise")
    train(recorder, 9)  # a sparse view is behind by now
    view.fail_with = RuntimeError("stop here")
    with pytest.raises((OSError, RuntimeError)):
        recorder.end()
    assert [sink.calls.count(("close",)) for sink in sinks] == [1, 1, 1]
    recorder.end()
    assert [sink.calls.count(("close",)) for sink in sinks] == [1, 1, 1]


@pytest.mark.parametrize("worker", ["thread", None])
def test_a_training_that_nobody_ended_is_drawn_to_its_last_step_when_its_callback_goes(worker):
    sink = ListSink()
    recorder = recorder_of(sink, views=[Shapes(), Sparse()], worker=worker, budget=None)
    recorder.begin(CountingReader(), step=0, total=18)
    for epoch in range(1, 19):
        recorder.epoch_end(epoch)
        recorder.report()  # waits for the drawing
    assert sink.steps("kernels/01_conv1")[-1] == 16
    del recorder
    gc.collect()
    assert sink.steps("kernels/01_conv1")[-1] == 18
    assert sink.steps(TAG) == list(range(19))
    assert sink.calls[-1] == ("close",)


def test_a_callback_that_goes_in_the_thread_that_draws_is_drawn_to_its_last_step_too(request):
    gate = threading.Event()

    class Collects(Shapes):
        def draw_layer(self, layer, snapshot):
            if snapshot.step == 1:
                assert gate.wait(60)
                gc.collect()
            return super().draw_layer(layer, snapshot)

    class Closes(ListSink):
        def close(self):
            super().close()
            closed.set()

    closed, sink = threading.Event(), Closes()
    request.addfinalizer(gc.enable)
    gc.collect()
    gc.disable()
    recorder = recorder_of(sink, views=[Collects()], worker="thread")
    recorder.goes_in_a_cycle = recorder
    train(recorder, 3)
    del recorder
    gate.set()
    assert closed.wait(60)
    assert sink.steps(TAG) == [0, 1, 2, 3] and sink.calls.count(("close",)) == 1


def test_drawing_that_does_not_end_is_told_and_holds_up_neither_training_nor_the_file(
    tmp_path, monkeypatch, caplog
):
    pytest.importorskip("h5py")
    entered, gate, close = threading.Event(), threading.Event(), ThreadWorker.close
    monkeypatch.setattr(ThreadWorker, "close", lambda self, timeout=0.1: close(self, timeout))

    class Hangs(Shapes):
        def draw_layer(self, layer, snapshot):
            if snapshot.step == 10:
                entered.set()
                gate.wait(60)
            return super().draw_layer(layer, snapshot)

    sink = ListSink()
    recorder = recorder_of(
        sink, views=[Sparse(), Hangs()], worker="thread", budget=None, snapshots=tmp_path / "run.h5"
    )
    recorder.begin(CountingReader(), step=0, total=11)
    for epoch in range(1, 12):
        if epoch == 10:
            recorder.report()
        recorder.epoch_end(epoch)
        if epoch == 10:
            assert entered.wait(60)
    recorder.end()
    assert (
        "2 recorded steps were left out within a minute after the end of the training: 10, 11" in caplog.text
    )
    assert sink.calls[-1] == ("close",)
    drawn = len(sink.pictures)
    gate.set()
    for thread in threading.enumerate():
        if thread.name == "layerviz drawing":
            thread.join(60)
    assert len(sink.pictures) == drawn
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert file.steps == tuple(range(10))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_the_last_line_counts_each_step_once_and_of_a_replay_it_tells_no_waiting(caplog):
    caplog.set_level(logging.INFO)
    for replayed in (False, True):
        recorder = recorder_of(ListSink(), replayed=replayed, monitor="val_loss")
        recorder.begin(CountingReader(), step=0, total=2)
        for epoch in (1, 2):
            recorder.epoch_end(epoch, metrics={}, complete=False)
            recorder.compare({"val_loss": 1 / epoch})  # the same step once more, as the best
        recorder.end()
    trained, replayed = (one.message for one in caplog.records if one.message.startswith("Recorded"))
    assert trained.startswith("Recorded 3 steps: 6 pictures, ") and "; training waited " in trained
    assert replayed.startswith("Recorded 3 steps: 6 pictures, ") and "waited" not in replayed
    assert "MB; drawing took " in replayed


def test_a_damaged_step_of_the_training_that_is_resumed_costs_no_more_than_the_comparison(
    tmp_path, monkeypatch, caplog
):
    pytest.importorskip("h5py")
    reader = CountingReader()
    first = recorder_of(ListSink(), snapshots=tmp_path / "run.h5")
    train(first, 2, reader)
    first.end()

    def damaged(self):
        raise KeyError("no such object")

    monkeypatch.setattr(RunFile, "initial", damaged)
    sink = ListSink()
    second = recorder_of(sink, snapshots=tmp_path / "run.h5")
    train(second, 1, step=2)
    second.end()
    assert sink.steps(TAG) == [3]
    assert "reading the model before training out of" in caplog.text
    assert "nothing is compared with it and training goes on" in caplog.text
    with SnapshotFile(tmp_path / "run.h5") as file:
        assert file.steps == (0, 1, 2, 3)
