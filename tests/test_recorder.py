import copy
import logging
import threading
from dataclasses import replace

import pytest
from fakes import CountingReader, Kernels, ListSink, Shapes

from layerviz_callbacks import ArgumentError, CallbackInUseError, Layer, ReadingError, SelectionError, views
from layerviz_callbacks.recorder import Recorder


def recorder_of(sink, **options):
    options.setdefault("views", [Shapes()])
    options.setdefault("worker", None)  # what comes of a step is there when the step is done
    return Recorder(log_dir=sink, **options)


def train(recorder, reader, epochs, *, step=0):
    recorder.begin(reader, step=step, total=epochs)
    for epoch in range(step + 1, epochs + 1):
        recorder.epoch_end(epoch, metrics={"loss": 0.5}, last=epoch == epochs)
    recorder.end()


def test_step_0_is_the_untrained_model_and_step_k_is_after_epoch_k():
    sink = ListSink()
    train(recorder_of(sink), CountingReader(), 3)
    shown = [(step, caption) for step, tag, caption in sink.pictures if tag == "shapes/01_conv1"]
    assert shown == [(0, "before training"), (1, "epoch 1/3"), (2, "epoch 2/3"), (3, "epoch 3/3")]


def test_the_input_is_pictured_once():
    sink = ListSink()
    train(recorder_of(sink), CountingReader(), 2)
    assert [step for step, tag, _ in sink.pictures if tag.startswith("probe/")] == [0]


def test_each_epoch_is_flushed_before_the_next_begins():
    sink = ListSink()
    train(recorder_of(sink), CountingReader(), 2)
    assert sink.calls == [("open", 0), ("flush",), ("flush",), ("flush",), ("close",)]


def test_every_n_epochs_records_those_and_the_last():
    sink = ListSink()
    train(recorder_of(sink, every_n_epochs=2), CountingReader(), 5)
    assert sink.steps("shapes/01_conv1") == [0, 2, 4, 5]


def test_a_view_may_be_rarer_than_the_others_and_then_nothing_is_read_for_it():
    sink, reader = ListSink(), CountingReader()
    train(recorder_of(sink, views=[Shapes(), Kernels(every_n_epochs=2)]), reader, 3)
    assert sink.steps("kernels/01_conv1") == [0, 2, 3]
    assert [sorted(request.weights) for request in reader.requests] == [
        [], ["conv1", "head"], [], ["conv1", "head"], ["conv1", "head"],  # first the shapes alone
    ]  # fmt: skip


def test_nothing_is_read_when_no_view_is_due():
    reader = CountingReader()
    recorder = recorder_of(ListSink(), every_n_epochs=5)
    recorder.begin(reader, step=0, total=20)
    before = len(reader.requests)
    recorder.epoch_end(1)
    assert len(reader.requests) == before


def test_every_n_steps_counts_optimizer_steps():
    sink = ListSink()
    recorder = recorder_of(sink, every_n_steps=3)
    recorder.begin(CountingReader(), step=0, total=None)
    for step in range(1, 8):
        recorder.step_end(step)
    recorder.epoch_end(1)
    recorder.end()
    assert sink.steps("shapes/01_conv1") == [0, 3, 6]


def test_a_second_fit_of_the_same_model_goes_on_counting():
    sink, reader = ListSink(), CountingReader()
    recorder = recorder_of(sink)
    train(recorder, reader, 2)
    train(recorder, CountingReader(reader.model), 3)
    assert sink.steps("shapes/01_conv1") == [0, 1, 2, 3, 4, 5]
    assert sink.pictures[-1][2] == "epoch 5/5"
    assert [call for call in sink.calls if call[0] == "open"] == [("open", 0), ("open", 2)]


def test_another_model_begins_at_0_again():
    sink, recorder = ListSink(), None
    recorder = recorder_of(sink)
    train(recorder, CountingReader(), 2)
    train(recorder, CountingReader(), 1)
    assert sink.steps("shapes/01_conv1") == [0, 1, 2, 0, 1]
    assert [call for call in sink.calls if call[0] == "open"] == [("open", 0), ("open", 0)]


def test_a_resumed_training_counts_on_from_where_it_stood():
    sink = ListSink()
    train(recorder_of(sink), CountingReader(), 6, step=4)
    assert sink.steps("shapes/01_conv1") == [5, 6]
    assert ("open", 4) in sink.calls


