"""How a function of a model's inputs is differentiated: on a tape, or by a compiled program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.keras.gradients import scaled
from layerviz_callbacks.keras.gradients_tape import Tape, TensorflowTape
from layerviz_callbacks.keras.isolation import fixed_seeds, isolated
from layerviz_callbacks.keras.kernels import copied

Answer = Callable[[Mapping[str, Any]], Any]
"""Runs the model on tensors by name of the input, and gives the tensor that is summed."""


@dataclass(frozen=True, eq=False)
class Differentiated:
    """What came of it.

    Attributes:
        answer: float32.
        gradients: by name of the inputs that the answer depends on; float32.
    """

    answer: np.ndarray
    gradients: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Program:
    """A function that is differentiated as often as is wanted, compiled once.

    Attributes:
        answer_shape: the shape of its answer.
        call: gives of inputs and weights the answer and the gradients by name, as tensors.
    """

    answer_shape: tuple[int, ...]
    call: Callable[[Mapping[str, np.ndarray], np.ndarray], tuple[Any, Mapping[str, Any]]]

    def run(
        self, arrays: Mapping[str, np.ndarray], weights: np.ndarray, *, half_precision: bool
    ) -> Differentiated:
        """Run it; see `gradients.scaled`."""
        answers: list[Any] = []
        names: list[str] = []

        def gradients(given: np.ndarray) -> list[np.ndarray | None]:
            answer, found = self.call(arrays, given)
            answers[:], names[:] = [answer], list(found)
            return [copied(gradient) for gradient in found.values()]

        found = scaled(gradients, weights, half_precision=half_precision)
        return _differentiated(answers[0], names, found)


def taped(
    tape: Tape,
    model: Any,
    arrays: Mapping[str, np.ndarray],
    weights: Callable[[tuple[int, ...]], np.ndarray],
    answer: Answer,
    *,
    half_precision: bool,
) -> Differentiated:
    """Run the model eagerly, on TensorFlow or PyTorch."""
    points = {}
    with tape.recording(model):
        given = {name: tape.tensor(array) for name, array in arrays.items()}
        for name, array in arrays.items():
            if array.dtype.kind == "f":
                points[name], given[name] = tape.point(given[name])
        tensor = answer(given)
    value = copied(tensor)

    def gradients(given_weights: np.ndarray) -> list[np.ndarray | None]:
        found = tape.gradients(tensor, given_weights, list(points.values()))
        return [None if gradient is None else copied(gradient) for gradient in found]

    asked = np.asarray(weights(value.shape), np.float32)
    return _differentiated(value, points, scaled(gradients, asked, half_precision=half_precision))


def tensorflow_program(model: Any, arrays: Mapping[str, np.ndarray], answer: Answer) -> Program:
    """A `tf.function`, traced here.

    Raises:
        Exception: the model cannot be traced, for whatever reason its code has.
    """
    import tensorflow

    shapes: list[tuple[int, ...]] = []

    def program(weights: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        tape = TensorflowTape()
        points = {}
        with tape.recording(model):
            tensors = dict(given)
            for name in arrays:
                if arrays[name].dtype.kind == "f":
                    points[name], tensors[name] = tape.point(given[name])
            tensor = answer(tensors)
        shapes.append(tuple(int(size) for size in tensor.shape))  # raises where a size is not known
        weights = tensorflow.ensure_shape(weights, tensor.shape)
        found = tape.gradients(tensor, weights, list(points.values()))
        gradients = dict(zip(points, found, strict=True))
        return tensor, {name: one for name, one in gradients.items() if one is not None}

    specs = {name: tensorflow.TensorSpec(array.shape, array.dtype) for name, array in arrays.items()}
    with isolated(model):
        function = tensorflow.function(program, autograph=False)
        traced = function.get_concrete_function(tensorflow.TensorSpec(None, "float32"), specs)

    def call(given: Mapping[str, np.ndarray], weights: np.ndarray) -> tuple[Any, Mapping[str, Any]]:
        tensors = {name: tensorflow.constant(array) for name, array in given.items()}
        return traced(tensorflow.constant(weights), tensors)  # type: ignore[no-any-return]

    return Program(shapes[-1], call)


def jax_program(model: Any, arrays: Mapping[str, np.ndarray], answer: Answer) -> Program:
    """A function of the variables' values, the inputs and the weights; traced when it is first run.

    Raises:
        Exception: the model cannot be traced, for whatever reason its code has.
    """
    import jax

    from layerviz_callbacks.keras.gradients_jax import Taps

    def answer_of(values: Sequence[Any], given: Mapping[str, Any]) -> Any:
        mapping = [*zip(model.variables, values, strict=True), *fixed_seeds(model)]
        with keras.StatelessScope(state_mapping=mapping):
            return answer(given)

    def program(values: Sequence[Any], given: Mapping[str, Any], weights: Any) -> tuple[Any, dict[str, Any]]:
        taps = Taps()
        tensors = {name: jax.numpy.asarray(array) for name, array in given.items()}
        for name in tensors:
            if arrays[name].dtype.kind == "f":
                taps.measured(name, tensors[name])

        def of_zeros(zeros: Mapping[str, Any]) -> Any:
            point = taps.of(zeros)
            return answer_of(
                values, {n: point(n, tensor)[1] if n in zeros else tensor for n, tensor in tensors.items()}
            )

        tensor, pull_back = jax.vjp(of_zeros, taps.zeros())
        (found,) = pull_back(jax.numpy.asarray(weights, tensor.dtype))
        return tensor, {name: found[name] for name in taps.connected}

    def values() -> list[Any]:
        return [variable.value for variable in model.variables]

    with isolated(model):
        shape = jax.eval_shape(answer_of, values(), dict(arrays)).shape
    run = jax.jit(program)
    return Program(tuple(shape), lambda given, weights: run(values(), dict(given), weights))


def _differentiated(
    answer: Any, names: Sequence[str] | Mapping[str, Any], gradients: Sequence[np.ndarray | None]
) -> Differentiated:
    by_name = zip(names, gradients, strict=True)
    found = {name: gradient for name, gradient in by_name if gradient is not None}
    value = np.ascontiguousarray(copied(answer), np.float32)
    return Differentiated(value, found)
