"""Gradients of scores with respect to the outputs of layers, by one backward pass a score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from layerviz_callbacks.errors import DifferentiationError, is_out_of_memory
from layerviz_callbacks.explaining import Score, Target
from layerviz_callbacks.request import Request
from layerviz_callbacks.torch.copying import has_values, parts_of, plain_tensor, tensors_in, to_float32
from layerviz_callbacks.torch.logits import Logits
from layerviz_callbacks.torch.replacing import replaced

INDEPENDENT = (
    "the score, which is taken before the last softmax or sigmoid, does not depend on its output, or not in "
    "a way that can be differentiated"
)
NO_FLOATS = "its output is no tensor of floating-point numbers"


@dataclass(frozen=True, eq=False)
class _Point:
    """Where an output stands in the graph, and how its gradient comes to be laid out like `Layer.output`."""

    edge: GradientEdge
    axes: tuple[int, ...]
    packed: PackedSequence | None

    def shown(self, gradient: torch.Tensor, samples: int | None) -> np.ndarray:
        if self.packed is not None:
            gradient = pad_packed_sequence(self.packed._replace(data=gradient), batch_first=True)[0]
        return to_float32(plain_tensor(gradient).permute(self.axes)[:samples])


class Points:
    """Makes the outputs of layers points of the graph, with respect to which it is differentiated.

    Each output is passed on as a copy, so that an operation in place on it does not move the point, and a
    layer that gives back what it was given (dropout, identity) has a point of its own. Where there is no
    graph yet (a frozen model, inputs of whole numbers), it starts there.

    Args:
        wanted: the names of the layers.

    Attributes:
        refusals: by name, why an output is no point.
        without_graph: the names of the layers that the model itself runs in `torch.no_grad()`.
    """

    def __init__(self, wanted: frozenset[str]) -> None:
        self.wanted = wanted
        self.refusals: dict[str, str] = {}
        self.without_graph: set[str] = set()
        self._points: dict[str, _Point] = {}

    def pass_on(self, name: str, output: Any, axes: tuple[int, ...] | None) -> Any:
        """What a layer's hook gives back instead of its output.

        Args:
            name: of the first output of this call.
            output: all that the layer gives back.
            axes: which order of axes makes the first output `(sample, *space, channel)`; None: unknown.
        """
        path, tensor = next(((path, one) for path, one in tensors_in(output) if has_values(one)), ("", None))
        if tensor is None or axes is None or not tensor.is_floating_point():
            self.refusals[name] = NO_FLOATS
            return output

        if not torch.is_grad_enabled():
            self.without_graph.add(name.partition("#")[0])

        def passed_on(given: torch.Tensor) -> torch.Tensor:
            own = given.clone() if given.is_inference() else given
            passed = (own if own.requires_grad else own.detach().requires_grad_()).clone()
            packed = _packed_at(output, path)
            self._points[name] = _Point(get_gradient_edge(passed), axes, packed)
            return passed

        try:
            with torch.inference_mode(False), torch.enable_grad():
                return replaced(output, {path: passed_on})
        except Exception as error:  # noqa: BLE001  one odd output must not stop the others
            self._points.pop(name, None)
            self.refusals[name] = f"its output cannot be differentiated ({type(error).__name__}: {error})"
            return output

    def gradients(
        self, logits: Logits, weights: np.ndarray, names: frozenset[str], *, samples: int | None
    ) -> dict[str, np.ndarray]:
        """The gradient of `sum(weights * logits)` with respect to each call's output; the graph is kept.

        Args:
            logits: of the output that the score is of.
            weights: in its layout.
            names: of the layers.
            samples: of the first so many samples; None: of all.

        Raises:
            DifferentiationError: there is no graph, or the model has operations without a gradient.
        """
        points = {key: point for key, point in self._points.items() if key.partition("#")[0] in names}
        if not points:
            return {}
        outputs, given = logits.weighted(torch.from_numpy(weights))
        try:
            found = torch.autograd.grad(
                outputs, [point.edge for point in points.values()], given,
                retain_graph=True, allow_unused=True,
            )  # fmt: skip
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise DifferentiationError(f"the backward pass failed: {error}") from error
        return {
            key: point.shown(gradient, samples)
            for (key, point), gradient in zip(points.items(), found, strict=True)
            if gradient is not None
        }

    def keys(self, name: str) -> list[str]:
        """The names of the calls of a layer that were heard, points or not."""
        return [key for key in [*self._points, *self.refusals] if key.partition("#")[0] == name]


def read_gradients(
    points: Points, logits: Mapping[str, Logits], scores: Mapping[Target, Score], request: Request
) -> tuple[dict[str, dict[Target, np.ndarray]], dict[str, str]]:
    """The gradients that were asked for, by name of the call and target, and why there is none of others."""
    gradients: dict[str, dict[Target, np.ndarray]] = {}
    unread: dict[str, str] = {}
    for target, names in request.gradients.items():
        score = scores.get(target)
        if score is None or score.weights is None:
            continue
        found, missing = {}, INDEPENDENT
        try:
            found = points.gradients(
                logits[score.output], score.weights, names, samples=request.gradient_samples
            )
        except DifferentiationError as error:
            missing = str(error)
        for key, gradient in found.items():
            gradients.setdefault(key, {})[target] = gradient
        for name in sorted(names):
            for key in points.keys(name):
                if key not in found:
                    unread[f"gradients of {key}"] = points.refusals.get(key, missing)
    return gradients, unread


def _packed_at(value: Any, path: str) -> PackedSequence | None:
    if isinstance(value, PackedSequence):
        return value if path == "" else None
    for key, part in parts_of(value):
        start, _, rest = path.partition(".")
        if str(key) == start and not isinstance(part, torch.Tensor):
            return _packed_at(part, rest)
    return None
