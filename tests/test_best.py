"""The best step so far: which it is, that it is recorded whatever is due, and that it is never lost."""

import logging
import math
import threading

import pytest
from fakes import CountingReader, Kernels, ListSink, Shapes

from layerviz_callbacks import ArgumentError, Budget
from layerviz_callbacks.best import Best, BestSoFar, Monitor
from layerviz_callbacks.job import Job
from layerviz_callbacks.recorder import Recorder
from layerviz_callbacks.worker import ThreadWorker

LOSSES = [0.9, 0.5, 0.7, 0.5, 0.4, 0.4, 0.8]  # epochs 1, 2 and 5 are strictly better than all before
TAG = "shapes/01_conv1"


def recorder_of(sink, **options):
    options = {"views": [Shapes()], "worker": None, "monitor": "val_loss", **options}
    return Recorder(log_dir=sink, **options)


def train(recorder, reports, *, step=0, reader=None, **begin):
    recorder.begin(reader or CountingReader(), step=step, total=step + len(reports), **begin)
    for epoch, metrics in enumerate(reports, step + 1):
        recorder.epoch_end(epoch, metrics=metrics, last=epoch == step + len(reports))
    recorder.end()


def reports(losses, name="val_loss"):
    return [{"loss": 9.0, name: loss} for loss in losses]


@pytest.mark.parametrize(
    ("mode", "values", "best"),
    [
        ("min", [3, 2, 2, 4, 1, 1], [0, 1, 4]),
        ("max", [3, 2, 2, 4, 1, 4], [0, 3]),
        ("min", [math.nan, 5, math.nan, 4], [1, 3]),
        ("max", [math.nan, -5, math.nan, -4], [1, 3]),
        ("min", [math.inf, math.inf, 1], [0, 2]),
        ("max", [1, math.inf, math.inf], [0, 1]),
        ("min", [None, 3, None, 2, "two"], [1, 3]),
    ],
)
def test_only_what_is_strictly_better_is_the_best_and_nan_never_is(mode, values, best):
    so_far = BestSoFar(Monitor("m", mode))
    assert [step for step, value in enumerate(values) if so_far.improves(step, {"m": value})] == best
    assert so_far.best == Best("m", values[best[-1]], best[-1])


@pytest.mark.parametrize(
    "name",
    [
        "val_accuracy", "val/acc", "valAcc", "top_k_categorical_accuracy", "MulticlassAccuracy", "auc_1",
        "valid AUROC", "f1_score", "val/MulticlassF1Score", "mean_io_u", "val_iou", "dice", "val_r2_score",
    ],
)  # fmt: skip
def test_more_is_better_where_the_name_says_so(name):
    assert Monitor(name).direction == "max"
    assert Monitor(name, "min").direction == "min"


@pytest.mark.parametrize("name", ["loss", "val_loss", "val/dice_loss", "accuracy error", "RMSE", "val_nll"])
def test_less_is_better_where_the_name_says_so(name):
    assert Monitor(name).direction == "min"
    assert Monitor(name, "max").direction == "max"


def test_a_name_that_does_not_tell_is_asked_for_before_anything_is_written():
    sink = ListSink()
    with pytest.raises(ArgumentError, match="Type mode='max' or mode='min'"):
        recorder_of(sink, monitor="val_score").begin(CountingReader(), step=0, total=3)
    assert sink.calls == []


@pytest.mark.parametrize("direction", ["max", "min"])
def test_what_the_framework_knows_goes_before_the_name_but_not_before_the_mode(direction):
    def known(name):
        return direction if name == "val_accuracy" else None

    values = [{"val_accuracy": value} for value in (2, 1, 3)]
    for mode, counts in (("auto", direction), ("max", "max"), ("min", "min")):
        so_far = BestSoFar(Monitor("val_accuracy", mode), known)
        found = [step for step, metrics in enumerate(values) if so_far.improves(step, metrics)]
        assert found == {"max": [0, 2], "min": [0, 1]}[counts]


