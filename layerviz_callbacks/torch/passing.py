"""One forward pass of the probe: what was heard in it, and what is explained of its answer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from layerviz_callbacks.errors import DifferentiationError
from layerviz_callbacks.explaining import Score, Target, score_of
from layerviz_callbacks.probe import Probe, to_numpy
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.torch.capture import Capture
from layerviz_callbacks.torch.copying import tensors_in
from layerviz_callbacks.torch.differentiable import differentiable
from layerviz_callbacks.torch.gradients import Points, read_gradients
from layerviz_callbacks.torch.layout import fixed_layout, input_axes
from layerviz_callbacks.torch.logits import Logits, LogitsFinder
from layerviz_callbacks.torch.showing import Showing

NOT_CALLED = "it is not called"
NO_HOOK = (
    "no hook hears it (TorchScript calls none, and layer.forward(x) neither; call a layer as layer(x)), so "
    "its output is no point of the graph"
)


@dataclass(frozen=True, eq=False)
class Pass:
    """What came of one forward pass.

    Attributes:
        outputs: see `Snapshot.outputs`.
        scores: see `Snapshot.scores`.
        gradients: by name of the call and target.
        unread: see `Snapshot.unread`.
    """

    outputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    scores: Mapping[Target, Score] = field(default_factory=dict)
    gradients: Mapping[str, Mapping[Target, np.ndarray]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Passage:
    """How the probe is passed through a model; call it inside `undisturbed`.

    Attributes:
        model: what is run.
        probe: what it is shown.
        showing: shows it.
        shown: the inputs as the user wants them displayed, if so.
    """

    model: nn.Module
    probe: Probe
    showing: Showing
    shown: Mapping[str, np.ndarray] | None

    def run(
        self,
        capture: Capture,
        request: Request,
        points: Points | None,
        finder: LogitsFinder | None,
        *,
        everywhere: bool = False,
    ) -> Pass:
        """Run the probe with these hooks.

        Args:
            capture: hears the layers.
            request: what is wanted.
            points: with gradients, with respect to these; None: without.
            finder: finds logits; None: the model's answers are taken as they are.
            everywhere: see `differentiable`.

        Raises:
            ArgumentError: a target does not fit the answer.
            Exception: whatever the model itself raises.
        """
        graph = nullcontext() if points is None else differentiable(self.model, everywhere=everywhere)
        with graph, capture.listening(), _no_words_about_gradients(), finder or nullcontext():
            output = self.showing()
        tensors = dict(named_outputs(output))
        outputs = {name: to_numpy(tensor) for name, tensor in tensors.items()}
        if not request.targets:
            return Pass(outputs)
        return self._explained(capture, request, points, finder, tensors, outputs)

    def _explained(
        self,
        capture: Capture,
        request: Request,
        points: Points | None,
        finder: LogitsFinder | None,
        tensors: Mapping[str, torch.Tensor],
        outputs: Mapping[str, np.ndarray],
    ) -> Pass:
        find = Logits.of if finder is None else finder.logits_of
        logits = {name: find(tensor) for name, tensor in tensors.items()}
        numbers = {name: to_numpy(one.values) for name, one in logits.items()}
        _, inputs = self.inputs(capture)
        answered = Snapshot({}, self.probe, inputs, numbers)
        scores: dict[Target, Score] = {}
        unread: dict[str, str] = {}
        for target in request.targets:
            try:
                scores[target] = score_of(target, answered)
            except DifferentiationError as error:
                unread[f"the score of {target}"] = str(error)
        if points is None:
            return Pass(outputs, scores, {}, unread)
        gradients, missing = read_gradients(points, logits, scores, request)
        for name in sorted(points.wanted) if scores else []:
            if not points.keys(name):
                missing[f"gradients of {name}"] = NO_HOOK if name in capture.heard else NOT_CALLED
        return Pass(outputs, scores, gradients, {**unread, **missing})

    def inputs(self, capture: Capture | None) -> tuple[dict[str, tuple[int, ...]], dict[str, np.ndarray]]:
        """See `Snapshot.input_axes` and `Snapshot.inputs`."""
        first = None if capture is None else capture.first
        layout = None if first is None else fixed_layout(first.module)
        rank = None if first is None or first.given is None else len(first.given)
        arrays = self.probe.arrays
        axes = {name: input_axes(array.ndim, layout, rank) for name, array in arrays.items()}
        moved = {name: np.ascontiguousarray(array.transpose(axes[name])) for name, array in arrays.items()}
        return axes, {**moved, **(self.shown or {})}


@contextmanager
def _no_words_about_gradients() -> Iterator[None]:
    """Checkpointed blocks warn where they are run without gradients, as they are here on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="None of the inputs have requires_grad=True")
        yield


def named_outputs(output: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """A single output is "output", several are "output 1", "output 2"; named ones keep their names."""
    parts = list(tensors_in(output))
    for place, (path, tensor) in enumerate(parts, start=1):
        if hasattr(output, "keys"):
            yield path, tensor
        else:
            yield ("output" if len(parts) == 1 else f"output {place}"), tensor
