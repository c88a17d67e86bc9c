"""Gradients by a program of their own, which runs the model anew: compiled once, for any weights.

On JAX a gradient is that of a function; on TensorFlow a recurrent layer is worth its trace.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.errors import is_out_of_memory
from layerviz_callbacks.explaining import Score
from layerviz_callbacks.keras.capture import named_outputs
from layerviz_callbacks.keras.fitting import model_inputs
from layerviz_callbacks.keras.gradients import Differentiated, said, scaled
from layerviz_callbacks.keras.gradients_points import (
    Point,
    Points,
    gradient_arrays,
    in_half_precision,
    sorted_out,
    unheard_layers,
)
from layerviz_callbacks.keras.hearing import Listener
from layerviz_callbacks.keras.isolation import fixed_seeds, isolated
from layerviz_callbacks.keras.logits import Logits
from layerviz_callbacks.keras.names import Node
from layerviz_callbacks.keras.recent import Recent
from layerviz_callbacks.keras.structure import nothing_built
from layerviz_callbacks.probe import Probe


class GradientProgram:
    """The gradient of a weighted sum of one of the model's outputs, with respect to outputs of layers.

    The output is taken before its last softmax or sigmoid. The variables' values are read anew at each run.

    Args:
        model: a Keras model, on TensorFlow or JAX.
        probe: the batch it is called with.
        nodes: its layers.
        wanted: the names of the layers.
        output: the name of the output, see `named_outputs`.
        samples: of the first so many; None: all.
    """

    def __init__(
        self,
        model: Any,
        probe: Probe,
        nodes: Sequence[Node],
        wanted: frozenset[str],
        output: str,
        samples: int | None,
    ) -> None:
        self._model, self._nodes, self._wanted = model, nodes, wanted
        self._output, self._samples = output, samples
        self._structure = model_inputs(model, probe)
        self._inputs = keras.tree.flatten(self._structure)
        self._points: dict[str, Point] = {}
        self._connected: list[str] = []
        self._missing: dict[str, str] = {}
        on_jax = keras.backend.backend() == "jax"
        self._program = self._jax_program() if on_jax else self._tensorflow_program()

    def run(self, weights: np.ndarray) -> Differentiated:
        """The gradients of `sum(weights * output)`, and why there is none of others.

        Raises:
            Exception: whatever the model, or its gradient, raises.
        """
        with isolated(self._model):
            arrays = scaled(self._arrays, weights, half_precision=in_half_precision(self._nodes))
        found, failed = sorted_out(self._points, arrays)
        return found, {**self._missing, **failed}

    def _arrays(self, weights: np.ndarray) -> list[np.ndarray | None]:
        found = self._program(weights)  # on JAX the first run is what traces it
        connected = dict(zip(self._connected, found, strict=True))
        tensors = [connected.get(name) for name in self._points]
        return gradient_arrays(tensors, list(self._points.values()), None)

    def _answer(self, inputs: Sequence[Any], point: Callable[[str, Any], tuple[Any, Any]]) -> Any:
        """Run the model; the points it came by are kept."""
        logits = Logits()
        points = Points(self._wanted, point, logits)
        listener = Listener(self._nodes, replace=points.replace)
        given = keras.tree.pack_sequence_as(self._structure, list(inputs))
        with nothing_built(self._model), logits.remembering(self._nodes), listener.listening():
            output = self._model(given, training=False)
        self._missing = points.missing(self._wanted, unheard_layers(self._nodes))
        self._points = points.found
        return logits.before(named_outputs(self._model, self._nodes, output)[self._output])

    def _cut(self, gradient: Any) -> Any:
        return gradient if self._samples is None else gradient[: self._samples]

    def _forget_tensors(self) -> None:
        """A trace must not be held by what it gave."""
        self._points = {name: replace(point, tensor=None) for name, point in self._points.items()}

    def _tensorflow_program(self) -> Callable[[np.ndarray], list[Any]]:
        import tensorflow

        from layerviz_callbacks.keras.gradients_tape import TensorflowTape

        def gradients(weights: Any, *inputs: Any) -> list[Any]:
            tape = TensorflowTape()
            with tape.recording(self._model):
                answer = self._answer(inputs, lambda _, tensor: tape.point(tensor))
            weights = tensorflow.ensure_shape(weights, answer.shape)
            found = tape.gradients(answer, weights, [point.tensor for point in self._points.values()])
            by_name = dict(zip(self._points, found, strict=True))
            self._connected = [name for name, gradient in by_name.items() if gradient is not None]
            self._forget_tensors()
            return [self._cut(by_name[name]) for name in self._connected]

        inputs = [tensorflow.constant(array) for array in self._inputs]
        specs = [tensorflow.TensorSpec.from_tensor(tensor) for tensor in inputs]
        with isolated(self._model):
            function = tensorflow.function(gradients, autograph=False)
            program = function.get_concrete_function(tensorflow.TensorSpec(None, "float32"), *specs)
        return lambda weights: list(program(tensorflow.constant(weights, "float32"), *inputs))

    def _jax_program(self) -> Callable[[np.ndarray], list[Any]]:
        import jax

        from layerviz_callbacks.keras.gradients_jax import Taps

        def gradients(values: Sequence[Any], inputs: Sequence[Any], weights: Any) -> list[Any]:
            def answer_of(point: Callable[[str, Any], tuple[Any, Any]]) -> Any:
                mapping = [*zip(self._model.variables, values, strict=True), *fixed_seeds(self._model)]
                with keras.StatelessScope(state_mapping=mapping):
                    return self._answer(inputs, point)

            taps = Taps()
            jax.eval_shape(lambda: answer_of(taps.measured))
            answer, pull_back = jax.vjp(lambda zeros: answer_of(taps.of(zeros)), taps.zeros())
            (found,) = pull_back(jax.numpy.asarray(weights, answer.dtype))
            self._connected = [name for name in self._points if name in taps.connected]
            self._forget_tensors()
            return [self._cut(found[name]) for name in self._connected]

        program = jax.jit(gradients)
        return lambda weights: program(
            [variable.value for variable in self._model.variables], self._inputs, weights
        )


class GradientPrograms:
    """The programs of one model that were used last; what could not be differentiated is not tried again.

    Args:
        model: the model.
        probe: the batch it is called with.
        nodes: its layers.
    """

    def __init__(self, model: Any, probe: Probe, nodes: Sequence[Node]) -> None:
        self._model, self._probe, self._nodes = model, probe, nodes
        self._programs: Recent[GradientProgram] = Recent()
        self._failed: dict[Hashable, str] = {}

    def differentiating(self, samples: int | None) -> Callable[[Score, frozenset[str]], Differentiated]:
        """What gives the gradients of a score with respect to the outputs of layers.

        Args:
            samples: of the first so many; None: all.
        """

        def differentiate(score: Score, names: frozenset[str]) -> Differentiated:
            key = (names, score.output, samples)
            if key not in self._failed:
                try:
                    program = self._programs.get(key, lambda: self._made(names, score, samples))
                    return program.run(np.asarray(score.weights))
                except Exception as error:
                    if is_out_of_memory(error):
                        raise
                    self._failed[key] = f"the model cannot be differentiated: {said(error)}"
            return {}, dict.fromkeys(sorted(names), self._failed[key])

        return differentiate

    def _made(self, names: frozenset[str], score: Score, samples: int | None) -> GradientProgram:
        return GradientProgram(self._model, self._probe, self._nodes, names, score.output, samples)
