"""What pictures may cost, by numbers that one can check by hand."""

import itertools
import time

import pytest
from fakes import CountingReader, Kernels, ListSink, Shapes

from layerviz_callbacks import ArgumentError, Budget, views
from layerviz_callbacks.budget import Spending
from layerviz_callbacks.metering import Meter
from layerviz_callbacks.recorder import Recorder


def recorded(spending, *, steps, cost, interval):
    """The steps that are recorded, and what is told, where a step costs `cost(factor)`."""
    taken, told = [], []
    for step in range(1, steps + 1):
        if spending.due(step):
            taken.append(step)
            words = spending.spent(step, cost=cost(spending.factor), interval=interval)
            told += [words] if words else []
    return taken, told


def test_a_cheap_recording_shows_everything():
    taken, told = recorded(Spending(Budget()), steps=50, cost=lambda factor: 0.02, interval=1.0)
    assert taken == list(range(1, 51))
    assert told == []


def test_short_trainings_show_everything_though_pictures_take_as_long_as_they_do():
    taken, told = recorded(Spending(Budget()), steps=50, cost=lambda factor: 0.2, interval=0.2)
    assert taken == list(range(1, 51))
    assert told == []


def test_without_a_budget_nothing_is_left_out():
    taken, told = recorded(Spending(None), steps=50, cost=lambda factor: 100.0, interval=0.1)
    assert taken == list(range(1, 51))
    assert told == []


def test_first_fewer_channels_and_samples_are_drawn():
    spending = Spending(Budget(0.02))
    taken, told = recorded(
        spending, steps=50, cost=lambda factor: 1.0 / factor, interval=30.0
    )  # 0.6 s allowed
    assert spending.factor == 2
    assert taken == list(range(1, 51))
    (words,) = told
    assert words == (
        "A recorded step takes 1 s beside 30 s of training, more than budget=0.02 allows: from now on 1 in 2 "
        "channels and samples is drawn. budget=None shows everything."
    )


def test_then_fewer_steps_are_recorded_and_the_gaps_grow():
    spending = Spending(Budget(0.02))
    taken, told = recorded(spending, steps=1000, cost=lambda factor: 2.0, interval=30.0)  # 0.6 s allowed
    assert spending.factor == 4
    assert len(told) == 3
    assert "one step in 4 or more is recorded" in told[-1]
    gaps = [later - earlier for earlier, later in itertools.pairwise(taken[9:])]
    assert gaps == sorted(gaps)
    assert gaps[0] >= 4
    assert 2.0 * len(taken) < 0.02 * 30.0 * 1000


def test_with_no_free_time_the_share_alone_counts():
    spending = Spending(Budget(0.02, free_seconds=0))
    taken, _ = recorded(spending, steps=1000, cost=lambda factor: 0.05, interval=0.1)
    assert 0.05 * len(taken) < 0.02 * 0.1 * 1000 * 2


def test_a_dear_view_that_is_rare_counts_by_its_mean_over_the_steps():
    def spend(dear):
        spending, told = Spending(Budget(0.02)), []
        for step in range(1, 101):
            rare = step % 10 == 0
            words = spending.spent(step, cost=dear if rare else 0.1, interval=30.0, drawn=rare)
            told += [words] if words else []
        return told

    assert spend(dear=4.0) == []  # (9 * 0.1 + 4) / 10 = 0.49 s; 0.6 s are allowed
    assert spend(dear=9.0)[0].startswith("A recorded step takes 0.99 s beside 30 s of training")


def test_a_rare_view_whose_step_was_left_out_is_drawn_at_the_next_that_is_recorded():
    sink, rare = ListSink(), Kernels(every_n_epochs=10)
    recorder = Recorder(log_dir=sink, views=[Shapes(), rare], worker=None, budget=Budget(0.02))
    recorder.begin(CountingReader(), step=0, total=40)
    due = {5, 13, 16, 24, 31}  # what a budget may leave
    recorder._training.recording._spending.due = lambda step: step in due
    for epoch in range(1, 41):
        recorder.epoch_end(epoch)
    recorder.end()
    assert sink.steps("shapes/01_conv1") == [0, 5, 13, 16, 24, 31]
    assert sink.steps("kernels/01_conv1") == [0, 13, 24, 31]  # for 10, 20 and 30


@pytest.mark.parametrize("budget", [0, -1, 2, True, "2%", float("nan")])
def test_what_is_no_share_is_refused_with_what_to_type(budget):
    with pytest.raises(ArgumentError, match=r"such as budget=0\.02"):
        Recorder(log_dir=ListSink(), budget=budget)


def test_what_is_no_time_is_refused():
    with pytest.raises(ArgumentError, match=r"free_seconds=-1 is not a time"):
        Budget(free_seconds=-1)


def test_the_meter_tells_training_from_waiting():
    now = [0.0]
    meter = Meter(clock=lambda: now[0])
    for _ in range(2):
        now[0] += 10.0
        with meter.hook():
            now[0] += 0.5
    assert (meter.training, meter.waiting) == (20.0, 1.0)
    assert (meter.lap(), meter.lap()) == (20.0, 0.0)


class SlowReader(CountingReader):
    def read(self, request):
        if request.outputs:
            time.sleep(0.01)
        return super().read(request)


def test_a_slow_reader_is_read_less_often_and_the_log_says_so(caplog):
    caplog.set_level("INFO", "layerviz_callbacks")
    sink, reader = ListSink(), SlowReader()
    recorder = Recorder(log_dir=sink, views=[Shapes()], budget=Budget(0.5, free_seconds=0))
    recorder.begin(reader, step=0, total=60)
    for epoch in range(1, 61):
        recorder.epoch_end(epoch, last=epoch == 60)
    recorder.end()
    steps = sink.steps("shapes/01_conv1")
    assert len(steps) < 40
    assert steps[0] == 0
    assert steps[-1] == 60
    assert "one step in" in caplog.text
    assert "Recorded" in caplog.messages[-1]


def test_reduced_views_draw_at_least_one_channel_and_sample():
    for view in (views.FeatureMaps(max_channels=2, max_samples=1), views.Filters(max_channels=1)):
        assert view.reduced(2).reduced(2).family == view.family
