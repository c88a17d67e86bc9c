"""Choosing layers: by name, glob, list, class or predicate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from layerviz_callbacks.errors import SelectionError, did_you_mean

Selector = str | type | Callable[[str, Any], bool] | Sequence["Selector"]

ALLOWED = (
    "Allowed: a layer name ('conv1'), a glob ('conv*'), a class (keras.layers.Conv2D, torch.nn.Conv2d), "
    "a predicate (name, layer) -> bool, or a list of these."
)


def check_selector(selector: Any, *, argument: str = "layers") -> None:
    """Raise `SelectionError` unless `selector` can be one (None: every layer that a view can draw)."""
    if selector is None or isinstance(selector, (str, type)) or callable(selector):
        return
    if isinstance(selector, Iterable):
        parts = list(selector)
        if not parts:
            raise SelectionError(f"{argument}={selector!r} chooses nothing. {ALLOWED}")
        for part in parts:
            if part is None:
                raise SelectionError(f"{argument}={selector!r} holds None. {ALLOWED}")
            check_selector(part, argument=argument)
        return
    raise SelectionError(f"{argument}={selector!r} cannot choose layers. {ALLOWED}")


def select(selector: Selector, layers: Sequence[tuple[str, Any]], *, argument: str = "layers") -> list[str]:
    """Return the names of the layers that `selector` chooses, in the model's order.

    Args:
        selector: see `check_selector`.
        layers: `(name, layer)` in the model's order; `layer` is the framework's own object, or a
            `layerviz_callbacks.Layer`, whose `kind` is then compared with a class's name.
        argument: the argument's name in error messages.

    Raises:
        SelectionError: a part of the selector matches no layer; the nearest names are told.

    Example:
        >>> select(["conv*", "head"], [("conv1", None), ("pool", None), ("head", None)])
        ['conv1', 'head']
    """
    check_selector(selector, argument=argument)
    if isinstance(selector, (str, type)) or callable(selector):
        parts: list[Any] = [selector]
    else:
        parts = list(selector)
    chosen: set[str] = set()
    for part in parts:
        matched = _matches(part, layers)
        if not matched:
            raise SelectionError(_nothing_matches(argument, selector, part, layers))
        chosen.update(matched)
    return [name for name, _ in layers if name in chosen]


def _matches(part: Any, layers: Sequence[tuple[str, Any]]) -> list[str]:
    if isinstance(part, str):
        exact = [name for name, _ in layers if name == part]
        return exact or [name for name, _ in layers if fnmatchcase(name, part)]
    if isinstance(part, type):
        return [name for name, layer in layers if _is_a(layer, part)]
    if callable(part):
        return [name for name, layer in layers if part(name, layer)]
    found = set(select(part, layers))
    return [name for name, _ in layers if name in found]


def _is_a(layer: Any, kind: type) -> bool:
    return isinstance(layer, kind) or getattr(layer, "kind", None) == kind.__name__


def _nothing_matches(argument: str, selector: Any, part: Any, layers: Sequence[tuple[str, Any]]) -> str:
    names = [name for name, _ in layers]
    listed = ", ".join(repr(name) for name in names[:30])
    if len(names) > 30:
        listed += f", ... ({len(names)} in all)"
    shown = f"the class {part.__name__}" if isinstance(part, type) else repr(part)
    where = "" if part is selector or selector == [part] else f" ({shown})"
    given = part.__name__ if isinstance(part, type) and part is selector else repr(selector)
    hint = did_you_mean(part, names) if isinstance(part, str) else ""
    return f"{argument}={given}{where} matches no layer. This model has [{listed}].{hint}"