def test_a_model_that_is_built_by_its_first_step_has_no_step_0():
    sink = ListSink()
    recorder = recorder_of(sink)
    recorder.begin(CountingReader(), step=0, total=2, initial=False)
    recorder.epoch_end(1)
    assert sink.steps("shapes/01_conv1") == [1]
    assert [step for step, tag, _ in sink.pictures if tag.startswith("probe/")] == [0]


def test_the_coverage_is_told_once_in_the_log_and_as_text(caplog):
    sink, reader = ListSink(), CountingReader()
    recorder = recorder_of(sink)
    with caplog.at_level(logging.INFO):
        train(recorder, reader, 1)
        train(recorder, reader, 1)
    line = (
        "1 of 3 layers pictured; 2 not: pool (no kernel of their own; add their names to layers= to see "
        "their outputs), head (too deep)"
    )
    told = [record.message for record in caplog.records if "pictured" in record.message]
    assert told == [f"{line}. Pictures: memory"]
    assert len(sink.texts) == 1
    assert sink.texts[0][:2] == (0, "layers pictured")
    assert "| head | not pictured: too deep |" in sink.texts[0][2]


def test_chosen_layers_are_drawn_though_they_have_no_kernel():
    sink = ListSink()
    train(recorder_of(sink, layers=["pool"]), CountingReader(), 1)
    assert sink.steps("shapes/02_pool") == [0, 1]
    assert sink.steps("shapes/01_conv1") == []


def test_a_layer_that_does_not_exist_raises_at_train_begin():
    with pytest.raises(SelectionError, match=r"layers=\['conv9'\] matches no layer.*Did you mean 'conv1'\?"):
        recorder_of(ListSink(), layers=["conv9"]).begin(CountingReader(), step=0, total=1)


def test_a_fault_of_a_view_is_logged_once_and_training_goes_on(caplog):
    sink, broken = ListSink(), Shapes()
    recorder = recorder_of(sink, views=[broken, Kernels()])
    recorder.begin(CountingReader(), step=0, total=3)
    broken.fail_with = RuntimeError("a fault at epoch 1")
    for epoch in (1, 2, 3):
        recorder.epoch_end(epoch)
    assert sink.steps("shapes/01_conv1") == [0]
    assert sink.steps("kernels/01_conv1") == [0, 1, 2, 3]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "the view Shapes failed, it is switched off" in errors[0].message
    assert errors[0].exc_info


def test_a_fault_of_the_reader_leaves_out_the_step_and_is_logged_once(caplog):
    sink, reader = ListSink(), CountingReader()
    recorder = recorder_of(sink)
    recorder.begin(reader, step=0, total=4)
    reader.fail_with = MemoryError("out of memory")
    recorder.epoch_end(1)
    recorder.epoch_end(2)
    reader.fail_with = None
    recorder.epoch_end(3)
    assert sink.steps("shapes/01_conv1") == [0, 3]
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 1


