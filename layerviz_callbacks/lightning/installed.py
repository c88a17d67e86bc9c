"""Which Lightning is installed: one package under two names, whose classes are different."""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import Any

_NAMES = ("lightning.pytorch", "pytorch_lightning")


@cache
def namespaces() -> tuple[ModuleType, ...]:
    """`lightning.pytorch` and `pytorch_lightning`, as far as they are installed.

    Raises:
        ImportError: neither is; the message says what to type.
    """
    found = []
    for name in _NAMES:
        try:
            found.append(importlib.import_module(name))
        except ModuleNotFoundError as error:
            if error.name not in (name, name.partition(".")[0]):
                raise
    if not found:
        raise ImportError(
            "layerviz_callbacks.lightning needs Lightning, which is not installed. "
            'Type: pip install "layerviz_callbacks[lightning]"'
        )
    return tuple(found)


def callback_classes() -> tuple[type, ...]:
    """The `Callback` of each installed namespace: who inherits all of them fits into each Trainer."""
    return tuple(namespace.Callback for namespace in namespaces())


def silent_logger() -> Any:
    """A Lightning logger that takes everything and writes nothing."""
    name = namespaces()[0].__name__
    return importlib.import_module(f"{name}.loggers.logger").DummyLogger()
