"""What is no array (cuts, targets, recipes, names) as JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from layerviz_callbacks.cut import KernelCut, OutputCut
from layerviz_callbacks.explaining import FoundPatterns, PatternRecipe, SaliencyRecipe, Score, Target
from layerviz_callbacks.health import Verdict
from layerviz_callbacks.render.held_range import HeldRange

_CLASSES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        FoundPatterns,
        HeldRange,
        KernelCut,
        OutputCut,
        PatternRecipe,
        SaliencyRecipe,
        Score,
        Target,
        Verdict,
    )
}


def plain(value: Any) -> Any:
    """A value as JSON holds it: objects become dictionaries that say what they are.

    Example:
        >>> plain(OutputCut(channels=(1, 2)))["is"], plain((1, None))
        ('OutputCut', [1, None])
    """
    if is_dataclass(value) and not isinstance(value, type):
        held = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        return {"is": type(value).__name__, **held}
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        if {type(one) for one in value} <= {int, str}:  # many numbers of channels
            return list(value)
        return [plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def revived(value: Any) -> Any:
    """An object that `plain` was given; lists come back as tuples.

    Example:
        >>> revived(plain(Target((3, 7))))
        Target(of=(3, 7), output=None, region='predicted')
    """
    if isinstance(value, list):
        return tuple(revived(one) for one in value)
    if isinstance(value, dict):
        held = {name: revived(one) for name, one in value.items() if name != "is"}
        return _CLASSES[value["is"]](**held)
    return value


def to_text(facts: Any) -> np.ndarray:
    """JSON, in ASCII, as an array without axes."""
    return np.array(json.dumps(plain(facts)).encode("ascii"))


def from_text(text: bytes) -> Any:
    """What `to_text` wrote, with lists and dictionaries."""
    return json.loads(text)
