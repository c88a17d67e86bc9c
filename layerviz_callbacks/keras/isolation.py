"""A scope inside which a Keras model can be run without a trace in its training."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

_GLOBAL_SEEDS = "global_seed_generator"
_NAME_COUNTERS = "object_name_uids"
_SEED = 0


@contextmanager
def isolated(model: Any) -> Iterator[None]:
    """Run a model inside, and nothing of it stays: variables, losses, random states, modes, name counters.

    Reads of Keras variables go through, writes stay in a `keras.StatelessScope`. Random generators start
    from the same state each time, so that a model that is random at inference shows the same noise at
    every step. TensorFlow functions inside the model run eagerly, or are traced as part of ours.
    """
    backend = keras.backend.backend()
    with ExitStack() as stack:
        stack.enter_context(python_and_numpy_random_kept())
        stack.enter_context(_keras_globals_kept())
        stack.enter_context(_losses_kept(model))
        if backend == "tensorflow":
            from layerviz_callbacks.keras.isolation_tensorflow import tensorflow_kept

            stack.enter_context(tensorflow_kept(model))
        elif backend == "torch":
            stack.enter_context(_torch_kept(model))
        stack.enter_context(keras.StatelessScope(state_mapping=fixed_seeds(model)))
        yield


def fixed_seeds(model: Any) -> list[tuple[Any, Any]]:
    """The states of the model's seed generators, each with the value it has inside."""
    states = [variable for variable in model.variables if "seed_generator_state" in variable.path]
    global_seeds = global_state.get_global_attribute(_GLOBAL_SEEDS)
    if global_seeds is not None:
        states.append(global_seeds.state)
    return [(state, keras.ops.zeros(state.shape, state.dtype)) for state in states]


@contextmanager
def python_and_numpy_random_kept() -> Iterator[None]:
    """The process-wide generators of Python and NumPy: the same state inside each time, put back after."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002  the user's global one
    random.seed(_SEED)
    np.random.seed(_SEED)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


@contextmanager
def _keras_globals_kept() -> Iterator[None]:
    """The process-wide seed generator must not be born in here, nor the numbers in names move on."""
    seeds = global_state.get_global_attribute(_GLOBAL_SEEDS)
    counters = global_state.get_global_attribute(_NAME_COUNTERS)
    counts = dict(counters or {})
    try:
        yield
    finally:
        global_state.set_global_attribute(_GLOBAL_SEEDS, seeds)
        if counters is not None:
            counters.clear()
            counters.update(counts)


@contextmanager
def _losses_kept(model: Any) -> Iterator[None]:
    """What `add_loss` collected in the last call of the model is cleared by the next."""
    layers = model._flatten_layers()
    kept = [(layer, list(layer._losses), set(layer._loss_ids)) for layer in layers]
    try:
        yield
    finally:
        for layer, losses, identities in kept:
            layer._losses[:] = losses
            layer._loss_ids.clear()
            layer._loss_ids.update(identities)


@contextmanager
def _torch_kept(model: Any) -> Iterator[None]:
    import torch

    modes = [(module, module.training) for module in model.modules()]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), torch.no_grad():
        torch.manual_seed(_SEED)
        try:
            for module, _ in modes:  # the flag alone: `eval()` may be overridden and do more
                module.training = False
            yield
        finally:
            for module, training in modes:
                module.training = training
