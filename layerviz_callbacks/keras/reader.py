"""Reads a Keras model into Snapshots and leaves it as it was."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.errors import ArgumentError, LayerVizError
from layerviz_callbacks.keras.assembly import layers_of, wanted_kernels
from layerviz_callbacks.keras.capture import Pass, copied_output, run_eagerly
from layerviz_callbacks.keras.compilation import CompiledPass, loops_in_python
from layerviz_callbacks.keras.fitting import displayed_inputs, not_built
from layerviz_callbacks.keras.hearing import Heard, Listener
from layerviz_callbacks.keras.kernel_reading import KernelReader
from layerviz_callbacks.keras.names import Node, walk
from layerviz_callbacks.keras.recent import Recent
from layerviz_callbacks.keras.structure import NotBuiltError
from layerviz_callbacks.messages import logger
from layerviz_callbacks.probe import Probe
from layerviz_callbacks.reader import LayerEntry
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Layer, Snapshot


class KerasReader:
    """Reads one Keras 3 model: Sequential, Functional or subclassed, nested or with shared layers.

    The model itself is run once on the probe with `training=False`, while each layer object is listened
    to; everything the run could change is kept away or put back. It is run eagerly where that is cheap;
    where layers loop in Python (recurrent layers on TensorFlow) and on JAX the pass is compiled, once for
    each distinct request, and falls back to an eager one where the model cannot be traced.

    Args:
        model: a `keras.Model`.
        probe: the batch it is called with.

    Raises:
        ArgumentError: `model` is not a Keras model.
    """

    def __init__(self, model: Any, probe: Probe) -> None:
        if not isinstance(model, keras.Model):
            raise ArgumentError(
                f"The model is a {type(model).__module__}.{type(model).__qualname__}. Allowed: a keras.Model."
            )
        self.model = model
        self.probe = probe
        self._heard: list[Heard] | None = None  # shapes of the last pass
        self._channels_first_inputs: set[tuple[int, ...]] = set()
        self._passes: Recent[CompiledPass] = Recent()
        self._kernels = KernelReader()
        self._cannot_be_traced = False

    def entries(self) -> list[LayerEntry]:
        """Every layer of the model, in the model's order, without running it."""
        return [
            LayerEntry(node.name, node.layer, bool(node.kernels), container=node.is_container)
            for node in self._nodes
        ]

    def unbuilt(self) -> str:
        """The name of a layer whose weights are not made yet and that the probe would need; else "".

        Raises:
            ProbeError: the model cannot be called with the probe.
        """
        if all(layer.built for layer in self.model._flatten_layers()):
            return ""
        try:
            self._shapes([])
        except NotBuiltError as error:
            return error.name
        return ""

    def check_built(self) -> None:
        """Raise `ArgumentError`, with what to type, where the model's weights are not made yet."""
        name = self.unbuilt()
        if name:
            raise ArgumentError(not_built(self.model, self.probe, name))

    def read(self, request: Request) -> Snapshot:
        """Run the probe once (for outputs, or for shapes not known yet) and copy what was asked for.

        Raises:
            ProbeError: the model cannot be called with the probe.
            ArgumentError: the model's weights are not made yet.
        """
        _synchronize(self.model)
        outputs: dict[str, np.ndarray] = {}
        heard = self._heard
        if request.runs_model or heard is None:
            try:
                passed = self._pass(request) if request.runs_model else self._shapes(self._nodes)
            except NotBuiltError as error:
                raise ArgumentError(not_built(self.model, self.probe, error.name)) from None
            heard, outputs = passed.heard, passed.outputs
            self._channels_first_inputs = passed.channels_first_inputs
            self._heard = [one.without_arrays() for one in heard]
        kernels = self._kernels.read(wanted_kernels(self._nodes, request), request.kernel_cuts)
        by_node: dict[str, list[Heard]] = {}
        for one in heard:
            by_node.setdefault(one.node, []).append(one)
        layers: dict[str, Layer] = {}
        for place, node in enumerate(self._nodes, start=1):
            for layer in layers_of(node, place, by_node.get(node.name, []), request, kernels):
                layers[layer.name] = layer
        return Snapshot(
            layers=layers,
            probe=self.probe,
            inputs=displayed_inputs(self.probe, self._channels_first_inputs),
            outputs=outputs,
        )

    @cached_property
    def _nodes(self) -> list[Node]:
        return walk(self.model)

    def _shapes(self, nodes: list[Node]) -> Pass:
        """A pass for shapes alone."""
        on_jax = keras.backend.backend() == "jax"
        if not self._cannot_be_traced and (on_jax or self._loops(nodes)):
            try:
                passed = CompiledPass(self.model, self.probe, nodes, lambda: Listener(nodes)).shapes()
            except (LayerVizError, NotBuiltError):
                raise
            except Exception as error:  # noqa: BLE001  whatever the model's own code raises
                return self._without_trace(Listener(nodes), error)
            heard = {one.node for one in passed.heard}
            known = all(None not in one.shape for one in passed.heard)
            if on_jax or (known and all(node.name in heard for node in nodes if node.is_called)):
                return passed
        return run_eagerly(self.model, self.probe, nodes, Listener(nodes))

    def _pass(self, request: Request) -> Pass:
        """A pass with outputs: compiled where that is worth its trace."""
        wanted, cuts = request.outputs, request.output_cuts
        if self._is_worth_a_trace():
            key = (wanted, frozenset(cuts.items()))
            try:
                compiled = self._passes.get(key, lambda: self._compiled(wanted, cuts))
                passed = compiled.run()
                self._check_complete(passed)
                return passed
            except (LayerVizError, NotBuiltError):
                raise
            except Exception as error:  # noqa: BLE001
                return self._without_trace(
                    Listener(self._nodes, wanted, cuts, copied_output, model_outputs=True), error
                )
        listener = Listener(self._nodes, wanted, cuts, copied_output, model_outputs=True)
        return run_eagerly(self.model, self.probe, self._nodes, listener)

    def _is_worth_a_trace(self) -> bool:
        if self._cannot_be_traced:
            return False
        if keras.backend.backend() == "jax":
            return True
        return self._heard is not None and self._loops(self._nodes)  # `inspect` reads once: eagerly

    def _loops(self, nodes: list[Node]) -> bool:
        return bool(keras.backend.backend() == "tensorflow") and loops_in_python(nodes)

    def _compiled(self, wanted: frozenset[str], cuts: Any) -> CompiledPass:
        def listener() -> Listener:
            return Listener(self._nodes, wanted, cuts, model_outputs=True)

        return CompiledPass(self.model, self.probe, self._nodes, listener)

    def _check_complete(self, passed: Pass) -> None:
        """Raise where a trace did not come by a layer that an eager pass heard."""
        if self._heard is None:
            return
        missing = sorted({one.name for one in self._heard} - {one.name for one in passed.heard})
        if missing:
            raise RuntimeError(f"a compiled pass does not come by {missing}")

    def _without_trace(self, listener: Listener, error: Exception) -> Pass:
        """The same eagerly, and from now on; raises the model's own error where it fails so too."""
        passed = run_eagerly(self.model, self.probe, self._nodes, listener)
        self._cannot_be_traced = True
        self._passes = Recent()
        logger().info(
            "The model %r cannot be compiled, so each step runs it eagerly, which takes longer: %s: %s",
            self.model.name, type(error).__name__, str(error).strip().partition("\n")[0],
        )  # fmt: skip
        return passed


def _synchronize(model: Any) -> None:
    """On JAX, training holds the weights outside the model; this brings them in. Elsewhere nothing to do."""
    if keras.backend.backend() == "jax" and hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
