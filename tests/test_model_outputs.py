"""What the model itself answers is read, and drawn, without any layer."""

import keras
import numpy as np
import pytest
import torch
from fakes import CountingReader, ListSink, Shapes
from torch import nn

from layerviz_callbacks import Probe, views
from layerviz_callbacks.errors import ArgumentError, SelectionError
from layerviz_callbacks.keras.reader import KerasReader
from layerviz_callbacks.plan import checked_views, plan_of, request_of
from layerviz_callbacks.reader import LayerEntry
from layerviz_callbacks.recorder import Recorder
from layerviz_callbacks.request import Request
from layerviz_callbacks.torch import attach
from layerviz_callbacks.torch.reader import TorchReader

BATCH = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)


def torch_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def keras_models():
    dense = [keras.layers.Dense(5, name="one"), keras.layers.Dense(3, name="two")]
    yield keras.Sequential([keras.Input((6,)), *dense])
    loop = keras.layers.LSTM(4, name="loop")
    yield keras.Sequential([keras.Input((6,)), keras.layers.Reshape((3, 2)), loop])


def test_torch_gives_the_models_outputs_without_those_of_layers():
    model = torch_model()
    reader = TorchReader(model, Probe(BATCH))
    for _ in range(2):  # the first read runs the model anyway, for the shapes
        snapshot = reader.read(Request(model_outputs=True))
        np.testing.assert_array_equal(snapshot.outputs["output"], model(torch.tensor(BATCH)).detach().numpy())
        assert all(layer.output is None and layer.kernel is None for layer in snapshot)
    assert reader.read(Request()).outputs == {}


@pytest.mark.parametrize("model", list(keras_models()), ids=["dense", "recurrent"])
def test_keras_gives_the_models_outputs_without_those_of_layers(model):
    reader = KerasReader(model, Probe(BATCH))
    for _ in range(2):
        snapshot = reader.read(Request(model_outputs=True))
        expected = keras.ops.convert_to_numpy(model(BATCH, training=False))
        np.testing.assert_allclose(snapshot.outputs["output"], expected, rtol=1e-5, atol=1e-6)
        assert all(layer.output is None and layer.kernel is None for layer in snapshot)
    assert reader.read(Request()).outputs == {}


def test_legacy_keras_gives_the_models_outputs_without_those_of_layers():
    tf_keras = pytest.importorskip("tf_keras")
    from layerviz_callbacks.keras.legacy.reader import LegacyReader

    model = tf_keras.Sequential([tf_keras.Input((6,)), tf_keras.layers.Dense(3)])
    reader = LegacyReader(model, Probe(BATCH))
    for _ in range(2):
        snapshot = reader.read(Request(model_outputs=True))
        np.testing.assert_allclose(snapshot.outputs["output"], model(BATCH).numpy(), rtol=1e-5, atol=1e-6)
        assert all(layer.output is None for layer in snapshot)


def test_predictions_ask_for_no_layer():
    reader = CountingReader()
    plan = plan_of([views.Predictions()], "conv*", reader.entries())
    request = request_of(plan, reader.read(Request()))
    assert request == Request(model_outputs=True) and request.runs_model
    both = plan_of([views.Predictions(), Shapes()], None, reader.entries())
    assert request_of(both, reader.read(Request())).outputs == {"conv1"}  # "head" is not drawn
    assert not request_of(both[1:], reader.read(Request())).model_outputs


def test_the_same_output_is_not_drawn_twice():
    checked_views([views.Predictions(outputs="a"), views.Predictions(outputs=["b", "c"])])
    for options in ({}, {"outputs": ["a", "b"]}):
        with pytest.raises(ArgumentError, match="give each its own outputs="):
            checked_views([views.Predictions(outputs="a"), views.Predictions(**options)])
    plan = plan_of(
        [views.Predictions(outputs="a"), views.Predictions(outputs="b")],
        None,
        [LayerEntry("conv", None, True)],
    )
    assert len(plan) == 2


class AnsweringReader(CountingReader):
    """Its model has an output that can be drawn and one that cannot."""

    def read(self, request):
        snapshot = super().read(request)
        if request.model_outputs:
            snapshot.outputs.update({"classes": np.ones((2, 3)) / 3, "odd": np.zeros((5, 3))})
        return snapshot


def test_the_coverage_line_is_that_of_the_layers_and_names_outputs_that_cannot_be_drawn(tmp_path):
    sink = ListSink()
    recorder = Recorder(
        log_dir=sink, views=[Shapes(), views.Predictions()], on_error="raise", worker=None, budget=None
    )
    covered = recorder.begin(AnsweringReader(), step=0, total=1)
    recorder.epoch_end(1, last=True)
    recorder.end()
    assert covered.line() == (
        "1 of 3 layers pictured; 2 not: pool (no kernel of their own; add their names to layers= to see "
        "their outputs), head (too deep); no predictions of odd (its first axis is not the samples: "
        "shape (5, 3), and the probe has 2)"
    )
    assert "| odd | no predictions: its first axis" in covered.markdown()
    assert sink.steps("predictions/classes") == [0, 1] and sink.steps("predictions/odd") == []


def test_predictions_alone_are_no_layers():
    recorder = Recorder(log_dir=ListSink(), views=[views.Predictions(outputs="classes")], on_error="raise")
    covered = recorder.begin(AnsweringReader(), step=0, total=1)
    recorder.end()
    assert covered.line() == "predictions of the whole model, no pictures of single layers"
    wrong = Recorder(log_dir=ListSink(), views=[views.Predictions(outputs="class")])
    with pytest.raises(SelectionError, match="Did you mean 'classes'"):
        wrong.begin(AnsweringReader(), step=0, total=1)


@pytest.mark.parametrize("worker", ["thread", "process"])
def test_a_training_gets_composites_and_predictions(worker):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    probe = Probe(
        np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32),
        targets=np.zeros((2, 8, 8), int),
    )
    sink = ListSink()
    wanted = [views.Composite(method="clusters"), views.Predictions(labels=["a", "b", "c"])]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with attach(
        model, probe, log_dir=sink, views=wanted, on_error="raise", worker=worker, budget=None
    ) as record:
        record(1)
    assert {tag for _, tag, _ in sink.pictures} == {
        "probe/input", "composite clusters/01_0", "composite clusters/03_2", "predictions/output",
    }  # fmt: skip
    (caption,) = [words for step, tag, words in sink.pictures if tag == "predictions/output" and step == 1]
    assert "a IoU" in caption
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
