"""Attention in the Keras door against the layers' own scores, and against what one computes by hand."""

from __future__ import annotations

import threading

import keras
import numpy as np
import pytest
from keras import ops
from keras_attention_reading import LooksAtAttention, close, read, softmax
from keras_oracles import BACKEND, Counting, numbers

from layerviz_callbacks.keras import KerasReader, LayerVizCallback, attention_hearing, inspect
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request

layers = keras.layers
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow alone")


def as_array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


class Calls(layers.Layer):
    """Calls attention as a user would, with arguments of the call."""

    def __init__(self, inner, *, pairs=False, **options):
        super().__init__(name="calls")
        self.inner, self.options, self.pairs = inner, options, pairs

    def build(self, shape):
        if self.pairs:
            self.inner.build([shape, shape])
        else:
            self.inner.build(shape, shape)

    def call(self, x):
        return self.inner([x, x], **self.options) if self.pairs else self.inner(x, x, **self.options)


def model_of(layer, *shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))


# -- Keras' own layers -----------------------------------------------------------------------------------

MASK = np.tril(np.ones((1, 6, 6), bool), 1)


@pytest.mark.parametrize(
    ("make", "shape", "options", "heads"),
    [
        (lambda: layers.MultiHeadAttention(2, 3, name="a"), (6, 4), {}, 2),
        (lambda: layers.MultiHeadAttention(2, 3, name="a"), (6, 4), {"use_causal_mask": True}, 2),
        (lambda: layers.MultiHeadAttention(2, 3, name="a"), (6, 4), {"attention_mask": MASK}, 2),
        (lambda: layers.MultiHeadAttention(3, 2, dropout=0.3, name="a"), (6, 4), {}, 3),
        (lambda: layers.GroupQueryAttention(3, 4, 2, name="a"), (6, 4), {}, 4),
        (lambda: layers.GroupQueryAttention(3, 4, 2, name="a"), (6, 4), {"use_causal_mask": True}, 4),
    ],
)
def test_multi_head_attention_gives_the_scores_of_the_layer_itself(make, shape, options, heads):
    x, layer = numbers(3, *shape), make()
    model = model_of(Calls(layer, **options), *shape)
    found, snapshot = read(model, x, outputs=frozenset({"calls"}))
    assert found == {"calls/a": (3, heads, 6, 6)}
    expected, scores = layer(x, x, return_attention_scores=True, **options)
    close(snapshot["calls/a"].attention, as_array(scores))
    close(snapshot["calls"].output, as_array(expected))
    assert snapshot["calls/a"].attention.dtype == np.float32
    np.testing.assert_array_equal(snapshot.outputs["output"], snapshot["calls"].output)
    assert {"calls/a/query", "calls/a/attention_output"} <= set(snapshot.layers)


def test_several_attention_axes_are_laid_out_flat():
    x = numbers(2, 3, 4, 5)
    layer = layers.MultiHeadAttention(2, 3, name="a")  # over rows and columns
    rows = layers.MultiHeadAttention(2, 3, attention_axes=2, name="rows")  # over columns, in each row
    inputs = keras.Input((3, 4, 5))
    model = keras.Model(inputs, [layer(inputs, inputs), rows(inputs, inputs)])
    found, snapshot = read(model, x)
    assert found == {"a": (2, 2, 12, 12), "rows": (2, 6, 4, 4)}
    _, scores = layer(x, x, return_attention_scores=True)
    close(snapshot["a"].attention, as_array(scores).reshape(2, 2, 12, 12))
    _, scores = rows(x, x, return_attention_scores=True)  # (sample, row, head, query, key)
    close(snapshot["rows"].attention, as_array(scores).reshape(2, 6, 4, 4))


def test_queries_and_keys_of_different_length_and_masks_of_the_inputs_are_kept():
    words = keras.Input((5,), dtype="int32")
    queries = keras.Input((3, 4))
    embedded = layers.Embedding(9, 4, mask_zero=True, name="words")(words)
    layer = layers.MultiHeadAttention(2, 3, name="a")
    model = keras.Model([words, queries], layer(queries, embedded))
    given = [np.array([[3, 1, 4, 0, 0], [5, 2, 6, 5, 0]], "int32"), numbers(2, 3, 4)]
    found, snapshot = read(model, tuple(given))
    assert found == {"a": (2, 2, 3, 5)}
    assert (snapshot["a"].attention[0, :, :, 3:] == 0).all()
    assert (snapshot["a"].attention[1, :, :, :4] > 0).all()
    close(snapshot["a"].attention.sum(-1), np.ones((2, 2, 3)))


