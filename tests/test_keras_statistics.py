"""Statistics of Keras layers are those of the whole output and kernel, counted by NumPy."""

from __future__ import annotations

from dataclasses import fields

import keras
import numpy as np
import pytest
from keras_oracles import BACKEND, Counting, numbers

from layerviz_callbacks import Probe
from layerviz_callbacks.health import output_statistics, weight_sample
from layerviz_callbacks.health.blockwise import blockwise_statistics
from layerviz_callbacks.keras.reader import KerasReader
from layerviz_callbacks.keras.statistics import measured_tensors, statistics_of
from layerviz_callbacks.request import Request

layers = keras.layers


def read(model, probe, **more):
    """Statistics of all layers, and beside them what they are of, whole."""
    reader = KerasReader(model, Probe(probe))
    names = frozenset(entry.name for entry in reader.entries())
    return reader.read(Request(statistics=names, outputs=names, kernels=names, **more))


def assert_same(actual, expected, rtol=2e-5):
    """All numbers agree; means and deviations to the rounding of the largest value in a channel."""
    for field in fields(expected):
        have, want = getattr(actual, field.name), getattr(expected, field.name)
        atol = 0.0
        if field.name in ("mean", "deviation"):
            largest = np.maximum(np.abs(expected.lowest), np.abs(expected.highest))
            atol = 2e-6 * float(np.max(largest[np.isfinite(largest)], initial=0.0))
        np.testing.assert_allclose(have, want, rtol=rtol, atol=atol, err_msg=field.name)


def assert_true(snapshot):
    """The statistics of each layer are those of its whole output and kernel; gives those with outputs."""
    seen = []
    for layer in snapshot:
        if layer.output is not None and "." not in layer.name.removeprefix(layer.base_name):
            assert_same(layer.statistics.output, output_statistics(layer.output))
            seen.append(layer.name)
        if layer.kernel is not None:
            sample, expected = layer.statistics.weights, weight_sample(layer.kernel)
            np.testing.assert_array_equal(sample.values, expected.values)
            assert (sample.rows, sample.shape) == (expected.rows, expected.shape)
    return seen


class Broken(layers.Layer):
    """Puts NaN, infinities and zeros into fixed places."""

    def call(self, x):
        x = x * keras.ops.convert_to_tensor(np.float32([1, 0, 1, 1, 1, 1e30, 1e-30, 1]))
        marks = np.zeros((1, 8), np.float32)
        marks[0, 2:5] = np.nan, np.inf, -np.inf
        return keras.ops.concatenate([x[:2], x[2:3] + marks, x[3:]], axis=0)


class Many(layers.Layer):
    """Several outputs: floats, whole numbers, one number a sample."""

    def call(self, x):
        return x, keras.ops.cast(x, "int32"), keras.ops.sum(x, axis=-1)


def test_convolutions_of_every_rank_and_what_follows_them():
    inputs = [keras.Input((12, 5)), keras.Input((7, 6, 3)), keras.Input((4, 5, 6, 2))]
    curves = layers.Conv1D(6, 3, name="one")(inputs[0])
    images = layers.ReLU(name="relu")(layers.Conv2D(70, 3, strides=2, name="two")(inputs[1]))
    volumes = layers.Conv3D(4, 2, name="three")(inputs[2])
    pooled = [layers.Flatten()(curves), layers.GlobalAveragePooling2D()(images), layers.Flatten()(volumes)]
    joined = layers.Concatenate()(pooled)
    model = keras.Model(inputs, layers.Dense(300, name="wide")(layers.Dense(3, name="dense")(joined)))
    probe = [numbers(3, *given.shape[1:], seed=place) for place, given in enumerate(inputs)]
    snapshot = read(model, probe)
    assert set(assert_true(snapshot)) >= {"one", "two", "three", "relu", "dense", "wide"}
    assert snapshot["two"].statistics.output.values == 3 * 3 * 2
    assert 0 < snapshot["relu"].statistics.output.zeros.min() < snapshot["relu"].statistics.output.zeros.max()
    assert snapshot["wide"].statistics.weights.values.shape == (256, 3)
    assert snapshot["relu"].statistics.weights is None


def test_what_is_not_finite_counts_as_that_alone():
    model = keras.Sequential([keras.Input((8,)), Broken(name="broken")])
    output = read(model, numbers(5, 8))["broken"].statistics.output
    np.testing.assert_allclose(output.finite, [1, 1, 0.8, 0.8, 0.8, 1, 1, 1])
    np.testing.assert_array_equal(output.zeros, [0, 1, 0, 0, 0, 0, 0, 0])
    assert np.isfinite(output.mean).all() and np.isfinite(output.deviation).all()
    assert output.deviation[5] > 1e29 and 1e-31 < output.deviation[6] < 1e-29
    assert_true(read(model, numbers(5, 8)))


def test_recurrent_layers_shared_layers_and_further_outputs():
    inputs = keras.Input((6, 4))
    shared = layers.Dense(4, name="shared")
    cells = layers.LSTM(5, return_sequences=True, return_state=True, name="cells")
    states = cells(shared(shared(inputs)))
    parts = Many(name="many")(layers.Bidirectional(layers.GRU(3), name="both")(states[0]))
    model = keras.Model(inputs, [parts[0], states[1], parts[2]])
    snapshot = read(model, numbers(2, 6, 4))
    assert {"shared", "shared#2", "cells", "both", "many"} <= set(assert_true(snapshot))
    assert snapshot["shared#2"].statistics.weights is None
    assert snapshot["cells"].statistics.weights.shape == (20, 4)
    assert snapshot["cells.recurrent_kernel"].statistics.weights.shape == (20, 5)
    assert snapshot["cells.recurrent_kernel"].statistics.output is None
    assert snapshot["cells.1"].statistics is None


