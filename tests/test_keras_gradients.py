"""Scores and gradients that the Keras reader finds, against plain framework code and against paper."""

from __future__ import annotations

import gc

import keras
import numpy as np
import pytest
from keras import ops
from keras_heads import KERNEL, functional_with, hand_written
from keras_oracles import BACKEND, Counting, as_array, close, gradient_of, numbers
from test_keras_untouched import RawDraws, data, differences, sequential, subclassed, trained

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.explaining import Target
from layerviz_callbacks.keras import KerasReader
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request

layers = keras.layers
PREDICTED = Target()


def as_tensor(array):
    return ops.convert_to_tensor(array)


def read(model, probe, *names, targets=(PREDICTED,), samples=None, reader=None):
    reader = reader or KerasReader(model, Probe.of(probe))
    wanted = frozenset(names)
    request = Request(outputs=wanted, gradients=dict.fromkeys(targets, wanted), gradient_samples=samples)
    return reader.read(request)


def chain(*parts, shape):
    keras.utils.set_random_seed(4)
    return keras.Sequential([keras.Input(shape), *parts])


def head(count=3, activation="softmax"):
    return [layers.Flatten(), layers.Dense(count, activation=activation, name="head")]


def tail_of(model, name):
    """The layers after one, as a function; the head without its activation."""
    rest = model.layers[[layer.name for layer in model.layers].index(name) + 1 :]

    def tail(x):
        for layer in rest[:-1]:
            x = layer(x, training=False)
        return ops.matmul(x, ops.convert_to_tensor(rest[-1].kernel)) + ops.convert_to_tensor(rest[-1].bias)

    return tail


# -- what can be counted on paper ----------------------------------------------------------------------------


def test_two_channels_as_on_paper():
    """Two channels, +x and -x, are averaged over 2 x 2 places: the gradient is the class's weight / 4."""
    model = chain(
        layers.Conv2D(2, 1, use_bias=False, name="conv"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2, use_bias=False, activation="softmax", name="head"),
        shape=(2, 2, 1),
    )
    model.set_weights([np.array([[[[1.0, -1.0]]]]), np.array([[3.0, 5.0], [7.0, 11.0]])])
    x = np.array([[[[1.0], [2.0]], [[3.0], [6.0]]]], "float32")  # mean 3: logits -12, -18
    snapshot = read(model, x, "conv", targets=[PREDICTED, Target(1)])
    np.testing.assert_array_equal(snapshot.scores[PREDICTED].values, [-12.0])
    np.testing.assert_array_equal(snapshot.scores[Target(1)].values, [-18.0])
    np.testing.assert_array_equal(snapshot.scores[PREDICTED].weights, [[1.0, 0.0]])
    np.testing.assert_array_equal(
        snapshot["conv"].gradients[PREDICTED], np.broadcast_to([3 / 4, 7 / 4], (1, 2, 2, 2))
    )
    np.testing.assert_array_equal(
        snapshot["conv"].gradients[Target(1)], np.broadcast_to([5 / 4, 11 / 4], (1, 2, 2, 2))
    )
    assert snapshot["conv"].gradients[PREDICTED].dtype == np.float32
    close(snapshot.outputs["output"], as_array(model(x)))  # the answer itself stays as it was
    assert snapshot.unread == {} and snapshot.input_axes == {"input": (0, 1, 2, 3)}


# -- against plain framework code ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("convolution", "shape"),
    [(layers.Conv1D, (9, 2)), (layers.Conv2D, (6, 5, 3)), (layers.Conv3D, (4, 5, 4, 1))],
    ids=["1-D", "2-D", "3-D"],
)
def test_gradients_are_those_of_plain_framework_code(convolution, shape):
    model = chain(
        convolution(4, 2, activation="relu", name="first"),
        layers.BatchNormalization(name="norm"),
        layers.Dropout(0.5, name="drop"),
        convolution(3, 2, activation="tanh", name="second"),
        *head(),
        shape=shape,
    )
    x = numbers(3, *shape)
    snapshot = read(model, x, "first", "norm", "drop", "second")
    for name in ("first", "norm", "drop", "second"):
        tail = tail_of(model, name)
        output = snapshot[name].output
        logits = as_array(tail(ops.convert_to_tensor(output)))
        weights = np.eye(3, dtype="float32")[logits.argmax(axis=-1)]
        expected = gradient_of(
            lambda z, tail=tail, weights=weights: ops.sum(ops.multiply(tail(z), as_tensor(weights))), output
        )
        close(snapshot[name].gradients[PREDICTED], expected)
        assert np.abs(expected).max() > 1e-3
        close(snapshot.scores[PREDICTED].values, logits.max(axis=-1))


