"""Even parts of kernels on their device, equal to `layerviz_callbacks.health.weight_sample`."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import nn

from layerviz_callbacks.health import WeightSample, spread
from layerviz_callbacks.health.statistics import MOST_ROWS
from layerviz_callbacks.torch.copying import is_plain, plain_gradient, plain_tensor
from layerviz_callbacks.torch.kernels import Kernel
from layerviz_callbacks.torch.updates import OptimizerSteps, Pick

ZEROED = (
    "they were zeroed after the last step; call optimizer.zero_grad() right before loss.backward(), not "
    "after optimizer.step()"
)


class WeightSampler:
    """Takes even parts of kernels, with the same parts of what training does to them.

    The gradient is what stands in `.grad`: PyTorch keeps that of the last batch until `zero_grad`, so at an
    epoch's end it is there in a loop that calls `optimizer.zero_grad()` before `loss.backward()`. Lightning
    zeroes gradients before it validates; there, they are kept at the epoch's last batch. It is what the
    optimizer was given: averaged over accumulated batches and processes as the training does it, and clipped
    where it clips. Nothing is computed for it, and it is not changed.
    Neither gradients nor updates are known of kernels that are computed from other parameters (weight norm,
    pruning, parametrisations) and of those that several processes hold in parts.

    Args:
        model: whose kernels they are.
        names: the layers whose kernels are wanted.
        steps: tells what the last optimizer step added; None: nobody knows.
    """

    def __init__(self, model: nn.Module, names: frozenset[str], steps: OptimizerSteps | None = None) -> None:
        self._model = model
        self._names = names
        self._steps = steps
        self._picks: dict[torch.Tensor, Pick] = {}
        self._found = False  # any gradient

    def sample(self, layer: str, kernel: Kernel, *, trainable: bool) -> WeightSample | None:
        """The even part of a layer's kernel; None where it is not wanted, or is no matrix.

        Args:
            layer: the layer's own name.
            kernel: one of its kernels.
            trainable: see `WeightSample`.
        """
        if layer not in self._names or kernel.tensor.ndim < 2:
            return None
        tensor = plain_tensor(kernel.tensor)
        part = _Part(tensor)
        taken = [part.of(tensor)]
        lay_out = kernel.lay_out
        gradient, update = self._training_of(kernel.parameter, lambda one: part.of(lay_out(one)))
        taken += [one for one in (gradient, update) if one is not None]
        arrays = list(torch.stack(taken).to("cpu").numpy())  # one transfer
        return WeightSample(
            values=arrays.pop(0),
            rows=tuple(part.rows.tolist()),
            shape=part.shape,
            gradient=None if gradient is None else arrays.pop(0),
            update=None if update is None else arrays.pop(0),
            trainable=trainable,
        )

    def _training_of(
        self, parameter: torch.Tensor | None, pick: Pick
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The same part of the last gradient and of the last update."""
        if parameter is None or not is_plain(parameter):
            return None, None
        whole = plain_gradient(parameter)
        gradient = None if whole is None or self._zeroed else pick(whole)
        if self._steps is None:
            return gradient, None
        if parameter.requires_grad:
            self._picks[parameter] = pick
        if gradient is None:
            gradient = self._steps.kept_gradient(parameter)
        if gradient is not None:
            gradient = self._steps.gradient_of(parameter, pick, gradient)
        self._found |= gradient is not None
        return gradient, self._steps.last_update(parameter, pick, gradient=gradient)

    def finish(self) -> dict[str, str]:
        """All kernels were sampled.

        Returns:
            See `Snapshot.unread`.
        """
        if self._steps is None or not self._picks:
            return {}
        self._steps.want_gradients(self._picks)
        return {"gradients of weights": ZEROED} if self._steps.seen and not self._found else {}

    @cached_property
    def _zeroed(self) -> bool:
        """Whether `zero_grad(set_to_none=False)` wrote zeros into all gradients."""
        return not any(
            bool((gradient._values() if gradient.is_sparse else gradient).any())
            for parameter in self._model.parameters()
            if (gradient := parameter.grad) is not None and not hasattr(gradient, "full_tensor")
        )


class _Part:
    """At most 256 rows and columns of a kernel `(out, in, *space)` as a matrix, spread evenly.

    Attributes:
        shape: of the matrix in full.
        rows: the numbers of its rows.
    """

    def __init__(self, kernel: torch.Tensor) -> None:
        columns = int(np.prod(kernel.shape[1:]))
        self.shape = (kernel.shape[0], columns)
        self.rows = spread(kernel.shape[0], MOST_ROWS)
        self._columns = spread(columns, MOST_ROWS)
        self._whole = (len(self.rows), len(self._columns)) == self.shape
        self._device = kernel.device
        places = () if self._whole else np.unravel_index(self._columns, tuple(kernel.shape[1:]))
        self._places = tuple(
            torch.from_numpy(place).to(self._device) for place in (self.rows[:, None], *places)
        )

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The part of a tensor as large as the kernel; float32, on the kernel's device."""
        if self._whole:
            return tensor.reshape(self.shape).to(self._device, torch.float32)
        places = tuple(place.to(tensor.device) for place in self._places)
        return tensor[places].to(self._device, torch.float32)