def test_a_direction_that_nobody_knows_at_the_first_epoch_costs_the_marks_not_the_training(caplog):
    sink = ListSink()
    recorder = recorder_of(sink, monitor="val_score")
    train(recorder, [{"val_score": 1.0}, {"val_score": 2.0}], direction=lambda name: None)
    assert sink.steps(TAG) == [0, 1, 2]
    assert [r.message.count("Type mode='max'") for r in caplog.records if r.levelno >= logging.ERROR] == [1]
    assert recorder.best is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"monitor": 3}, "monitor=3 is no name of a metric"),
        ({"monitor": " "}, "is no name of a metric"),
        ({"mode": "maximum"}, "Allowed: 'auto', 'min', 'max'. Did you mean 'max'"),
        ({"monitor": None, "mode": "max"}, "monitor= is missing"),
    ],
)
def test_bad_arguments_raise_at_construction_and_say_what_to_type(options, words):
    with pytest.raises(ArgumentError, match=words.replace(".", r"\.")):
        recorder_of(ListSink(), **options)


def test_each_epoch_that_is_the_best_so_far_is_recorded_though_none_is_due():
    sink = ListSink()
    recorder = recorder_of(sink, every_n_epochs=4)
    train(recorder, reports(LOSSES))
    shown = [(step, caption) for step, tag, caption in sink.pictures if tag == TAG]
    assert shown == [
        (0, "before training"),
        (1, "epoch 1/7, best val_loss so far"),
        (2, "epoch 2/7, best val_loss so far"),
        (4, "epoch 4/7"),  # as good as the best is not better
        (5, "epoch 5/7, best val_loss so far"),
        (7, "epoch 7/7"),
    ]
    assert recorder.best == Best("val_loss", 0.4, 5)


def test_the_best_epoch_is_recorded_with_every_view_also_with_those_that_are_rarer():
    sink = ListSink()
    train(recorder_of(sink, views=[Shapes(), Kernels(every_n_epochs=100)]), reports([3, 4, 2, 5]))
    assert sink.steps("kernels/01_conv1") == [0, 1, 3, 4]
    assert sink.steps(TAG) == [0, 1, 2, 3, 4]


def test_the_best_epoch_is_recorded_though_the_budget_is_spent(caplog):
    class Slow(CountingReader):
        def read(self, request):
            threading.Event().wait(0.002)
            return super().read(request)

    def steps(**options):
        sink = ListSink()
        budget = Budget(1e-6, free_seconds=0)
        losses = [1.0] * 60
        losses[46] = 0.5  # epoch 47
        recorder = recorder_of(sink, budget=budget, **options)
        train(recorder, reports(losses), reader=Slow())
        return sink.steps(TAG)

    without = steps(monitor=None)
    assert 47 not in without and len(without) < 30
    caplog.set_level(logging.INFO)
    assert 47 in steps()
    assert "epoch 47/60, best val_loss so far: recorded though budget= is spent" in caplog.text


def test_nothing_is_recorded_beside_what_is_due_where_nothing_is_monitored():
    sink = ListSink()
    train(recorder_of(sink, monitor=None, every_n_epochs=4), reports(LOSSES))
    assert sink.steps(TAG) == [0, 4, 7]


def test_a_metric_that_is_missing_is_told_once_with_the_nearest_name(caplog):
    recorder = recorder_of(ListSink(), monitor="val_acuracy", mode="max")
    train(recorder, reports([1, 2, 3], name="val_accuracy"))
    told = [record.message for record in caplog.records if "val_acuracy" in record.message]
    assert len(told) == 1
    assert "epoch 1/3 reported no such metric, only ['loss', 'val_accuracy']" in told[0]
    assert "Did you mean 'val_accuracy'?" in told[0]


def test_epochs_without_the_metric_are_never_the_best():
    sink = ListSink()
    every_second = [
        {"loss": 0.1} if epoch % 2 else {"val_loss": loss} for epoch, loss in enumerate([3, 9, 2, 0])
    ]
    train(recorder_of(sink, every_n_epochs=100), every_second)
    assert sink.steps(TAG) == [0, 1, 3, 4]


def test_what_is_reported_after_an_epochs_end_is_compared_too():
    sink = ListSink()
    recorder = recorder_of(sink, every_n_epochs=100)
    recorder.begin(CountingReader(), step=0, total=4)
    late = {}
    for epoch, loss in enumerate([3.0, 2.0, 2.5, 1.0], 1):
        recorder.epoch_end(epoch, metrics=dict(late), complete=False)  # as it was after the epoch before
        late["val_loss"] = loss
        recorder.compare(late)
    recorder.end()
    assert sink.steps(TAG) == [0, 1, 2, 4]


