"""Compiled passes: traced once for each distinct request, then run as often as a reader lives.

Worth their trace where layers loop in Python (recurrent layers on TensorFlow), and always on JAX, where
each operation that is run by itself is compiled by itself. Nothing comes out of a compiled pass but what is
wanted: outputs are cut inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.keras.capture import Pass, copied_tensors, named_outputs
from layerviz_callbacks.keras.fitting import check_fits, model_inputs
from layerviz_callbacks.keras.hearing import Heard, Listener, complete
from layerviz_callbacks.keras.isolation import fixed_seeds, isolated
from layerviz_callbacks.keras.kernels import copied
from layerviz_callbacks.keras.logits import Logits
from layerviz_callbacks.keras.names import Node
from layerviz_callbacks.keras.structure import nothing_built
from layerviz_callbacks.probe import Probe


@dataclass
class _Trace:
    """What was learnt while a pass was traced, and holds for each run of it.

    Attributes:
        heard: what each layer answered.
        names: those of the model's own outputs.
        before: those of them that were made by a softmax or sigmoid.
        channels_first_inputs: see `Listener`.
    """

    heard: list[Heard] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    channels_first_inputs: set[tuple[int, ...]] = field(default_factory=set)


class CompiledPass:
    """A forward pass on the probe, compiled by `tf.function` or `jax.jit` when it is made.

    The variables' values are read anew at each run; what the pass would write is dropped.

    Args:
        model: a Keras model, on TensorFlow or JAX.
        probe: the batch it is called with.
        nodes: its layers.
        listener: makes a new Listener; called for each trace.
        with_logits: what the model's own outputs were made of is wanted, too.

    Raises:
        Exception: the model cannot be traced, for whatever reason its code has.
    """

    def __init__(
        self,
        model: Any,
        probe: Probe,
        nodes: Sequence[Node],
        listener: Callable[[], Listener],
        *,
        with_logits: bool = False,
    ) -> None:
        check_fits(model, probe)
        self._with_logits = with_logits
        self._model, self._nodes, self._listener = model, nodes, listener
        self._structure = model_inputs(model, probe)
        self._inputs = keras.tree.flatten(self._structure)
        self._trace = _Trace()
        on_jax = keras.backend.backend() == "jax"
        self._run = self._jax_program() if on_jax else self._tensorflow_program()

    def run(self) -> tuple[Pass, dict[str, np.ndarray]]:
        """Run the pass.

        Returns:
            The pass; and where they are wanted, its outputs before their last softmax or sigmoid.

        Raises:
            Exception: whatever the model raises.
        """
        with isolated(self._model):
            tensors, outputs, logits = self._run()
            trace = self._trace
            arrays = [copied_tensors(one) for one in tensors]
            copies = dict(zip(trace.names, [copied(one) for one in outputs], strict=True))
            before = dict(zip(trace.before, [copied(one) for one in logits], strict=True))
        passed = Pass(
            heard=[complete(one, kept) for one, kept in zip(trace.heard, arrays, strict=True)],
            outputs=copies,
            channels_first_inputs=trace.channels_first_inputs,
        )
        return passed, {**copies, **before}

    def shapes(self) -> Pass:
        """The same without values, found without running anything."""
        if keras.backend.backend() == "jax":
            import jax

            with isolated(self._model):
                jax.eval_shape(self._pass_of_values, self._values(), self._inputs)
        return Pass(self._trace.heard, {}, self._trace.channels_first_inputs)

    def _pass(self, inputs: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """The pass itself, traced: tensors of each `Heard`, the model's own outputs, and logits of these."""
        listener, memory = self._listener(), Logits()
        remembering = memory.remembering(self._nodes) if self._with_logits else nullcontext()
        with nothing_built(self._model), remembering, listener.listening():
            given = keras.tree.pack_sequence_as(self._structure, list(inputs))
            output = self._model(given, training=False)
        outputs = named_outputs(self._model, self._nodes, output) if listener.wants_outputs else {}
        tensors = [one.tensors for one in listener.heard]
        logits = {name: memory.found(tensor) for name, tensor in outputs.items()} if self._with_logits else {}
        logits = {name: tensor for name, tensor in logits.items() if tensor is not None}
        self._trace = _Trace(
            [complete(one, {}) for one in listener.heard],
            list(outputs),
            list(logits),
            listener.channels_first_inputs,
        )
        return tensors, list(outputs.values()), list(logits.values())

    def _tensorflow_program(self) -> Callable[[], Any]:
        import tensorflow

        inputs = [tensorflow.constant(array) for array in self._inputs]
        specs = [tensorflow.TensorSpec.from_tensor(tensor) for tensor in inputs]
        with isolated(self._model):
            function = tensorflow.function(lambda *given: self._pass(given), autograph=False)
            program = function.get_concrete_function(*specs)
        return lambda: program(*inputs)

    def _jax_program(self) -> Callable[[], Any]:
        import jax

        compiled = jax.jit(self._pass_of_values)
        return lambda: compiled(self._values(), self._inputs)

    def _values(self) -> list[Any]:
        return [variable.value for variable in self._model.variables]

    def _pass_of_values(
        self, values: Sequence[Any], inputs: Sequence[Any]
    ) -> tuple[list[Any], list[Any], list[Any]]:
        mapping = [*zip(self._model.variables, values, strict=True), *fixed_seeds(self._model)]
        with keras.StatelessScope(state_mapping=mapping):
            return self._pass(inputs)


def loops_in_python(nodes: Sequence[Node]) -> bool:
    """Whether an eager pass would step through a cell in Python, once a time step."""
    from layerviz_callbacks.keras.kernels import is_recurrent

    return any(node.is_called and is_recurrent(node.layer) for node in nodes)
