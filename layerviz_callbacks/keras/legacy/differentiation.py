"""Differentiates a Keras 2 model with respect to inputs of the caller's choice, on a tape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import tensorflow

from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining import Derivative
from layerviz_callbacks.keras.differentiation_inputs import (
    Reached,
    chosen_output,
    derivative,
    not_come_by,
    other_sizes,
)
from layerviz_callbacks.keras.differentiation_programs import Differentiated, taped
from layerviz_callbacks.keras.fitting import model_inputs, not_built
from layerviz_callbacks.keras.gradients_tape import TensorflowTape
from layerviz_callbacks.keras.hearing import Heard
from layerviz_callbacks.keras.legacy.calls import Listener, nothing_built
from layerviz_callbacks.keras.legacy.gradients import in_half_precision, remembering
from layerviz_callbacks.keras.legacy.isolation import isolated
from layerviz_callbacks.keras.legacy.names import Node
from layerviz_callbacks.keras.logits import Logits
from layerviz_callbacks.keras.structure import NotBuiltError, replaced
from layerviz_callbacks.probe import Probe


class LegacyDifferentiation:
    """See `layerviz_callbacks.explaining.Differentiate`; the model is run eagerly.

    Args:
        model: a `tf_keras.Model`.
        declared: the inputs that it declares, under the names that they have in Keras 3.
        probe: shows how its inputs are nested, and their usual sizes.
        nodes: its layers.
        named_outputs: gives the model's outputs by name.
    """

    def __init__(
        self,
        model: Any,
        declared: Any,
        probe: Probe,
        nodes: Sequence[Node],
        named_outputs: Callable[[Any], Mapping[str, Any]],
    ) -> None:
        self._model, self._declared, self._probe, self._nodes = model, declared, probe, nodes
        self._named_outputs = named_outputs

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

        def differentiate(arrays: Mapping[str, np.ndarray]) -> Differentiated:
            half = in_half_precision(self._nodes)
            with isolated(self._model):
                return taped(
                    TensorflowTape(),
                    self._model,
                    arrays,
                    weights,
                    lambda given: self._answer(given, layer, output),
                    half_precision=half,
                )

        return derivative(self._probe, inputs, layer, differentiate)

    def _answer(self, given: Mapping[str, Any], layer: str, output: str) -> Any:
        """Run the model, no further than is needed."""

        def stop(heard: Heard, tensor: Any, channel_axis: int) -> Any:
            if heard.name == layer:
                raise Reached(tensor, channel_axis)
            return tensor

        logits = Logits()
        listener = Listener(self._nodes, frozenset(), {}, replace=stop if layer else None)
        try:
            with ExitStack() as stack:
                stack.enter_context(nothing_built(self._model))
                if not layer:
                    stack.enter_context(remembering(logits, self._nodes))
                if other_sizes(given, self._probe):
                    stack.enter_context(_any_size(self._model))
                stack.enter_context(listener.listening())
                outputs = self._model(model_inputs(self._declared, self._probe, given), training=False)
        except NotBuiltError as error:
            raise DifferentiationError(not_built(self._model, self._probe, error.name)) from None
        except Reached as reached:
            tensor, axis = reached.tensor, reached.channel_axis
            if axis != tensor.shape.rank - 1:
                tensor = tensorflow.experimental.numpy.moveaxis(tensor, axis, -1)
        else:
            if layer:
                raise not_come_by(layer)
            named = self._named_outputs(outputs)
            tensor = logits.before(named[chosen_output(list(named), output)])
        if not tensor.dtype.is_floating:
            raise DifferentiationError(f"the answer holds {tensor.dtype.name}, which has no gradient")
        return tensor


@contextmanager
def _any_size(model: Any) -> Iterator[None]:
    """Functional models do not compare inputs with the sizes that were declared; their layers still do."""
    with ExitStack() as stack:
        for layer in model._flatten_layers():
            if getattr(layer, "_nested_inputs", None) is not None:
                stack.enter_context(replaced(layer, "_manual_input_spec", None))
        yield
