"""What an optimizer added to weights at its last step, found from the state that it is left with.

The formulas are those of `update_step` in Keras 3 and in `tf_keras`, solved for what came before. Where the
state alone does not tell (plain SGD keeps none; Nesterov, RMSprop, Adagrad and Nadam need the gradient, too)
and there is no gradient, there is no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Slots = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Step:
    """The last step of an optimizer.

    Attributes:
        optimizer: its attributes, such as `beta_1`, are what the user chose.
        number: 1 for its first.
        learning_rate: that of this step; None: not known.
    """

    optimizer: Any
    number: int
    learning_rate: float | None


@dataclass(frozen=True, eq=False)
class Rule:
    """How one kind of optimizer steps.

    Attributes:
        slots: gives the names of the optimizer's lists that are needed, one item a variable.
        added: gives what was added, of the step, of the slots after it as float64, and of the gradient with
            which it was made (None: not known); None where these do not tell.
        gradient: gives the gradient with which it was made; None where the slots do not tell.
    """

    slots: Callable[[Any], tuple[str, ...]]
    added: Callable[[Step, Slots, np.ndarray | None], np.ndarray | None]
    gradient: Callable[[Step, Slots], np.ndarray | None] = lambda step, slots: None


def rule_of(optimizer: Any, package: str) -> Rule | None:
    """How this optimizer steps; None where that is not known: of another kind, or changed by the user.

    Args:
        optimizer: of Keras 3 or of `tf_keras`.
        package: "keras" or "tf_keras": that of its class.
    """
    module = type(optimizer).__module__.split(".")
    if module[0] != package or "legacy" in module:
        return None
    return _RULES.get(type(optimizer).__name__)


def _sgd(step: Step, slots: Slots, gradient: np.ndarray | None) -> np.ndarray | None:
    momentum, velocity = step.optimizer.momentum, slots.get("momentums")
    if velocity is not None and (momentum == 0 or not step.optimizer.nesterov):
        return velocity
    if gradient is None or step.learning_rate is None:
        return None
    plain: np.ndarray = -step.learning_rate * gradient
    return plain if velocity is None else plain + momentum * velocity


def _sgd_gradient(step: Step, slots: Slots) -> np.ndarray | None:
    """Without momentum, what `tf_keras` keeps as velocity is the step itself."""
    velocity = slots.get("momentums")
    if velocity is None or step.optimizer.momentum != 0 or not step.learning_rate:
        return None
    return -velocity / step.learning_rate


def _adam(step: Step, slots: Slots, gradient: np.ndarray | None) -> np.ndarray | None:
    if step.learning_rate is None:
        return None
    optimizer = step.optimizer
    rest = np.sqrt(1 - optimizer.beta_2**step.number)
    alpha = step.learning_rate * rest / (1 - optimizer.beta_1**step.number)
    epsilon = optimizer.epsilon * (rest if getattr(optimizer, "adaptive_epsilon", False) else 1)
    velocity = slots["_velocity_hats" if optimizer.amsgrad else "_velocities"]
    added: np.ndarray = -alpha * slots["_momentums"] / (np.sqrt(velocity) + epsilon)
    return added


def _adamax(step: Step, slots: Slots, gradient: np.ndarray | None) -> np.ndarray | None:
    if step.learning_rate is None:
        return None
    optimizer = step.optimizer
    rest = 1 - optimizer.beta_1**step.number
    added: np.ndarray = -step.learning_rate * slots["_m"] / (rest * (slots["_u"] + optimizer.epsilon))
    return added


def _rmsprop(step: Step, slots: Slots, gradient: np.ndarray | None) -> np.ndarray | None:
    if "_momentums" in slots:
        return -slots["_momentums"]
    if gradient is None or step.learning_rate is None:
        return None
    spread = slots["_velocities"] + step.optimizer.epsilon
    if step.optimizer.centered:
        spread = spread - np.square(slots["_average_gradients"])
    added: np.ndarray = -step.learning_rate * gradient / np.sqrt(spread)
    return added


def _adagrad(step: Step, slots: Slots, gradient: np.ndarray | None) -> np.ndarray | None:
    if gradient is None or step.learning_rate is None:
        return None
    added: np.ndarray = (
        -step.learning_rate * gradient / np.sqrt(slots["_accumulators"] + step.optimizer.epsilon)
    )
    return added


def _nadam(step: Step, slots: Slots, gradient: np.ndarray | None) -> np.ndarray | None:
    if gradient is None or step.learning_rate is None:
        return None
    optimizer, number = step.optimizer, step.number
    lessening = 1 - 0.5 * np.power(0.96, np.arange(1, min(number, 1000) + 1))  # all later ones are 1
    product = np.power(optimizer.beta_1, number) * np.prod(lessening)
    now, then = (optimizer.beta_1 * (1 - 0.5 * 0.96**place) for place in (number, number + 1))
    ahead = then * slots["_momentums"] / (1 - product * then) + (1 - now) * gradient / (1 - product)
    spread = slots["_velocities"] / (1 - optimizer.beta_2**number)
    added: np.ndarray = -step.learning_rate * ahead / (np.sqrt(spread) + optimizer.epsilon)
    return added


def _rmsprop_slots(optimizer: Any) -> tuple[str, ...]:
    if optimizer.momentum > 0:
        return ("_momentums",)
    return ("_velocities", "_average_gradients") if optimizer.centered else ("_velocities",)


def _adam_slots(optimizer: Any) -> tuple[str, ...]:
    return ("_momentums", "_velocity_hats" if optimizer.amsgrad else "_velocities")


_ADAM = Rule(_adam_slots, _adam)
_RULES = {
    "SGD": Rule(lambda optimizer: ("momentums",) if optimizer.momentums else (), _sgd, _sgd_gradient),
    "Adam": _ADAM,
    "AdamW": _ADAM,
    "Adamax": Rule(lambda optimizer: ("_m", "_u"), _adamax),
    "RMSprop": Rule(_rmsprop_slots, _rmsprop),
    "Nadam": Rule(lambda optimizer: ("_momentums", "_velocities"), _nadam),
    "Adagrad": Rule(lambda optimizer: ("_accumulators",), _adagrad),
}
