"""Statistics of legacy Keras 2 layers are those of the whole output and kernel, and of the last step."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from fakes import Measuring

from layerviz_callbacks import Probe
from layerviz_callbacks.health import output_statistics, weight_sample
from layerviz_callbacks.keras import LayerVizCallback
from layerviz_callbacks.request import Request

tf_keras = pytest.importorskip("tf_keras")
tf = pytest.importorskip("tensorflow")

from layerviz_callbacks.keras.legacy.kernels import kernels_of  # noqa: E402
from layerviz_callbacks.keras.legacy.reader import LegacyReader  # noqa: E402
from layerviz_callbacks.keras.legacy.statistics import TensorFlowOperations, sampled  # noqa: E402
from layerviz_callbacks.keras.legacy.updates import LegacyLastStep  # noqa: E402
from layerviz_callbacks.keras.statistics import measured_tensors, statistics_of  # noqa: E402

layers, optimizers = tf_keras.layers, tf_keras.optimizers
decaying = optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.7)

KNOWN = {
    "plain": lambda: optimizers.SGD(0.1),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9, weight_decay=0.2),
    "Adam": lambda: optimizers.Adam(0.01, amsgrad=True),
    "Adam on a schedule": lambda: optimizers.Adam(decaying, clipnorm=0.1),
    "AdamW": lambda: optimizers.AdamW(0.1, weight_decay=0.1),
    "Adamax": lambda: optimizers.Adamax(0.1),
    "RMSprop with momentum": lambda: optimizers.RMSprop(0.1, momentum=0.5),
}
UNKNOWN = {
    "nesterov": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "RMSprop": lambda: optimizers.RMSprop(0.1),
    "Adagrad": lambda: optimizers.Adagrad(0.1),
    "Nadam": lambda: optimizers.Nadam(0.1),
    "of TensorFlow 2.10": lambda: optimizers.legacy.Adam(0.1),
}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def assert_same(actual, expected):
    for field in fields(expected):
        have, want = getattr(actual, field.name), getattr(expected, field.name)
        np.testing.assert_allclose(have, want, rtol=2e-5, atol=1e-6, err_msg=field.name)


def test_outputs_and_kernels_are_measured_whole():
    inputs = tf_keras.Input((8, 9, 3))
    maps = layers.ReLU(name="relu")(layers.Conv2D(4, 3, name="conv")(inputs))
    shared = layers.Dense(4, name="shared")
    rows = layers.Reshape((6 * 7, 4))(shared(shared(maps)))
    cells = layers.LSTM(3, name="cells", dtype="mixed_float16")(rows)
    model = tf_keras.Model(inputs, layers.Dense(2, name="dense")(cells))
    reader = LegacyReader(model, Probe(numbers(2, 8, 9, 3)))
    names = frozenset(entry.name for entry in reader.entries())
    snapshot = reader.read(Request(statistics=names, outputs=names, kernels=names))
    for name in ("conv", "relu", "shared", "shared#2", "cells", "dense"):
        assert_same(snapshot[name].statistics.output, output_statistics(snapshot[name].output))
    for name in ("conv", "shared", "cells", "cells.recurrent_kernel", "dense"):
        sample, expected = snapshot[name].statistics.weights, weight_sample(snapshot[name].kernel)
        np.testing.assert_array_equal(sample.values, expected.values)
        assert (sample.rows, sample.shape) == (expected.rows, expected.shape)
        assert sample.trainable and sample.update is None and sample.gradient is None
    assert snapshot["shared#2"].statistics.weights is None
    assert 0 < snapshot["relu"].statistics.output.zeros.mean() < 1


@pytest.mark.parametrize("channel_axis", [1, 3])
def test_a_device_measures_what_numpy_does(channel_axis):
    output = np.maximum(numbers(3, 20, 25, 5), 0)
    output[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    tensor = tf.constant(np.moveaxis(output, -1, channel_axis))
    tensors = measured_tensors(tensor, channel_axis=channel_axis, ops=TensorFlowOperations)
    found = statistics_of({name: one.numpy() for name, one in tensors.items()}, output.shape)
    assert_same(found, output_statistics(output))


def stepped(optimizer, count=4):
    """Do steps with known gradients; the kernel's sample after them, what the last added, its gradient."""
    dense = layers.Dense(5)
    model = tf_keras.Sequential([tf_keras.Input((6,)), dense])
    model.compile(optimizer, "mse")
    for place in range(count):
        gradients = [tf.constant(numbers(*one.shape, seed=place)) for one in model.trainable_variables]
        before = dense.kernel.numpy()
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    (kernel,) = kernels_of(dense, ())
    return sampled(kernel, LegacyLastStep(model)), (dense.kernel.numpy() - before).T, gradients[0].numpy().T


@pytest.mark.parametrize("name", KNOWN)
def test_the_state_of_an_optimizer_tells_what_it_added(name):
    sample, added, gradient = stepped(KNOWN[name]())
    np.testing.assert_allclose(sample.update, added, rtol=1e-4, atol=1e-4 * np.abs(added).max())
    if name == "plain":
        np.testing.assert_allclose(sample.gradient, gradient, rtol=1e-5)
    else:
        assert sample.gradient is None


@pytest.mark.parametrize("name", UNKNOWN)
def test_nothing_is_guessed(name):
    sample, added, _ = stepped(UNKNOWN[name]())
    assert sample.update is None and sample.gradient is None
    assert np.abs(added).max() > 0


def test_a_clipped_gradient_is_not_that_of_the_loss():
    sample, added, _ = stepped(optimizers.SGD(0.1, clipvalue=0.01))
    assert sample.gradient is None
    np.testing.assert_allclose(sample.update, added, atol=1e-6)


def test_a_frozen_layer_is_not_trainable():
    frozen = layers.Dense(3, trainable=False)
    model = tf_keras.Sequential([tf_keras.Input((2,)), frozen])
    (kernel,) = kernels_of(frozen, ())
    assert not sampled(kernel, LegacyLastStep(model)).trainable


def test_in_a_training_the_update_is_what_lies_between_two_steps(tmp_path):
    """One step an epoch, at a rate that another callback changes before ours looks."""
    model = tf_keras.Sequential(
        [tf_keras.Input((6,)), layers.Dense(4, "relu"), layers.Dense(3, name="dense")]
    )
    model.compile(optimizers.Adam(0.01), "mse")
    seen = Measuring()
    falling = tf_keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.1, patience=1, min_delta=9)
    x = numbers(8, 6)
    pictures = LayerVizCallback(
        x[:2], log_dir=tmp_path, views=[seen], on_error="raise", worker=None, budget=None
    )
    model.fit(x, numbers(8, 3, seed=1), batch_size=8, epochs=3, verbose=0, callbacks=[falling, pictures])
    assert float(model.optimizer.learning_rate) < 0.001
    first, *later = [snapshot["dense"].statistics.weights for snapshot in seen.snapshots]
    assert first.update is None and len(later) == 3
    for before, after in zip([first, *later], later, strict=False):
        added = after.values.astype(np.float64) - before.values
        np.testing.assert_allclose(after.update, added, rtol=1e-4, atol=0.01 * np.abs(added).max())
