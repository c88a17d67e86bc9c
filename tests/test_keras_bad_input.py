"""What a user can get wrong with Keras, and what is said then."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from layerviz_callbacks.errors import ArgumentError, ProbeError, SelectionError, SinkError
from layerviz_callbacks.keras import KerasReader, LayerVizCallback, inspect
from layerviz_callbacks.probe import Probe

layers = keras.layers


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def functional(*input_shape):
    inputs = keras.Input(input_shape, name="image")
    hidden = layers.Flatten()(layers.Conv2D(2, 3, name="conv")(inputs))
    return keras.Model(inputs, layers.Dense(3, name="head")(hidden))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(2, 3)
        self.head = layers.Dense(3)

    def call(self, x):
        return self.head(keras.ops.mean(self.conv(x), axis=(1, 2)))


def message(error, model, probe, **options):
    with pytest.raises(error) as caught:
        inspect(model, probe, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("shape", "to_type"),
    [
        ((4, 8, 8), "x_val[:4][..., None]"),
        ((8, 8, 1), "x[None]"),
        ((4, 8, 8, 1, 1), "x_val[:4][..., 0]"),
        ((1, 4, 8, 8, 1), "x[0]"),
        ((4, 1, 8, 8), "np.moveaxis(x_val[:4], 1, -1)"),
        ((4, 8, 8, 3), "3 channels where 1"),
        ((4, 9, 9, 1), "exactly as the model is trained with them"),
    ],
)
def test_a_probe_of_another_shape_is_refused_with_what_to_type(shape, to_type):
    text = message(ProbeError, functional(8, 8, 1), images(*shape))
    assert str(shape) in text and "(None, 8, 8, 1)" in text and to_type in text


def test_a_probe_of_another_rank_is_refused_by_a_subclassed_model_too():
    model = Subclassed()
    model(images(2, 8, 8, 1))
    assert "x_val[:4][..., None]" in message(ProbeError, model, images(4, 8, 8))
    assert "3 channels" in message(ProbeError, model, images(4, 8, 8, 3))
    assert inspect(model, images(4, 9, 9, 1))["conv"].output_shape == (4, 7, 7, 2)  # size is free


def test_images_of_any_size_fit_a_model_that_declares_none():
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, layers.Conv2D(2, 3, name="conv")(inputs))
    assert inspect(model, images(2, 5, 7, 1))["conv"].output_shape == (2, 3, 5, 2)
    assert "x_val[:4][..., None]" in message(ProbeError, model, images(2, 5, 7))


def test_a_probe_may_have_another_number_of_samples_than_the_batches():
    inputs = keras.Input(batch_shape=(5, 3))
    model = keras.Model(inputs, layers.Dense(1, name="head")(inputs))
    assert inspect(model, images(2, 3))["head"].output_shape == (2, 1)


@pytest.mark.parametrize("dtype", ["float64", "float16", "uint8", "int64", "bool"])
def test_probes_of_other_real_dtypes_just_work(dtype):
    model, x = functional(8, 8, 1), (images(2, 8, 8, 1) > 0).astype(dtype)
    expected = inspect(model, x.astype("float32"))
    snapshot = inspect(model, x)
    np.testing.assert_allclose(snapshot["conv"].output, expected["conv"].output, rtol=1e-6, atol=1e-7)
    assert snapshot["conv"].output.dtype == np.float32


def test_a_complex_probe_is_refused():
    text = message(ProbeError, functional(8, 8, 1), images(2, 8, 8, 1).astype("complex64"))
    assert "complex64" in text and "float32" in text and "np.abs" in text


def test_fractions_for_a_model_of_whole_numbers_are_refused():
    inputs = keras.Input((3,), dtype="int32")
    model = keras.Model(inputs, layers.Embedding(5, 2)(inputs))
    assert "astype('int32')" in message(ProbeError, model, images(2, 3))
    assert inspect(model, np.ones((2, 3)))["embedding"].output_shape == (2, 3, 2)


def two_inputs():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    return keras.Model([a, b], layers.Dense(1)(layers.Concatenate()([a, b])))


def test_inputs_that_are_missing_are_named():
    model = two_inputs()
    assert "expects 2: ['a', 'b']" in message(ProbeError, model, images(2, 3))
    assert "['b'] is missing" in message(ProbeError, model, {"a": images(2, 3), "c": images(2, 2)})
    assert "input 'b' has the shape (2, 3)" in message(ProbeError, model, [images(2, 3), images(2, 3)])


@pytest.mark.parametrize("kind", [dict, list, tuple])
def test_several_inputs_may_come_in_any_container(kind):
    a, b = images(2, 3), images(2, 2)
    probe = {"a": a, "b": b} if kind is dict else kind([a, b])
    assert inspect(two_inputs(), probe)["concatenate"].output_shape == (2, 5)


def test_columns_of_a_table_may_have_one_axis_as_in_keras():
    a, b = keras.Input((1,), name="age"), keras.Input((1,), name="size")
    model = keras.Model({"age": a, "size": b}, layers.Concatenate()([a, b]))
    snapshot = inspect(model, {"age": np.arange(3.0), "size": np.arange(3.0) + 10})
    np.testing.assert_array_equal(snapshot["concatenate"].output, [[0, 10], [1, 11], [2, 12]])


def test_an_empty_probe_and_one_with_nan_are_refused_at_construction(tmp_path):
    with pytest.raises(ProbeError, match="empty"):
        LayerVizCallback(images(0, 8, 8, 1), log_dir=tmp_path)
    with pytest.raises(ProbeError, match="NaN"):
        LayerVizCallback(np.full((2, 8, 8, 1), np.nan), log_dir=tmp_path)


def test_a_failing_model_is_told_with_the_probe_and_the_reason():
    class Picky(keras.Model):
        def call(self, x):
            raise RuntimeError("no batches on Sundays")

    text = message(ProbeError, Picky(name="picky"), images(2, 3))
    assert "picky" in text and "(2, 3)" in text and "no batches on Sundays" in text


@pytest.mark.parametrize(
    "make", [Subclassed, lambda: keras.Sequential([layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(1)])]
)
def test_a_model_that_is_not_built_is_refused_and_stays_so(make):
    model = make()
    text = message(ArgumentError, model, images(2, 8, 8, 1))
    assert "not built" in text and "model.build((None, 8, 8, 1))" in text and "model(x_val[:1])" in text
    assert not model.built and not model.weights
    model(images(1, 8, 8, 1))
    assert inspect(model, images(2, 8, 8, 1)).outputs["output"].shape[0] == 2


def test_something_that_is_no_keras_model_is_refused():
    with pytest.raises(ArgumentError, match=r"keras\.Model"):
        KerasReader(np.zeros(3), Probe(images(2, 3)))


def test_layers_that_do_not_exist_are_refused_with_the_nearest_name():
    model, x = functional(8, 8, 1), images(2, 8, 8, 1)
    assert "Did you mean 'conv'" in message(SelectionError, model, x, layers="conf")
    assert "matches no layer" in message(SelectionError, model, x, layers="pool*")
    assert "layers=LSTM" in message(SelectionError, model, x, layers=layers.LSTM)


@pytest.mark.parametrize(
    "options",
    [{"every_n_epochs": 0}, {"every_n_steps": 0}, {"on_error": "ignore"}, {"layers": 3}, {"views": []}],
)
def test_bad_options_raise_at_construction(options, tmp_path):
    with pytest.raises(ArgumentError, match=next(iter(options))):
        LayerVizCallback(images(2, 8, 8, 1), log_dir=tmp_path, **options)


def fit(callback):
    model = functional(8, 8, 1)
    model.compile("sgd", "mse")
    model.fit(images(4, 8, 8, 1), images(4, 3), verbose=0, callbacks=[callback])


def test_bad_layers_and_probes_raise_before_training(tmp_path):
    with pytest.raises(SelectionError, match="Did you mean 'conv'"):
        fit(LayerVizCallback(images(2, 8, 8, 1), log_dir=tmp_path, layers="konv"))
    with pytest.raises(ProbeError, match="channel axis"):
        fit(LayerVizCallback(images(2, 8, 8), log_dir=tmp_path))


def test_a_log_folder_that_cannot_be_written_raises_before_training(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SinkError):
        fit(LayerVizCallback(images(2, 8, 8, 1), log_dir=tmp_path / "file"))
