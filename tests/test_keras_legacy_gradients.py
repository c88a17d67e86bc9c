"""Scores and gradients of legacy Keras 2 models (`tf_keras`), against a plain `GradientTape` and paper."""

from __future__ import annotations

import numpy as np
import pytest
from keras_heads import KERNEL, functional_with, hand_written

from layerviz_callbacks.errors import ArgumentError, DifferentiationError
from layerviz_callbacks.explaining import Target
from layerviz_callbacks.keras.reading import reader_of
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request

tf_keras = pytest.importorskip("tf_keras")
tf = pytest.importorskip("tensorflow")
layers = tf_keras.layers
PREDICTED = Target()


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def close(actual, expected, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(actual, np.asarray(expected), rtol=rtol, atol=atol)


def gradient_of(function, array):
    given = tf.constant(array)
    with tf.GradientTape() as tape:
        tape.watch(given)
        number = function(given)
    return tape.gradient(number, given).numpy()


def ones(shape):
    return np.ones(shape, np.float32)


def read(model, probe, *names, targets=(PREDICTED,), samples=None):
    wanted = frozenset(names)
    request = Request(outputs=wanted, gradients=dict.fromkeys(targets, wanted), gradient_samples=samples)
    return reader_of(model, Probe.of(probe)).read(request)


def convolutional():
    tf_keras.utils.set_random_seed(1)
    return tf_keras.Sequential(
        [
            tf_keras.Input((7, 6, 2)),
            layers.Conv2D(4, 3, activation="relu", name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Conv2D(3, 2, activation="tanh", name="second"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, activation="softmax", name="head"),
        ]
    )


def test_gradients_are_those_of_a_plain_tape():
    model, x = convolutional(), numbers(3, 7, 6, 2)
    model.get_layer("head").set_weights([50 * numbers(3, 3), numbers(3)])  # saturated
    snapshot = read(model, x, "first", "norm", "second", "head")
    kernel, bias = model.get_layer("head").get_weights()

    def logits_from(name, z):
        for layer in model.layers[[layer.name for layer in model.layers].index(name) + 1 : -1]:
            z = layer(z, training=False)
        return z @ kernel + bias

    for name in ("first", "norm", "second"):
        weights = snapshot.scores[PREDICTED].weights
        expected = gradient_of(
            lambda z, name=name, weights=weights: tf.reduce_sum(logits_from(name, z) * weights),
            snapshot[name].output,
        )
        close(snapshot[name].gradients[PREDICTED], expected, rtol=1e-4)
        assert np.abs(expected).max() > 0.01
    close(
        snapshot.scores[PREDICTED].values, tf.reduce_max(logits_from("second", snapshot["second"].output), -1)
    )
    close(snapshot.outputs["output"], model(x))
    assert list(snapshot.unread) == ["gradients of head"]
    assert snapshot.input_axes == {"input": (0, 1, 2, 3)}
    few = read(model, x, "first", samples=1)
    close(few["first"].gradients[PREDICTED], snapshot["first"].gradients[PREDICTED][:1])


HEADS = {
    "activation=softmax": lambda: functional_with(tf_keras, layers.Softmax()),
    "Activation layer": lambda: functional_with(tf_keras, layers.Activation("sigmoid")),
    "operation in the graph": lambda: functional_with(tf_keras, tf.nn.softmax),
    "Lambda layer": lambda: functional_with(tf_keras, layers.Lambda(tf.sigmoid)),
    "tf.nn in call": lambda: hand_written(tf_keras, lambda x: tf.nn.softmax(x, axis=1)),
    "activations in call": lambda: hand_written(tf_keras, tf_keras.activations.softmax),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_score_is_taken_before_the_last_softmax_or_sigmoid(name):
    model, x = HEADS[name](), np.eye(3, dtype="float32")
    model(x)
    model.set_weights([np.eye(3, dtype="float32"), KERNEL])
    assert (model(x).numpy().max(axis=-1) == 1.0).all()
    snapshot = read(model, x, "features", "last")
    np.testing.assert_array_equal(snapshot.scores[PREDICTED].values, [40.0, 40.0, 40.0])
    np.testing.assert_array_equal(
        snapshot["features"].gradients[PREDICTED], KERNEL.T[list(snapshot.scores[PREDICTED].classes)]
    )


def test_a_softmax_at_each_time_step():
    model = tf_keras.Sequential(
        [
            tf_keras.Input((4, 3)),
            layers.Conv1D(3, 1, use_bias=False, name="conv"),
            layers.TimeDistributed(layers.Dense(2, use_bias=False, activation="softmax"), name="each"),
        ]
    )
    model.set_weights([np.eye(3, dtype="float32")[None], KERNEL])
    x = np.tile(np.eye(3, dtype="float32")[:, None], (1, 4, 1))
    whole = Target(0, region="all")
    snapshot = read(model, x, "conv", targets=[whole])
    np.testing.assert_array_equal(snapshot.scores[whole].values, 4 * KERNEL[:, 0])
    np.testing.assert_array_equal(snapshot["conv"].gradients[whole], np.broadcast_to(KERNEL[:, 0], (3, 4, 3)))


def test_shared_layers_masks_words_and_several_outputs():
    inputs = tf_keras.Input((4,), dtype="int32")
    words = layers.Embedding(7, 3, mask_zero=True, name="words")(inputs)
    shared = layers.Dense(3, use_bias=False, name="shared")
    pooled = layers.GlobalAveragePooling1D(name="pool")(shared(shared(words)))
    one = layers.Dense(2, use_bias=False, name="one")(pooled)
    other = layers.Dense(1, activation="sigmoid", use_bias=False, name="other")(pooled)
    model = tf_keras.Model(inputs, [one, other])
    x = np.array([[1, 2, 0, 0], [3, 4, 5, 6]])
    targets = [Target(1, output="one"), Target(output="other")]
    snapshot = read(model, x, "words", "shared", targets=targets)
    kernels = {name: model.get_layer(name).get_weights()[0] for name in ("shared", "one", "other")}
    counted = np.array([[1 / 2, 1 / 2, 0, 0], [1 / 4] * 4])[..., None]
    for target, last in zip(targets, (kernels["one"][:, 1], kernels["other"][:, 0]), strict=True):
        close(snapshot["shared#2"].gradients[target], counted * last)
        close(snapshot["shared"].gradients[target], counted * (kernels["shared"] @ last))
        close(snapshot["words"].gradients[target], counted * (kernels["shared"] @ kernels["shared"] @ last))


def test_a_recurrent_model_and_what_is_refused():
    model = tf_keras.Sequential(
        [tf_keras.Input((5, 2)), layers.LSTM(3, return_sequences=True, name="loop"), layers.Flatten(),
         layers.Dense(2, name="head")]
    )  # fmt: skip
    x = numbers(2, 5, 2)
    snapshot = read(model, x, "loop", "head", targets=[Target(1)])
    kernel = model.get_layer("head").get_weights()[0]
    close(snapshot["loop"].gradients[Target(1)], np.tile(kernel[:, 1].reshape(5, 3), (2, 1, 1)))
    close(snapshot["head"].gradients[Target(1)], [[0, 1], [0, 1]])
    with pytest.raises(ArgumentError, match="no class 2"):
        read(model, x, "loop", targets=[Target(2)])
    whole = tf_keras.Sequential(
        [tf_keras.Input((3,)), layers.Dense(2), layers.Lambda(lambda z: tf.argmax(z, -1))]
    )
    assert list(read(whole, numbers(2, 3)).scores) == []
    assert list(read(whole, numbers(2, 3)).unread) == ["the score of predicted class"]


def test_inputs_are_differentiated_up_to_a_layer_and_through_the_model():
    model, x = convolutional(), numbers(2, 9, 8, 2)
    kernel = model.get_layer("head").get_weights()[0]
    reader = reader_of(model, Probe(x[:1, :7, :6]))
    first, norm, second, *_ = model.layers
    with reader.differentiating() as derivative:
        middle = derivative({"input": x}, ones, layer="norm")
        answer = derivative({"input": x[:, :7, :6]}, ones)
        with pytest.raises(DifferentiationError, match="does not come by the layer 'nrom'"):
            derivative({"input": x}, ones, layer="nrom")
    close(middle.answer, norm(first(x), training=False))
    close(
        middle.gradients["input"],
        gradient_of(lambda z: tf.reduce_sum(norm(first(z), training=False)), x),
    )

    def score(z):
        features = tf.reduce_mean(second(norm(first(z), training=False)), axis=(1, 2))
        return tf.reduce_sum(features @ kernel)

    close(answer.gradients["input"], gradient_of(score, x[:, :7, :6]))


def test_a_functional_model_takes_other_sizes_as_far_as_its_layers_do():
    inputs = tf_keras.Input((8, 8, 1))
    conv = layers.Conv2D(3, 3, name="conv")
    model = tf_keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten()(conv(inputs))))
    x = numbers(2, 12, 10, 1)
    with reader_of(model, Probe(numbers(1, 8, 8, 1))).differentiating() as derivative:
        found = derivative({"input": x}, ones, layer="conv")
        with pytest.raises(DifferentiationError, match=r"shape \(2, 12, 10, 1\)"):
            derivative({"input": x}, ones)
    close(found.gradients["input"], gradient_of(lambda z: tf.reduce_sum(conv(z)), x))


def test_training_is_bit_identical_with_gradients_of_all_layers():
    class Explains(tf_keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            reader = reader_of(self.model, Probe(x[:4]))
            names = frozenset(entry.name for entry in reader.entries())
            snapshot = reader.read(Request(outputs=names, gradients={PREDICTED: names}))
            assert sum(PREDICTED in layer.gradients for layer in snapshot) > 4
            with reader.differentiating() as derivative:
                derivative({"input": x[:4]}, ones)

    x, y = numbers(24, 6, 6, 2), np.arange(24) % 3

    def trained(*callbacks):
        tf_keras.utils.set_random_seed(5)
        model = tf_keras.Sequential(
            [
                tf_keras.Input((6, 6, 2)),
                layers.Conv2D(4, 3, kernel_regularizer="l2"),
                layers.BatchNormalization(),
                layers.Dropout(0.4, seed=3),
                layers.Flatten(),
                layers.GaussianNoise(0.1),
                layers.Dense(3, activity_regularizer="l2", activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=list(callbacks))
        values = [value.numpy() for value in [*model.variables, *model.optimizer.variables]]
        return [*values, *history.history.values(), tf.random.normal((3,)).numpy(), np.random.rand(3)]  # noqa: NPY002

    for plain, explained in zip(trained(), trained(Explains()), strict=True):
        np.testing.assert_array_equal(plain, explained)