def test_a_layer_that_hands_its_input_on_has_a_gradient_of_its_own():
    inputs = keras.Input((4,))
    before = layers.Dense(3, name="before")(inputs)
    handed = layers.Dropout(0.5, name="handed on")(before)
    model = keras.Model(inputs, layers.Add(name="sum")([handed * 2.0, before * 5.0]))
    snapshot = read(model, numbers(2, 4), "handed on", "before", targets=[Target(0)])
    close(snapshot["handed on"].gradients[Target(0)], [[2.0, 0, 0]] * 2)
    close(snapshot["before"].gradients[Target(0)], [[7.0, 0, 0]] * 2)


def test_only_the_first_samples_are_copied():
    model = chain(layers.Conv1D(2, 3, name="conv"), *head(), shape=(8, 1))
    x = numbers(4, 8, 1)
    few, all_ = read(model, x, "conv", samples=2), read(model, x, "conv")
    assert few["conv"].gradients[PREDICTED].shape == (2, 6, 2)
    close(few["conv"].gradients[PREDICTED], all_["conv"].gradients[PREDICTED][:2])


# -- the ways to write a head --------------------------------------------------------------------------------


def framework_softmax(x):
    if BACKEND == "tensorflow":
        import tensorflow

        return tensorflow.nn.softmax(x)
    if BACKEND == "jax":
        import jax

        return jax.nn.softmax(x)
    return x.softmax(-1)


def framework_sigmoid(x):
    if BACKEND == "tensorflow":
        import tensorflow

        return tensorflow.sigmoid(x)
    if BACKEND == "jax":
        import jax

        return jax.nn.sigmoid(x)
    import torch

    return torch.sigmoid(x)


def with_activation(activation):
    return chain(
        layers.Dense(3, use_bias=False, name="features"),
        layers.Dense(2, use_bias=False, activation=activation, name="last"),
        shape=(3,),
    )


def nested_in_a_functional_model():
    inputs = keras.Input((3,))
    features = layers.Dense(3, use_bias=False, name="features")(inputs)
    last = keras.Sequential([keras.Input((3,)), *with_activation("softmax").layers[1:]])
    return keras.Model(inputs, last(features))