def test_a_fault_of_one_sink_leaves_the_other_writing(caplog):
    full, fine = ListSink(), ListSink()
    recorder = recorder_of([full, fine])
    recorder.begin(CountingReader(), step=0, total=2)
    full.fail_with = OSError("No space left on device")
    recorder.epoch_end(1)
    recorder.epoch_end(2)
    assert full.steps("shapes/01_conv1") == [0]
    assert fine.steps("shapes/01_conv1") == [0, 1, 2]
    assert sum("No space left" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("place", ["view", "reader", "sink"])
def test_on_error_raise_raises(place):
    sink, reader, view = ListSink(), CountingReader(), Shapes()
    recorder = recorder_of(sink, views=[view], on_error="raise")
    recorder.begin(reader, step=0, total=1)
    {"view": view, "reader": reader, "sink": sink}[place].fail_with = RuntimeError("stop here")
    with pytest.raises(RuntimeError, match="stop here"):
        recorder.epoch_end(1)


def test_two_trainings_at_the_same_time_are_refused():
    recorder = recorder_of(ListSink())
    recorder.begin(CountingReader(), step=0, total=1)
    caught = []

    def second_training():
        try:
            recorder.begin(CountingReader(), step=0, total=1)
        except CallbackInUseError as error:
            caught.append(str(error))

    thread = threading.Thread(target=second_training)
    thread.start()
    thread.join()
    assert len(caught) == 1
    assert "Make one callback a training" in caught[0]
    recorder.epoch_end(1)
    recorder.end()


def test_a_training_that_died_does_not_block_the_next():
    sink, reader = ListSink(), CountingReader()
    recorder = recorder_of(sink)
    thread = threading.Thread(target=lambda: recorder.begin(reader, step=0, total=9))
    thread.start()
    thread.join()
    train(recorder, reader, 1)
    assert sink.steps("shapes/01_conv1")[-1] == 1


def test_an_unused_recorder_can_be_copied():
    copied = copy.deepcopy(recorder_of(ListSink()))
    train(copied, CountingReader(), 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs=0 is not a count"),
        ({"every_n_epochs": True}, "every_n_epochs=True is not a count"),
        ({"every_n_steps": -1}, "every_n_steps=-1 is not a count"),
        ({"on_error": "wran"}, "Did you mean 'warn'?"),
        ({"layers": 3}, "layers=3 cannot choose layers"),
        ({"views": []}, "is not a list of views"),
        ({"views": "filters"}, "is not a list of views"),
        ({"views": [views.Filters]}, "Type views.Filters()"),
        ({"views": ["filters"]}, "is not a view"),
        ({"views": [views.Filters(), views.Filters()]}, "holds Filters twice"),
    ],
)
def test_bad_arguments_raise_at_construction_and_say_what_to_type(options, words):
    with pytest.raises(ArgumentError) as error:
        Recorder(log_dir="logs", **options)
    assert words in str(error.value)


def test_a_view_twice_for_the_same_layer_raises_at_train_begin():
    twice = [Shapes(layers="conv*"), Shapes(layers=["conv1", "head"])]
    with pytest.raises(ArgumentError, match=r"holds Shapes twice for the layers \['conv1'\]"):
        recorder_of(ListSink(), views=twice).begin(CountingReader(), step=0, total=1)


def test_a_further_call_and_output_of_a_chosen_layer_are_drawn_and_not_counted():
    class TwiceReader(CountingReader):
        def read(self, request):
            snapshot = super().read(request)
            more = {
                "pool#2": Layer("pool#2", "MaxPooling2D", 2, output_shape=(2, 2, 2, 2), part_of="pool"),
                "pool.1": Layer("pool.1", "MaxPooling2D", 2, output_shape=(2, 2, 2, 2), part_of="pool"),
            }
            return replace(snapshot, layers={**snapshot.layers, **more})

    sink = ListSink()
    recorder = recorder_of(sink, layers="pool")
    covered = recorder.begin(TwiceReader(), step=0, total=1)
    tags = [tag for _, tag, _ in sink.pictures if tag.startswith("shapes/")]
    assert tags == ["shapes/02_pool", "shapes/02_pool#2", "shapes/02_pool.1"]
    assert covered.line() == "1 of 1 chosen layers pictured"


def test_a_missing_log_dir_is_asked_for():
    with pytest.raises(ArgumentError, match="log_dir='logs'"):
        Recorder(log_dir=None).begin(CountingReader(), step=0, total=1)


@pytest.mark.parametrize("error", [MemoryError("8 GB"), ReadingError("the layer 'drop' fails")])
def test_a_model_that_cannot_be_read_at_all_is_logged_and_training_goes_on(error, caplog):
    sink, reader = ListSink(), CountingReader()
    reader.fail_with = error
    recorder = recorder_of(sink)
    assert recorder.begin(reader, step=0, total=2) is None
    recorder.epoch_end(1)
    recorder.end()
    assert sink.pictures == []
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "there are no pictures of this training and training goes on" in record.getMessage()
    assert str(error) in record.getMessage()


def test_full_memory_is_told_with_what_to_do(caplog):
    reader = CountingReader()
    recorder = recorder_of(ListSink())
    recorder.begin(reader, step=0, total=2)
    reader.fail_with = MemoryError()
    recorder.epoch_end(1)
    assert "show fewer samples, such as x_val[:2]" in caplog.text


