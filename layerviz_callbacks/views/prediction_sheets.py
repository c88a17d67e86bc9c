"""What the drawings of all kinds of predictions share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Drawn:
    """A drawn body with its words; see `make_sheet`."""

    body: list[np.ndarray]
    facts: str
    key: list[tuple[np.ndarray, str]]
    notes: list[str]
    colours: np.ndarray


def label_of(number: int, labels: Sequence[str], otherwise: str = "") -> str:
    """The name of a class or number, one line; where it has none, its number.

    Example:
        >>> label_of(0, ["cat"]), label_of(1, ["cat"], "class ")
        ('cat', 'class 1')
    """
    named = " ".join(labels[number].split()) if number < len(labels) else ""
    return named or f"{otherwise}{number}"
