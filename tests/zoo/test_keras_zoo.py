"""Each way of writing a Keras model, read and compared with its layers called by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from layerviz_callbacks.keras import KerasReader, LayerVizCallback, inspect
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request
from zoo import keras_models

ON_JAX = [("Functional", "jit_compile"), ("recurrent", "steps_per_execution")]


def as_float32(value):
    return np.array(keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")))


def compare(snapshot, case, **tolerance):
    outputs = {layer.name for layer in snapshot if layer.output_shape is not None}
    assert outputs == set(case.outputs)
    for name, expected in case.outputs.items():
        expected = as_float32(expected)
        assert snapshot[name].output_shape == snapshot[name].output.shape == expected.shape
        np.testing.assert_allclose(snapshot[name].output, expected, **tolerance)
    kernels = {layer.name for layer in snapshot if layer.kernel is not None}
    assert kernels == set(case.kernels)
    for name, expected in case.kernels.items():
        np.testing.assert_array_equal(snapshot[name].kernel, expected)
        assert snapshot[name].kernel_shape == expected.shape


@pytest.mark.parametrize(("way", "rank"), keras_models.table(), ids=lambda part: str(part))
def test_every_layer_of_every_model_is_read(way, rank):
    keras.utils.set_random_seed(3)
    case = keras_models.WAYS[way](rank)
    half = {"mixed_float16": 1e-2, "mixed_bfloat16": 5e-2}.get(way, 1e-5)
    compare(inspect(case.model, case.probe), case, rtol=half, atol=half)
    if way not in ("recurrent", "Bidirectional"):
        return
    reader = KerasReader(case.model, Probe.of(case.probe))  # these are compiled at the second read
    names = frozenset(entry.name for entry in reader.entries())
    reader.read(Request())
    compare(reader.read(Request(weights=names, outputs=names)), case, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 2}],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("way", ["Functional", "subclassed", "recurrent"])
def test_models_are_read_however_they_are_trained(way, options, tmp_path):
    if keras.backend.backend() == "jax" and (way, *options) not in ON_JAX:
        pytest.skip("the others take long there: all is compiled by itself")
    if keras.backend.backend() == "torch" and options != {"run_eagerly": True}:
        pytest.skip("Keras compiles with torch.compile there, which needs a C++ compiler; no groups of steps")
    keras.utils.set_random_seed(3)
    rank = 1 if way != "recurrent" else 0
    case = keras_models.WAYS[way](rank)
    model, x = case.model, case.probe
    model.compile("sgd", "mse", **options)
    reader = KerasReader(model, Probe(x))
    names = frozenset(entry.name for entry in reader.entries())
    reader.read(Request())
    before = reader.read(Request(weights=names, outputs=names))
    pictures = LayerVizCallback(x, log_dir=tmp_path, on_error="raise")
    model.fit(np.repeat(x, 4, axis=0), np.repeat(as_float32(model(x)) + 1, 4, axis=0), batch_size=3,
              epochs=2, verbose=0, callbacks=[pictures])  # fmt: skip
    after = reader.read(Request(weights=names, outputs=names))
    last = list(case.kernels)[-1]
    assert not np.array_equal(before[last].kernel, after[last].kernel)
    np.testing.assert_allclose(
        after.outputs["output"], as_float32(model(x, training=False)), rtol=1e-4, atol=1e-5
    )
    assert list(tmp_path.rglob("events.out.*"))
