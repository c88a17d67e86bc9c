"""What an optimizer added at its last step is what the weights differ by before and after it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from fakes import Measuring
from keras_oracles import BACKEND, numbers

from layerviz_callbacks.health import weight_sample
from layerviz_callbacks.keras import LayerVizCallback
from layerviz_callbacks.keras.kernels import kernels_of
from layerviz_callbacks.keras.updates import LastStep
from layerviz_callbacks.keras.weight_samples import WeightSampler

optimizers = keras.optimizers
decaying = optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.7)


class Halving(optimizers.Adam):
    """An optimizer of the user's own."""


FROM_STATE = {
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9),
    "momentum and weight decay": lambda: optimizers.SGD(0.1, momentum=0.9, weight_decay=0.2),
    "Adam": lambda: optimizers.Adam(0.01),
    "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True, beta_1=0.5, epsilon=0.01),
    "Adam with clipping and weight decay": lambda: optimizers.Adam(0.1, weight_decay=0.1, clipnorm=0.1),
    "AdamW": lambda: optimizers.AdamW(0.1),
    "AdamW on a schedule": lambda: optimizers.AdamW(decaying, weight_decay=0.1),
    "accumulation": lambda: optimizers.Adam(decaying, gradient_accumulation_steps=2, weight_decay=0.1),
    "loss scaling": lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.01), initial_scale=8.0),
    "Adamax": lambda: optimizers.Adamax(0.1),
    "RMSprop with momentum": lambda: optimizers.RMSprop(0.1, momentum=0.5, centered=True),
}
FROM_GRADIENT = {
    "plain": lambda: optimizers.SGD(0.1),
    "nesterov": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Nadam": lambda: optimizers.Nadam(0.1),
    "RMSprop": lambda: optimizers.RMSprop(0.1, epsilon=0.01),
    "RMSprop, centered": lambda: optimizers.RMSprop(0.1, centered=True, weight_decay=0.1),
    "Adagrad": lambda: optimizers.Adagrad(decaying),
    "scaled": lambda: optimizers.SGD(0.1, loss_scale_factor=16.0),
}
UNKNOWN = {
    "sign": lambda: optimizers.Lion(0.1),
    "Adadelta": lambda: optimizers.Adadelta(0.1),
    "clipped": lambda: optimizers.SGD(0.1, clipvalue=0.01),
    "averaged": lambda: optimizers.Adam(0.1, use_ema=True, ema_overwrite_frequency=1),
    "own": lambda: Halving(0.1),
    "a function for the rate": lambda: optimizers.Adam(lambda: 0.1),
}


def compiled(optimizer, **options):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, name="dense", **options)])
    model.compile(optimizer, "mse")
    return model


def stepped(model, count, **told):
    """Do steps with known gradients; the sample then, what the last added, and its gradient."""
    kernel = model.layers[-1].kernel
    for place in range(count):
        gradients = [numbers(*variable.shape, seed=place) for variable in model.trainable_variables]
        before = np.array(keras.ops.convert_to_numpy(kernel))
        step(model.optimizer, model.trainable_variables, gradients)
    added = np.array(keras.ops.convert_to_numpy(kernel)) - before
    return sampled(model, **told), weight_sample(added.T).values, weight_sample(gradients[0].T).values


def step(optimizer, variables, gradients):
    """As the training step of Keras on this backend does it."""
    tensors = [keras.ops.convert_to_tensor(gradient) for gradient in gradients]
    if BACKEND == "tensorflow":
        optimizer.apply(tensors, variables)
    elif BACKEND == "torch":
        import torch

        for variable, tensor in zip(variables, tensors, strict=True):
            variable.value.grad = tensor.clone()
        with torch.no_grad():
            optimizer.apply(tensors, variables)
    else:
        if not optimizer.built:
            optimizer.build(variables)
        state, values = ([one.value for one in some] for some in (optimizer.variables, variables))
        values, state = optimizer.stateless_apply(state, tensors, values)
        for variable, value in zip([*variables, *optimizer.variables], [*values, *state], strict=True):
            variable.assign(value)


def sampled(model, **told):
    (kernel,) = kernels_of(model.layers[-1])
    return WeightSampler().read({"dense": (kernel, False)}, LastStep(model, **told))["dense"]


def assert_added(sample, added):
    """1e-4 of the largest: what was added can be seen in the weights to their rounding alone."""
    np.testing.assert_allclose(sample.update, added, rtol=1e-4, atol=1e-4 * np.abs(added).max())


