"""Training with the callback is bit for bit training without it, in legacy Keras 2 (`tf_keras`)."""

from __future__ import annotations

import random

import numpy as np
import pytest

from layerviz_callbacks.keras import LayerVizCallback, inspect

tf_keras = pytest.importorskip("tf_keras")
tf = pytest.importorskip("tensorflow")
layers = tf_keras.layers

BATCH = 8


def images():
    generator = np.random.default_rng(5)
    return generator.normal(size=(24, 6, 6, 2)).astype("float32"), generator.integers(0, 3, 24)


def body():
    return [
        layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
        layers.BatchNormalization(),
        layers.SpatialDropout2D(0.3),
        layers.Dropout(0.4, seed=3),
        layers.Flatten(),
        layers.GaussianNoise(0.1),
        layers.Dense(3, activity_regularizer="l2"),
    ]


def sequential():
    return tf_keras.Sequential([tf_keras.Input((6, 6, 2)), *body()])


def sequential_that_is_built_by_its_first_step():
    return tf_keras.Sequential(body())


def recurrent():
    """Functional, nested and shared; dropout in time, and states that are carried from batch to batch.

    Unrolled, as TensorFlow draws random numbers inside a loop in no fixed order: such a training is never the
    same twice, with or without a callback.
    """
    x = tf_keras.Input(batch_shape=(BATCH, 6, 6, 2))
    flat = layers.Reshape((6, 12))(x)
    rows = layers.LSTM(6, return_sequences=True, dropout=0.2, recurrent_dropout=0.2, unroll=True)(flat)
    inner = tf_keras.Sequential([tf_keras.Input((6, 6)), layers.SpatialDropout1D(0.3), layers.Dense(6)])
    steps = layers.GRU(3, stateful=True, dropout=0.1)(inner(inner(rows)))
    return tf_keras.Model(x, layers.Dense(3)(steps))


class Counts(layers.Layer):
    """Keeps a state at inference too: in variables, attributes, metrics, and in a random generator."""

    def __init__(self):
        super().__init__()
        self.noise = tf.random.Generator.from_seed(8)
        self.calls, self.seen, self.mean = 0, [], tf_keras.metrics.Mean()

    def build(self, shape):
        self.total = self.add_weight(name="total", shape=(), initializer="zeros", trainable=False)
        self.running = self.add_weight(name="running", shape=shape[-1:], initializer="zeros", trainable=False)

    def call(self, x):
        self.calls += 1
        self.total.assign_add(1.0)
        self.running.assign(0.9 * self.running + 0.1 * tf.reduce_mean(x, axis=(0, 1, 2)))
        self.mean.update_state(x)
        self.add_metric(tf.reduce_mean(x), name="level")
        self.add_loss(tf.reduce_mean(tf.square(x)))
        return x + 0.1 * self.noise.normal(tf.shape(x)) + 0.01 * self.running * self.total


class Noisy(tf_keras.Model):
    """Draws random numbers in every possible way, also at inference; trains in a way of its own."""

    def __init__(self):
        super().__init__()
        self.counts = Counts()
        self.parts = body()

    def call(self, x, training=False):
        x = self.counts(x)
        x = x + 0.1 * tf.random.normal(tf.shape(x)) + 0.1 * tf.random.uniform(tf.shape(x), seed=4)
        x = x + 0.1 * tf.random.get_global_generator().normal(tf.shape(x))
        x = x + 0.01 * random.random() + 0.01 * np.random.rand()  # noqa: NPY002
        for part in self.parts:
            x = part(x)
        return x

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compiled_loss(y, self(x, training=True), regularization_losses=self.losses)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.compiled_metrics.update_state(y, self(x, training=False))
        return {metric.name: metric.result() for metric in self.metrics}


def noisy():
    model = Noisy()
    model(np.zeros((1, 6, 6, 2), "float32"))
    return model


def eager(make):
    def made():
        model = make()
        model.run_eagerly = True
        return model

    made.__name__ = f"{make.__name__}_run_eagerly"
    return made


class RunsInTrainingMode(tf_keras.callbacks.Callback):
    """What a careless callback does."""

    def on_epoch_end(self, epoch, logs=None):
        self.model(images()[0][:BATCH], training=True)


def trained(make, callback=None):
    """Everything that a training leaves behind."""
    tf_keras.utils.set_random_seed(11)
    tf.random.set_global_generator(tf.random.Generator.from_seed(2))
    model = make()
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], run_eagerly=model.run_eagerly)
    x, y = images()
    history = model.fit(
        x, y, epochs=2, batch_size=BATCH, shuffle=True, verbose=0, validation_data=(x[:BATCH], y[:BATCH]),
        callbacks=[] if callback is None else [callback],
    )  # fmt: skip
    after = {f"variable {place}": value for place, value in enumerate(model.variables)}
    after |= {f"optimizer {place}": value for place, value in enumerate(model.optimizer.variables)}
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    after |= {f"metric {place}": value for place, value in enumerate(metrics)}
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False) and hasattr(layer, "states"):
            after |= {f"state {place}": state for place, state in enumerate(layer.states)}
        if isinstance(layer, Counts):
            after |= {"noise": layer.noise.state, "calls": np.array(layer.calls), "mean": layer.mean.total}
    result = {name: np.asarray(value).copy() for name, value in after.items()}
    result |= {f"history {name}": np.array(values) for name, values in history.history.items()}
    result["python random"] = np.array(random.getstate()[1])
    result["numpy random"] = np.random.get_state()[1]  # noqa: NPY002
    result["tensorflow random"] = tf.random.normal((4,)).numpy()
    result["tensorflow generator"] = tf.random.get_global_generator().state.numpy()
    return result


def differences(left, right):
    assert left.keys() == right.keys()
    return [name for name in left if not np.array_equal(left[name], right[name], equal_nan=True)]


def callback_for(folder, **options):
    return LayerVizCallback(images()[0][:BATCH], log_dir=folder, layers="*", on_error="raise", **options)


MAKERS = [
    sequential, sequential_that_is_built_by_its_first_step, recurrent, noisy, eager(sequential), eager(noisy)
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_training_is_bit_identical_with_the_callback(make, tmp_path):
    steps = {"every_n_steps": 2} if make in (noisy, recurrent) else {}
    assert differences(trained(make), trained(make, callback_for(tmp_path, **steps))) == []


def test_the_comparison_catches_a_callback_that_disturbs_training():
    assert differences(trained(sequential), trained(sequential, RunsInTrainingMode()))


def test_inspect_leaves_attributes_losses_names_and_every_random_state_as_they_were():
    tf_keras.utils.set_random_seed(7)
    model = noisy()
    values = [value.numpy() for value in model.variables]
    states = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    members = [dict(vars(layer)) for layer in model._flatten_layers()]
    losses = [float(loss) for loss in model.losses]
    eagerly = tf.config.functions_run_eagerly()
    layers.Activation("relu")  # the very first has no number
    number = int(layers.Activation("relu").name.rpartition("_")[2])
    inspect(model, images()[0][:2])
    assert int(layers.Activation("relu").name.rpartition("_")[2]) == number + 1
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(values, model.variables, strict=True))
    assert random.getstate() == states[0] and model.counts.calls == 1
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    for before, layer in zip(members, model._flatten_layers(), strict=True):
        assert before.keys() == vars(layer).keys()
        assert all(before[name] is value for name, value in vars(layer).items())
    assert [float(loss) for loss in model.losses] == losses
    assert tf.config.functions_run_eagerly() is eagerly
