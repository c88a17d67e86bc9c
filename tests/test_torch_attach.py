"""`attach` records a loop of the user's own, and never ends it."""

import logging

import numpy as np
import pytest
import torch
from fakes import ListSink, Shapes
from torch import nn
from torch_models import ConvNet, images

from layerviz_callbacks import ArgumentError, ProbeError, SelectionError
from layerviz_callbacks.torch import attach, inspect

X = images(2)[0]
TAG = "shapes/01_conv"


def attached(sink, **options):
    options.setdefault("worker", None)  # what comes of a step is there when the step is done
    return attach(ConvNet(), X, log_dir=sink, views=[Shapes()], **options)


def test_the_model_before_training_is_step_0_even_without_with():
    sink = ListSink()
    record = attached(sink)
    assert sink.steps(TAG) == [0]
    record(1)
    record.record(2)
    assert sink.steps(TAG) == [0, 1, 2]
    record.close()
    record.close()
    assert sink.calls[-1] == ("close",) and sink.calls.count(("close",)) == 1


def test_leaving_the_context_closes_also_after_an_error():
    sink = ListSink()
    with pytest.raises(KeyboardInterrupt), attached(sink) as record:
        record(1)
        raise KeyboardInterrupt
    assert sink.calls[-1] == ("close",)


def test_only_what_is_due_is_recorded():
    sink = ListSink()
    with attached(sink, every_n_epochs=2) as record:
        for epoch in range(5):
            record(epoch + 1)
    assert sink.steps(TAG) == [0, 2, 4]


def test_optimizer_steps_are_counted_where_asked_for():
    sink = ListSink()
    with attached(sink, every_n_steps=3) as record:
        for step in range(1, 8):
            record(step)
    assert sink.steps(TAG) == [0, 3, 6]


def test_a_resumed_training_goes_on_counting():
    sink = ListSink()
    with attached(sink, start=4) as record:
        record(5)
    assert sink.calls[0] == ("open", 4)
    assert sink.steps(TAG) == [5]


@pytest.mark.parametrize("number", [True, -1, 1.0, "1", None])
def test_what_is_no_number_of_an_epoch_is_refused(number):
    with attached(ListSink()) as record, pytest.raises(ArgumentError, match=r"epoch=.*record\(epoch \+ 1\)"):
        record(number)


def test_numpy_and_tensor_integers_are_numbers():
    sink = ListSink()
    with attached(sink) as record:
        record(np.int64(1))
        record(torch.tensor(2))
    assert sink.steps(TAG) == [0, 1, 2]


def test_going_back_is_told_once_and_left_out(caplog):
    sink = ListSink()
    with attached(sink) as record:
        for epoch in (0, 1, 1, 0, 2):
            record(epoch)
    assert sink.steps(TAG) == [0, 1, 2]
    told = [line.getMessage() for line in caplog.records if "does not go on" in line.getMessage()]
    assert told == [
        "record(0) does not go on from epoch 0, which is recorded already: it is left out. Count up from 1."
    ]


def test_recording_after_close_is_told_and_left_out(caplog):
    sink = ListSink()
    record = attached(sink)
    record.close()
    record(1)
    record(2)
    assert sink.steps(TAG) == [0]
    assert sum("after close()" in line.getMessage() for line in caplog.records) == 1


def test_metrics_reach_the_view_and_odd_ones_are_told(caplog):
    seen = []

    class Metrics(Shapes):
        def draw_layer(self, layer, snapshot):
            seen.append(dict(snapshot.metrics))
            return []

    with attach(ConvNet(), X, log_dir=ListSink(), views=[Metrics()], layers="conv") as record:
        record(1, loss=torch.tensor(0.5), name="seven")
    assert seen == [{}, {"loss": 0.5}]
    assert "'seven'" in caplog.text


def test_a_fault_in_a_later_epoch_is_logged_once_and_training_goes_on(caplog):
    sink, view = ListSink(), Shapes()
    with attach(ConvNet(), X, log_dir=sink, views=[view]) as record:
        view.fail_with = RuntimeError("on purpose")
        record(1)
        record(2)
    faults = [line for line in caplog.records if line.levelno == logging.ERROR]
    assert len(faults) == 1 and "on purpose" in faults[0].getMessage()


