"""A scope inside which a Keras 2 model can be run without a trace in its training."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import tensorflow
from tensorflow.python.eager import context
from tensorflow.python.ops import stateful_random_ops
from tf_keras.src import backend
from tf_keras.src.metrics import Metric

from layerviz_callbacks.keras.isolation import python_and_numpy_random_kept

_SEED = (
    5_641_207  # any; of no training, so that the generators inside TensorFlow's operations are not its own
)


@contextmanager
def isolated(model: Any) -> Iterator[None]:
    """Run a model inside, and nothing of it stays: variables, losses, random states, attributes, names.

    Keras 2 has no scope that keeps writes away, so what a pass can write is looked at before and put back
    after. Random generators start from the same state each time. TensorFlow functions run eagerly.
    """
    modules = list(model._flatten_modules())
    held = held_by(modules)
    with ExitStack() as stack:
        stack.enter_context(python_and_numpy_random_kept())
        stack.enter_context(_name_counters_kept())
        stack.enter_context(_attributes_kept(modules))
        stack.enter_context(_losses_kept(modules))
        stack.enter_context(_tensorflow_random_kept(held.generators, held.seeded))
        stack.enter_context(_values_kept(held.variables))
        stack.enter_context(_functions_run_eagerly())
        yield


class Held:
    """What the layers of a model hold, tracked by Keras or not.

    Attributes:
        variables: by identity.
        generators: TensorFlow's random generators.
        seeded: Keras' own random generators.
    """

    def __init__(self) -> None:
        self.variables: dict[int, Any] = {}
        self.generators: list[Any] = []
        self.seeded: list[Any] = []
        self._seen: set[int] = set()

    def look_at(self, value: Any) -> None:
        """Take a value in, and what stands in it."""
        nests = (list, tuple, set, frozenset, dict)
        kinds = (tensorflow.Variable, tensorflow.random.Generator, backend.RandomGenerator, Metric, *nests)
        if not isinstance(value, kinds) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, tensorflow.Variable):
            for one in getattr(value, "values", None) or [value]:  # on several devices: one for each
                self.variables[id(one)] = one
        elif isinstance(value, tensorflow.random.Generator):
            self.generators.append(value)
        elif isinstance(value, backend.RandomGenerator):
            self.seeded.append(value)
            self.look_at(getattr(value, "_generator", None))
        elif isinstance(value, Metric):
            self.look_at(value.variables)
        else:
            for part in value.values() if isinstance(value, dict) else value:
                self.look_at(part)


def held_by(modules: list[Any]) -> Held:
    """Everything that these modules of a model hold; the first of them is the model."""
    held = Held()
    for module in modules:
        for value in list(vars(module).values()):
            held.look_at(value)
    held.look_at(getattr(modules[0], "metrics", None))
    held.look_at(stateful_random_ops.global_generator)
    return held


@contextmanager
def _name_counters_kept() -> Iterator[None]:
    """The numbers in the names of the user's next layers must not move on."""
    counters = backend.PER_GRAPH_OBJECT_NAME_UIDS
    kept = {graph: dict(counts) for graph, counts in counters.items()}
    try:
        yield
    finally:
        for graph, counts in list(counters.items()):
            counts.clear()
            counts.update(kept.get(graph, {}))


@contextmanager
def _attributes_kept(modules: list[Any]) -> Iterator[None]:
    """The attributes of each layer, and what stands in its plain lists, sets and dicts."""
    kept = [(vars(module), dict(vars(module))) for module in modules]
    contents = [_contents_of(value) for _, members in kept for value in members.values()]
    try:
        yield
    finally:
        for members, before in kept:
            if members.keys() != before.keys() or any(members[name] is not before[name] for name in before):
                members.clear()
                members.update(before)
        for put_back in contents:
            if put_back is not None:
                put_back()


def _contents_of(value: Any) -> Callable[[], None] | None:
    if type(value) is list:
        elements = list(value)

        def refill() -> None:
            value[:] = elements

        return refill
    if type(value) in (dict, set):
        copy = value.copy()

        def restore() -> None:
            value.clear()
            value.update(copy)

        return restore
    return None


@contextmanager
def _losses_kept(modules: list[Any]) -> Iterator[None]:
    """What `add_loss` collected in the last call of the model is cleared by the next."""
    threads = [module._thread_local for module in modules if hasattr(module, "_thread_local")]
    kept = [(thread, list(getattr(thread, "_eager_losses", []))) for thread in threads]
    try:
        yield
    finally:
        for thread, losses in kept:
            thread._eager_losses = losses


@contextmanager
def _values_kept(variables: dict[int, Any]) -> Iterator[None]:
    """Put back each variable that was written. Looking at a value copies nothing: a write would."""
    initialized = [variable for variable in variables.values() if variable.is_initialized()]
    kept = [(variable, variable.read_value()) for variable in initialized]
    try:
        yield
    finally:
        for variable, before in kept:
            if not bool(tensorflow.reduce_all(tensorflow.equal(variable.read_value(), before))):
                variable.assign(before)


@contextmanager
def _tensorflow_random_kept(generators: list[Any], seeded: list[Any]) -> Iterator[None]:
    """TensorFlow's random states.

    An operation that runs eagerly keeps a generator of its own, found again by its two seeds; under another
    global seed it is another, and that of the training stays where it is.
    """
    eager = context.context()
    global_generator = stateful_random_ops.global_generator
    seed, sequence = eager._seed, getattr(eager, "_rng", None)
    seeding = getattr(backend._SEED_GENERATOR, "generator", None)  # set_random_seed: seeds of new layers
    seeding_state = None if seeding is None else seeding.getstate()
    states = [(generator, generator.state.read_value()) for generator in generators]
    seeds = [(one, one._seed, one._built, one._generator if one._built else None) for one in seeded]
    eager._seed, eager._rng = _SEED, random.Random(_SEED)
    try:
        for generator, state in states:
            generator.state.assign(tensorflow.zeros_like(state))
        for one in seeded:
            if one._seed is not None and one._built:
                one._seed = _SEED
        yield
    finally:
        eager._seed, eager._rng = seed, sequence
        if seeding is not None:
            seeding.setstate(seeding_state)
        stateful_random_ops.global_generator = global_generator
        for generator, state in states:
            generator.state.assign(state)
        for one, own_seed, built, generator in seeds:
            one._seed, one._built = own_seed, built
            if built:
                one._generator = generator


@contextmanager
def _functions_run_eagerly() -> Iterator[None]:
    was_eager = tensorflow.config.functions_run_eagerly()
    tensorflow.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tensorflow.config.run_functions_eagerly(was_eager)