@pytest.mark.parametrize("name", FROM_STATE)
def test_the_state_of_an_optimizer_tells_what_it_added(name):
    sample, added, gradient = stepped(compiled(FROM_STATE[name]()), 4)
    assert_added(sample, added)
    if BACKEND != "torch" or name == "accumulation":
        assert sample.gradient is None
    else:
        scale = 8.0 if name == "loss scaling" else 1.0
        np.testing.assert_allclose(sample.gradient, gradient / scale, rtol=1e-6)


@pytest.mark.parametrize("name", FROM_GRADIENT)
def test_with_the_gradient_pytorch_tells_more(name):
    sample, added, gradient = stepped(compiled(FROM_GRADIENT[name]()), 4)
    if BACKEND == "torch":
        assert_added(sample, added)
        np.testing.assert_allclose(sample.gradient, gradient / (16 if name == "scaled" else 1), rtol=1e-6)
    else:
        assert sample.update is None and sample.gradient is None


@pytest.mark.parametrize("name", UNKNOWN)
def test_nothing_is_guessed(name):
    sample, added, _ = stepped(compiled(UNKNOWN[name]()), 2)
    assert sample.update is None
    assert np.abs(added).max() > 0


def test_a_constraint_changes_weights_after_the_step():
    sample, _, _ = stepped(compiled(optimizers.Adam(), kernel_constraint="max_norm"), 2)
    assert sample.update is None


def test_between_steps_of_accumulated_gradients_the_last_step_stays():
    model = compiled(FROM_STATE["accumulation"]())
    _, added, _ = stepped(model, 4)
    sample, later, _ = stepped(model, 1)
    assert not later.any()
    assert_added(sample, added)


def test_what_was_never_stepped_or_is_frozen_has_no_update():
    model = compiled(optimizers.Adam())
    assert sampled(model).update is None
    model.optimizer.build(model.trainable_variables)
    assert sampled(model).update is None
    stepped(model, 1)
    assert sampled(model).update is not None
    model.layers[-1].trainable = False
    assert sampled(model).update is None
    assert sampled(keras.Sequential([keras.Input((6,)), keras.layers.Dense(5)])).update is None


def test_a_rate_that_was_told_is_that_of_the_step():
    model = compiled(optimizers.Adam(0.1))
    _, added, _ = stepped(model, 2)
    model.optimizer.learning_rate = 0.001
    assert_added(sampled(model, learning_rate=0.1), added)


def test_several_optimizers_each_step_their_own_variables():
    model = compiled(optimizers.Adam(0.1))
    model.other = optimizers.SGD(0.1, momentum=0.5)
    model.other.build([keras.Variable(np.zeros((2, 2), "float32"))])
    sample, added, _ = stepped(model, 2)
    assert_added(sample, added)
    assert sample.gradient is None  # which of the two losses it was of cannot be told


@pytest.mark.parametrize("every", [{}, {"every_n_steps": 1}], ids=["epochs", "steps"])
def test_in_a_training_the_update_is_what_lies_between_two_steps(tmp_path, every):
    """One step an epoch, at a rate that another callback changes before ours looks."""
    keras.utils.set_random_seed(3)
    body = [keras.layers.Conv2D(4, 3, activation="relu", name="conv"), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((6, 6, 2)), *body, keras.layers.Dense(3, name="dense")])
    model.compile(optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = numbers(8, 6, 6, 2), np.arange(8) % 3
    seen = Measuring()
    falling = keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.1, patience=1, min_delta=9)
    pictures = LayerVizCallback(
        x[:2], log_dir=tmp_path, views=[seen], on_error="raise", worker=None, budget=None, **every
    )
    model.fit(x, y, batch_size=8, epochs=4, verbose=0, callbacks=[falling, pictures])
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) < 0.001
    assert [snapshot.step for snapshot in seen.snapshots] == [0, 1, 2, 3, 4]
    for before, after in zip(seen.snapshots, seen.snapshots[1:], strict=False):
        for name in ("conv", "dense"):
            weights = after[name].statistics.weights
            added = weights.values.astype(np.float64) - before[name].statistics.weights.values
            # after three reductions the rounding of the weights is a hundredth of what is added
            np.testing.assert_allclose(weights.update, added, rtol=1e-4, atol=0.01 * np.abs(added).max())
            assert (weights.gradient is not None) == (BACKEND == "torch")
