"""Names that users give to classes, curves, numbers and outputs."""

from __future__ import annotations

from collections.abc import Sequence

from layerviz_callbacks.errors import ArgumentError


def checked_names(argument: str, given: Sequence[str] | None) -> tuple[str, ...] | None:
    """A list of names, as the user typed it; None where none are given.

    Raises:
        ArgumentError: it is none; the message says what to type.

    Example:
        >>> checked_names("labels", ["cat", "dog"])
        ('cat', 'dog')
    """
    if given is None:
        return None
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__") or not list(given):
        raise ArgumentError(
            f"{argument}={given!r} is not a list of names. Pass for example {argument}=['cat', 'dog']."
        )
    return tuple(str(name) for name in given)


def label_of(number: int, labels: Sequence[str], otherwise: str = "") -> str:
    """The name of a class or number, one line; where it has none, its number.

    Example:
        >>> label_of(0, ["cat"]), label_of(1, ["cat"], "class ")
        ('cat', 'class 1')
    """
    named = " ".join(labels[number].split()) if number < len(labels) else ""
    return named or f"{otherwise}{number}"
