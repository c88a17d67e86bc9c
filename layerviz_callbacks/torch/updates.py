"""What the last step of an optimizer added to a weight, told from what the optimizer keeps."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn, optim

from layerviz_callbacks.errors import ArgumentError
from layerviz_callbacks.messages import logger
from layerviz_callbacks.torch.copying import plain_gradient
from layerviz_callbacks.torch.update_formulas import FORMULAS, AfterStep, Options, overwrites_gradients

_WRAPPING = ("lightning", "pytorch_lightning", "lightning_fabric", "accelerate")

Pick = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class _Noted:
    """A group of weights at a step: its options, and of each weight whether it had a gradient."""

    options: Options
    stepped: list[bool]


@dataclass(frozen=True)
class _Place:
    """A weight's optimizer, the number of its group there, and its number in the group."""

    optimizer: optim.Optimizer
    group: int
    number: int


class OptimizerSteps:
    """What the last step of some optimizers added to each weight.

    A learning-rate schedule may change an optimizer's options right after its step. So they are noted in
    each step, and which weights it left out, by a hook that does nothing else; it goes with `close`, or
    where nobody needs this any more. Before the first step that is seen so, nothing is known.

    Args:
        optimizers: those of `torch.optim`, wrapped or not; of others nothing is known.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = optim.SGD([weight], lr=0.5)
        >>> steps = OptimizerSteps([optimizer])
        >>> weight.grad = torch.tensor([3.0])
        >>> optimizer.step()
        >>> steps.last_update(weight, torch.clone, gradient=weight.grad).tolist(), weight.tolist()
        ([-1.5], [-0.5])
    """

    def __init__(self, optimizers: Sequence[optim.Optimizer]) -> None:
        self._optimizers = [one for one in map(unwrapped_optimizer, optimizers) if type(one) in FORMULAS]
        self._noted: dict[optim.Optimizer, list[_Noted]] = {}  # of each of its groups
        self._sizes: list[int] = []
        self._places: dict[torch.Tensor, _Place] = {}
        self._wanted: dict[torch.Tensor, tuple[torch.Size, Pick]] = {}
        self._kept: dict[torch.Tensor, torch.Tensor] = {}  # gradients of the last step
        noted = _noting(weakref.ref(self))
        hooks = [one.register_step_post_hook(noted) for one in self._optimizers]
        self._take_off = weakref.finalize(self, _remove, hooks)

    def close(self) -> None:
        """Take the hooks off; may be called twice."""
        self._take_off()

    def note(self, optimizer: optim.Optimizer) -> None:
        """A step has just been made with these options."""
        self._kept.clear()
        self._noted[optimizer] = [
            _Noted(
                {name: _copied(value) for name, value in group.items() if name != "params"},
                [weight.grad is not None for weight in group["params"]],
            )
            for group in optimizer.param_groups
        ]

    @property
    def seen(self) -> bool:
        """Whether any step was made so far."""
        return bool(self._noted)

    def want_gradients(self, picks: Mapping[torch.Tensor, Pick]) -> None:
        """From now on `keep_gradients` keeps these parts of the gradients of these weights."""
        self._wanted = {parameter: (parameter.shape, pick) for parameter, pick in picks.items()}

    def keep_gradients(self) -> None:
        """Keep what is wanted of the gradients, up to the next step; call it where they are zeroed soon.

        It never raises: it is called in the midst of training.
        """
        try:
            for parameter, (shape, pick) in self._wanted.items():
                gradient = plain_gradient(parameter)
                if gradient is not None and gradient.shape == shape:  # else it was gathered for a while only
                    self._kept[parameter] = pick(gradient).clone()
        except Exception as error:  # noqa: BLE001  any fault of ours must leave the training alone
            logger().debug("Gradients are not kept any more: %s", error, exc_info=error)
            self._wanted, self._kept = {}, {}

    def kept_gradient(self, parameter: torch.Tensor) -> torch.Tensor | None:
        """What was kept of the last step's gradient; None where nothing was."""
        return self._kept.get(parameter)

    def gradient_of(self, parameter: torch.Tensor, pick: Pick, kept: torch.Tensor) -> torch.Tensor:
        """The gradient that the last step was given, where `kept` of it is in `.grad` now.

        They differ after a step that overwrites gradients, see `overwrites_gradients`.

        Args:
            parameter: the weight.
            pick: see `last_update`.
            kept: the part of what is in `.grad`.
        """
        noted = self._noted_of(parameter)
        if noted is None or not overwrites_gradients(noted.options, parameter):
            return kept
        buffer = self._state_of(parameter).get("momentum_buffer")
        return kept if buffer is None else kept - float(noted.options["momentum"]) * pick(buffer)

    def last_update(
        self, parameter: torch.Tensor, pick: Pick, *, gradient: torch.Tensor | None
    ) -> torch.Tensor | None:
        """What the last step added to a weight, in float32: what is there now, less what was there before.

        It is told from the weight and the optimizer's state after the step, by the formula of `torch.optim`:
        SGD, Adam, AdamW, RMSprop and Adagrad with all their options. Where the formula needs the gradient
        itself (SGD without momentum or with Nesterov's, RMSprop without momentum, Adagrad), it must still be
        there. Of weights of less than 32 bits it is what was added before they were rounded.

        Args:
            parameter: the weight; only its identity, shape and state count.
            pick: takes from any tensor of its shape the part that is wanted.
            gradient: the same part of the gradient that the step was given; None: it is not there any more.

        Returns:
            The part; None where it is not known.
        """
        noted = self._noted_of(parameter)
        if noted is None:
            return None
        weight = pick(parameter.detach())
        if not noted.stepped[self._places[parameter].number]:
            return torch.zeros_like(weight)
        kept = self._state_of(parameter)
        state = {
            name: pick(value).to(weight.device)
            for name, value in kept.items()
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape and name != "step"
        }
        if gradient is not None and noted.options["maximize"]:
            gradient = -gradient
        after = AfterStep(noted.options, state, float(kept.get("step", 0)), weight, gradient)
        return FORMULAS[type(self._places[parameter].optimizer)](after)

    def _noted_of(self, parameter: torch.Tensor) -> _Noted | None:
        """The last step of the weight's group; None where none was seen."""
        place = self._all_places().get(parameter)
        if place is None:
            return None
        groups = self._noted.get(place.optimizer, [])
        if place.group >= len(groups) or place.number >= len(groups[place.group].stepped):
            return None
        return groups[place.group]

    def _state_of(self, parameter: torch.Tensor) -> Mapping[str, Any]:
        state: Mapping[str, Any] = self._places[parameter].optimizer.state.get(parameter, {})
        return state

    def _all_places(self) -> Mapping[torch.Tensor, _Place]:
        """Where each weight is; groups may be added to optimizers at any time."""
        groups = [(one, group) for one in self._optimizers for group in range(len(one.param_groups))]
        sizes = [len(one.param_groups[group]["params"]) for one, group in groups]
        if sizes != self._sizes:
            self._sizes = sizes
            self._places = {
                parameter: _Place(one, group, number)
                for one, group in groups
                for number, parameter in enumerate(one.param_groups[group]["params"])
            }
        return self._places