def test_a_fault_raises_where_asked_for():
    view = Shapes()
    with attach(ConvNet(), X, log_dir=ListSink(), views=[view], on_error="raise", worker=None) as record:
        view.fail_with = RuntimeError("on purpose")
        with pytest.raises(RuntimeError, match="on purpose"):
            record(1)


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (SelectionError, {"layers": "dense*"}),
        (ArgumentError, {"every_n_epochs": 0}),
        (ArgumentError, {"every_n_steps": True}),
        (ArgumentError, {"on_error": "ignore"}),
        (ArgumentError, {"views": [Shapes(), Shapes()]}),
        (ArgumentError, {"views": Shapes}),
        (ArgumentError, {"log_dir": None}),
        (ArgumentError, {"start": -1}),
    ],
)
def test_bad_arguments_raise_at_once(error, options):
    with pytest.raises(error):
        attach(ConvNet(), X, **{"log_dir": ListSink(), **options})


def test_a_probe_that_does_not_fit_raises_at_once():
    with pytest.raises(ProbeError, match="permute"):
        attach(ConvNet(), np.zeros((2, 8, 8, 1)), log_dir=ListSink())


def test_a_folder_that_cannot_be_written_raises_at_once(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match="file"):
        attach(ConvNet(), X, log_dir=tmp_path / "file" / "logs")


def test_nothing_stays_on_the_model():
    model = ConvNet()
    with attach(model, X, log_dir=ListSink()) as record:
        record(1)
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
    assert isinstance(model, nn.Module) and model.training


class TwoNets(nn.Module):
    """No forward of its own, as a GAN."""

    def __init__(self):
        super().__init__()
        self.generator, self.critic = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 3)


def test_a_model_without_forward_is_shown_the_probe_as_the_user_says():
    given = []

    def forward(model, inputs):
        given.append(inputs)
        return model.critic(model.generator(inputs))

    model, sink = TwoNets(), ListSink()
    with attach(model, X, log_dir=sink, views=[Shapes()], forward=forward) as record:
        record(1)
    assert sink.steps("shapes/02_critic") == [0, 1]
    assert all(torch.equal(inputs, X) and inputs is not X for inputs in given)
    assert model.training


def test_a_model_without_forward_says_what_to_type():
    with pytest.raises(ArgumentError, match=r"TwoNets has no forward\(\).*forward=lambda model, x: model"):
        attach(TwoNets(), X, log_dir=ListSink())


def test_forward_gets_a_tuple_or_a_dict_where_the_probe_is_one():
    model, seen = nn.Sequential(nn.Linear(2, 2)).double(), []

    def forward(model, inputs):
        seen.append(inputs)
        return model(torch.zeros(4, 2).double())

    for probe in (
        np.ones((4, 2), np.float32),
        [np.ones((4, 2))] * 2,
        {"a": np.ones((4, 2)), "b": np.arange(4)},
    ):
        inspect(model, probe, forward=forward)
    assert seen[0].dtype == torch.float64
    assert isinstance(seen[1], tuple) and len(seen[1]) == 2
    assert list(seen[2]) == ["a", "b"] and seen[2]["b"].dtype == torch.int64


def test_a_forward_that_cannot_be_called_is_refused():
    with pytest.raises(ArgumentError, match="forward='generate' cannot be called"):
        inspect(TwoNets(), X, forward="generate")


def test_a_fault_in_forward_names_the_probe_and_the_fault():
    with pytest.raises(ProbeError, match=r"\(2, 1, 8, 8\).*AttributeError"):
        inspect(TwoNets(), X, forward=lambda model, x: model.sampler(x))


def test_a_list_of_layers_called_by_mistake_is_named():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.Conv2d(1, 1, 1)])

        def forward(self, x):
            return self.blocks(x)

    with pytest.raises(ProbeError, match="ModuleList 'blocks'"):
        inspect(Model(), X)
