"""Gradients of the Keras reader against tf-keras-vis, and the same on TensorFlow, PyTorch and JAX."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras_oracles import numbers

from layerviz_callbacks.explaining import Target
from layerviz_callbacks.keras import KerasReader
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request

layers = keras.layers
HERE = Path(__file__).parent


def network():
    """The same on every backend: its weights are drawn by NumPy."""
    inputs = keras.Input((12, 12, 2))
    x = layers.Conv2D(4, 3, activation="relu", name="first")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2D(5, 3, activation="relu", name="second")(x)
    x = layers.Reshape((8, 40), name="rows")(layers.Activation("tanh", name="tanh")(x))
    x = layers.LSTM(4, name="loop")(x)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x))
    drawn = [numbers(*weight.shape, seed=place) for place, weight in enumerate(model.get_weights())]
    model.set_weights([0.2 * one if one.ndim > 1 else 0.1 + 0.2 * np.abs(one) for one in drawn])
    return model


def found_on_this_backend():
    """Everything that is found of that network, by name."""
    x = numbers(2, 12, 12, 2, seed=50)
    names = frozenset({"first", "norm", "second", "rows", "loop"})
    reader = KerasReader(network(), Probe(x))
    target = Target(1)
    for _ in range(2):  # the second time compiled, on TensorFlow
        snapshot = reader.read(Request(outputs=names, gradients={target: names}))
    assert snapshot.unread == {}
    found = {f"gradients of {name}": snapshot[name].gradients[target] for name in names}
    found["scores"] = snapshot.scores[target].values
    with reader.differentiating() as derivative:
        for layer in ("second", ""):
            one = derivative({"input": x}, lambda shape: numbers(*shape, seed=60), layer=layer)
            found |= {f"answer {layer}": one.answer, f"derivative {layer}": one.gradients["input"]}
    return found


@pytest.fixture(scope="module")
def here():
    return found_on_this_backend()


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_every_backend_finds_the_same(backend, here, tmp_path):
    script = (
        "import sys, numpy; from test_keras_gradients_elsewhere import found_on_this_backend; "
        "numpy.savez(sys.argv[1], **found_on_this_backend())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "found.npz")],
        cwd=HERE,
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    there = dict(np.load(tmp_path / "found.npz"))
    assert there.keys() == here.keys()
    for name, expected in here.items():
        assert np.abs(expected).max() > 1e-6, name
        scale = np.abs(expected).max()
        np.testing.assert_allclose(there[name] / scale, expected / scale, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.fixture
def classifier():
    keras.utils.set_random_seed(8)
    inputs = keras.Input((10, 9, 2))
    x = layers.Conv2D(4, 3, activation="relu", name="first")(inputs)
    x = layers.Conv2D(3, 3, activation="tanh", name="second")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x))


CLASSES = [2, 0, 1]


def read(model, x, *names):
    target, wanted = Target(tuple(CLASSES)), frozenset(names)
    snapshot = KerasReader(model, Probe(x)).read(Request(outputs=wanted, gradients={target: wanted}))
    return snapshot, [(snapshot[name].output, snapshot[name].gradients[target]) for name in names]


def mean(array):
    return array.mean(axis=(1, 2), keepdims=True)


def total(array):
    return array.sum(axis=(1, 2), keepdims=True)


def vis(kind, model, classes=CLASSES):
    """A tool of tf-keras-vis, for scores before the softmax."""
    module = pytest.importorskip(f"tf_keras_vis.{kind[0]}")
    linear = pytest.importorskip("tf_keras_vis.utils.model_modifiers").ReplaceToLinear()
    scores = pytest.importorskip("tf_keras_vis.utils.scores").CategoricalScore(classes)
    tool = getattr(module, kind[1])(model, model_modifier=linear)
    return lambda x, **options: np.asarray(tool(scores, x, **options))


@pytest.mark.parametrize("name", ["first", "second"])
def test_grad_cam_is_that_of_tf_keras_vis(classifier, name):
    x = numbers(3, 10, 9, 2)
    _, [(output, gradient)] = read(classifier, x, name)
    tool = vis(("gradcam", "Gradcam"), classifier)
    expected = tool(x, penultimate_layer=name, expand_cam=False, normalize_cam=False)
    map_ = np.maximum((output * mean(gradient)).sum(-1), 0)
    assert map_.max() > 0
    np.testing.assert_allclose(map_, expected, rtol=1e-4, atol=1e-6)


def test_grad_cam_plus_plus_is_that_of_tf_keras_vis(classifier):
    """Its score is the sum of the exponentials over the batch, so one sample at a time."""
    tool = vis(("gradcam_plus_plus", "GradcamPlusPlus"), classifier, CLASSES[:1])
    x = numbers(3, 10, 9, 2)
    target = Target(CLASSES[0])
    reader = KerasReader(classifier, Probe(x[:1]))
    wanted = frozenset({"first"})
    snapshot = reader.read(Request(outputs=wanted, gradients={target: wanted}))
    output, gradient = snapshot["first"].output, snapshot["first"].gradients[target]
    alpha = gradient**2 / np.where(gradient == 0, 1, 2 * gradient**2 + gradient**3 * total(output))
    alpha = alpha / np.where(total(alpha) == 0, 1, total(alpha))
    score = np.exp(snapshot.scores[target].values).reshape(-1, 1, 1, 1)
    weights = total(np.maximum(score * gradient, 0) * alpha)
    map_ = np.maximum((output * weights).sum(-1), 0)
    expected = tool(x[:1], penultimate_layer="first", expand_cam=False, normalize_cam=False)
    assert map_.max() > 0
    np.testing.assert_allclose(map_, expected, rtol=1e-3, atol=1e-6)


def test_the_gradient_of_the_input_is_that_of_tf_keras_vis(classifier):
    x = numbers(3, 10, 9, 2)
    snapshot, _ = read(classifier, x, "first")
    (score,) = snapshot.scores.values()
    with KerasReader(classifier, Probe(x)).differentiating() as derivative:
        found = derivative({"input": x}, lambda _: score.weights)
    expected = vis(("saliency", "Saliency"), classifier)(
        x, keepdims=True, normalize_map=False, gradient_modifier=None
    )
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found.gradients["input"], expected, rtol=1e-4, atol=1e-6)