def steps_of(model: nn.Module, optimizer: Any) -> OptimizerSteps | None:
    """What the last step of a user's optimizers added to the weights of a model.

    Args:
        model: what they train.
        optimizer: one, or a list or tuple of them; None: none.

    Raises:
        ArgumentError: it is something else, or none of them trains any of the model's parameters.
    """
    if optimizer is None:
        return None
    given = list(optimizer) if isinstance(optimizer, (list, tuple)) else [optimizer]
    optimizers = [unwrapped_optimizer(one) for one in given]
    for one, bare in zip(given, optimizers, strict=True):
        if not isinstance(bare, optim.Optimizer):
            raise ArgumentError(
                f"optimizer={one!r} is no optimizer. Allowed: a torch.optim.Optimizer, or a list of them: "
                "attach(model, x_val[:4], log_dir='runs/a', optimizer=optimizer)."
            )
    trained = {id(one) for bare in optimizers for group in bare.param_groups for one in group["params"]}
    if not any(id(parameter) in trained for parameter in model.parameters()):
        kinds = ", ".join(type(bare).__name__ for bare in optimizers) or "An empty list"
        raise ArgumentError(
            f"optimizer={kinds} trains none of the parameters of {type(model).__name__}. Pass the one that "
            "trains it, such as optimizer=torch.optim.Adam(model.parameters()), or leave optimizer= out."
        )
    return OptimizerSteps(optimizers)


def unwrapped_optimizer(optimizer: Any) -> Any:
    """The optimizer that Lightning or Accelerate wraps; of other wrappers it is unknown what a step is."""
    library = type(optimizer).__module__.partition(".")[0]
    inner = getattr(optimizer, "optimizer", None) if library in _WRAPPING else None
    return unwrapped_optimizer(inner) if isinstance(inner, optim.Optimizer) else optimizer


def _remove(hooks: Sequence[Any]) -> None:
    for hook in hooks:
        hook.remove()


def _noting(steps: weakref.ref[OptimizerSteps]) -> Callable[..., None]:
    """A hook that keeps nothing alive."""

    def noted(optimizer: optim.Optimizer, arguments: Any, named: Any) -> None:
        kept = None if torch.compiler.is_compiling() else steps()
        if kept is not None:
            kept.note(optimizer)

    return noted


def _copied(value: Any) -> Any:
    """Schedules change learning rates that are tensors in place."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return tuple(_copied(one) for one in value) if isinstance(value, tuple) else value
