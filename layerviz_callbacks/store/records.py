"""Objects that hold arrays beside plain values: the arrays as datasets, the rest as JSON."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from layerviz_callbacks.store.arrays import ArrayWriter, read_array
from layerviz_callbacks.store.facts import plain, revived
from layerviz_callbacks.store.names import escaped, unescaped


def write_record(arrays: ArrayWriter, place: str, record: Any) -> dict[str, Any]:
    """Write the arrays of a dataclass below `place`; what else it holds is returned as JSON holds it."""
    facts: dict[str, Any] = {"is": type(record).__name__}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            arrays.write(place, escaped(field.name), value)
        else:
            facts[field.name] = plain(value)
    return facts


def read_record(group: Any, place: str, facts: dict[str, Any]) -> Any:
    """What `write_record` wrote."""
    held = group.get(place)
    found = {} if held is None else {unescaped(name): read_array(held[name]) for name in held}
    return revived({**facts, **found})
