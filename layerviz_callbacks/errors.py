"""The errors a user can meet: each says what was given, what is allowed and what to type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LayerVizError(Exception):
    """Base class of every error that this package raises on purpose."""


class ArgumentError(LayerVizError, ValueError):
    """An argument is not what it may be; the message says what to type."""


class ProbeError(ArgumentError):
    """The probe batch is unusable, or the model cannot be called with it."""


class SelectionError(ArgumentError):
    """`layers=` matches nothing, or is not a selector."""


class SinkError(LayerVizError, OSError):
    """The place the pictures should go to cannot be written."""


class SnapshotFileError(LayerVizError, OSError):
    """A file of snapshots cannot be opened, read or written; the message says why."""


class CheckpointError(LayerVizError, OSError):
    """A saved model or checkpoint cannot be loaded; the message says why."""


class ReadingError(LayerVizError, RuntimeError):
    """The model itself fails when it is shown the probe in evaluation mode, whatever the probe is."""


class DifferentiationError(LayerVizError, RuntimeError):
    """There is no gradient of a score, or not with respect to what was asked for; the message says why."""


class CallbackInUseError(LayerVizError, RuntimeError):
    """One callback object was given to two trainings that run at the same time."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the nearest allowed word, or an empty string.

    Example:
        >>> did_you_mean("conv9", ["conv1", "head"])
        " Did you mean 'conv1'?"
    """
    near = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_choice(argument: str, given: object, allowed: Iterable[str | None]) -> None:
    """Raise `ArgumentError` unless `given` is one of the `allowed` words (or None, where that is one)."""
    words = list(allowed)
    if given not in words:
        listed = ", ".join(repr(word) for word in words)
        near = [word for word in words if word is not None]
        hint = did_you_mean(given, near) if isinstance(given, str) else ""
        raise ArgumentError(f"{argument}={given!r} is not an option. Allowed: {listed}.{hint}")


def check_count(argument: str, given: object, *, optional: bool = False) -> None:
    """Raise `ArgumentError` unless `given` is an integer of at least 1 (or None where `optional`)."""
    if optional and given is None:
        return
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        also = " or None" if optional else ""
        raise ArgumentError(
            f"{argument}={given!r} is not a count. Allowed: a whole number from 1 on{also}, "
            f"for example {argument}=1."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any framework says that the memory, of the device or the machine, is full.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError())
        (True, False)
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"MemoryError", "OutOfMemoryError", "ResourceExhaustedError"}:
        return True
    return "XlaRuntimeError" in names and "RESOURCE_EXHAUSTED" in str(error)
