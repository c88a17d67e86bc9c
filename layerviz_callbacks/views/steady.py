"""Colours that mean the same from step to step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from layerviz_callbacks.render.held_range import HeldRange, held_range
from layerviz_callbacks.render.scale import Scale
from layerviz_callbacks.snapshot import Snapshot

Hold = Callable[[Scale], "Steady"]
"""Finds the scale to draw a sheet with from the one that holds every value of this step."""


@dataclass(frozen=True)
class Steady:
    """The scale that a sheet is drawn with.

    Attributes:
        scale: to draw with.
        held: the same as it is held over steps; None where it is not.
        notes: what must be said of it on the sheet.
    """

    scale: Scale
    held: HeldRange | None = None
    notes: tuple[str, ...] = ()


def steady(needed: Scale, tag: str, snapshot: Snapshot) -> Steady:
    """The scale to draw a sheet with: that of its last step, while training is recorded.

    Of a single snapshot, and where each channel or sample has a range of its own, it is `needed` itself.

    Args:
        needed: the scale that holds every value of this step.
        tag: of the picture.
        snapshot: what is drawn.
    """
    if snapshot.ranges is None or not isinstance(needed.limit, float):
        return Steady(needed)
    held = held_range(needed, snapshot.step, before=snapshot.ranges.get(tag))
    words = held.words(snapshot.step)
    return Steady(held.scale, held, (words,) if words else ())
