"""Attention in legacy Keras 2 models (`tf_keras`) against the layers' own scores, and against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from keras_attention_reading import LooksAtAttention, close, read, softmax

from layerviz_callbacks.keras import LayerVizCallback, attention_hearing, inspect

tf_keras = pytest.importorskip("tf_keras")
tf = pytest.importorskip("tensorflow")
layers = tf_keras.layers
backend = tf_keras.backend


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("options", [{}, {"use_causal_mask": True}])
def test_the_layers_of_keras_give_their_own_scores(options):
    inputs, x = tf_keras.Input((6, 4)), numbers(3, 6, 4)
    heads = layers.MultiHeadAttention(2, 3, name="heads")
    dot, additive = layers.Attention(name="dot"), layers.AdditiveAttention(name="additive")
    answers = [heads(inputs, inputs, **options)]
    answers += [layer([inputs, inputs], **options) for layer in (dot, additive)]
    model = tf_keras.Model(inputs, answers)
    found, snapshot = read(model, x, samples=2)
    assert found == {"heads": (3, 2, 6, 6), "dot": (3, 1, 6, 6), "additive": (3, 1, 6, 6)}
    _, scores = heads(x, x, return_attention_scores=True, **options)
    close(snapshot["heads"].attention, scores.numpy()[:2])
    for layer in (dot, additive):
        _, scores = layer([x, x], return_attention_scores=True, **options)
        close(snapshot[layer.name].attention[:, 0], scores.numpy()[:2])
    for given, expected in zip(snapshot.outputs.values(), model(x), strict=True):
        np.testing.assert_array_equal(given, expected.numpy())


def test_several_attention_axes_are_laid_out_flat():
    inputs, x = tf_keras.Input((3, 4, 5)), numbers(2, 3, 4, 5)
    layer = layers.MultiHeadAttention(2, 3, attention_axes=(1, 2), name="a")
    found, snapshot = read(tf_keras.Model(inputs, layer(inputs, inputs)), x)
    _, scores = layer(x, x, return_attention_scores=True)
    assert found == {"a": (2, 2, 12, 12)}
    close(snapshot["a"].attention, scores.numpy().reshape(2, 2, 12, 12))


class SelfAttention(layers.Layer):
    """As EQTransformer has it: additive, over all time steps or near ones; with its weights if asked."""

    def __init__(self, width=None, flag=False, **options):
        super().__init__(**options)
        self.width = width
        if flag:
            self.return_attention = False

    def build(self, shape):
        self.Wt = self.add_weight(name="Wt", shape=(shape[-1], 3))
        self.Wx = self.add_weight(name="Wx", shape=(shape[-1], 3))
        self.Wa = self.add_weight(name="Wa", shape=(3, 1))

    def call(self, x):
        length = x.shape[1]
        query = backend.expand_dims(backend.dot(x, self.Wt), 2)
        key = backend.expand_dims(backend.dot(x, self.Wx), 1)
        scores = backend.reshape(backend.dot(backend.tanh(query + key), self.Wa), (-1, length, length))
        scores = backend.exp(scores - backend.max(scores, axis=-1, keepdims=True))
        if self.width is not None:
            lower = backend.expand_dims(backend.arange(0, length) - self.width // 2, -1)
            places = backend.expand_dims(backend.arange(0, length), 0)
            near = backend.cast(lower <= places, "float32")
            scores = scores * near * backend.cast(places < lower + self.width, "float32")
        weights = scores / (backend.sum(scores, axis=-1, keepdims=True) + backend.epsilon())
        answer = backend.batch_dot(weights, x)
        return [answer, weights] if getattr(self, "return_attention", False) else answer

    def by_hand(self, x):
        Wt, Wx, Wa = (weight.numpy() for weight in (self.Wt, self.Wx, self.Wa))
        scores = (np.tanh((x @ Wt)[:, :, None] + (x @ Wx)[:, None]) @ Wa)[..., 0]
        if self.width is not None:
            offset = np.arange(x.shape[1])[None] - np.arange(x.shape[1])[:, None] + self.width // 2
            scores = np.where((offset >= 0) & (offset < self.width), scores, -np.inf)
        return softmax(scores)


@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("width", [None, 3])
def test_additive_attention_by_hand_or_with_a_flag_after_an_lstm(width, flag):
    layer, x = SelfAttention(width, flag, name="a"), numbers(3, 6, 4)
    inputs = tf_keras.Input((6, 4))
    model = tf_keras.Model(inputs, layer(layers.LSTM(4, return_sequences=True, name="lstm")(inputs)))
    found, snapshot = read(model, x, outputs=frozenset({"lstm", "a"}))
    assert found == {"a": (3, 1, 6, 6)}
    close(snapshot["a"].attention[:, 0], layer.by_hand(snapshot["lstm"].output), 1e-4)
    np.testing.assert_array_equal(snapshot["a"].output, model(x).numpy())
    if flag:
        assert layer.return_attention is False


def test_tensorflow_functions_in_the_graph_of_a_model_are_heard():
    inputs, x = tf_keras.Input((5, 4)), numbers(2, 5, 4)
    weights = tf.nn.softmax(tf.matmul(inputs, inputs, transpose_b=True))
    pooled = layers.Softmax(axis=1, name="pooled")(layers.Dense(1)(tf.matmul(weights, inputs)))
    model = tf_keras.Model(inputs, layers.Multiply()([pooled, inputs]))
    found, snapshot = read(model, x, outputs=frozenset({"pooled"}))
    assert found == {"tf.nn.softmax": (2, 1, 5, 5), "pooled": (2, 1, 1, 5)}
    close(snapshot["tf.nn.softmax"].attention[:, 0], softmax(x @ x.transpose(0, 2, 1)))
    close(snapshot["pooled"].attention[:, 0, 0], snapshot["pooled"].output[..., 0])


def test_a_second_call_has_a_name_of_its_own():
    inputs, x = tf_keras.Input((5, 4)), numbers(2, 5, 4)
    shared = layers.Attention(name="shared")
    once = shared([inputs, inputs])
    found, snapshot = read(tf_keras.Model(inputs, shared([once, once])), x)
    assert list(found) == ["shared", "shared#2"]
    given = softmax(x @ x.transpose(0, 2, 1)) @ x
    close(snapshot["shared#2"].attention[:, 0], softmax(given @ given.transpose(0, 2, 1)))
    assert snapshot["shared#2"].part_of == "shared"


def test_what_only_looks_like_attention_is_none():
    inputs, image, graph = tf_keras.Input((5, 4)), tf_keras.Input((6, 6, 2)), tf_keras.Input((5, 5))
    model = tf_keras.Model(
        [inputs, image, graph],
        [
            layers.Softmax()(layers.Conv2D(3, 1)(image)),
            layers.Dot(axes=(2, 1))([graph, inputs]),
            layers.Dense(3, use_bias=False)(layers.Dense(6, activation="softmax")(inputs)),
        ],
    )
    adjacency = np.abs(numbers(2, 5, 5)) + 0.1
    adjacency /= adjacency.sum(axis=-1, keepdims=True)
    found, snapshot = read(model, (numbers(2, 5, 4), numbers(2, 6, 6, 2), adjacency))
    assert found == {} and snapshot.unread == {}


def test_more_weights_than_can_be_read_are_refused_in_words(monkeypatch):
    monkeypatch.setattr(attention_hearing, "MOST_WEIGHTS", 100)
    inputs = tf_keras.Input((6, 4))
    model = tf_keras.Model(inputs, layers.Attention(name="a")([inputs, inputs]))
    _, snapshot = read(model, numbers(3, 6, 4))
    assert snapshot["a"].attention is None and snapshot["a"].attention_shape == (3, 1, 6, 6)
    assert "108 weights" in snapshot.unread["attention of a"]
    _, snapshot = read(model, numbers(3, 6, 4), samples=2)
    assert snapshot["a"].attention.shape == (2, 1, 6, 6) and snapshot.unread == {}


def trained(callback=None):
    """Everything that a training leaves behind."""
    tf_keras.utils.set_random_seed(11)
    inputs = tf_keras.Input((6, 4))
    x = layers.MultiHeadAttention(2, 3, dropout=0.2, name="heads")(inputs, inputs)
    x = layers.Dropout(0.3)(SelfAttention(3, flag=True, name="local")(x))
    model = tf_keras.Model(inputs, layers.Dense(3)(layers.Flatten()(SelfAttention(name="global")(x))))
    model.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    y = np.random.default_rng(5).integers(0, 3, 24)
    history = model.fit(
        numbers(24, 6, 4), y, epochs=2, batch_size=8, verbose=0,
        callbacks=[] if callback is None else [callback],
    )  # fmt: skip
    values = [value.numpy() for value in [*model.variables, *model.optimizer.variables]]
    return [*values, np.array(history.history["loss"]), tf.random.normal((4,)).numpy()]


def test_training_is_bit_identical_with_attention_recorded_each_epoch(tmp_path):
    view = LooksAtAttention()
    callback = LayerVizCallback(
        numbers(3, 6, 4), log_dir=tmp_path, views=[view], on_error="raise", worker=None
    )
    for one, other in zip(trained(), trained(callback), strict=True):
        np.testing.assert_array_equal(one, other)
    steps = {(step, name) for step, name, _ in view.seen}
    assert steps == {(step, name) for step in (0, 1, 2) for name in ("heads", "local", "global")}
    for _, _, weights in view.seen:
        close(weights.sum(-1), np.ones(weights.shape[:-1]), 1e-4)


def test_inspect_reads_attention_too():
    inputs, x = tf_keras.Input((5, 4)), numbers(2, 5, 4)
    snapshot = inspect(tf_keras.Model(inputs, layers.Attention(name="a")([inputs, inputs])), x)
    close(snapshot["a"].attention[:, 0], softmax(x @ x.transpose(0, 2, 1)))