@pytest.mark.parametrize("kind", [layers.Attention, layers.AdditiveAttention])
@pytest.mark.parametrize("options", [{}, {"use_causal_mask": True}])
def test_dot_and_additive_attention_give_the_scores_of_the_layer_itself(kind, options):
    x, layer = numbers(3, 6, 4), kind(use_scale=True, name="a")
    model = model_of(Calls(layer, pairs=True, **options), 6, 4)
    found, snapshot = read(model, x)
    assert found == {"calls/a": (3, 1, 6, 6)}
    expected, scores = layer([x, x], return_attention_scores=True, **options)
    close(snapshot["calls/a"].attention[:, 0], as_array(scores))
    close(snapshot.outputs["output"], as_array(expected))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (layers.MultiHeadAttention, {"num_heads": 2, "key_dim": 4}),
        (layers.GroupQueryAttention, {"head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2}),
    ],
)
def test_with_flash_attention_on_the_model_runs_it_and_the_scores_are_computed_again(
    make, options, monkeypatch
):
    x = numbers(2, 6, 4)
    slow, flash = make(**options), make(**options, flash_attention=True, name="a")
    inputs, calls, fused = keras.Input((6, 4)), [], ops.dot_product_attention
    _, scores = slow(x, x, return_attention_scores=True)

    def kernel(*arguments, flash_attention=None, **keywords):  # no processor has it; a graphics card may
        calls.append(flash_attention)
        return fused(*arguments, flash_attention=False, **keywords)

    monkeypatch.setattr("keras.src.ops.dot_product_attention", kernel)
    model = keras.Model(inputs, flash(inputs, inputs))
    flash.set_weights(slow.get_weights())
    calls.clear()
    found, snapshot = read(model, x)
    assert found == {"a": tuple(scores.shape)} and set(calls) == {True}
    close(snapshot["a"].attention, as_array(scores))
    assert flash._flash_attention is True
    with pytest.raises(ValueError, match="flash"):
        flash(x, x, return_attention_scores=True)


def test_a_layer_in_half_precision_gives_float32_weights():
    layer = layers.MultiHeadAttention(2, 3, dtype="mixed_float16", name="a")
    hand = WritesByHand(dtype="mixed_bfloat16", name="hand")
    inputs = keras.Input((6, 4))
    x = numbers(2, 6, 4)
    found, snapshot = read(keras.Model(inputs, [layer(inputs, inputs), hand(inputs)]), x)
    assert set(found) == {"a", "hand"}
    for name in found:
        assert snapshot[name].attention.dtype == np.float32
        close(snapshot[name].attention.sum(-1), np.ones(found[name][:-1]), 2e-2)


# -- layers that return their weights --------------------------------------------------------------------


@on_tensorflow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attention_width": 3},
        {"attention_width": 3, "history_only": True, "attention_activation": "tanh"},
        {"attention_type": "multiplicative"},
        {"attention_type": "multiplicative", "attention_width": 3},
    ],
)
@pytest.mark.parametrize("recurrent", [False, True])
def test_self_attention_of_keras_self_attention_gives_its_own_weights(options, recurrent):
    package = pytest.importorskip("keras_self_attention")
    before = [layers.LSTM(4, return_sequences=True)] if recurrent else []
    layer = package.SeqSelfAttention(5, name="a", **options)
    model = keras.Sequential([keras.Input((7, 4)), *before, layer])
    oracle = package.SeqSelfAttention(5, return_attention=True, **options)
    x = numbers(3, 7, 4)
    found, snapshot = read(model, x, outputs=frozenset({"a"}))
    given = model.layers[0](x) if recurrent else x
    oracle(given)
    oracle.set_weights(layer.get_weights())
    expected, weights = oracle(given)
    assert found == {"a": (3, 1, 7, 7)}
    close(snapshot["a"].attention[:, 0], as_array(weights))
    close(snapshot["a"].output, as_array(expected))
    assert layer.return_attention is False
    if "attention_width" in options:
        assert (snapshot["a"].attention[..., 0, 4:] == 0).all()


