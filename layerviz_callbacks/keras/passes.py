"""How a Keras model is run for a reading: eagerly or compiled, and with what is needed for gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.errors import LayerVizError, ProbeError, ReadingError, is_out_of_memory
from layerviz_callbacks.keras.attention_reading import asked_of, attended_in, is_uncertain, settled
from layerviz_callbacks.keras.capture import Pass, copied_output, run_eagerly
from layerviz_callbacks.keras.compilation import CompiledPass, loops_in_python
from layerviz_callbacks.keras.gradients import explained_pass, failed_recording, unexplained
from layerviz_callbacks.keras.gradients_compiled import GradientPrograms
from layerviz_callbacks.keras.gradients_eager import ScoresAlone, TapedScores
from layerviz_callbacks.keras.gradients_points import in_half_precision, unheard_layers
from layerviz_callbacks.keras.gradients_tape import tape_of_backend
from layerviz_callbacks.keras.hearing import Heard, Listener
from layerviz_callbacks.keras.names import Node
from layerviz_callbacks.keras.recent import Recent
from layerviz_callbacks.keras.statistics import measured_output
from layerviz_callbacks.keras.structure import NotBuiltError
from layerviz_callbacks.messages import logger
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.request import Request


class Passes:
    """Runs one model on its probe, each time in the way that is cheapest and can be.

    Args:
        model: a Keras model.
        probe: the batch it is called with.
        displayed: gives the probe's inputs as they are displayed, see `fitting.displayed_inputs`.
    """

    def __init__(
        self, model: Any, probe: Probe, displayed: Callable[[Set[Any]], Mapping[str, np.ndarray]]
    ) -> None:
        self._model, self._probe, self._displayed = model, probe, displayed
        self._compiled: Recent[CompiledPass] = Recent()
        self._gradients: GradientPrograms | None = None
        self._cannot_be_traced = False

    def shapes(self, nodes: Sequence[Node]) -> Pass:
        """A pass for shapes alone.

        Args:
            nodes: the layers that are listened to.

        Raises:
            ProbeError: the model cannot be called with the probe.
            NotBuiltError: it came to a layer without weights.
        """
        on_jax = keras.backend.backend() == "jax"
        asked = asked_of(Request(), len(self._probe), None)

        def listener() -> Listener:
            return Listener(nodes, attention=asked)

        def eagerly() -> Pass:
            return run_eagerly(self._model, self._probe, nodes, listener())

        if not self._cannot_be_traced and (on_jax or _loops(nodes)):
            try:
                compiled = CompiledPass(self._model, self._probe, nodes, listener)
                passed = compiled.shapes()
                if any(is_uncertain(one) for one in passed.heard):
                    passed, _ = compiled.run()
            except (LayerVizError, NotBuiltError):
                raise
            except Exception as error:  # noqa: BLE001  whatever the model's own code raises
                return self._without_trace(eagerly, error)
            heard = {one.node for one in passed.heard}
            known = all(None not in one.shape for one in passed.heard)
            if on_jax or (known and all(node.name in heard for node in nodes if node.is_called)):
                return passed
        return eagerly()

    def run(self, request: Request, nodes: Sequence[Node], heard: Sequence[Heard] | None) -> Pass:
        """A pass with what is asked for: compiled where that is worth its trace.

        Args:
            request: what is asked for.
            nodes: the model's layers.
            heard: what the last pass heard; None: there was none.

        Raises:
            ProbeError: the model cannot be called with the probe.
            ArgumentError: a target does not fit the model or the probe.
            NotBuiltError: it came to a layer without weights.
        """
        if self._is_worth_a_trace(nodes, heard):
            try:
                return self._run_compiled(request, nodes, heard)
            except (LayerVizError, NotBuiltError):
                raise
            except Exception as error:  # noqa: BLE001
                return self._without_trace(lambda: self._run_eagerly(request, nodes, heard), error)
        return self._run_eagerly(request, nodes, heard)

    def _is_worth_a_trace(self, nodes: Sequence[Node], heard: Sequence[Heard] | None) -> bool:
        if self._cannot_be_traced:
            return False
        if keras.backend.backend() == "jax":
            return True
        return heard is not None and _loops(nodes)  # `inspect` reads once: eagerly

    def _run_compiled(self, request: Request, nodes: Sequence[Node], heard: Sequence[Heard] | None) -> Pass:
        wanted, cuts, explains = request.outputs, request.output_cuts, bool(request.targets)
        asked = asked_of(request, len(self._probe), attended_in(heard))

        statistics = request.statistics

        def listener() -> Listener:
            return Listener(nodes, wanted, cuts, model_outputs=True, attention=asked, statistics=statistics)

        def compiled() -> CompiledPass:
            return CompiledPass(self._model, self._probe, nodes, listener, with_logits=explains)

        key = (wanted, frozenset(cuts.items()), explains, asked, statistics)
        passed, answers = self._compiled.get(key, compiled).run()
        passed = replace(passed, heard=settled(passed.heard))
        _check_complete(passed, heard)
        if not explains:
            return passed
        if self._gradients is None:
            self._gradients = GradientPrograms(self._model, self._probe, nodes)
        inputs = self._displayed(passed.channels_first_inputs)
        differentiate = self._gradients.differentiating(request.gradient_samples)
        return replace(passed, explained=explained_pass(request, self._probe, inputs, answers, differentiate))

    def _run_eagerly(self, request: Request, nodes: Sequence[Node], heard: Sequence[Heard] | None) -> Pass:
        def run(explaining: TapedScores | ScoresAlone | None) -> Pass:
            listener = Listener(
                nodes, request.outputs, request.output_cuts, copied_output, model_outputs=True,
                replace=None if explaining is None else explaining.replace,
                attention=asked_of(request, len(self._probe), attended_in(heard)),
                statistics=request.statistics, measure=measured_output,
            )  # fmt: skip
            return run_eagerly(self._model, self._probe, nodes, listener, explaining)

        if not request.targets:
            return run(None)
        try:
            return run(self._explaining(request, nodes))
        except Exception as error:
            if not isinstance(error, (ProbeError, ReadingError)) and not is_out_of_memory(error):
                raise
            why = failed_recording(error)
        passed = run(None)  # or it raises, if recording is not at fault
        return replace(passed, explained=unexplained(request, why))

    def _explaining(self, request: Request, nodes: Sequence[Node]) -> TapedScores | ScoresAlone:
        if keras.backend.backend() == "jax":
            return ScoresAlone(nodes, request, self._probe, self._displayed)
        return TapedScores(
            self._model,
            request,
            tape_of_backend(),
            self._probe,
            self._displayed,
            remembering=lambda logits: logits.remembering(nodes),
            unheard=unheard_layers(nodes),
            half_precision=in_half_precision(nodes),
        )

    def _without_trace(self, run: Callable[[], Pass], error: Exception) -> Pass:
        """The same eagerly, and from now on; raises the model's own error where it fails so too."""
        passed = run()
        self._cannot_be_traced = True
        self._compiled = Recent()
        logger().info(
            "The model %r cannot be compiled, so each step runs it eagerly, which takes longer: %s: %s",
            self._model.name, type(error).__name__, str(error).strip().partition("\n")[0],
        )  # fmt: skip
        return passed


def _loops(nodes: Sequence[Node]) -> bool:
    return bool(keras.backend.backend() == "tensorflow") and loops_in_python(nodes)


def _check_complete(passed: Pass, heard: Sequence[Heard] | None) -> None:
    """Raise where a trace did not come by a layer that an eager pass heard."""
    missing = sorted({one.name for one in heard or ()} - {one.name for one in passed.heard})
    if missing:
        raise RuntimeError(f"a compiled pass does not come by {missing}")
