"""Ctrl-C in the middle of our own work: it goes through, and model and process are as they were."""

import random

import keras
import numpy as np
import pytest
import torch
from torch import nn

from layerviz_callbacks import inspect

X = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32)


class TorchInterrupt(nn.Module):
    def forward(self, x):
        torch.rand(1)
        random.random()
        np.random.rand()  # noqa: NPY002
        raise KeyboardInterrupt


class KerasInterrupt(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.armed = False

    def call(self, x, training=None):
        if self.armed:
            keras.random.normal((1,))
            random.random()
            np.random.rand()  # noqa: NPY002
            raise KeyboardInterrupt
        return x


def random_states():
    return random.getstate(), [
        part.tolist() if hasattr(part, "tolist") else part
        for part in np.random.get_state()  # noqa: NPY002
    ]


def test_an_interrupt_in_the_probes_pass_leaves_a_pytorch_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), TorchInterrupt())
    model[1].eval()  # a frozen one stays frozen
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    states, torch_state = random_states(), torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        inspect(model, X)
    assert [module.training for module in model] == [True, False, True]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random_states() == states
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_an_interrupt_in_the_probes_pass_leaves_a_keras_model_as_it_was():
    inner = KerasInterrupt()
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.BatchNormalization(), inner]
    )
    before = [weights.copy() for weights in model.get_weights()]
    calls = [layer.call for layer in model.layers]
    states = random_states()
    inner.armed = True
    with pytest.raises(KeyboardInterrupt):
        inspect(model, np.moveaxis(X, 1, -1))
    inner.armed = False
    assert [layer.call for layer in model.layers] == calls
    assert random_states() == states
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.predict(np.moveaxis(X, 1, -1), verbose=0).shape, (2, 6, 6, 2))
