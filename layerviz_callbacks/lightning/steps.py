"""Running a module's own `validation_step` or `training_step` without a trace."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from layerviz_callbacks.lightning.installed import silent_logger


def dry_step(trainer: Any, module: Any, step: Callable[..., Any], batch: Any) -> Any:
    """Run the step on a batch of its own with logging switched off; call it inside `undisturbed`."""
    parameters = inspect.signature(step).parameters.values()
    named = sum(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
    variable = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    indices = [0, 0][: max(named - 1, 1 if variable else 0)]  # of the batch, and of the loader
    with _no_logging(trainer, module):
        return step(batch, *indices)


@contextmanager
def _no_logging(trainer: Any, module: Any) -> Iterator[None]:
    def nothing(*_: Any, **__: Any) -> None:
        return None

    loggers = trainer.loggers
    replaced = {"log": nothing, "log_dict": nothing}
    before = {name: vars(module).get(name) for name in replaced}
    vars(module).update(replaced)
    trainer.loggers = [silent_logger()] if loggers else []
    try:
        yield
    finally:
        trainer.loggers = loggers
        for name, value in before.items():
            vars(module).pop(name)
            if value is not None:
                vars(module)[name] = value
