"""Runs the model on the probe once, eagerly, inside an isolation, and hears its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from layerviz_callbacks.cut import OutputCut
from layerviz_callbacks.errors import is_out_of_memory
from layerviz_callbacks.keras.cutting import Tensors, output_tensors
from layerviz_callbacks.keras.fitting import check_fits, failed_pass, model_inputs
from layerviz_callbacks.keras.gradients import Explained
from layerviz_callbacks.keras.hearing import Heard, Listener, complete
from layerviz_callbacks.keras.hosted import cut_output_view, view_of
from layerviz_callbacks.keras.isolation import isolated
from layerviz_callbacks.keras.kernels import copied
from layerviz_callbacks.keras.names import Node
from layerviz_callbacks.keras.structure import NotBuiltError, nothing_built, parts_of
from layerviz_callbacks.probe import Probe


@dataclass(frozen=True, eq=False)
class Pass:
    """What one forward pass gave.

    Attributes:
        heard: what each layer answered, copied.
        outputs: the model's own outputs by name, copied; empty where no outputs were wanted.
        channels_first_inputs: see `Listener`.
        explained: scores and gradients, where these were asked for.
    """

    heard: list[Heard]
    outputs: dict[str, np.ndarray]
    channels_first_inputs: set[tuple[int, ...]]
    explained: Explained = field(default_factory=Explained)


class Explaining(Protocol):
    """Finds scores and gradients beside a pass."""

    def recording(self) -> AbstractContextManager[None]:
        """Stands around the pass."""

    def explained(self, outputs: Mapping[str, Any], channels_first_inputs: Set[Any]) -> Explained:
        """What was found, once the model has given these outputs."""


def run_eagerly(
    model: Any,
    probe: Probe,
    nodes: Sequence[Node],
    listener: Listener,
    explaining: Explaining | None = None,
) -> Pass:
    """Run the model once.

    Args:
        model: the model.
        probe: the batch it is called with.
        nodes: its layers.
        listener: hears them.
        explaining: finds scores and gradients; the listener must want the model's outputs then.

    Raises:
        ArgumentError: a target does not fit the model or the probe.
        ProbeError: the model cannot be called with the probe.
        ReadingError: it fails in evaluation mode only.
        NotBuiltError: it came to a layer without weights.
    """
    check_fits(model, probe)
    recording = nullcontext() if explaining is None else explaining.recording()
    with isolated(model), nothing_built(model):
        with recording, listener.listening():
            try:
                output = model(model_inputs(model, probe), training=False)
            except NotBuiltError:
                raise
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                raise failed_pass(model, model, probe, error) from error
        outputs = named_outputs(model, nodes, output) if listener.wants_outputs else {}
        return Pass(
            heard=[complete(one, one.tensors) for one in listener.heard],
            outputs={name: copied(tensor) for name, tensor in outputs.items()},
            channels_first_inputs=listener.channels_first_inputs,
            explained=Explained()
            if explaining is None
            else explaining.explained(outputs, listener.channels_first_inputs),
        )


def copied_output(tensor: Any, cut: OutputCut | None, *, channel_axis: int) -> Mapping[str, np.ndarray]:
    """What `cutting.output_tensors` gives, copied at once: on PyTorch a later layer may change it."""
    view = view_of(tensor)
    if view is not None:
        return cut_output_view(view, cut, channel_axis=channel_axis)
    return copied_tensors(output_tensors(tensor, cut, channel_axis=channel_axis))


def copied_tensors(tensors: Tensors) -> Mapping[str, np.ndarray]:
    """Copies of tensors by name."""
    return {name: copied(tensor) for name, tensor in tensors.items()}


def named_outputs(model: Any, nodes: Sequence[Node], output: Any) -> dict[str, Any]:
    """The tensors that the model gave: "output", or by the layers that made them, or "output 1", ..."""
    parts = parts_of(output)
    if len(parts) == 1 and not isinstance(output, dict):
        return {"output": parts[0][1]}
    names = _output_names(model, nodes, len(parts)) if isinstance(output, (list, tuple)) else None
    return {names[place] if names else path: tensor for place, (path, tensor) in enumerate(parts)}


def _output_names(model: Any, nodes: Sequence[Node], count: int) -> list[str]:
    """The layers that make the outputs of a Functional model; else "output 1", "output 2"."""
    names = {id(node.layer): node.name for node in nodes}
    tensors = getattr(model, "outputs", None) or []
    made_by = [names.get(id(tensor._keras_history.operation), "") for tensor in tensors]
    if len(made_by) == count and all(made_by) and len(set(made_by)) == count:
        return made_by
    return [f"output {place}" for place in range(1, count + 1)]
