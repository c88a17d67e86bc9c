"""Remembers what went into softmax and sigmoid, so that a score can be taken before the last of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras.src import backend as keras_backend

from layerviz_callbacks.keras.names import Node
from layerviz_callbacks.keras.structure import replaced

_ATTRIBUTES = ("_layerviz_logits", "_keras_logits")
_ARGUMENTS = ("x", "logits", "input", "features")


class Logits:
    """Remembers, for the length of a pass, from which tensor each softmax and each sigmoid was made.

    They are heard where every way of writing one ends: in the functions of Keras' backend (layers with
    `activation=`, `Softmax`, `Activation`, `keras.ops`), and in those of the framework itself. An output
    that was made of one, and changed after, is another output: of that nothing is known.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[Any, Any]] = []  # of tensors that take no attributes

    @contextmanager
    def remembering(self, nodes: Sequence[Node] = ()) -> Iterator[None]:
        """Listen; `nodes` are the model's layers."""
        with ExitStack() as stack:
            stack.enter_context(self._patched(keras_backend.nn, "softmax"))
            stack.enter_context(self._patched(keras_backend.nn, "sigmoid"))
            backend = keras.backend.backend()
            if backend == "tensorflow":
                stack.enter_context(tensorflow_remembered(self))
            elif backend == "jax":
                import jax

                stack.enter_context(self._patched(jax.nn, "softmax"))
                stack.enter_context(self._patched(jax.nn, "sigmoid"))
            elif backend == "torch":
                from layerviz_callbacks.keras.logits_torch import SoftmaxMode

                stack.enter_context(SoftmaxMode(self.remember))
            for node in nodes:
                if node.is_called and isinstance(node.layer, keras.layers.TimeDistributed):
                    stack.enter_context(self._over_time(node.layer))
            yield

    def remember(self, output: Any, logits: Any) -> None:
        """An output was made of these logits."""
        if not _are_alike(output, logits):
            return
        try:
            setattr(output, _ATTRIBUTES[0], logits)  # lives as long as the output
        except AttributeError:
            self._kept.append((output, logits))

    def found(self, output: Any) -> Any:
        """The logits that an output was made of; None where it was made in another way."""
        for attribute in _ATTRIBUTES:
            logits = getattr(output, attribute, None)
            if logits is not None and _are_alike(output, logits):
                return logits
        return next((logits for kept, logits in self._kept if kept is output), None)

    def before(self, output: Any) -> Any:
        """The logits that an output was made of; itself where it was made in another way."""
        logits = self.found(output)
        return output if logits is None else logits

    def carry(self, old: Any, new: Any) -> None:
        """Another tensor takes the place of an output."""
        logits = self.found(old)
        if logits is not None:
            self.remember(new, logits)

    def patched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose results are remembered."""

        @functools.wraps(function)
        def remembered(*arguments: Any, **keywords: Any) -> Any:
            output = function(*arguments, **keywords)
            named = [keywords[name] for name in _ARGUMENTS if name in keywords]
            if arguments or named:
                self.remember(output, (*arguments, *named)[0])
            return output

        return remembered

    def _patched(self, module: Any, name: str) -> AbstractContextManager[None]:
        return replaced(module, name, self.patched(getattr(module, name)))

    @contextmanager
    def _over_time(self, wrapper: Any) -> Iterator[None]:
        """A layer that is run once a time step: its softmax over all steps."""
        step_call, whole_call = wrapper.layer.call, wrapper.call
        steps: list[Any] = []

        @functools.wraps(step_call)
        def step(*arguments: Any, **keywords: Any) -> Any:
            output = step_call(*arguments, **keywords)
            steps.append(self.found(output))
            return output

        @functools.wraps(whole_call)
        def whole(*arguments: Any, **keywords: Any) -> Any:
            steps.clear()
            output = whole_call(*arguments, **keywords)
            if steps and all(one is not None for one in steps):
                self.remember(output, keras.ops.stack(steps, axis=1))
            steps.clear()
            return output

        with replaced(wrapper.layer, "call", step), replaced(wrapper, "call", whole):
            yield


def _are_alike(output: Any, logits: Any) -> bool:
    """Whether these are tensors of one shape; sizes that are not known yet count as others."""
    if isinstance(logits, np.ndarray) or not hasattr(output, "shape") or not hasattr(logits, "shape"):
        return False
    return str(output.shape) == str(logits.shape)


@contextmanager
def tensorflow_remembered(logits: Any) -> Iterator[None]:
    """Listen to TensorFlow's own functions: that of the operation, and that which may move its axes.

    Args:
        logits: has `patched`, see `Logits`.
    """
    import tensorflow
    from tensorflow.python.ops import gen_math_ops, gen_nn_ops

    places = [(gen_nn_ops, "softmax"), (gen_math_ops, "sigmoid"), (tensorflow.nn, "softmax")]
    with ExitStack() as stack:
        for module, name in places:
            stack.enter_context(replaced(module, name, logits.patched(getattr(module, name))))
        yield
