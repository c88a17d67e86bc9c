"""Choosing layers: by name, glob, kind, class, predicate, or a list of these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from layerviz_callbacks.errors import SelectionError, did_you_mean
from layerviz_callbacks.kinds import KINDS, kind_names

Selector = str | type | Callable[[str, Any], bool] | Sequence["Selector"]

BY_KIND = "kind:"
ALLOWED = (
    "Allowed: a layer name ('conv1'), a glob ('conv*'), a kind ('kind:convolution', 'kind:Conv2D'), "
    "a class (keras.layers.Conv2D, torch.nn.Conv2d), a predicate (name, layer) -> bool, or a list of these."
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


def select(
    selector: Selector,
    layers: Sequence[tuple[str, Any]],
    *,
    kinds: Mapping[str, Sequence[str]] | None = None,
    argument: str = "layers",
) -> list[str]:
    """Return the names of the layers that `selector` chooses, in the model's order.

    Args:
        selector: see `check_selector`.
        layers: `(name, layer)` in the model's order; `layer` is the framework's own object, or a
            `layerviz_callbacks.Layer`, whose `kind` is then compared with a class's name.
        kinds: the words that `kind:` finds each layer by, see `layerviz_callbacks.kinds`; None: from its
            class.
        argument: the argument's name in error messages.

    Raises:
        SelectionError: a part of the selector matches no layer; the nearest names are told.

    Example:
        >>> select(["conv*", "head"], [("conv1", None), ("pool", None), ("head", None)])
        ['conv1', 'head']

    `"kind:convolution"` chooses by kind (convolution, dense, embedding, recurrent, attention, pooling,
    normalization, activation, dropout, resampling, parameter, block), `"kind:Conv*"` by a class's name.
    """
    check_selector(selector, argument=argument)
    if isinstance(selector, (str, type)) or callable(selector):
        parts: list[Any] = [selector]
    else:
        parts = list(selector)
    known = {name: _kinds_of(layer) for name, layer in layers} if kinds is None else kinds
    chosen: set[str] = set()
    for part in parts:
        matched = _matches(part, layers, known)
        if not matched:
            raise SelectionError(_nothing_matches(argument, selector, part, layers, known))
        chosen.update(matched)
    return [name for name, _ in layers if name in chosen]


def _matches(part: Any, layers: Sequence[tuple[str, Any]], kinds: Mapping[str, Sequence[str]]) -> list[str]:
    if isinstance(part, str):
        exact = [name for name, _ in layers if name == part]
        if exact or not part.startswith(BY_KIND):
            return exact or [name for name, _ in layers if fnmatchcase(name, part)]
        wanted = part.removeprefix(BY_KIND).strip()
        return [name for name, _ in layers if any(fnmatchcase(kind, wanted) for kind in kinds.get(name, ()))]
    if isinstance(part, type):
        return [name for name, layer in layers if _is_a(layer, part)]
    if callable(part):
        return [name for name, layer in layers if part(name, layer)]
    found = set(select(part, layers, kinds=kinds))
    return [name for name, _ in layers if name in found]


def _is_a(layer: Any, kind: type) -> bool:
    return isinstance(layer, kind) or getattr(layer, "kind", None) == kind.__name__


def _kinds_of(layer: Any) -> tuple[str, ...]:
    kind = getattr(layer, "kind", None)
    if isinstance(kind, str):  # a `layerviz_callbacks.Layer`
        return kind_names([kind], container=getattr(layer, "container", False))
    return kind_names([parent.__name__ for parent in type(layer).__mro__])


def _nothing_matches(
    argument: str,
    selector: Any,
    part: Any,
    layers: Sequence[tuple[str, Any]],
    kinds: Mapping[str, Sequence[str]],
) -> str:
    names = [name for name, _ in layers]
    listed = ", ".join(repr(name) for name in names[:30])
    if len(names) > 30:
        listed += f", ... ({len(names)} in all)"
    shown = f"the class {part.__name__}" if isinstance(part, type) else repr(part)
    where = "" if part is selector or selector == [part] else f" ({shown})"
    given = part.__name__ if isinstance(part, type) and part is selector else repr(selector)
    hint = _hint(part, names, kinds) if isinstance(part, str) else ""
    return f"{argument}={given}{where} matches no layer. This model has [{listed}].{hint}"


def _hint(part: str, names: Sequence[str], kinds: Mapping[str, Sequence[str]]) -> str:
    there = sorted({kind for words in kinds.values() for kind in words})
    if part.startswith(BY_KIND):
        listed = ", ".join(repr(BY_KIND + kind) for kind in KINDS if kind in there)
        wanted = part.removeprefix(BY_KIND)
        near = "" if wanted in KINDS else did_you_mean(wanted, there).replace("'", f"'{BY_KIND}", 1)
        return f" Its kinds are [{listed}].{near}" if listed else near
    near = did_you_mean(part, names)
    if not near and any(fnmatchcase(kind, part) for kind in there):
        return f" {part!r} is a kind of layer: type {BY_KIND + part!r}."
    return near
