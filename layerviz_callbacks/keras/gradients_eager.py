"""Scores and gradients beside a pass that is run eagerly: on TensorFlow and PyTorch of that same pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from layerviz_callbacks.errors import is_out_of_memory
from layerviz_callbacks.explaining import Score
from layerviz_callbacks.keras.gradients import (
    Differentiated,
    Explained,
    explained_pass,
    scaled,
    wanted_layers,
    without_gradients,
)
from layerviz_callbacks.keras.gradients_points import Points, gradient_arrays, sorted_out
from layerviz_callbacks.keras.gradients_tape import Tape
from layerviz_callbacks.keras.hearing import Heard
from layerviz_callbacks.keras.kernels import copied
from layerviz_callbacks.keras.logits import Logits
from layerviz_callbacks.keras.names import Node
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request


class TapedScores:
    """Records one pass for the scores that are asked for, and differentiates them.

    Args:
        model: the model that is run.
        request: what is asked for.
        tape: records.
        probe: the batch that is shown.
        displayed: gives the probe's inputs as they are displayed, see `fitting.displayed_inputs`.
        remembering: gives the scope in which logits are remembered.
        unheard: why some layers are never heard, by name.
        half_precision: layers compute in float16.
    """

    def __init__(
        self,
        model: Any,
        request: Request,
        tape: Tape,
        probe: Probe,
        displayed: Callable[[Set[Any]], Mapping[str, np.ndarray]],
        *,
        remembering: Callable[[Logits], AbstractContextManager[None]],
        unheard: Mapping[str, str],
        half_precision: bool,
    ) -> None:
        self._model, self._request, self._tape = model, request, tape
        self._probe, self._displayed = probe, displayed
        self._remembering, self._unheard, self._half_precision = remembering, unheard, half_precision
        self._logits = Logits()
        self._points = Points(wanted_layers(request), lambda _, tensor: tape.point(tensor), self._logits)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the pass that is run inside; `replace` must be its Listener's."""
        with self._tape.recording(self._model), self._remembering(self._logits):
            yield

    def replace(self, heard: Heard, tensor: Any, channel_axis: int) -> Any:
        """See `Listener`."""
        return self._points.replace(heard, tensor, channel_axis)

    def explained(self, outputs: Mapping[str, Any], channels_first_inputs: Set[Any]) -> Explained:
        """What was found, of a pass that has been recorded.

        Args:
            outputs: the model's own outputs, as tensors.
            channels_first_inputs: see `Listener`.

        Raises:
            ArgumentError: a target does not fit the model or the probe.
        """
        logits = {name: self._logits.before(tensor) for name, tensor in outputs.items()}

        def differentiate(score: Score, names: frozenset[str]) -> Differentiated:
            missing = self._points.missing(names, self._unheard)
            points = self._points.of(names)
            answer = logits[score.output]

            def run(weights: np.ndarray) -> list[np.ndarray | None]:
                tensors = [point.tensor for point in points.values()]
                found = self._tape.gradients(answer, weights, tensors)
                return gradient_arrays(found, list(points.values()), self._request.gradient_samples)

            try:
                arrays = scaled(run, np.asarray(score.weights), half_precision=self._half_precision)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                found, failed = without_gradients(points, error)
            else:
                found, failed = sorted_out(points, arrays)
            return found, {**missing, **failed}

        answers = {name: copied(tensor) for name, tensor in logits.items()}
        inputs = self._displayed(channels_first_inputs)
        return explained_pass(self._request, self._probe, inputs, answers, differentiate)


class ScoresAlone:
    """Scores of a pass on JAX that could not be traced: what cannot be traced has no gradient there.

    Args:
        nodes: the layers of the model.
        request: what is asked for.
        probe: the batch that is shown.
        displayed: gives the probe's inputs as they are displayed.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        request: Request,
        probe: Probe,
        displayed: Callable[[Set[Any]], Mapping[str, np.ndarray]],
    ) -> None:
        self._nodes, self._request, self._probe, self._displayed = nodes, request, probe, displayed
        self._logits = Logits()
        self.replace = None  # nothing takes the place of an output

    def recording(self) -> AbstractContextManager[None]:
        """Remember logits of the pass that is run inside."""
        return self._logits.remembering(self._nodes)

    def explained(self, outputs: Mapping[str, Any], channels_first_inputs: Set[Any]) -> Explained:
        """See `TapedScores.explained`."""

        def differentiate(score: Score, names: frozenset[str]) -> Differentiated:
            return {}, dict.fromkeys(sorted(names), "JAX differentiates only what it can trace")

        answers = {name: copied(self._logits.before(tensor)) for name, tensor in outputs.items()}
        inputs = self._displayed(channels_first_inputs)
        return explained_pass(self._request, self._probe, inputs, answers, differentiate)
