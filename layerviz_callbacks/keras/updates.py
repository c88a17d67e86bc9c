"""The last optimizer step of a Keras 3 model: which gradient a variable had, and what was added to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np

from layerviz_callbacks.keras.kernels import copied, tensor_of
from layerviz_callbacks.keras.update_rules import Rule, Step, rule_of

_GRADIENT = "gradient"


@dataclass(frozen=True, eq=False)
class VariableStep:
    """What is left of a variable's last optimizer step.

    Attributes:
        tensors: as large as the variable: "gradient" where it is known, and of the optimizer's state what is
            needed.
        gradient_scale: by how much the loss was multiplied before it was differentiated.
        step: the optimizer's.
        rule: how it steps; None: what was added cannot be known.
        weight_decay: the share that was taken off the variable before the step; 0: none was.
        clips: the optimizer stepped with another gradient than that of the loss.
    """

    tensors: Mapping[str, Any] = field(default_factory=dict)
    gradient_scale: float = 1.0
    step: Step | None = None
    rule: Rule | None = None
    weight_decay: float = 0.0
    clips: bool = False

    def found(
        self, values: np.ndarray, arrays: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The gradient of the loss and what was added, each None where it is not known.

        Args:
            values: some of the variable's values now.
            arrays: those of `tensors` at the same places.
        """
        exact = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
        gradient = exact.pop(_GRADIENT, None)
        if gradient is not None:
            gradient = gradient / self.gradient_scale
        if self.step is None or self.rule is None:
            return gradient, None
        if gradient is None and not self.clips:
            gradient = self.rule.gradient(self.step, exact)
        added = self.rule.added(self.step, exact, None if self.clips else gradient)
        if added is not None and self.weight_decay:
            before = (values - added) / (1 - self.weight_decay)
            added = added - self.weight_decay * before
        return gradient, added


class LastStep:
    """The last step of the optimizers that a model was trained with.

    What they left is read; nothing is computed anew but what their formulas say. Keras itself keeps the
    gradient on PyTorch alone.

    Args:
        model: a Keras model, trained or not.
        learning_rate: that of the last step, where another callback may have set the next one already; None:
            it is the one that is set now.
    """

    def __init__(self, model: Any, learning_rate: float | None = None) -> None:
        self._model, self._learning_rate = model, learning_rate

    def of(self, variable: Any) -> VariableStep:
        """What is left of a variable's last step."""
        if not variable.trainable:
            return VariableStep()
        for outer in self._optimizers:
            for optimizer in _steppers(outer):
                if optimizer.built and _index(optimizer, variable) is not None:
                    return self._left(outer, optimizer, variable)
        gradient = None if self._optimizers else _torch_gradient(variable)
        return VariableStep() if gradient is None else VariableStep({_GRADIENT: gradient})

    @cached_property
    def _optimizers(self) -> list[Any]:
        """The model's optimizers; a model with a training step of its own may hold several."""
        held = [getattr(self._model, "optimizer", None), *vars(self._model).values()]
        found = {id(one): one for one in held if isinstance(one, keras.optimizers.Optimizer)}
        return list(found.values())

    @cached_property
    def _steps(self) -> dict[int, Step]:
        return {}

    def _left(self, outer: Any, optimizer: Any, variable: Any) -> VariableStep:
        step = self._step(optimizer)
        if step.number < 1:
            return VariableStep()
        tensors: dict[str, Any] = {}
        scale = _loss_scale(outer, optimizer)
        if len(self._optimizers) == 1 and scale and not optimizer.gradient_accumulation_steps:
            gradient = _torch_gradient(variable)
            tensors = {} if gradient is None else {_GRADIENT: gradient}
        decay = _weight_decay(optimizer, variable, step)
        rule = (
            None if decay is None or _is_changed_after(optimizer, variable) else rule_of(optimizer, "keras")
        )
        index = _index(optimizer, variable)
        for name in () if rule is None else rule.slots(optimizer):
            slot = getattr(optimizer, name)[index]
            if slot is None:
                rule = None
                break
            tensors[name] = tensor_of(slot)
        clips = any((optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm))
        return VariableStep(tensors, scale or 1.0, step, rule, decay or 0.0, clips)

    def _step(self, optimizer: Any) -> Step:
        if id(optimizer) not in self._steps:
            number = int(copied(optimizer.iterations))
            self._steps[id(optimizer)] = Step(optimizer, number, self._rate(optimizer, number))
        return self._steps[id(optimizer)]

    def _rate(self, optimizer: Any, number: int) -> float | None:
        """The learning rate of its last step; a schedule counts batches, also those that are accumulated."""
        rate = optimizer._learning_rate
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            batches = number * (optimizer.gradient_accumulation_steps or 1)
            return float(copied(rate(keras.ops.convert_to_tensor(max(batches - 1, 0), "int32"))))
        if not isinstance(rate, keras.Variable):  # a function of the user's, which may count its calls
            return None
        return float(copied(rate)) if self._learning_rate is None else self._learning_rate


def _steppers(optimizer: Any) -> Iterator[Any]:
    """The optimizers that do the steps of one: those inside it, else it."""
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        yield from _steppers(inner)
        return
    several = getattr(optimizer, "optimizers", None)
    if several:
        for one in several:
            yield from _steppers(one)
        return
    yield optimizer


def _index(optimizer: Any, variable: Any) -> int | None:
    index: int | None = optimizer._trainable_variables_indices.get(optimizer._var_key(variable))
    return index


def _loss_scale(outer: Any, optimizer: Any) -> float | None:
    """By how much the loss was multiplied at the last step; None where that is not known."""
    if isinstance(outer, keras.optimizers.LossScaleOptimizer):
        if not outer.built or int(copied(outer.step_counter)) == 0:  # it has just been changed
            return None
        return float(copied(outer.dynamic_scale))
    return float(outer.loss_scale_factor or 1.0)


def _weight_decay(optimizer: Any, variable: Any, step: Step) -> float | None:
    """The share of a variable that its last step took off it first; None where that is not known."""
    if optimizer.weight_decay is None:
        return 0.0
    decides: Mapping[Any, bool] = getattr(optimizer, "_exclude_from_weight_decay_cache", {})
    decays = decides.get(optimizer._var_key(variable))
    if decays is None or step.learning_rate is None:
        return None
    return float(optimizer.weight_decay) * step.learning_rate if decays else 0.0


def _is_changed_after(optimizer: Any, variable: Any) -> bool:
    """Whether the variable may have been changed after the step, or was rounded at it."""
    averaged = optimizer.use_ema and optimizer.ema_overwrite_frequency
    exact = keras.backend.standardize_dtype(variable.dtype) in ("float32", "float64")
    return bool(averaged) or variable.constraint is not None or not exact


def _torch_gradient(variable: Any) -> Any:
    """The gradient that PyTorch has left; None on other backends, and where there is none."""
    if keras.backend.backend() != "torch":
        return None
    gradient = getattr(variable.value, "grad", None)
    return None if gradient is None or gradient.is_sparse else gradient.detach()