@on_tensorflow
@pytest.mark.parametrize("kind", ["SeqWeightedAttention", "ScaledDotProductAttention"])
@pytest.mark.parametrize("returned", [False, True])
def test_the_other_layers_of_that_package_give_their_own_weights(kind, returned):
    kind = getattr(pytest.importorskip("keras_self_attention"), kind)
    layer, oracle, x = (
        kind(return_attention=returned, name="a"),
        kind(return_attention=True),
        numbers(3, 7, 4),
    )
    found, snapshot = read(model_of(layer, 7, 4), x)
    oracle(x)
    oracle.set_weights(layer.get_weights())
    expected, weights = oracle(x)
    close(snapshot["a"].attention.reshape(as_array(weights).shape), as_array(weights))
    assert found == {"a": (3, 1, 1, 7) if len(weights.shape) == 2 else (3, 1, 7, 7)}
    answers = list(snapshot.outputs.values())
    assert len(answers) == (2 if returned else 1)
    close(answers[0], as_array(expected))


class Returns(layers.Layer):
    """Returns its weights beside what it answers, computed in a way that no one can hear."""

    def __init__(self, pooled=False, name="a"):
        super().__init__(name=name)
        self.pooled = pooled
        self.score = layers.Dense(1)

    def build(self, shape):
        self.score.build(shape)

    def call(self, x):
        scores = ops.sigmoid(self.score(x))  # (sample, key, 1)
        weights = scores / ops.sum(scores, axis=1, keepdims=True)
        if self.pooled:
            return ops.sum(weights * x, axis=1), weights
        rows = ops.transpose(ops.repeat(weights, x.shape[1], axis=2), (0, 2, 1))
        return x - x[:, :1], {"weights": rows}


@pytest.mark.parametrize(("pooled", "queries"), [(False, 6), (True, 1)])
def test_weights_that_a_layer_returns_beside_its_answer_are_its_attention(pooled, queries):
    layer, x = Returns(pooled), numbers(3, 6, 4)
    found, snapshot = read(model_of(layer, 6, 4), x)
    assert found == {"a": (3, 1, queries, 6)}
    scores = 1 / (1 + np.exp(-as_array(layer.score(x))[..., 0]))
    weights = scores / scores.sum(axis=1, keepdims=True)
    for query in range(queries):
        close(snapshot["a"].attention[:, 0, query], weights)


# -- written by hand -------------------------------------------------------------------------------------


class WritesByHand(layers.Layer):
    """Attends with its inputs as queries, keys and values, in one of the ways people write it."""

    def __init__(self, way="matmul", times=1, **options):
        super().__init__(**options)
        self.way, self.times = way, times

    def call(self, x):
        for _ in range(self.times):
            x = self.attend(x)
        return x

    def attend(self, x):
        scores = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
        if self.way == "exponential":
            scores = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
            return ops.matmul(scores / ops.sum(scores, axis=-1, keepdims=True), x)
        if self.way == "operator":
            return ops.softmax(scores) @ x
        if self.way == "einsum":
            return ops.einsum("bvk,bqk->bqv", ops.transpose(x, (0, 2, 1)), ops.softmax(scores))
        if self.way == "weights on the right":
            transposed = ops.softmax(scores, axis=1)  # its columns sum to one
            return ops.transpose(ops.matmul(ops.transpose(x, (0, 2, 1)), transposed), (0, 2, 1))
        if self.way == "fused":
            head = ops.expand_dims(x, 2)
            return ops.dot_product_attention(head, head, head, scale=1.0)[:, :, 0]
        return ops.matmul(ops.softmax(scores), x)


WAYS = ["matmul", "exponential", "operator", "einsum", "weights on the right", "fused"]


@pytest.mark.parametrize("way", WAYS)
def test_attention_written_by_hand_can_be_counted_on_paper(way):
    x = np.zeros((1, 2, 2), "float32")
    x[0, 0, 0] = x[0, 1, 1] = np.sqrt(np.log(3))  # scores: ln 3 with itself, 0 with the other
    found, snapshot = read(model_of(WritesByHand(way, name="hand"), 2, 2), x)
    assert found == {"hand": (1, 1, 2, 2)}
    close(snapshot["hand"].attention[0, 0], [[0.75, 0.25], [0.25, 0.75]])
    close(snapshot.outputs["output"][0], np.array([[0.75, 0.25], [0.25, 0.75]]) @ x[0])