def test_whole_numbers_have_no_statistics():
    class Rounded(layers.Layer):
        def call(self, x):
            return keras.ops.cast(x, "int32")

    class Single(layers.Layer):
        def call(self, x):
            return keras.ops.sum(x, axis=-1)

    model = keras.Sequential([keras.Input((3,)), layers.Dense(3), Rounded(name="rounded")])
    assert read(model, numbers(2, 3))["rounded"].statistics.output is None
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3), Single(name="single")])
    assert read(model, numbers(2, 3))["single"].statistics.output is None


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_outputs_of_16_bits_are_measured_in_float32(policy):
    body = [layers.Conv2D(4, 3, dtype=policy, name="conv"), layers.Dense(3, dtype=policy, name="dense")]
    snapshot = read(keras.Sequential([keras.Input((9, 9, 2)), *body]), numbers(2, 9, 9, 2))
    assert assert_true(snapshot) == ["conv", "dense"]
    assert snapshot["conv"].statistics.output.mean.dtype == np.float32


@pytest.mark.parametrize("channel_axis", [1, 3])
def test_a_device_measures_what_numpy_does(channel_axis):
    output = np.maximum(numbers(3, 40, 50, 5), 0)
    output[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    tensor = keras.ops.convert_to_tensor(np.moveaxis(output, -1, channel_axis))
    tensors = measured_tensors(tensor, channel_axis=channel_axis)
    assert len(tensors) == 1
    arrays = {name: keras.ops.convert_to_numpy(one) for name, one in tensors.items()}
    assert_same(statistics_of(arrays, output.shape), output_statistics(output))


@pytest.mark.parametrize("shape", [(1, 1), (4, 1000), (300, 3), (2, 1, 7), (3, 37, 41, 6), (2, 90, 700)])
def test_block_by_block_the_statistics_are_the_same(shape):
    output = numbers(*shape) + np.linspace(-1, 1, shape[-1], dtype=np.float32)
    assert_same(blockwise_statistics(output), output_statistics(output))
    output = np.maximum(output, 0)
    assert_same(blockwise_statistics(output), output_statistics(output))
    output[0, ..., 0] = np.nan
    output[-1, ..., -1] = -np.inf
    assert_same(blockwise_statistics(output), output_statistics(output))
    moved = np.moveaxis(np.ascontiguousarray(np.moveaxis(output, -1, 0)), 0, -1)
    assert_same(blockwise_statistics(moved), output_statistics(output))
    half = (output * 100).astype(np.float16)
    assert_same(blockwise_statistics(half), output_statistics(half))


def test_channels_that_hardly_vary_around_a_large_mean_keep_their_deviation():
    output = 1000 + 0.01 * numbers(4, 30, 30, 7)
    np.testing.assert_allclose(blockwise_statistics(output).deviation, output.std((0, 1, 2)), rtol=0.01)
    tensors = measured_tensors(keras.ops.convert_to_tensor(output), channel_axis=3)
    arrays = {name: keras.ops.convert_to_numpy(one) for name, one in tensors.items()}
    expected = output.astype(np.float64).std((0, 1, 2))
    np.testing.assert_allclose(statistics_of(arrays, output.shape).deviation, expected, rtol=0.02)


def test_a_compiled_pass_is_traced_once_for_each_request_with_statistics():
    counting = Counting(name="counting")
    body = [layers.LSTM(3, return_sequences=True, name="cells"), counting, layers.Dense(2, name="dense")]
    model = keras.Sequential([keras.Input((5, 4)), *body])
    reader = KerasReader(model, Probe(numbers(2, 5, 4)))
    reader.read(Request())
    request = Request(statistics=frozenset({"cells", "dense"}))
    snapshots = [reader.read(request)]
    runs = len(counting.runs)
    snapshots += [reader.read(request) for _ in range(3)]
    assert len(counting.runs) == runs + (3 if BACKEND == "torch" else 0)
    assert snapshots[-1]["dense"].output is None
    whole = reader.read(Request(outputs=frozenset({"cells", "dense"})))
    for name in ("cells", "dense"):
        assert_same(snapshots[-1][name].statistics.output, output_statistics(whole[name].output))
    assert snapshots[-1]["counting"].statistics is None


def test_nothing_is_measured_that_was_not_asked_for():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="a"), layers.Dense(2, name="b")])
    reader = KerasReader(model, Probe(numbers(2, 4)))
    snapshot = reader.read(Request(statistics=frozenset({"b"}), outputs=frozenset({"a"})))
    assert snapshot["a"].statistics is None and snapshot["a"].output is not None
    assert snapshot["b"].statistics is not None and snapshot["b"].output is None
    assert all(layer.statistics is None for layer in reader.read(Request(outputs=frozenset({"a"}))))


def test_only_weights_that_an_optimizer_may_change_are_trainable():
    frozen = layers.Dense(3, name="frozen", trainable=False)
    model = keras.Sequential([keras.Input((4,)), frozen, layers.Dense(2, name="free")])
    snapshot = read(model, numbers(2, 4))
    assert not snapshot["frozen"].statistics.weights.trainable
    assert snapshot["free"].statistics.weights.trainable
