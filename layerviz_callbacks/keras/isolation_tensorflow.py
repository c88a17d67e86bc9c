"""What a pass of a Keras model can leave behind in TensorFlow alone, kept and put back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow
from tensorflow.python.eager import context
from tensorflow.python.ops import stateful_random_ops

_SEED = (
    5_641_207  # any; of no training, so that the generators inside TensorFlow's operations are not its own
)


@contextmanager
def tensorflow_kept(model: Any) -> Iterator[None]:
    """Keep TensorFlow's random states and the model's raw TensorFlow variables, and run functions eagerly.

    Operations without a seed keep a state of their own, one for each pair of seeds, that nobody can put
    back: inside, they draw other seeds than the training does.
    """
    eager = context.context()
    global_seed, seeds = getattr(eager, "_seed", None), getattr(eager, "_rng", None)
    generator = stateful_random_ops.global_generator
    held = _raw_variables(model, generator)
    values = [variable.read_value() for variable in held]
    was_eager = tensorflow.config.functions_run_eagerly()
    tensorflow.config.run_functions_eagerly(True)
    if seeds is not None:
        eager._seed, eager._rng = _SEED, random.Random(_SEED)
    for one in [*_generators(model), *([] if generator is None else [generator])]:
        one.reset_from_seed(_SEED)
    try:
        yield
    finally:
        tensorflow.config.run_functions_eagerly(was_eager)
        if seeds is not None:
            eager._seed, eager._rng = global_seed, seeds
        stateful_random_ops.global_generator = generator
        for variable, value in zip(held, values, strict=True):
            variable.assign(value)


def _generators(model: Any) -> list[Any]:
    return [part for part in _held(model) if isinstance(part, tensorflow.random.Generator)]


def _raw_variables(model: Any, generator: Any) -> list[Any]:
    """The TensorFlow variables of layers that Keras does not know, and the states of random generators."""
    found = {id(part): part for part in _held(model) if isinstance(part, tensorflow.Variable)}
    generators = [*_generators(model), *([] if generator is None else [generator])]
    found |= {id(one.state): one.state for one in generators}
    return list(found.values())


def _held(model: Any) -> list[Any]:
    """What the attributes of the model's layers hold, also in lists and dicts."""
    parts: list[Any] = []
    for layer in model._flatten_layers():
        for value in list(vars(layer).values()):
            if isinstance(value, dict):
                parts += value.values()
            elif isinstance(value, (list, tuple)):
                parts += value
            else:
                parts.append(value)
    return parts
