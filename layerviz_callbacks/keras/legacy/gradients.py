"""Scores and gradients beside a pass of a Keras 2 model, on a tape."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import tensorflow
import tf_keras

from layerviz_callbacks.keras.gradients_eager import TapedScores
from layerviz_callbacks.keras.gradients_tape import TensorflowTape
from layerviz_callbacks.keras.legacy.names import Node
from layerviz_callbacks.keras.logits import Logits, tensorflow_remembered
from layerviz_callbacks.keras.structure import replaced
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request


def taped_scores(
    model: Any,
    nodes: Sequence[Node],
    request: Request,
    probe: Probe,
    displayed: Callable[[Set[Any]], Mapping[str, np.ndarray]],
) -> TapedScores:
    """What finds the scores that are asked for, and their gradients.

    Args:
        model: the model that is run.
        nodes: its layers.
        request: what is asked for.
        probe: the batch that is shown.
        displayed: gives the probe's inputs as they are displayed.
    """
    steps = "it runs once a time step of the layer it stands in"
    return TapedScores(
        model,
        request,
        TensorflowTape(),
        probe,
        displayed,
        remembering=lambda logits: remembering(logits, nodes),
        unheard={node.name: steps for node in nodes if node.per_step},
        half_precision=in_half_precision(nodes),
    )


@contextmanager
def remembering(logits: Logits, nodes: Sequence[Node]) -> Iterator[None]:
    """Remember what went into softmax and sigmoid, also where that is done at each time step."""
    with ExitStack() as stack:
        stack.enter_context(tensorflow_remembered(logits))
        for node in nodes:
            if isinstance(node.layer, tf_keras.layers.TimeDistributed) and not node.per_step:
                stack.enter_context(_over_time(logits, node.layer))
        yield


def in_half_precision(nodes: Sequence[Node]) -> bool:
    """Whether layers compute in float16, in which small gradients are lost."""
    return any(getattr(node.layer, "compute_dtype", "") == "float16" for node in nodes)


@contextmanager
def _over_time(logits: Logits, wrapper: Any) -> Iterator[None]:
    """It calls its layer once, on the steps of all samples."""
    inner_call, whole_call = wrapper.layer.call, wrapper.call
    found: list[Any] = []

    @functools.wraps(inner_call)
    def inner(*arguments: Any, **keywords: Any) -> Any:
        output = inner_call(*arguments, **keywords)
        found.append(logits.found(output))
        return output

    @functools.wraps(whole_call)
    def whole(*arguments: Any, **keywords: Any) -> Any:
        found.clear()
        output = whole_call(*arguments, **keywords)
        if len(found) == 1 and found[0] is not None:
            logits.remember(output, tensorflow.reshape(found[0], output.shape))
        found.clear()
        return output

    with replaced(wrapper.layer, "call", inner), replaced(wrapper, "call", whole):
        yield