@pytest.mark.parametrize("way", WAYS)
def test_attention_written_by_hand_is_that_of_numpy(way):
    x = numbers(3, 5, 4)
    _, snapshot = read(model_of(WritesByHand(way, name="hand"), 5, 4), x, samples=2)
    close(snapshot["hand"].attention[:, 0], softmax(x @ x.transpose(0, 2, 1))[:2])


class HandlesHeads(layers.Layer):
    """Two heads, side by side or folded into the samples."""

    def __init__(self, folded, name="hand"):
        super().__init__(name=name)
        self.folded = folded

    def call(self, x):
        length = x.shape[1]
        heads = ops.transpose(ops.reshape(x, (-1, length, 2, 2)), (0, 2, 1, 3))
        if self.folded:
            heads = ops.reshape(heads, (-1, length, 2))
            weights = ops.softmax(ops.matmul(heads, ops.transpose(heads, (0, 2, 1))))
            return ops.reshape(ops.matmul(weights, heads), (-1, 2, length, 2))
        weights = ops.softmax(ops.einsum("bhqd,bhkd->bhqk", heads, heads))
        return ops.einsum("bhqk,bhkd->bqhd", weights, heads)


@pytest.mark.parametrize("folded", [False, True])
def test_heads_are_told_from_samples_queries_and_keys(folded):
    x = numbers(3, 5, 4)
    found, snapshot = read(model_of(HandlesHeads(folded), 5, 4), x)
    assert found == {"hand": (3, 2, 5, 5)}
    heads = x.reshape(3, 5, 2, 2).transpose(0, 2, 1, 3)
    close(snapshot["hand"].attention, softmax(heads @ heads.transpose(0, 1, 3, 2)))


