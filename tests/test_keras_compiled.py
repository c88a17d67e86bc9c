"""Compiled passes: traced once, always with the weights of now, and dropped where they cannot be made."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest
from keras_oracles import BACKEND, Counting, numbers

from layerviz_callbacks.cut import KernelCut, OutputCut, cut_kernel, cut_output
from layerviz_callbacks.keras import KerasReader
from layerviz_callbacks.keras.recent import Recent
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request

layers = keras.layers
compiles = pytest.mark.skipif(BACKEND == "torch", reason="nothing is compiled on PyTorch")


def as_array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def recurrent():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((12, 3)),
            layers.Conv1D(5, 3, padding="same", name="conv"),
            Counting(name="double"),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both"),
            layers.GRU(6, return_sequences=True, dropout=0.3, recurrent_dropout=0.3, name="gru"),
            layers.Dense(2, name="head"),
        ]
    )


def by_hand(model, x):
    """What each layer answers, by plain calls of the layers."""
    outputs = {}
    for layer in model.layers:
        x = layer(x, training=False) if layer.name != "double" else x * 2
        outputs[layer.name] = as_array(x)
    return outputs


def everything(model):
    return frozenset(entry.name for entry in KerasReader(model, Probe(numbers(2, 12, 3))).entries())


@compiles
def test_a_request_is_traced_once_and_reads_the_weights_anew_each_time():
    model, x = recurrent(), numbers(2, 12, 3)
    reader, runs = KerasReader(model, Probe(x)), model.get_layer("double").runs
    request = Request(weights=everything(model), outputs=everything(model))
    reader.read(Request())
    reader.read(request)
    runs.clear()
    for scale in (1.0, 0.5, 2.0):
        for variable in model.trainable_variables:
            variable.assign(variable * scale)
        snapshot = reader.read(request)
        assert runs == []
        for name, expected in by_hand(model, x).items():
            close(snapshot[name].output, expected)
        close(snapshot.outputs["output"], snapshot["head"].output)
        np.testing.assert_array_equal(snapshot["gru"].kernel, as_array(model.get_layer("gru").cell.kernel).T)
    forward = model.get_layer("both").forward_layer
    close(snapshot["both/forward_layer"].output, as_array(forward(by_hand(model, x)["double"])))


@compiles
def test_another_request_is_traced_for_itself_and_both_are_kept():
    model = recurrent()
    reader, runs = KerasReader(model, Probe(numbers(2, 12, 3))), model.get_layer("double").runs
    one = Request(outputs=frozenset({"gru"}), output_cuts={"gru": OutputCut(channels=(1,))})
    other = Request(outputs=frozenset({"gru"}), output_cuts={"gru": OutputCut(channels=(2,))})
    reader.read(Request())
    for request in (one, other):
        reader.read(request)
    runs.clear()
    snapshots = [reader.read(request) for request in (one, other, one, other)]
    assert runs == []
    whole = KerasReader(model, Probe(numbers(2, 12, 3))).read(Request(outputs=frozenset({"gru"})))
    for snapshot, channel in zip(snapshots, (1, 2, 1, 2), strict=True):
        assert snapshot["gru"].output_shape == (2, 12, 6)
        close(snapshot["gru"].output, whole["gru"].output[..., [channel]])
        assert snapshot["conv"].output is None


def test_cuts_are_those_of_numpy_in_any_pass():
    model, x = recurrent(), numbers(3, 12, 3)
    reader = KerasReader(model, Probe(x))
    output_cuts = {
        "conv": OutputCut(samples=2, channels=(4, 0)),
        "both": OutputCut(strongest=3, stretches=2),
        "head": OutputCut(),
    }
    kernel_cuts = {
        "conv": KernelCut(channels=(0, 3), mean_inputs=True),
        "gru": KernelCut(strongest=2, parts=3),
        "gru.recurrent_kernel": KernelCut(blocks=(4, 5)),
        "head": KernelCut(inputs=2),
    }
    names = frozenset({*output_cuts, "gru"})
    request = Request(
        kernels=names, outputs=frozenset(output_cuts), kernel_cuts=kernel_cuts, output_cuts=output_cuts
    )
    whole = KerasReader(model, Probe(x)).read(Request(weights=names, outputs=names))
    reader.read(Request())
    for _ in range(2):
        snapshot = reader.read(request)
        for name, cut in output_cuts.items():
            part, taken = cut_output(whole[name].output, cut)
            close(snapshot[name].output, part)
            assert snapshot[name].output_taken.channels == taken.channels
            close(snapshot[name].output_taken.lowest, taken.lowest)
            close(snapshot[name].output_taken.highest, taken.highest)
            assert snapshot[name].output_shape == whole[name].output_shape
        for name, cut in kernel_cuts.items():
            part, taken = cut_kernel(whole[name].kernel, cut)
            close(snapshot[name].kernel, part)
            assert snapshot[name].kernel_taken.channels == taken.channels
            assert snapshot[name].kernel_shape == whole[name].kernel_shape
        assert all(layer.weights == {} for layer in snapshot) and snapshot["both"].kernel is None


def test_a_model_that_is_random_at_inference_shows_the_same_draw_each_time():
    class Noisy(layers.Layer):
        def __init__(self):
            super().__init__(name="noisy")
            self.seeds = keras.random.SeedGenerator(1)

        def call(self, x):
            return x + keras.random.normal(keras.ops.shape(x), seed=self.seeds) + np.random.rand()  # noqa: NPY002

    for looped in ([], [layers.GRU(3, return_sequences=True)]):
        model = keras.Sequential([keras.Input((4, 3)), *looped, Noisy()])
        x = np.zeros((2, 4, 3), "float32")
        reader = KerasReader(model, Probe(x))
        reader.read(Request())
        request = Request(outputs=frozenset({"noisy"}))
        first = reader.read(request)["noisy"].output
        model(x)
        np.random.rand()  # noqa: NPY002
        np.testing.assert_array_equal(first, reader.read(request)["noisy"].output)
        assert np.std(first) > 0.1


def test_nothing_but_the_part_of_a_kernel_is_copied(monkeypatch):
    model = keras.Sequential([keras.Input((300,)), layers.Dense(200, name="wide")])
    sizes = []
    from layerviz_callbacks.keras import capture, hosted, kernel_reading

    copied, array = capture.copied, hosted._arrays
    for module in (capture, kernel_reading):  # from another device, and from the computer's own memory
        monkeypatch.setattr(module, "copied", lambda tensor: sizes.append(tensor.shape) or copied(tensor))
    monkeypatch.setattr(
        hosted,
        "_arrays",
        lambda part, taken: sizes.extend([part.shape, taken.lowest.shape]) or array(part, taken),
    )
    cuts = {"wide": KernelCut(blocks=(20, 30))}
    snapshot = KerasReader(model, Probe(numbers(1, 300))).read(
        Request(kernels=frozenset({"wide"}), kernel_cuts=cuts)
    )
    assert snapshot["wide"].kernel.shape == (10, 10)
    assert max(int(np.prod(tuple(size))) for size in sizes) == 200  # the ranges of the 200 channels


class NeedsNumbers(layers.Layer):
    """Cannot be traced: it looks at values in Python."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.runs = []

    def compute_output_shape(self, shape):
        return shape

    def call(self, x):
        self.runs.append(1)
        if float(keras.ops.sum(x)) > 1e9:
            return x * 0
        return x + 1


