"""Gradients on PyTorch, by `torch.autograd.grad`: no parameter's `.grad` is touched."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import torch

from layerviz_callbacks.keras.isolation import fixed_seeds


class TorchTape:
    """The graph that PyTorch itself records; see `gradients_tape.Tape`."""

    @contextmanager
    def recording(self, model: Any) -> Iterator[None]:
        """Record what this model does with the points, and nothing for its parameters' sake."""
        values = [(variable, variable.value.detach()) for variable in model.variables]
        with (
            keras.StatelessScope(state_mapping=[*values, *fixed_seeds(model)]),
            torch.inference_mode(mode=False),
            torch.enable_grad(),
            warnings.catch_warnings(),
        ):  # a layer that looks at values in Python does so all the same
            warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad=True")
            yield

    def tensor(self, array: np.ndarray) -> Any:
        """An array as a tensor, where Keras has its own."""
        return keras.ops.convert_to_tensor(array)

    def point(self, tensor: Any) -> tuple[Any, Any]:
        """A tensor of its own, and a copy that later layers may change in place."""
        own = tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()
        return own, own.clone()

    def gradients(self, answer: Any, weights: Any, points: Sequence[Any]) -> list[Any]:
        """The gradient of `sum(weights * answer)` for each point; None where it does not depend on it."""
        if not answer.requires_grad or not points:
            return [None] * len(points)
        given = torch.as_tensor(weights, device=answer.device).to(answer.dtype)
        with torch.enable_grad():
            found = torch.autograd.grad(
                answer, list(points), grad_outputs=given, retain_graph=True, allow_unused=True
            )
        return list(found)
