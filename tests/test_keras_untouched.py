"""Training with the callback is bit for bit training without it, in Keras."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest
from fakes import Measuring

from layerviz_callbacks import Snapshot, Snapshots
from layerviz_callbacks.keras import LayerVizCallback, inspect

layers = keras.layers


def data():
    generator = np.random.default_rng(5)
    return generator.normal(size=(24, 8, 8, 1)).astype("float32"), generator.integers(0, 3, 24)


def body():
    return [
        layers.Conv2D(4, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.4),
        layers.Flatten(),
        layers.GaussianNoise(0.1),
        layers.Dense(3, kernel_regularizer="l2", activity_regularizer="l2"),
    ]


def sequential():
    return keras.Sequential([keras.Input((8, 8, 1)), *body()])


def sequential_that_is_built_by_its_first_step():
    return keras.Sequential(body())


class NoisyModel(keras.Model):
    """Draws random numbers in every possible way, also at inference, and keeps a state."""

    def __init__(self):
        super().__init__()
        self.parts = body()
        self.seeds = keras.random.SeedGenerator(4)
        self.calls_seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls_seen")

    def call(self, x, training=False):
        self.calls_seen.assign(self.calls_seen + 1)
        x = x + 0.1 * keras.random.normal(keras.ops.shape(x), seed=self.seeds)
        if keras.backend.backend() != "jax":  # Keras itself refuses draws without a seed there
            x = x + 0.1 * keras.random.normal(keras.ops.shape(x))
        x = x + 0.01 * random.random() + 0.01 * np.random.rand()  # noqa: NPY002
        for part in self.parts:
            x = part(x, training=training) if isinstance(part, layers.Dropout) else part(x)
        self.add_loss(keras.ops.mean(keras.ops.square(x)))
        return x


def subclassed():
    model = NoisyModel()
    model(np.zeros((1, 8, 8, 1), "float32"))
    return model


class RawDraws(layers.Layer):
    """Draws by TensorFlow itself, without Keras: with a generator of its own, and without any seed."""

    def __init__(self):
        super().__init__()
        if keras.backend.backend() == "tensorflow":
            import tensorflow

            self.generator = tensorflow.random.Generator.from_seed(3)
            self.counts = {"calls": tensorflow.Variable(0.0, trainable=False)}

    def call(self, x):
        if keras.backend.backend() != "tensorflow":
            return x
        import tensorflow

        self.counts["calls"].assign_add(1.0)
        noise = self.generator.normal(tensorflow.shape(x)) + tensorflow.random.normal(tensorflow.shape(x))
        return x + 0.1 * noise + 0.01 * self.counts["calls"]


def recurrent():
    """Read by a compiled pass on TensorFlow and JAX."""
    return keras.Sequential(
        [
            keras.Input(batch_shape=(6, 8, 8, 1)),
            layers.Reshape((8, 8)),
            layers.BatchNormalization(),
            RawDraws(),
            layers.LSTM(5, return_sequences=True, dropout=0.3, recurrent_dropout=0.2, stateful=True),
            layers.Bidirectional(layers.GRU(4, dropout=0.3)),
            layers.Dense(3, activity_regularizer="l2"),
        ]
    )


class DrawsRandomNumbers(keras.callbacks.Callback):
    """What a careless callback does."""

    def on_epoch_end(self, epoch, logs=None):
        np.random.rand()  # noqa: NPY002


class RunsInTrainingMode(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model(data()[0][:2], training=True)


def trained(make, callback=None, *, epochs=3, batch_size=8, **options):
    """Everything that a training leaves behind."""
    keras.utils.set_random_seed(11)
    model = make()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], **options)
    x, y = data()
    callbacks = [] if callback is None else [callback]
    history = model.fit(
        x, y, epochs=epochs, batch_size=batch_size, validation_split=0.25, shuffle=True, verbose=0,
        callbacks=callbacks,
    )  # fmt: skip
    for layer in model._flatten_layers():
        if isinstance(layer, RawDraws) and hasattr(layer, "generator"):
            model.raw = [layer.generator.state, layer.counts["calls"]]
    after = {f"variable {place}": value for place, value in enumerate(model.variables)}
    after |= {f"optimizer {place}": value for place, value in enumerate(model.optimizer.variables)}
    after |= {f"metric {place}": value for place, value in enumerate(model.metrics_variables)}
    after |= {f"raw {place}": value for place, value in enumerate(getattr(model, "raw", []))}
    result = {name: np.array(keras.ops.convert_to_numpy(value)) for name, value in after.items()}
    result |= {f"history {name}": np.array(values) for name, values in history.history.items()}
    result["python random"] = np.array(random.getstate()[1])
    result["numpy random"] = np.random.get_state()[1]  # noqa: NPY002
    result["numpy random position"] = np.array(np.random.get_state()[2])  # noqa: NPY002
    result["keras random"] = np.array(keras.ops.convert_to_numpy(keras.random.normal((4,))))
    return result


def differences(left, right):
    assert left.keys() == right.keys()
    return [name for name in left if not np.array_equal(left[name], right[name])]


def callback_for(folder, **options):
    return LayerVizCallback(data()[0][:3], log_dir=folder, layers="*", on_error="raise", **options)


@pytest.mark.parametrize("make", [sequential, sequential_that_is_built_by_its_first_step, subclassed])
def test_training_is_bit_identical_with_the_callback(make, tmp_path):
    assert differences(trained(make), trained(make, callback_for(tmp_path))) == []


@pytest.mark.parametrize("make", [sequential, subclassed])
def test_training_is_bit_identical_when_steps_are_recorded(make, tmp_path):
    assert differences(trained(make), trained(make, callback_for(tmp_path, every_n_steps=2))) == []


def test_training_is_bit_identical_where_the_best_epoch_and_snapshots_are_kept(tmp_path):
    pytest.importorskip("h5py")
    snapshots = Snapshots(tmp_path / "run.h5", everything=True)
    callback = callback_for(tmp_path, monitor="val_loss", snapshots=snapshots, every_n_epochs=9)
    assert differences(trained(sequential), trained(sequential, callback)) == []
    assert Snapshot.load(tmp_path / "run.h5").step > 0


def test_training_is_bit_identical_with_statistics_of_all_layers(tmp_path):
    plain = trained(sequential, epochs=2)
    seen = Measuring()
    callback = LayerVizCallback(data()[0][:6], log_dir=tmp_path, views=[seen], on_error="raise", budget=None)
    assert differences(plain, trained(sequential, callback, epochs=2)) == []
    assert len(seen.snapshots) == 3
    weights = [layer.statistics.weights for layer in seen.snapshots[-1] if layer.kernel_shape is not None]
    assert weights and all(sample.update is not None for sample in weights)


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=["graph", "run_eagerly"])
def test_training_is_bit_identical_where_passes_are_compiled_and_layers_draw_by_themselves(options, tmp_path):
    if options and keras.backend.backend() == "jax":
        pytest.skip("takes minutes there: each operation is compiled by itself")
    plain = trained(recurrent, batch_size=6, epochs=2, **options)
    callback = LayerVizCallback(data()[0][:6], log_dir=tmp_path, layers="*", on_error="raise")
    assert differences(plain, trained(recurrent, callback, batch_size=6, epochs=2, **options)) == []


@pytest.mark.parametrize("careless", [DrawsRandomNumbers, RunsInTrainingMode])
def test_the_comparison_catches_a_callback_that_disturbs_training(careless):
    assert differences(trained(sequential), trained(sequential, careless()))


def test_inspect_leaves_the_model_and_every_random_state_as_they_were():
    keras.utils.set_random_seed(7)
    model = subclassed()
    before = [np.array(keras.ops.convert_to_numpy(value)) for value in model.variables]
    states = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    members = [set(vars(layer)) for layer in model._flatten_layers()]
    losses = len(model.losses)
    first, second = (inspect(model, data()[0][:2]) for _ in range(2))
    after = [np.array(keras.ops.convert_to_numpy(value)) for value in model.variables]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    assert random.getstate() == states[0]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert [set(vars(layer)) for layer in model._flatten_layers()] == members
    assert len(model.losses) == losses
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
    np.testing.assert_array_equal(
        first["parts.0"].output, second["parts.0"].output
    )  # the same noise each time


def test_names_of_later_layers_do_not_move_on():
    class Grower(keras.layers.Layer):
        def call(self, x):
            return layers.Activation("relu")(x)

    def number_of_the_next():
        return int(layers.Activation("relu").name.rpartition("_")[2])

    layers.Activation("relu")  # the very first has no number
    model = keras.Sequential([keras.Input((2,)), Grower()])
    before = number_of_the_next()
    inspect(model, np.ones((1, 2), "float32"))
    assert number_of_the_next() == before + 1