HEADS = {
    "activation=softmax": lambda: with_activation("softmax"),
    "activation=sigmoid": lambda: with_activation("sigmoid"),
    "activation=function": lambda: with_activation(keras.activations.softmax),
    "activation=lambda": lambda: with_activation(lambda x: ops.softmax(x)),
    "Softmax layer": lambda: functional_with(keras, layers.Softmax()),
    "Activation layer": lambda: functional_with(keras, layers.Activation("sigmoid")),
    "Activation in float32": lambda: functional_with(keras, layers.Activation("softmax", dtype="float32")),
    "operation in the graph": lambda: functional_with(keras, ops.softmax),
    "activation in the graph": lambda: functional_with(keras, keras.activations.sigmoid),
    "Lambda layer": lambda: functional_with(keras, layers.Lambda(framework_softmax)),
    "keras.ops in call": lambda: hand_written(keras, lambda x: ops.softmax(x, axis=1)),
    "keras.activations in call": lambda: hand_written(keras, keras.activations.softmax),
    "framework's softmax in call": lambda: hand_written(keras, framework_softmax),
    "framework's sigmoid in call": lambda: hand_written(keras, framework_sigmoid),
    "nested": nested_in_a_functional_model,
    "dropped out after": lambda: functional_with(keras, lambda x: layers.Dropout(0.5)(layers.Softmax()(x))),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_score_is_taken_before_the_last_softmax_or_sigmoid(name):
    model = HEADS[name]()
    x = np.eye(3, dtype="float32")
    model(x)
    model.set_weights([np.eye(3, dtype="float32"), KERNEL])
    answer = as_array(model(x))
    assert (answer.max(axis=-1) == 1.0).all()  # saturated: after it the gradient would be nothing
    snapshot = read(model, x, *[entry.name for entry in KerasReader(model, Probe(x)).entries()])
    np.testing.assert_array_equal(snapshot.outputs["output"], answer)
    np.testing.assert_array_equal(snapshot.scores[PREDICTED].values, [40.0, 40.0, 40.0])
    np.testing.assert_array_equal(
        snapshot["features"].gradients[PREDICTED], KERNEL.T[snapshot.scores[PREDICTED].classes, :]
    )


def test_what_is_changed_after_a_softmax_is_explained_as_it_is():
    model = functional_with(keras, lambda x: ops.softmax(x) * 2.0)
    snapshot = read(model, numbers(2, 3), "features")
    close(snapshot.scores[PREDICTED].values, snapshot.outputs["output"].max(axis=-1))


def test_a_softmax_in_the_middle_is_left_alone():
    model = chain(
        layers.Dense(4, activation="softmax", name="middle"), layers.Dense(2, name="last"), shape=(3,)
    )
    snapshot = read(model, numbers(2, 3), "middle")
    close(snapshot.scores[PREDICTED].values, snapshot.outputs["output"].max(axis=-1))


def test_a_softmax_at_each_time_step():
    model = chain(
        layers.Conv1D(3, 1, use_bias=False, name="conv"),
        layers.TimeDistributed(layers.Dense(2, use_bias=False, activation="softmax")),
        shape=(4, 3),
    )
    model.set_weights([np.eye(3, dtype="float32")[None], KERNEL])
    x = np.tile(np.eye(3, dtype="float32")[:, None], (1, 4, 1))
    snapshot = read(model, x, "conv", targets=[Target(0, region="all")])
    np.testing.assert_array_equal(snapshot.scores[Target(0, region="all")].values, 4 * KERNEL[:, 0])
    np.testing.assert_array_equal(
        snapshot["conv"].gradients[Target(0, region="all")], np.broadcast_to(KERNEL[:, 0], (3, 4, 3))
    )


# -- several outputs -----------------------------------------------------------------------------------------


def test_outputs_are_chosen_by_name_and_each_is_taken_before_its_own_softmax():
    inputs = keras.Input((3,))
    shared = layers.Dense(4, use_bias=False, name="shared")(inputs)
    one = layers.Dense(2, activation="softmax", name="one")(shared)
    other = layers.Dense(3, activation="sigmoid", name="other")(shared)
    x = numbers(2, 3)
    for outputs, names in (([one, other], ("one", "other")), ({"a": one, "b": other}, ("a", "b"))):
        model = keras.Model(inputs, outputs)
        targets = [Target(1, output=name) for name in names]
        snapshot = read(model, x, "shared", "one", targets=targets)
        assert sorted(snapshot.outputs) == sorted(names)
        for target, name in zip(targets, ("one", "other"), strict=True):
            kernel = as_array(model.get_layer(name).kernel)
            close(snapshot["shared"].gradients[target], np.tile(kernel[:, 1], (2, 1)))
            close(snapshot.scores[target].values, snapshot["shared"].output @ kernel[:, 1])
        assert set(snapshot.unread) == {"gradients of one"}


def test_an_unknown_output_is_refused_with_the_nearest_name():
    model = chain(*head(), shape=(4,))
    with pytest.raises(ArgumentError, match="output"):
        read(model, numbers(2, 4), "head", targets=[Target(output="outptu")])
    with pytest.raises(ArgumentError, match="no class 7"):
        read(model, numbers(2, 4), "head", targets=[Target(7)])


def test_a_model_without_scores_says_so():
    class Whole(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3, name="dense")

        def call(self, x):
            return ops.argmax(self.dense(x), axis=-1)

    model = Whole()
    model(numbers(2, 3))
    snapshot = read(model, numbers(2, 3), "dense")
    assert list(snapshot.unread) == ["the score of predicted class"] and "int" in str(snapshot.unread)
    assert snapshot.scores == {} and snapshot["dense"].output.shape == (2, 3)


# -- the ways to write a model -------------------------------------------------------------------------------


class Block(layers.Layer):
    def __init__(self, name):
        super().__init__(name=name)
        self.inner = layers.Conv1D(3, 3, padding="same", name="inner")

    def call(self, x):
        return ops.tanh(self.inner(x)) + x


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.stem = layers.Conv1D(3, 1, name="stem")
        self.blocks = [Block("one"), Block("two")]
        self.pool = layers.GlobalAveragePooling1D(name="pool")
        self.last = layers.Dense(2, activation="softmax", name="last")

    def call(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.last(self.pool(x))


def test_inner_layers_of_subclassed_models():
    keras.utils.set_random_seed(1)
    model, x = Subclassed(), numbers(2, 5, 2)
    model(x)
    names = ("stem", "one", "one/inner", "two", "two/inner")
    snapshot = read(model, x, *names)
    kernel = as_array(model.last.kernel)[:, list(snapshot.scores[PREDICTED].classes)].T

    def from_two(z):
        return ops.sum(ops.multiply(ops.mean(z, axis=1), as_tensor(kernel)))

    def from_inner(z):
        return from_two(ops.add(ops.tanh(z), as_tensor(snapshot["one"].output)))

    def from_one(z):
        return from_two(ops.tanh(model.blocks[1].inner(z)) + z)

    for name, function in (("two", from_two), ("two/inner", from_inner), ("one", from_one)):
        close(snapshot[name].gradients[PREDICTED], gradient_of(function, snapshot[name].output))
    assert all(np.abs(snapshot[name].gradients[PREDICTED]).max() > 1e-3 for name in names)


def test_each_call_of_a_shared_layer_has_its_gradient():
    inputs = keras.Input((3,))
    shared = layers.Dense(3, use_bias=False, name="shared")
    once = shared(inputs)
    model = keras.Model(inputs, layers.Dense(1, use_bias=False, name="last")(shared(ops.tanh(once))))
    x = numbers(2, 3)
    snapshot = read(model, x, "shared")
    kernel, last = (as_array(model.get_layer(name).kernel) for name in ("shared", "last"))
    second = np.tile(last[:, 0], (2, 1))
    first = (second @ kernel.T) * (1 - np.tanh(x @ kernel) ** 2)
    close(snapshot["shared#2"].gradients[PREDICTED], second)
    close(snapshot["shared"].gradients[PREDICTED], first)


def test_nested_models_frozen_layers_and_functions():
    inner = keras.Sequential(
        [keras.Input((6, 2)), layers.Conv1D(3, 3, name="conv"), layers.ReLU(name="relu")], name="backbone"
    )
    inner.trainable = False
    inputs = keras.Input((12,))
    x = layers.Reshape((6, 2), name="reshape")(inputs)
    x = inner(x)
    x = layers.Lambda(lambda z: z * 2.0, name="lambda")(x)
    x = layers.GlobalMaxPooling1D(name="pool")(x)
    model = keras.Model(inputs, layers.Dense(2, name="last")(x))
    snapshot = read(model, numbers(2, 12), "backbone", "backbone/conv", "backbone/relu", "lambda", "reshape")
    outer = snapshot["lambda"].gradients[PREDICTED]
    close(snapshot["backbone"].gradients[PREDICTED], outer * 2)
    close(snapshot["backbone/relu"].gradients[PREDICTED], outer * 2)
    close(snapshot["backbone/conv"].gradients[PREDICTED], outer * 2 * (snapshot["backbone/conv"].output > 0))
    assert snapshot["reshape"].gradients[PREDICTED].shape == (2, 6, 2) and np.abs(outer).max() > 0
    assert snapshot.unread == {}


def test_channels_first_gradients_are_given_channels_last():
    if BACKEND == "tensorflow":
        pytest.skip("TensorFlow has no such pooling without a GPU")
    model = chain(
        layers.Conv2D(4, 2, data_format="channels_first", name="conv"),
        layers.GlobalAveragePooling2D(data_format="channels_first"),
        layers.Dense(2, name="last"),
        shape=(3, 5, 6),
    )
    snapshot = read(model, numbers(2, 3, 5, 6), "conv", targets=[Target(1)])
    kernel = as_array(model.get_layer("last").kernel)[:, 1]
    assert snapshot["conv"].output.shape == (2, 4, 5, 4)
    close(snapshot["conv"].gradients[Target(1)], np.broadcast_to(kernel / 20, (2, 4, 5, 4)))
    assert snapshot.input_axes == {"input": (0, 2, 3, 1)}
    close(snapshot.inputs["input"], np.moveaxis(snapshot.probe.arrays["input"], 1, -1))


def test_words_have_gradients_at_the_output_of_their_embedding_and_masks_stay():
    model = chain(
        layers.Embedding(7, 3, mask_zero=True, name="words"),
        layers.GlobalAveragePooling1D(name="pool"),
        layers.Dense(2, use_bias=False, name="last"),
        shape=(4,),
    )
    x = np.array([[1, 2, 0, 0], [3, 4, 5, 6]])
    snapshot = read(model, x, "words", targets=[Target(0)])
    kernel = as_array(model.get_layer("last").kernel)[:, 0]
    counted = np.array([[1 / 2, 1 / 2, 0, 0], [1 / 4] * 4])
    close(snapshot["words"].gradients[Target(0)], counted[..., None] * kernel)
    close(snapshot.outputs["output"], as_array(model(x)))


class Marks(layers.Layer):
    """Leaves a mask on what it answers by itself."""

    def call(self, x):
        answer = x * 1.0
        answer._keras_mask = ops.convert_to_tensor(np.array([[True, False, True]]))
        return answer


@pytest.mark.skipif(BACKEND == "jax", reason="arrays take no attributes there")
def test_a_mask_that_a_layer_leaves_by_itself_is_kept():
    model = chain(Marks(name="marks"), layers.GlobalAveragePooling1D(), shape=(3, 2))
    snapshot = read(model, numbers(1, 3, 2), "marks", targets=[Target(0)])
    close(snapshot["marks"].gradients[Target(0)], [[[1 / 2, 0], [0, 0], [1 / 2, 0]]])


def test_a_segmentation_is_explained_over_its_region():
    model = chain(
        layers.Conv2D(2, 1, use_bias=False, name="conv"),
        layers.Conv2D(3, 1, use_bias=False, activation="softmax", name="mask"),
        shape=(3, 4, 1),
    )
    x = numbers(2, 3, 4, 1)
    mask = np.zeros((2, 3, 4), "int64")
    mask[:, 1, 1:3] = 2
    inside, everywhere = Target(2, region="target"), Target(2, region="all")
    snapshot = read(model, Probe(x, targets=mask), "conv", targets=[inside, everywhere])
    kernel = as_array(model.get_layer("mask").kernel)[0, 0, :, 2]
    close(snapshot["conv"].gradients[inside], (mask == 2)[..., None] * kernel)
    close(snapshot["conv"].gradients[everywhere], np.broadcast_to(kernel, (2, 3, 4, 2)))
    logits = snapshot["conv"].output @ kernel
    close(snapshot.scores[inside].values, (logits * (mask == 2)).sum((1, 2)))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_loses_no_small_gradients(policy):
    def model_of(dtype):
        model = chain(
            layers.Conv1D(4, 3, activation="relu", name="conv", dtype=dtype),
            layers.GlobalAveragePooling1D(name="pool", dtype=dtype),
            layers.Dense(2, name="last", dtype=dtype),
            layers.Activation("softmax", dtype="float32", name="answer"),
            shape=(8000, 1),
        )
        model.set_weights([numbers(*weight.shape, seed=3) for weight in model.get_weights()])
        scale = 2.0**-10  # divided by 8000 places, float16 would round it by half
        kernel, bias = model.get_layer("last").get_weights()
        model.get_layer("last").set_weights([kernel * scale, bias])
        return model

    x = numbers(2, 8000, 1)
    half, single = (read(model_of(dtype), x, "conv") for dtype in (policy, "float32"))
    found, expected = (one["conv"].gradients[PREDICTED] for one in (half, single))
    assert found.dtype == np.float32
    assert 0 < np.abs(expected).max() < 2e-6
    close(found, expected, rtol=0.02, atol=1e-9)


# -- what has no gradient ------------------------------------------------------------------------------------


def test_what_has_no_gradient_says_why():
    inputs = keras.Input((4,))
    whole = layers.Lambda(lambda z: ops.cast(z > 0, "int32"), output_shape=(4,), name="whole")(inputs)
    aside = layers.Dense(2, name="aside")(inputs)
    x = layers.Dense(3, name="dense")(inputs) + ops.cast(whole, "float32")[:, :3]
    model = keras.Model(inputs, [layers.Dense(2, name="last")(x), aside])
    model.unused = layers.Dense(3, name="unused")
    model.unused.build((None, 4))
    target = Target(output="last")
    snapshot = read(model, numbers(2, 4), "whole", "aside", "dense", "last", targets=[target])
    assert set(snapshot.unread) == {"gradients of whole", "gradients of aside"}
    assert "int32" in snapshot.unread["gradients of whole"]
    assert "does not depend" in snapshot.unread["gradients of aside"]
    assert target in snapshot["dense"].gradients and target not in snapshot["aside"].gradients
    close(snapshot["last"].gradients[target], snapshot.scores[target].weights)


def test_a_model_that_cannot_be_differentiated_is_read_all_the_same():
    @ops.custom_gradient
    def refuses(x):
        def gradient(*args, upstream=None):
            raise RuntimeError("no way back")

        return ops.tanh(x), gradient

    if BACKEND == "torch":
        pytest.skip("Keras hands the gradient on in another way there")
    model = chain(
        layers.Dense(3, name="dense"), layers.Lambda(refuses, name="refuses"), layers.Dense(2), shape=(4,)
    )
    snapshot = read(model, numbers(2, 4), "dense")
    assert "no way back" in snapshot.unread["gradients of dense"]
    assert snapshot["dense"].output.shape == (2, 3) and snapshot["dense"].gradients == {}
    assert PREDICTED in snapshot.scores


def test_a_model_that_fails_while_it_is_recorded_is_read_all_the_same():
    """PyTorch refuses to give NumPy what it is to differentiate."""

    class LeavesTheGraph(layers.Layer):
        def call(self, x):
            return ops.convert_to_tensor(x.numpy() * 2) if BACKEND == "torch" else ops.stop_gradient(x) * 2

    model = chain(layers.Dense(3, name="dense"), LeavesTheGraph(), layers.Dense(2, name="last"), shape=(4,))
    snapshot = read(model, numbers(2, 4), "dense")
    assert snapshot["dense"].gradients == {} and snapshot["dense"].output.shape == (2, 3)
    words = "numpy" if BACKEND == "torch" else "does not depend on it"
    assert words in snapshot.unread["gradients of dense"]
    close(snapshot.outputs["output"], as_array(model.get_layer("last")(2 * snapshot["dense"].output)))


# -- compiled ------------------------------------------------------------------------------------------------


def recurrent():
    return chain(
        layers.Conv1D(4, 3, padding="same", name="conv"),
        Counting(name="double"),
        layers.LSTM(3, return_sequences=True, dropout=0.3, name="loop"),
        layers.GlobalAveragePooling1D(name="pool"),
        layers.Dense(2, activation="softmax", name="head"),
        shape=(7, 2),
    )


def test_a_compiled_pass_gives_the_gradients_of_an_eager_one_and_is_traced_once():
    if BACKEND == "torch":
        pytest.skip("nothing is compiled on PyTorch")
    model, x = recurrent(), numbers(2, 7, 2)
    names = ("conv", "double", "loop")
    targets = [PREDICTED, Target(0)]
    reader = KerasReader(model, Probe(x))
    reader.read(Request())
    read(model, x, *names, targets=targets, reader=reader)
    runs = model.get_layer("double").runs
    runs.clear()
    for epoch in range(5):
        model.set_weights([weight * (0.9 if epoch else 1.5) for weight in model.get_weights()])
        snapshot = read(model, x, *names, targets=targets, reader=reader)
        assert runs == []
    tail = tail_of(model, "double")
    for target in targets:
        weights = snapshot.scores[target].weights
        expected = gradient_of(
            lambda z, weights=weights: ops.sum(ops.multiply(tail(z), as_tensor(weights))),
            snapshot["double"].output,
        )
        close(snapshot["double"].gradients[target], expected, rtol=1e-4)
        close(snapshot.scores[target].values, (as_array(tail(snapshot["double"].output)) * weights).sum(-1))
    if BACKEND == "tensorflow":  # `inspect` reads once: eagerly
        eager = read(model, x, *names, targets=targets)
        assert runs
        for name in names:
            for target in targets:
                close(snapshot[name].gradients[target], eager[name].gradients[target], rtol=1e-4)


class NeedsNumbers(layers.Layer):
    """Cannot be traced: it looks at values in Python."""

    def compute_output_shape(self, shape):
        return shape

    def call(self, x):
        return x * 3 if float(ops.sum(x)) < 1e9 else x


def test_a_model_that_cannot_be_traced_is_differentiated_all_the_same():
    model = chain(
        layers.Dense(3, name="dense"),
        NeedsNumbers(),
        layers.Dense(2, use_bias=False, name="last"),
        shape=(4,),
    )
    snapshot = read(model, numbers(2, 4), "dense", targets=[Target(1)])
    kernel = as_array(model.get_layer("last").kernel)[:, 1]
    close(snapshot.scores[Target(1)].values, 3 * snapshot["dense"].output @ kernel)
    if BACKEND == "jax":
        assert "can trace" in snapshot.unread["gradients of dense"]
    else:
        close(snapshot["dense"].gradients[Target(1)], np.tile(3 * kernel, (2, 1)))


# -- nothing is left -----------------------------------------------------------------------------------------


def test_memory_does_not_grow():
    model, x = chain(layers.Conv2D(4, 3, name="conv"), *head(), shape=(8, 8, 1)), numbers(2, 8, 8, 1)
    reader = KerasReader(model, Probe(x))

    def tensors():
        gc.collect()
        return sum(
            1 for one in gc.get_objects() if type(one).__name__ in ("EagerTensor", "Tensor", "ArrayImpl")
        )

    counts = []
    for reads in (2, 4):
        for _ in range(reads):
            read(model, x, "conv", "head", reader=reader)
        counts.append(tensors())
    assert counts[0] == counts[1]


def test_a_pass_leaves_the_functions_of_keras_and_of_the_framework_alone():
    from keras.src import backend

    before = dict(vars(backend.nn))
    model, x = chain(*head(), shape=(4,)), numbers(2, 4)
    members = [set(vars(layer)) for layer in model._flatten_layers()]
    read(model, x, "flatten", "head")
    assert dict(vars(backend.nn)) == before
    assert [set(vars(layer)) for layer in model._flatten_layers()] == members
    if BACKEND == "torch":
        assert all(parameter.grad is None for parameter in model.parameters())


class Explains(keras.callbacks.Callback):
    """Reads every gradient after each epoch, and differentiates with respect to the inputs."""

    def __init__(self, x):
        super().__init__()
        self.x, self.reader, self.snapshots = x, None, []

    def on_epoch_end(self, epoch, logs=None):
        self.reader = self.reader or KerasReader(self.model, Probe(self.x))
        names = [entry.name for entry in self.reader.entries()]
        self.snapshots.append(read(self.model, self.x, *names, reader=self.reader))
        with self.reader.differentiating() as derivative:
            for layer in (names[0], ""):
                derivative({"input": self.x}, lambda shape: np.ones(shape, np.float32), layer=layer)


def compiled():
    return keras.Sequential(
        [
            keras.Input(batch_shape=(6, 8, 8, 1)),
            layers.Reshape((8, 8)),
            layers.BatchNormalization(),
            RawDraws(),
            layers.LSTM(3, dropout=0.3, recurrent_dropout=0.2, stateful=True),
            layers.Dense(3, activity_regularizer="l2"),
        ]
    )


@pytest.mark.parametrize("make", [sequential, subclassed, compiled])
def test_training_is_bit_identical_with_gradients_of_all_layers(make):
    if BACKEND == "jax" and make is compiled:
        pytest.skip("compiled there as all others are")
    explains = Explains(data()[0][:6])
    options = {"batch_size": 6, "epochs": 2}
    assert differences(trained(make, **options), trained(make, explains, **options)) == []
    for snapshot in explains.snapshots:
        assert sum(PREDICTED in layer.gradients for layer in snapshot) > 3
        assert not [why for why in snapshot.unread.values() if "cannot" in why or "fails" in why]
    first, last = (one.scores[PREDICTED].values for one in explains.snapshots)
    assert np.abs(first - last).max() > 0
