"""What the drawings of all kinds of predictions share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.render.held_range import HeldRange


@dataclass(frozen=True, eq=False)
class Drawn:
    """A drawn body with its words; see `make_sheet`."""

    body: list[np.ndarray]
    facts: str
    key: list[tuple[np.ndarray, str]]
    notes: list[str]
    colours: np.ndarray
    held: HeldRange | None = None