def test_with_steps_the_best_epoch_is_recorded_as_its_optimizer_step():
    sink = ListSink()
    recorder = recorder_of(sink, every_n_steps=10)
    recorder.begin(CountingReader(), step=0, total=None)
    for epoch, loss in enumerate([3.0, 4.0, 2.0], 1):
        for step in range(7 * epoch - 6, 7 * epoch + 1):
            recorder.step_end(step, metrics={"loss": 0.0})
        recorder.epoch_end(epoch, metrics={"val_loss": loss}, steps_done=7 * epoch)
    recorder.end()
    shown = [(step, caption) for step, tag, caption in sink.pictures if tag == TAG]
    assert shown == [
        (0, "before training"),
        (7, "step 7, best val_loss so far"),
        (10, "step 10"),
        (20, "step 20"),
        (21, "step 21, best val_loss so far"),
    ]


def test_a_loop_that_reports_the_metric_with_some_steps_finds_the_best_of_these(caplog):
    sink = ListSink()
    recorder = recorder_of(sink, every_n_steps=10)
    recorder.begin(CountingReader(), step=0, total=None)
    for step in range(1, 22):
        metrics = {"val_loss": {3: 5.0, 6: 6.0, 9: 4.0}[step]} if step in (3, 6, 9) else {"loss": 0.0}
        recorder.step_end(step, metrics=metrics, compared=True)
    recorder.end()
    assert sink.steps(TAG) == [0, 3, 9, 10, 20]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_metric_that_no_step_ever_had_is_told_at_the_end(caplog):
    recorder = recorder_of(ListSink(), every_n_steps=2)
    recorder.begin(CountingReader(), step=0, total=None)
    for step in range(1, 5):
        recorder.step_end(step, metrics={"val_los": 1.0}, compared=True)
    assert "never reported" not in caplog.text
    recorder.end()
    assert "was never reported, only ['val_los']. Did you mean 'val_los'?" in caplog.text


def test_a_resumed_training_goes_on_comparing_with_the_best_so_far():
    sink = ListSink()
    recorder = recorder_of(sink, every_n_epochs=100)
    train(recorder, reports([0.6, 0.4, 0.6]), step=5, best=Best("val_loss", 0.5, 3))
    assert sink.steps(TAG) == [7, 8]
    other = ListSink()  # the best by another metric, or after the step that is resumed, counts for nothing
    for best in (Best("val_acc", 0.5, 3), Best("val_loss", 0.5, 6)):
        train(recorder_of(other, every_n_epochs=100), reports([0.6, 0.4, 0.6]), step=5, best=best)
    assert other.steps(TAG) == [6, 7, 8] * 2


def test_a_second_fit_of_the_same_model_goes_on_comparing_and_another_model_begins_anew():
    sink, reader = ListSink(), CountingReader()
    recorder = recorder_of(sink, every_n_epochs=100)
    train(recorder, reports([3.0, 2.0]), reader=reader)
    recorder.begin(reader, step=0, total=3)
    for epoch, loss in enumerate([2.5, 1.0, 5.0], 1):
        recorder.epoch_end(epoch, metrics={"val_loss": loss})
    recorder.end()
    assert sink.steps(TAG) == [0, 1, 2, 4]
    train(recorder, reports([9.0, 10.0]))
    assert sink.steps(TAG) == [0, 1, 2, 4, 0, 1, 2]


def test_the_best_so_far_is_never_dropped_and_one_that_was_surpassed_may_be():
    gate, done = threading.Event(), []

    def work(job):
        gate.wait(10)
        done.append(job.snapshot.step)

    worker = ThreadWorker(work, depth=2)
    shapes = CountingReader().read(None)
    for step in range(9):
        snapshot = type(shapes)(shapes.layers, shapes.probe, {}, step=step)
        worker.submit(Job(snapshot, [], best=step in (2, 4)))
    gate.set()
    assert worker.close()
    assert 4 in done and done[-2:] == [7, 8]
    assert 2 in worker.dropped and 4 not in worker.dropped
