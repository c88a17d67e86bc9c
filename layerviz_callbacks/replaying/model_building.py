"""The user's own function that builds the model, found by its name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from layerviz_callbacks.errors import ArgumentError, did_you_mean

_EXAMPLE = "Write package.module:build, where build() gives the model: --model train:make_model"


def function_named(given: str) -> Any:
    """Import what `package.module:name` names; modules of the current folder are found too.

    Raises:
        ArgumentError: it is not of this form, cannot be imported, or is not there.
    """
    module_name, colon, name = given.partition(":")
    if not (module_name and colon and name):
        raise ArgumentError(f"--model {given} names no function in a module. {_EXAMPLE}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module_name)
    except Exception as error:  # whatever the user's own module does
        raise ArgumentError(
            f"--model {given}: the module {module_name!r} cannot be imported from {here}: "
            f"{type(error).__name__}: {error}"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ArgumentError(
                f"--model {given}: {module_name} has no {part!r}.{did_you_mean(part, vars(found))} {_EXAMPLE}"
            )
        found = getattr(found, part)
    return found


def build_model(build: Any, hyper_parameters: Mapping[str, Any] | None = None) -> Any:
    """The model that a function, or a class, gives; a model itself is given back as it is.

    Args:
        build: is called with those of the hyper-parameters that it takes, by name.
        hyper_parameters: what a checkpoint says that its module was made with.

    Raises:
        ArgumentError: it cannot be called, needs what is not known, or fails.
    """
    if not isinstance(build, type) and (hasattr(build, "state_dict") or hasattr(build, "load_weights")):
        return build
    name = getattr(build, "__qualname__", repr(build))
    if not callable(build):
        raise ArgumentError(f"{name} is a {type(build).__name__}, which cannot be called. {_EXAMPLE}")
    known = _accepted(build, hyper_parameters or {})
    try:
        return build(**known)
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in known.items())
        raise ArgumentError(
            f"{name}({given}) gave no model: {type(error).__name__}: {error}. "
            "Name a function that needs no arguments."
        ) from error


def _accepted(build: Callable[..., Any], hyper_parameters: Mapping[str, Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):
        return {}
    by_name = {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    return {name: value for name, value in hyper_parameters.items() if name in by_name}
