"""The last optimizer step of a Keras 2 model."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import tf_keras

from layerviz_callbacks.keras.legacy.kernels import copied
from layerviz_callbacks.keras.update_rules import Step, rule_of
from layerviz_callbacks.keras.updates import VariableStep


class LegacyLastStep:
    """The last step of the optimizer of a compiled model; those of `optimizers.legacy` tell nothing.

    Args:
        model: a `tf_keras` model, trained or not.
        learning_rate: that of the last step, where another callback may have set the next one already; None:
            it is the one that is set now.
    """

    def __init__(self, model: Any, learning_rate: float | None = None) -> None:
        self._model, self._learning_rate = model, learning_rate

    def trains(self, variable: Any) -> bool:
        """Whether the optimizer may change it: freezing a layer leaves no mark on its variables."""
        return id(variable) in self._trained

    def of(self, variable: Any) -> VariableStep:
        """What is left of a variable's last step."""
        optimizer, step = self._optimizer, self._step
        if step is None or not self.trains(variable):
            return VariableStep()
        index = getattr(optimizer, "_index_dict", {}).get(optimizer._var_key(variable))
        rule = None if index is None else rule_of(optimizer, "tf_keras")
        averaged = optimizer.use_ema and optimizer.ema_overwrite_frequency
        exact = variable.dtype.name in ("float32", "float64")
        if rule is None or averaged or not exact or variable.constraint is not None:
            return VariableStep()
        decays = optimizer.weight_decay is not None and optimizer._use_weight_decay(variable)
        return VariableStep(
            tensors={name: getattr(optimizer, name)[index] for name in rule.slots(optimizer)},
            step=step,
            rule=rule,
            weight_decay=optimizer.weight_decay * (step.learning_rate or 0.0) if decays else 0.0,
            clips=any((optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm)),
        )

    @cached_property
    def _trained(self) -> set[int]:
        return {id(variable) for variable in self._model.trainable_weights}

    @cached_property
    def _optimizer(self) -> Any:
        optimizer = getattr(self._model, "optimizer", None)
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        return inner if isinstance(inner, tf_keras.optimizers.Optimizer) else None

    @cached_property
    def _step(self) -> Step | None:
        """The optimizer's last step; None where it has done none."""
        optimizer = self._optimizer
        number = 0 if optimizer is None else int(copied(optimizer.iterations))
        if number < 1:
            return None
        scheduled = isinstance(optimizer._learning_rate, tf_keras.optimizers.schedules.LearningRateSchedule)
        told = None if scheduled else self._learning_rate
        return Step(optimizer, number, float(copied(optimizer.learning_rate)) if told is None else told)