class AdditiveByHand(layers.Layer):
    """The additive attention of EQTransformer: every time step looks at all, or at those near to it."""

    def __init__(self, width=None, units=3, name=None):
        super().__init__(name=name)
        self.width, self.units = width, units

    def build(self, shape):
        for name, size in (("Wt", (shape[-1], self.units)), ("Wx", (shape[-1], self.units)),
                           ("bh", (self.units,)), ("Wa", (self.units, 1)), ("ba", (1,))):  # fmt: skip
            setattr(self, name, self.add_weight(shape=size, name=name, initializer="glorot_normal"
                                                if len(size) == 2 else "zeros"))  # fmt: skip

    def call(self, x):
        length = x.shape[1]
        query = ops.expand_dims(ops.matmul(x, self.Wt), 2)
        key = ops.expand_dims(ops.matmul(x, self.Wx), 1)
        scores = ops.matmul(ops.tanh(query + key + self.bh), self.Wa) + self.ba
        scores = ops.reshape(scores, (-1, length, length))
        scores = ops.exp(scores - ops.max(scores, axis=-1, keepdims=True))
        if self.width is not None:
            first = ops.expand_dims(ops.arange(length) - self.width // 2, -1)
            near = ops.logical_and(first <= ops.arange(length), ops.arange(length) < first + self.width)
            scores = scores * ops.cast(near, "float32")
        return ops.matmul(scores / (ops.sum(scores, axis=-1, keepdims=True) + 1e-7), x)

    def by_hand(self, x):
        Wt, Wx, bh, Wa, ba = (as_array(one) for one in (self.Wt, self.Wx, self.bh, self.Wa, self.ba))
        hidden = np.tanh((x @ Wt)[:, :, None] + (x @ Wx)[:, None] + bh)
        scores = (hidden @ Wa + ba)[..., 0]
        if self.width is not None:
            length = x.shape[1]
            offset = np.arange(length)[None] - np.arange(length)[:, None] + self.width // 2
            scores = np.where((offset >= 0) & (offset < self.width), scores, -np.inf)
        return softmax(scores)


def seismic():
    """Convolutions, an LSTM, attention over all and over near time steps, as in EQTransformer."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((12, 3))
    x = layers.Conv1D(4, 3, padding="same", activation="relu", name="conv")(inputs)
    x = Counting(name="double")(x)
    x = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="both")(x)
    x = AdditiveByHand(name="global")(x)
    x = layers.LayerNormalization(name="norm")(x)
    picks = AdditiveByHand(3, name="local")(x)
    x = layers.MultiHeadAttention(2, 3, name="heads")(x, picks)
    return keras.Model(inputs, [layers.Dense(1, activation="sigmoid", name=name)(x) for name in "dps"])


def test_additive_attention_by_hand_global_and_local_after_an_lstm_in_any_pass():
    model, x = seismic(), numbers(3, 12, 3)
    found, compiled = read(model, x, outputs=frozenset({"both", "norm"}))
    eager = inspect(model, x)
    assert found == {"global": (3, 1, 12, 12), "local": (3, 1, 12, 12), "heads": (3, 2, 12, 12)}
    close(compiled["global"].attention[:, 0], model.get_layer("global").by_hand(compiled["both"].output))
    close(compiled["local"].attention[:, 0], model.get_layer("local").by_hand(compiled["norm"].output))
    assert (compiled["local"].attention[0, 0] > 0).sum() == 3 * 12 - 2
    for name in found:
        close(compiled[name].attention, eager[name].attention)
    for name, output in compiled.outputs.items():
        close(output, eager.outputs[name])


@pytest.mark.skipif(BACKEND == "torch", reason="nothing is compiled on PyTorch")
def test_a_compiled_pass_with_attention_is_traced_once_for_each_request_and_cut_inside():
    model, x = seismic(), numbers(4, 12, 3)
    reader, runs = KerasReader(model, Probe(x)), model.get_layer("double").runs
    reader.read(Request())
    one = Request(attention=frozenset({"global"}), attention_samples=1)
    two = Request(attention=frozenset({"local", "heads"}), attention_samples=2)
    for request in (one, two):
        reader.read(request)
    runs.clear()
    for scale in (1.0, 2.0):
        model.get_layer("global").Wt.assign(model.get_layer("global").Wt.value * scale)
        whole = KerasReader(model, Probe(x)).read(Request(attention=frozenset({"global", "local", "heads"})))
        runs.clear()
        first, second = reader.read(one), reader.read(two)
        assert runs == []
        assert first["local"].attention is None and second["global"].attention is None
        close(first["global"].attention, whole["global"].attention[:1])
        close(second["local"].attention, whole["local"].attention[:2])
        close(second["heads"].attention, whole["heads"].attention[:2])
        assert first["heads"].attention_shape == (4, 2, 12, 12)


def test_weights_that_one_layer_gives_and_another_uses_belong_to_the_one_that_gives_them():
    inputs = keras.Input((5, 4))
    scores = layers.Dot(axes=2, name="scores")([inputs, inputs])
    weights = layers.Dropout(0.2)(layers.Softmax(name="weights")(scores))
    seen = layers.Dot(axes=(2, 1), name="seen")([weights, inputs])
    pooled = layers.Activation(keras.activations.softmax, name="pooled")
    over_time = pooled(layers.Flatten()(layers.Dense(1)(seen)))
    spread = layers.Permute((2, 1))(layers.RepeatVector(4)(over_time))
    summed = layers.Multiply(name="multiplied")([seen, spread])
    one = layers.Softmax(axis=1, name="in place")(layers.Dense(1)(summed))
    model = keras.Model(inputs, layers.Multiply()([one, summed]))
    x = numbers(3, 5, 4)
    wanted = frozenset({"weights", "pooled", "in place"})
    found, snapshot = read(model, x, outputs=wanted)
    assert found == {"weights": (3, 1, 5, 5), "pooled": (3, 1, 1, 5), "in place": (3, 1, 1, 5)}
    for name in wanted:
        close(snapshot[name].attention.ravel(), snapshot[name].output.ravel())
    close(snapshot["weights"].attention[:, 0], softmax(x @ x.transpose(0, 2, 1)))


class Pools(layers.Layer):
    """The attention of Bahdanau: one weight for each time step, then a weighted sum."""

    def build(self, shape):
        self.score = self.add_weight(shape=(shape[-1], 1), initializer="glorot_normal")

    def call(self, x):
        weights = ops.softmax(ops.matmul(ops.tanh(x), self.score), axis=1)
        return ops.sum(weights * x, axis=1)


def test_a_weighted_sum_over_time_is_attention_with_one_query():
    layer, x = Pools(name="pools"), numbers(3, 5, 4)
    found, snapshot = read(model_of(layer, 5, 4), x)
    assert found == {"pools": (3, 1, 1, 5)}
    close(snapshot["pools"].attention[:, 0, 0], softmax((np.tanh(x) @ as_array(layer.score))[..., 0]))


def test_operations_in_the_graph_of_a_model_belong_to_the_layer_whose_values_are_attended_to():
    inputs = keras.Input((5, 4))
    values = layers.Dense(3, name="values")(inputs)
    weights = ops.softmax(ops.matmul(inputs, ops.transpose(inputs, (0, 2, 1))))
    heads = layers.Reshape((5, 2, 2))(layers.Dense(4, name="heads")(inputs))
    fused = ops.dot_product_attention(heads, heads, heads)
    x = numbers(2, 5, 4)
    found, snapshot = read(keras.Model(inputs, [ops.matmul(weights, values), fused]), x)
    assert found == {"values": (2, 1, 5, 5), "heads": (2, 2, 5, 5)}
    close(snapshot["values"].attention[:, 0], softmax(x @ x.transpose(0, 2, 1)))


class Whole(keras.Model):
    """Attends in the model's own call."""

    def __init__(self):
        super().__init__()
        self.head = layers.Dense(2, name="head")

    def call(self, x):
        weights = ops.softmax(ops.matmul(x, ops.transpose(x, (0, 2, 1))))
        return self.head(ops.matmul(weights, x))


def test_attention_in_the_models_own_call_is_told():
    model, x = Whole(), numbers(2, 5, 4)
    model(x)
    found, snapshot = read(model, x)
    assert found == {}
    assert "in a layer of its own" in snapshot.unread["attention of the model itself"]


# -- what is none ----------------------------------------------------------------------------------------


class MixesItsOwn(layers.Layer):
    """Softmax weights of vectors that are the layer's own: a code book, no attention."""

    def build(self, shape):
        self.book = self.add_weight(shape=(6, 3), initializer="glorot_normal")

    def call(self, x):
        return ops.matmul(ops.softmax(ops.concatenate([x, x[..., :2]], axis=-1)), self.book)


class MeansOverMask(layers.Layer):
    """A mean over the positive steps: weights that sum to one, but of no scores."""

    def call(self, x):
        mask = ops.cast(x[..., 0] > 0, "float32") + 0.1
        weights = mask / ops.sum(mask, axis=1, keepdims=True)
        return ops.einsum("bt,btc->bc", weights, x) + ops.exp(x[:, 0] * 0)


class TwoTasks(layers.Layer):
    """Gives features and class probabilities for each time step."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.classes = layers.Dense(3, activation="softmax")

    def build(self, shape):
        self.classes.build(shape)

    def call(self, x):
        return x * 2, self.classes(x)


def test_what_only_looks_like_attention_is_none():
    inputs, image = keras.Input((5, 4)), keras.Input((6, 6, 2))
    graph = keras.Input((5, 5))
    seen = [
        layers.Softmax(name="segmentation")(layers.Conv2D(3, 1)(image)),
        MixesItsOwn(name="mixes")(inputs),
        layers.Dot(axes=(2, 1), name="neighbours")([graph, inputs]),
        TwoTasks(name="tasks")(inputs)[1],
        layers.Softmax(name="classes")(layers.Dense(3)(layers.Flatten()(inputs))),
        layers.Multiply(name="gated")([layers.Dense(4, activation="softmax")(inputs), inputs]),
    ]
    adjacency = np.abs(numbers(2, 5, 5)) + 0.1
    adjacency /= adjacency.sum(axis=-1, keepdims=True)
    model = keras.Model([inputs, image, graph], seen)
    found, snapshot = read(model, (numbers(2, 5, 4), numbers(2, 6, 6, 2), adjacency))
    assert found == {} and snapshot.unread == {}


def test_a_mean_over_a_mask_is_none_where_no_exponential_comes_before_it():
    found, _ = read(model_of(MeansOverMask(), 5, 4), numbers(2, 5, 4))
    assert found == {}


def test_gates_of_experts_are_attention_over_the_experts():
    inputs = keras.Input((4,))
    gates = layers.Dense(3, activation="softmax", name="gates")(inputs)
    experts = layers.Reshape((3, 2))(layers.Dense(6)(inputs))
    model = keras.Model(inputs, layers.Dot(axes=1)([gates, experts]))
    found, snapshot = read(model, numbers(2, 4), outputs=frozenset({"gates"}))
    assert found == {"gates": (2, 1, 1, 3)}
    close(snapshot["gates"].attention[:, 0, 0], snapshot["gates"].output)


# -- names, sizes, faults --------------------------------------------------------------------------------


def test_second_calls_and_further_attention_have_names_of_their_own():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5, 4))
    shared = layers.MultiHeadAttention(2, 3, name="shared")
    twice = WritesByHand(times=2, name="twice")
    model = keras.Model(inputs, twice(twice(shared(shared(inputs, inputs), inputs))))
    x = numbers(2, 5, 4)
    found, snapshot = read(model, x, outputs=frozenset({"shared", "twice"}))
    assert list(found) == [
        "shared", "shared#2", "twice", "twice#2", "twice.attention 2", "twice#2.attention 2",
    ]  # fmt: skip
    further = snapshot["twice#2.attention 2"]
    assert (further.part_of, further.kind, further.place) == (
        "twice",
        "WritesByHand",
        snapshot["twice"].place,
    )
    assert further.output_shape is None and further.kernel_shape is None
    _, second = shared(snapshot["shared"].output, x, return_attention_scores=True)
    close(snapshot["shared#2"].attention, as_array(second))
    given = snapshot["twice"].output
    once = softmax(given @ given.transpose(0, 2, 1))
    close(snapshot["twice#2"].attention[:, 0], once)
    given = once @ given
    close(further.attention[:, 0], softmax(given @ given.transpose(0, 2, 1)))


def test_only_the_layers_and_samples_that_are_asked_for_are_copied():
    inputs = keras.Input((5, 4))
    x = layers.MultiHeadAttention(2, 3, name="one")(inputs, inputs)
    model = keras.Model(inputs, WritesByHand(name="two")(x))
    reader = KerasReader(model, Probe(numbers(4, 5, 4)))
    reader.read(Request())
    whole = reader.read(Request(attention=frozenset({"one", "two"})))
    cut = reader.read(Request(attention=frozenset({"one"}), attention_samples=3))
    assert cut["two"].attention is None and cut["two"].attention_shape == (4, 1, 5, 5)
    assert cut["one"].attention.shape == (3, 2, 5, 5) and cut["one"].attention_shape == (4, 2, 5, 5)
    close(cut["one"].attention, whole["one"].attention[:3])


def test_more_weights_than_can_be_read_are_refused_in_words(monkeypatch):
    monkeypatch.setattr(attention_hearing, "MOST_WEIGHTS", 100)
    inputs = keras.Input((5, 4))
    x = layers.MultiHeadAttention(2, 3, name="one")(inputs, inputs)
    model = keras.Model(inputs, WritesByHand(name="two")(x))
    found, snapshot = read(model, numbers(3, 5, 4))
    assert found == {"one": (3, 2, 5, 5), "two": (3, 1, 5, 5)}
    assert snapshot["one"].attention is None and snapshot["two"].attention.shape == (3, 1, 5, 5)
    assert list(snapshot.unread) == ["attention of one"]
    assert "150 weights" in snapshot.unread["attention of one"]


def test_a_fault_in_reading_attention_leaves_the_pass_alone_and_is_told(monkeypatch):
    def fails(*arguments):
        raise RuntimeError("no weights on Sundays")

    monkeypatch.setattr(attention_hearing, "arranged_tensor", fails)
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, layers.Attention(name="a")([inputs, inputs]))
    x = numbers(2, 5, 4)
    snapshot = KerasReader(model, Probe(x)).read(Request(attention=frozenset({"a"})))
    assert "no weights on Sundays" in snapshot.unread["attention of a"]
    close(snapshot.outputs["output"], as_array(model(x)))


class AttendsElsewhere(layers.Layer):
    """While it is called, another thread attends on its own account."""

    def __init__(self):
        super().__init__(name="elsewhere")
        self.answers = []

    def call(self, x):
        def work():
            other = ops.convert_to_tensor(numbers(2, 5, 4, seed=3))
            self.answers.append(as_array(WritesByHand().attend(other)))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return ops.exp(x)


def test_what_other_threads_compute_is_not_heard():
    layer = AttendsElsewhere()
    found, _ = read(model_of(layer, 5, 4), numbers(2, 5, 4))
    x = numbers(2, 5, 4, seed=3)
    expected = softmax(x @ x.transpose(0, 2, 1)) @ x
    assert found == {} and len(layer.answers) >= 2
    for answer in layer.answers[-2:]:
        close(answer, expected)


class Reduces(layers.Layer):
    """Uses what a function of JAX has beside its call."""

    def call(self, x):
        import jax.numpy

        return x * jax.numpy.multiply.reduce(jax.numpy.array([2.0, 3.0]))


@pytest.mark.skipif(BACKEND != "jax", reason="JAX alone")
def test_functions_of_jax_keep_their_attributes_in_a_pass():
    _, snapshot = read(model_of(Reduces(), 2, 1), np.ones((1, 2, 1), "float32"))
    np.testing.assert_array_equal(snapshot.outputs["output"], np.full((1, 2, 1), 6.0))


def test_after_a_pass_nothing_is_listened_to():
    model = model_of(WritesByHand(name="hand"), 5, 4)

    def state():
        if BACKEND == "tensorflow":
            from tensorflow.python.eager import context, execute

            return [list(context.context().op_callbacks), execute.execute]
        if BACKEND == "jax":
            import jax

            return [jax.numpy.matmul, jax.numpy.einsum, jax.nn.softmax, jax.numpy.exp, jax.lax.exp]
        from torch.overrides import _get_current_function_mode_stack

        return list(_get_current_function_mode_stack())

    before, members = state(), [set(vars(layer)) for layer in model._flatten_layers()]
    read(model, numbers(2, 5, 4))
    assert state() == before
    assert [set(vars(layer)) for layer in model._flatten_layers()] == members


# -- training ---------------------------------------------------------------------------------------------


def attending():
    """Keras' own attention, and attention by hand, with dropout."""
    inputs = keras.Input((8, 4))
    x = layers.MultiHeadAttention(2, 3, dropout=0.2, name="heads")(inputs, inputs)
    x = layers.Dropout(0.3)(layers.LayerNormalization()(x + inputs))
    if BACKEND == "tensorflow":  # there it makes the pass a compiled one; JAX compiles any
        x = layers.LSTM(4, return_sequences=True, dropout=0.2)(x)
    x = layers.Attention(dropout=0.2, name="dot")([x, x])
    x = AdditiveByHand(3, name="local")(x)
    return keras.Model(inputs, layers.Dense(3, activity_regularizer="l2")(Pools(name="pools")(x)))


def trained(callback=None):
    """Everything that a training leaves behind."""
    keras.utils.set_random_seed(11)
    model = attending()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=BACKEND == "jax")
    x, y = numbers(24, 8, 4), np.random.default_rng(5).integers(0, 3, 24)
    history = model.fit(
        x, y, epochs=2, batch_size=8, verbose=0,
        callbacks=[] if callback is None else [callback],
    )  # fmt: skip
    values = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    left = [as_array(value) for value in values] + [np.array(one) for one in history.history.values()]
    return [*left, as_array(model(x, training=False)), as_array(keras.random.normal((4,)))]


def test_training_is_bit_identical_with_attention_recorded_each_epoch(tmp_path):
    view = LooksAtAttention(samples=2)
    callback = LayerVizCallback(
        numbers(3, 8, 4, seed=2), log_dir=tmp_path, views=[view], on_error="raise", worker=None
    )
    plain, watched = trained(), trained(callback)
    assert len(plain) == len(watched)
    for one, other in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(one, other)
    assert {step for step, _, _ in view.seen} == {0, 1, 2}
    assert {name for _, name, _ in view.seen} == {"heads", "dot", "local", "pools"}
    for step, name, weights in view.seen:
        close(weights.sum(-1), np.ones(weights.shape[:-1]), 1e-4)
        assert weights.shape[0] == 2, (step, name)
    by_step = [weights for _, name, weights in view.seen if name == "pools"]
    assert not np.allclose(by_step[0], by_step[-1], atol=1e-6)
