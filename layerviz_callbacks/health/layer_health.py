"""What the statistics of one layer mean, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LayerHealth:
    """One layer in numbers; those that are not known are left out.

    Attributes:
        numbers: by what is measured, such as "dead" (a share from 0 to 1) or "weight norm".
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
