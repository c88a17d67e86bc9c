"""Gradients with respect to inputs of the caller's choice, in Keras, against plain framework code."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops
from keras_oracles import BACKEND, Counting, as_array, close, gradient_of, numbers

from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.keras import KerasReader
from layerviz_callbacks.probe import Probe

layers = keras.layers


def weighted(answer, weights):
    return ops.sum(ops.multiply(answer, ops.convert_to_tensor(weights)))


def ones(shape):
    return np.ones(shape, np.float32)


def differentiate(model, probe, inputs, weights=ones, **options):
    reader = KerasReader(model, Probe.of(probe))
    with reader.differentiating() as derivative:
        return derivative(inputs, weights, **options)


def convolutional():
    """Fully convolutional up to its pooling."""
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((9, 8, 2)),
            layers.Conv2D(4, 3, activation="relu", name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Conv2D(3, 3, activation="tanh", name="second"),
            Counting(name="after"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, activation="softmax", name="head"),
        ]
    )


def up_to(model, name):
    def begin(x):
        for layer in model.layers:
            x = layer(x, training=False)
            if layer.name == name:
                return x
        raise KeyError(name)

    return begin


def test_a_layer_answers_and_is_differentiated_and_the_model_is_run_no_further():
    model, x = convolutional(), numbers(5, 9, 8, 2)
    runs = model.get_layer("after").runs
    runs.clear()
    for name in ("first", "second"):
        begin = up_to(model, name)
        weights = numbers(*as_array(begin(x)).shape, seed=1)
        found = differentiate(model, x[:2], {"input": x}, lambda shape, weights=weights: weights, layer=name)
        close(found.answer, as_array(begin(x)))
        close(
            found.gradients["input"],
            gradient_of(lambda z, begin=begin, weights=weights: weighted(begin(z), weights), x),
        )
        assert found.answer.dtype == found.gradients["input"].dtype == np.float32
    assert runs == []


def test_the_model_itself_is_differentiated_before_its_softmax():
    model, x = convolutional(), numbers(2, 9, 8, 2)
    model.get_layer("head").set_weights([400 * numbers(3, 3), numbers(3)])  # saturated
    found = differentiate(model, x, {"input": x})
    kernel, bias = (as_array(weight) for weight in model.get_layer("head").weights)
    close(found.answer, as_array(up_to(model, "pool")(x)) @ kernel + bias, rtol=1e-4)
    expected = gradient_of(lambda z: weighted(up_to(model, "pool")(z), np.tile(kernel.sum(1), (2, 1))), x)
    close(found.gradients["input"], expected, rtol=1e-4, atol=1e-4)
    assert np.abs(expected).max() > 1


def test_on_paper():
    """A layer that multiplies with 3 and 5 has the gradient 3 a + 5 b."""
    model = keras.Sequential([keras.Input((4, 1)), layers.Conv1D(2, 1, use_bias=False, name="conv")])
    model.set_weights([np.array([[[3.0, 5.0]]])])
    weights = np.zeros((1, 4, 2), "float32")
    weights[0, 2] = [1, 10]
    found = differentiate(
        model, np.ones((1, 4, 1)), {"input": np.full((1, 4, 1), 2.0)}, lambda _: weights, layer="conv"
    )
    np.testing.assert_array_equal(found.gradients["input"][0, :, 0], [0, 0, 53, 0])
    np.testing.assert_array_equal(found.answer[0], [[6, 10]] * 4)


def test_the_weights_change_from_call_to_call_and_nothing_is_traced_again():
    model, x = convolutional(), numbers(2, 9, 8, 2)
    reader = KerasReader(model, Probe(x))
    counted = model.get_layer("after").runs
    gradients = []
    with reader.differentiating() as derivative:
        for step in range(5):
            if step == 3:
                counted.clear()
            found = derivative({"input": x}, lambda shape, step=step: np.full(shape, step, np.float32))
            gradients.append(found.gradients["input"])
    for step in (2, 3, 4):
        close(gradients[step], step * gradients[1], rtol=1e-4)
    assert np.abs(gradients[1]).max() > 0 and not gradients[0].any()
    assert len(counted) == (2 if BACKEND == "torch" else 0)
    model.set_weights([weight * 1.3 for weight in model.get_weights()])
    with reader.differentiating() as derivative:  # always with the weights of now
        found = derivative({"input": x}, ones)
    close(found.gradients["input"], differentiate(model, x, {"input": x}).gradients["input"], rtol=1e-4)
    assert np.abs(found.gradients["input"] - gradients[1]).max() > 1e-4


def functional():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="conv")(inputs)
    inner = keras.Input((8, 8, 3))
    nested = keras.Model(inner, layers.MaxPooling2D(name="pool")(inner), name="nested")
    x = layers.Flatten(name="flat")(nested(x))
    return keras.Model(inputs, layers.Dense(2, name="head")(x))


def test_other_sizes_run_as_far_as_the_layers_take_them():
    model, x = functional(), numbers(2, 12, 10, 1)
    found = differentiate(model, numbers(1, 8, 8, 1), {"input": x}, layer="nested/pool")
    assert found.answer.shape == (2, 6, 5, 3)
    conv = model.get_layer("conv")
    expected = gradient_of(lambda z: ops.sum(ops.max_pool(conv(z), (2, 2), (2, 2))), x)
    close(found.gradients["input"], expected)
    with pytest.raises(DifferentiationError, match=r"shape \(2, 12, 10, 1\).*head"):
        differentiate(model, numbers(1, 8, 8, 1), {"input": x})
    with pytest.raises(ValueError):  # the model itself compares sizes as before
        model(x)


def test_channels_first_answers_come_channels_last_and_gradients_as_the_inputs_are():
    if BACKEND == "tensorflow":
        pytest.skip("TensorFlow has no such pooling without a GPU")
    model = keras.Sequential(
        [keras.Input((2, 5, 6)), layers.Conv2D(4, 2, data_format="channels_first", name="conv")]
    )
    x = numbers(3, 2, 5, 6)
    weights = numbers(3, 4, 5, 4, seed=1)
    found = differentiate(model, x, {"input": x}, lambda _: weights, layer="conv")
    close(found.answer, np.moveaxis(as_array(model(x)), 1, -1))
    expected = gradient_of(lambda z: weighted(model(z), np.moveaxis(weights, -1, 1).copy()), x)
    close(found.gradients["input"], expected)


def test_several_inputs_and_outputs_by_name():
    image, words, aside = (
        keras.Input((5,), name="image"),
        keras.Input((3,), dtype="int32", name="words"),
        keras.Input((2,), name="aside"),
    )
    seen = layers.Dense(2, use_bias=False, name="seen")(image)
    told = layers.GlobalAveragePooling1D()(layers.Embedding(9, 2, name="table")(words))
    one = layers.Softmax(name="one")(layers.Multiply()([seen, told]))
    other = layers.Dense(1, use_bias=False, name="other")(aside)
    model = keras.Model({"image": image, "words": words, "aside": aside}, [one, other])
    inputs = {"image": numbers(2, 5), "words": np.array([[1, 2, 3], [4, 5, 6]]), "aside": numbers(2, 2)}
    found = differentiate(model, inputs, inputs, output="one")
    table = as_array(model.get_layer("table").embeddings)[inputs["words"]].mean(axis=1)
    kernel = as_array(model.get_layer("seen").kernel)
    assert set(found.gradients) == {"image", "aside"}
    close(found.gradients["image"], table @ kernel.T)
    close(found.answer, (inputs["image"] @ kernel) * table)
    assert not found.gradients["aside"].any()
    again = differentiate(model, inputs, inputs, output="other")
    close(again.gradients["aside"], np.tile(as_array(model.get_layer("other").kernel)[:, 0], (2, 1)))
    with pytest.raises(DifferentiationError, match=r"no output 'oen'.*Did you mean 'one'"):
        differentiate(model, inputs, inputs, output="oen")


def test_further_calls_and_outputs_of_a_layer():
    inputs = keras.Input((3,))
    shared = layers.Dense(3, use_bias=False, name="shared")
    model = keras.Model(inputs, shared(shared(inputs) * 2.0))
    x = numbers(2, 3)
    kernel = as_array(model.get_layer("shared").kernel)
    for name, expected in (("shared", kernel), ("shared#2", 2 * kernel @ kernel)):
        found = differentiate(model, x, {"input": x}, layer=name)
        close(found.answer, x @ expected, rtol=1e-4)
        close(found.gradients["input"], np.tile(expected.sum(1), (2, 1)), rtol=1e-4)


def test_a_recurrent_model():
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((6, 2)), layers.LSTM(3, return_sequences=True, name="loop"), layers.Dense(2)]
    )
    x = numbers(2, 6, 2)
    expected = gradient_of(lambda z: ops.sum(model.layers[0](z)), x)
    close(differentiate(model, x, {"input": x}, layer="loop").gradients["input"], expected, rtol=1e-4)


def test_half_precision_loses_no_small_gradients():
    model = keras.Sequential([keras.Input((6, 1)), layers.Conv1D(2, 3, name="conv", dtype="mixed_float16")])
    kernel, bias = model.get_weights()
    model.set_weights([kernel * 2.0**-14, bias])
    x = numbers(2, 6, 1)
    small = 2.0**-12
    found = differentiate(
        model, x, {"input": x}, lambda shape: np.full(shape, small, np.float32), layer="conv"
    )
    conv = layers.Conv1D(2, 3)
    conv.build((None, 6, 1))
    conv.set_weights(model.get_weights())
    expected = gradient_of(lambda z: ops.sum(conv(z)), x) * small
    assert 0 < np.abs(expected).max() < 1e-7
    close(found.gradients["input"], expected, rtol=0.03, atol=1e-11)


def test_a_model_that_is_random_at_inference_draws_the_same_each_time():
    class Noisy(layers.Layer):
        def __init__(self):
            super().__init__(name="noisy")
            self.seeds = keras.random.SeedGenerator(1)

        def call(self, x):
            return x * keras.random.normal(ops.shape(x), seed=self.seeds) * np.random.rand()  # noqa: NPY002

    model, x = keras.Sequential([keras.Input((4,)), Noisy()]), numbers(2, 4)
    reader = KerasReader(model, Probe(x))
    found = []
    for _ in range(2):
        with reader.differentiating() as derivative:
            found += [derivative({"input": x}, ones) for _ in range(2)]
            model(x)
    for one in found[1:]:
        close(one.answer, found[0].answer)
        close(one.gradients["input"], found[0].gradients["input"])
    assert np.abs(found[0].answer).max() > 0.01


def test_what_has_no_gradient_says_why():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="dense")])
    x = numbers(2, 3)
    with pytest.raises(DifferentiationError, match="does not come by the layer 'dens'"):
        differentiate(model, x, {"input": x}, layer="dens")
    with pytest.raises(DifferentiationError, match=r"inputs \['input'\], not with \['x'\]"):
        differentiate(model, x, {"x": x})
    whole = np.array([[1, 2]])
    words = keras.Sequential([keras.Input((2,), dtype="int32"), layers.Embedding(3, 2, name="table")])
    with pytest.raises(DifferentiationError, match="whole numbers"):
        differentiate(words, whole, {"input": whole}, layer="table")
    cut = keras.Sequential(
        [keras.Input((3,)), layers.Lambda(ops.stop_gradient), layers.Dense(2, name="dense")]
    )
    with pytest.raises(DifferentiationError, match="'dense' does not depend on the inputs"):
        differentiate(cut, x, {"input": x}, layer="dense")
    sign = keras.Sequential(
        [keras.Input((3,)), layers.Lambda(lambda z: ops.cast(z > 0, "int32"), output_shape=(3,), name="sign")]
    )
    with pytest.raises(DifferentiationError, match="int32"):
        differentiate(sign, x, {"input": x}, layer="sign")