class FailsAtStep0(CountingReader):
    """Gives the shapes, and fails the first time that outputs are wanted."""

    def read(self, request):
        self.fail_with = MemoryError("8 GB") if len(self.requests) == 1 else None
        return super().read(request)


def test_a_model_that_cannot_be_read_at_step_0_is_read_at_the_next_ones(caplog):
    sink = ListSink()
    train(recorder_of(sink), FailsAtStep0(), 2)
    assert sink.steps("shapes/01_conv1") == [1, 2]
    assert sink.steps("probe/input") == [0]
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "this step is left out and training goes on" in record.getMessage()


class Comparing(Shapes):
    """Compares each step with the model before training."""

    needs = frozenset({"outputs", "initial"})

    def draw_layer(self, layer, snapshot):
        before = None if snapshot.initial is None else sorted(snapshot.initial.layers)
        self.seen = [*getattr(self, "seen", []), (snapshot.step, layer.name, before)]
        return super().draw_layer(layer, snapshot)


def test_a_view_that_compares_is_shown_its_layers_as_they_were_before_training():
    view = Comparing()
    train(recorder_of(ListSink(), views=[view]), CountingReader(), 2)
    assert view.seen == [(0, "conv1", None), (1, "conv1", ["conv1"]), (2, "conv1", ["conv1"])]


def test_a_resumed_training_has_nothing_to_be_compared_with():
    view = Comparing()
    train(recorder_of(ListSink(), views=[view]), CountingReader(), 5, step=3)
    assert [before for _, _, before in view.seen] == [None, None]


class Counting(Shapes):
    """Numbers beside the pictures; fails where told to."""

    numbers_fail_with = None

    def scalars(self, snapshot):
        if self.numbers_fail_with is not None:
            raise self.numbers_fail_with
        return {f"pixels/{layer.name}": float(snapshot.step) for layer in self.drawn(snapshot)}


def test_the_numbers_of_a_view_are_written_beside_its_pictures():
    sink = ListSink()
    train(recorder_of(sink, views=[Counting()]), CountingReader(), 2)
    assert sink.scalars == [(0, "pixels/conv1", 0.0), (1, "pixels/conv1", 1.0), (2, "pixels/conv1", 2.0)]


def test_numbers_that_fail_switch_the_view_off_and_training_goes_on(caplog):
    sink, view = ListSink(), Counting()
    view.numbers_fail_with = ZeroDivisionError("mean of nothing")
    train(recorder_of(sink, views=[view, Kernels()]), CountingReader(), 2)
    assert sink.steps("shapes/01_conv1") == [0] and sink.steps("kernels/01_conv1") == [0, 1, 2]
    assert caplog.text.count("the view Counting failed") == 1


def test_what_could_not_be_read_is_told_once(caplog):
    class Unable(CountingReader):
        def read(self, request):
            return replace(super().read(request), unread={"gradients of conv1": "nothing depends on it"})

    train(recorder_of(ListSink()), Unable(), 3)
    assert caplog.text.count("no gradients of conv1 (nothing depends on it)") == 1


def test_an_argument_of_a_view_that_does_not_fit_the_model_raises_at_train_begin():
    class Fussy(Shapes):
        def check(self, shapes):
            raise ArgumentError(f"this model has only {len(shapes)} layers")

    recorder = recorder_of(ListSink(), views=[Fussy()])
    with pytest.raises(ArgumentError, match="only 3 layers"):
        recorder.begin(CountingReader(), step=0, total=1)
    assert not recorder.recording


def test_a_view_that_reads_nothing_of_its_layers_makes_no_layer_missed(caplog):
    class Rare(Shapes):
        """Draws one layer unless others are named."""

        family = "rare"
        needs = frozenset({"gradients"})
        leaves_out = "rare pictures are of one layer"

        def chosen(self, snapshot):
            return [layer for layer in super().chosen(snapshot) if layer.name == "conv1"]

    covered = recorder_of(ListSink(), views=[Rare()]).begin(CountingReader(), step=0, total=1)
    assert covered.line() == ("1 of 3 layers pictured; 2 not: pool, head (rare pictures are of one layer)")
    covered = recorder_of(ListSink(), views=[Rare(), Kernels()]).begin(CountingReader(), step=0, total=1)
    assert covered.line().startswith("2 of 3 layers pictured; 1 not: pool")
