"""What the tests of the Keras door share: arrays, plain gradients, and a layer that counts its runs."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def as_array(tensor):
    return np.array(ops.convert_to_numpy(ops.cast(tensor, "float32")))


def close(actual, expected, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def gradient_of(function, array):
    """The gradient of a number that plain framework code makes of an array."""
    if BACKEND == "tensorflow":
        import tensorflow

        given = tensorflow.constant(array)
        with tensorflow.GradientTape() as tape:
            tape.watch(given)
            number = function(given)
        return tape.gradient(number, given).numpy()
    if BACKEND == "jax":
        import jax

        return np.array(jax.grad(function)(array))
    import torch

    given = torch.tensor(array, requires_grad=True)
    return torch.autograd.grad(function(given), given)[0].numpy()


class Counting(keras.layers.Layer):
    """Counts how often its Python code is run, eagerly or for a trace."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.runs = []

    def call(self, x):
        self.runs.append(1)
        return x * 2
