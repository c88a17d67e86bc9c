"""Differentiates a Keras model with respect to inputs of the caller's choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.errors import DifferentiationError, LayerVizError
from layerviz_callbacks.explaining import Derivative
from layerviz_callbacks.keras.capture import named_outputs
from layerviz_callbacks.keras.differentiation_inputs import (
    Reached,
    chosen_output,
    derivative,
    not_come_by,
    other_sizes,
)
from layerviz_callbacks.keras.differentiation_programs import (
    Differentiated,
    Program,
    jax_program,
    taped,
    tensorflow_program,
)
from layerviz_callbacks.keras.fitting import model_inputs, not_built
from layerviz_callbacks.keras.gradients_points import in_half_precision
from layerviz_callbacks.keras.gradients_tape import is_floating, tape_of_backend
from layerviz_callbacks.keras.hearing import Heard, Listener
from layerviz_callbacks.keras.isolation import isolated
from layerviz_callbacks.keras.logits import Logits
from layerviz_callbacks.keras.names import Node
from layerviz_callbacks.keras.recent import Recent
from layerviz_callbacks.keras.structure import NotBuiltError, nothing_built, replaced
from layerviz_callbacks.probe import Probe

_RUNS_WORTH_A_TRACE = 1
"""On TensorFlow, eager runs of one kind after which the next is compiled: it is several times as fast."""
_PROGRAMS = 128
"""How many are kept: one for each layer whose patterns are found, or each epoch would trace them anew."""


class Differentiation:
    """See `layerviz_callbacks.explaining.Differentiate`.

    On PyTorch the model is run eagerly. On JAX a program is compiled for each layer (or output) and each
    shape of the inputs; on TensorFlow too, where it is worth its trace.

    Args:
        model: a Keras model.
        probe: shows how its inputs are nested, and their usual sizes.
        nodes: its layers.
    """

    def __init__(self, model: Any, probe: Probe, nodes: Sequence[Node]) -> None:
        self._model, self._probe, self._nodes = model, probe, nodes
        self._programs: Recent[Program] = Recent(limit=_PROGRAMS)
        self._runs: dict[Any, int] = {}
        self._untraceable: set[Any] = set()

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        weights: Callable[[tuple[int, ...]], np.ndarray],
        *,
        layer: str = "",
        output: str = "",
    ) -> Derivative:
        """The gradient of `sum(weights(answer.shape) * answer)` with respect to each input.

        Raises:
            DifferentiationError: there is no gradient, in words why.
        """
        return derivative(
            self._probe, inputs, layer, lambda arrays: self._differentiated(arrays, weights, layer, output)
        )

    def _differentiated(
        self,
        arrays: Mapping[str, np.ndarray],
        weights: Callable[[tuple[int, ...]], np.ndarray],
        layer: str,
        output: str,
    ) -> Differentiated:
        def answer(given: Mapping[str, Any]) -> Any:
            return self._answer(given, layer, output)

        program = self._program(arrays, layer, output, answer)
        with isolated(self._model):
            half = in_half_precision(self._nodes)
            if program is None:
                tape = tape_of_backend()
                return taped(tape, self._model, arrays, weights, answer, half_precision=half)
            given = np.asarray(weights(program.answer_shape), np.float32)
            return program.run(arrays, given, half_precision=half)

    def _program(
        self,
        arrays: Mapping[str, np.ndarray],
        layer: str,
        output: str,
        answer: Callable[[Mapping[str, Any]], Any],
    ) -> Program | None:
        """A compiled program; None where the model had better be run eagerly."""
        backend = keras.backend.backend()
        if backend == "torch":
            return None
        kinds = tuple((name, array.shape, array.dtype.str) for name, array in sorted(arrays.items()))
        key = (layer, output, kinds)
        if backend == "jax":
            return self._programs.get(key, lambda: jax_program(self._model, arrays, answer))
        self._runs[key] = runs = self._runs.get(key, 0) + 1
        if runs <= _RUNS_WORTH_A_TRACE or key in self._untraceable:
            return None
        try:
            return self._programs.get(key, lambda: tensorflow_program(self._model, arrays, answer))
        except LayerVizError:
            raise
        except Exception:  # noqa: BLE001
            self._untraceable.add(key)
            return None

    def _answer(self, given: Mapping[str, Any], layer: str, output: str) -> Any:
        """Run the model, no further than is needed, eagerly or traced.

        Returns:
            The layer's output, channels last; or the model's own before its last softmax or sigmoid.
        """

        def stop(heard: Heard, tensor: Any, channel_axis: int) -> Any:
            if heard.name == layer:
                raise Reached(tensor, channel_axis)
            return tensor

        logits = Logits()
        listener = Listener(self._nodes, replace=stop if layer else None)
        try:
            with ExitStack() as stack:
                stack.enter_context(nothing_built(self._model))
                if not layer:
                    stack.enter_context(logits.remembering(self._nodes))
                if other_sizes(given, self._probe):
                    stack.enter_context(_any_size(self._model))
                stack.enter_context(listener.listening())
                outputs = self._model(model_inputs(self._model, self._probe, given), training=False)
        except NotBuiltError as error:
            raise DifferentiationError(not_built(self._model, self._probe, error.name)) from None
        except Reached as reached:
            tensor, axis = reached.tensor, reached.channel_axis
            answer = tensor if axis == len(tensor.shape) - 1 else keras.ops.moveaxis(tensor, axis, -1)
        else:
            if layer:
                raise not_come_by(layer)
            named = named_outputs(self._model, self._nodes, outputs)
            answer = logits.before(named[chosen_output(list(named), output)])
        if not is_floating(answer):
            kind = keras.backend.standardize_dtype(answer.dtype)
            raise DifferentiationError(f"the answer holds {kind}, which has no gradient")
        return answer


@contextmanager
def _any_size(model: Any) -> Iterator[None]:
    """Functional models do not compare inputs with the sizes that were declared; their layers still do."""
    with ExitStack() as stack:
        for layer in model._flatten_layers():
            if getattr(layer, "_inputs_struct", None) is not None:
                stack.enter_context(replaced(layer, "_assert_input_compatibility", lambda *_: None))
        yield
