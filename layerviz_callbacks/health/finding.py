"""Something that is wrong at one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerviz_callbacks.health.observed import Observed

if TYPE_CHECKING:
    from layerviz_callbacks.snapshot import Layer, Snapshot


@dataclass(frozen=True, eq=False)
class Finding:
    """Something that is wrong with a layer, or with the whole model, at one step.

    Attributes:
        observed: the layer; None: the whole model.
        illness: see `Verdict`.
        words: see `Verdict`.
        severity: see `Verdict`.
        look_at: the family of the pictures that show it; empty: none does.
        advice: see `Verdict`.
        cuts_off: neither inputs nor gradients get through the layer.
    """

    observed: Observed | None
    illness: str
    words: str
    severity: float
    look_at: str = ""
    advice: str = ""
    cuts_off: bool = False

    @property
    def layer(self) -> str:
        """The layer's name; empty for the whole model."""
        return "" if self.observed is None else self.observed.layer.name

    def tag(self, snapshot: Snapshot) -> str:
        """The picture to look at; empty where none is drawn."""
        if self.observed is None or not self.look_at:
            return ""
        shown = [self.observed.layer]
        if self.observed.activation is not None and self.look_at == "feature maps":
            shown.insert(0, self.observed.activation)
        tags = [picture_tag(self.look_at, layer, snapshot) for layer in shown]
        if snapshot.ranges is None:
            return tags[-1]
        return next((tag for tag in tags if tag in snapshot.ranges), "")


def picture_tag(family: str, layer: Layer, snapshot: Snapshot) -> str:
    """The tag of a layer's picture, as views give it: `family/NN_layer`, NN its place in the model."""
    digits = max(2, len(str(max(one.place for one in snapshot))))
    return f"{family}/{layer.place:0{digits}d}_{layer.name}"


def counted(count: int, total: int, noun: str, *, exact: bool = True) -> str:
    """How many of how many.

    Example:
        >>> counted(41, 64, "channel"), counted(64, 64, "channel"), counted(1, 1, "head")
        ('41 of 64 channels', 'all 64 channels', 'its one head')
    """
    if count == total:
        return f"its one {noun}" if total == 1 else f"all {total} {noun}s"
    return f"{'' if exact else 'about '}{count} of {total} {noun}s"


def are(count: int) -> str:
    """The verb for so many: "is" or "are"."""
    return "is" if count == 1 else "are"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Names joined by commas; of many the first ones, and how many more.

    Example:
        >>> listed(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def percent(share: float) -> str:
    """A share in percent, never rounded up to all.

    Example:
        >>> percent(0.754), percent(0.999), percent(1.0)
        ('75 %', '99.9 %', '100 %')
    """
    return f"{100 * share:.0f} %" if share == 1 or share < 0.995 else f"{min(100 * share, 99.9):.1f} %"