@compiles
def test_a_model_that_cannot_be_traced_is_read_eagerly_and_that_is_told_once(caplog):
    inputs = keras.Input((4, 3))
    looped = layers.LSTM(2, return_sequences=True, name="loop")(inputs)
    model = keras.Model(inputs, NeedsNumbers(name="picky")(looped))
    x = numbers(2, 4, 3)
    reader = KerasReader(model, Probe(x))
    with caplog.at_level(logging.INFO, logger="layerviz_callbacks"):
        reader.read(Request())
        snapshots = [reader.read(Request(outputs=frozenset({"picky", "loop"}))) for _ in range(3)]
    assert sum("cannot be compiled" in record.message for record in caplog.records) == 1
    for snapshot in snapshots:
        close(snapshot["picky"].output, snapshot["loop"].output + 1)
    picky = model.get_layer("picky")
    picky.runs.clear()
    reader.read(Request(outputs=frozenset({"picky"})))
    assert len(picky.runs) == 1


def test_a_fault_of_the_model_itself_is_told_as_such(caplog):
    class Failing(layers.Layer):
        def compute_output_shape(self, shape):
            return shape

        def call(self, x):
            raise RuntimeError("no batches on Sundays")

    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, Failing()(layers.LSTM(2, return_sequences=True)(inputs)))
    with pytest.raises(ValueError, match="no batches on Sundays"):
        KerasReader(model, Probe(numbers(2, 4, 3))).read(Request())
    assert not caplog.records


def test_only_the_last_few_programs_are_kept():
    made = []
    recent = Recent(limit=2)
    for key in "abaca":
        recent.get(key, lambda key=key: made.append(key))
    assert made == ["a", "b", "c"] and len(recent) == 2
    recent.get("b", lambda: made.append("b"))
    assert made[-1] == "b"
