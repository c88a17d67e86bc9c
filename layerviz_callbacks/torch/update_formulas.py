"""The formulas of `torch.optim`, turned round: what a step added, from what there is after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import optim
from torch.optim.optimizer import _default_to_fused_or_foreach

_TOO_LITTLE_LEFT = 1e-3  # of a weight, to tell from what is left of it what it was before

Options = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class AfterStep:
    """What an optimizer's formula needs: everything as it is after the step, in float32.

    Attributes:
        options: the group's options as they were at the step.
        state: what the optimizer keeps for the weight, by name.
        count: how many steps there were.
        weight: the weight.
        gradient: as the step used it, descending; None where it is not there any more.
    """

    options: Options
    state: Mapping[str, torch.Tensor]
    count: float
    weight: torch.Tensor
    gradient: torch.Tensor | None

    @property
    def rate(self) -> float:
        """The learning rate."""
        return float(self.options["lr"])

    @property
    def decay(self) -> float:
        """The weight decay."""
        return float(self.options["weight_decay"])

    def descended(self, scale: torch.Tensor | float, *, gradient: torch.Tensor) -> torch.Tensor | None:
        """What `weight -= scale * (gradient + decay * weight)` added, from the weight after it.

        None where the weight before it cannot be told: the step took away all that there was of it.
        """
        if not self.decay:
            return -scale * gradient
        left = 1 - torch.as_tensor(scale * self.decay)
        if bool((left.abs() < _TOO_LITTLE_LEFT).any()):
            return None
        return -scale * (gradient + self.decay * self.weight) / left


def overwrites_gradients(options: Options, parameter: torch.Tensor) -> bool:
    """Whether SGD writes its direction, `gradient + momentum * buffer`, into `.grad`.

    It does so where it takes many weights at once (`foreach`, the default on accelerators), with Nesterov's
    momentum and without decay; no other optimizer of `torch.optim` that is known here touches gradients.

    Args:
        options: of the weight's group.
        parameter: the weight.
    """
    if not options.get("nesterov") or options["weight_decay"] or options["maximize"]:
        return False
    if options["foreach"] is None and options["fused"] is None:
        return _default_to_fused_or_foreach([parameter], differentiable=False)[1]
    return bool(options["foreach"])


Formula = Callable[[AfterStep], torch.Tensor | None]


def _sgd(last: AfterStep) -> torch.Tensor | None:
    buffer = last.state.get("momentum_buffer")
    if last.options["momentum"] and not last.options["nesterov"]:
        return None if buffer is None else -last.rate * buffer
    if last.gradient is None:
        return None
    if not last.options["momentum"]:
        return last.descended(last.rate, gradient=last.gradient)
    if buffer is None:
        return None
    return last.descended(last.rate, gradient=last.gradient + float(last.options["momentum"]) * buffer)


def _adam(last: AfterStep) -> torch.Tensor | None:
    mean, squares = last.state.get("exp_avg"), last.state.get("exp_avg_sq")
    if last.options["amsgrad"]:
        squares = last.state.get("max_exp_avg_sq")
    if mean is None or squares is None or last.count < 1:
        return None
    first, second = (float(beta) for beta in last.options["betas"])
    root = (squares / (1 - float(second**last.count))).sqrt() + float(last.options["eps"])
    moved = -last.rate / (1 - float(first**last.count)) * mean / root
    decay = last.rate * last.decay
    if not last.options["decoupled_weight_decay"] or not decay:
        return moved
    left = 1 - decay
    return (moved - decay * last.weight) / left if abs(left) >= _TOO_LITTLE_LEFT else None


def _adamw(last: AfterStep) -> torch.Tensor | None:
    options = {**last.options, "decoupled_weight_decay": True}  # older versions of PyTorch do not say so
    return _adam(replace(last, options=options))


def _plain_adam(last: AfterStep) -> torch.Tensor | None:
    options = {"decoupled_weight_decay": False, **last.options}
    return _adam(replace(last, options=options))


def _rmsprop(last: AfterStep) -> torch.Tensor | None:
    if last.options["momentum"]:
        buffer = last.state.get("momentum_buffer")
        return None if buffer is None else -last.rate * buffer
    squares = last.state.get("square_avg")
    if squares is None or last.gradient is None:
        return None
    if last.options["centered"]:
        mean = last.state.get("grad_avg")
        if mean is None:
            return None
        squares = squares - mean * mean
    return last.descended(last.rate / (squares.sqrt() + last.options["eps"]), gradient=last.gradient)


def _adagrad(last: AfterStep) -> torch.Tensor | None:
    squares = last.state.get("sum")
    if squares is None or last.gradient is None or last.count < 1:
        return None
    rate = last.rate / (1 + (last.count - 1) * last.options["lr_decay"])
    return last.descended(rate / (squares.sqrt() + last.options["eps"]), gradient=last.gradient)


FORMULAS: Mapping[type[optim.Optimizer], Formula] = {
    optim.SGD: _sgd,
    optim.Adam: _plain_adam,
    optim.AdamW: _adamw,
    optim.RMSprop: _rmsprop,
    optim.Adagrad: _adagrad,
}
"""By optimizer; each gives None where what it needs is not there."""
