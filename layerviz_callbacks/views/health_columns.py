"""The measures that the table of health shows, and how worrying each number is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log

from layerviz_callbacks.health import Thresholds

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Column:
    """A measure in the table.

    Attributes:
        name: the number, see `LayerHealth`.
        title: in the head of the table; short.
        words: what it is, for the key.
        text: the number in a few letters.
        worry: from 0 (no reason) to 1 (at the threshold of a verdict, or beyond).
        illnesses: the verdicts that its numbers tell.
    """

    name: str
    title: str
    words: str
    text: Callable[[float], str]
    worry: Callable[[float, Thresholds], float]
    illnesses: tuple[str, ...] = ()


def percents(share: float) -> str:
    """A share in letters.

    Example:
        >>> percents(0.0), percents(0.004), percents(0.5)
        ('0%', '<1%', '50%')
    """
    return "<1%" if 0 < share < 0.005 else f"{100 * share:.0f}%"


def short(value: float) -> str:
    """A number in at most five letters.

    Example:
        >>> short(0.0123), short(12.34), short(123456.0), short(0.00001)
        ('0.012', '12.3', '1e5', '1e-5')
    """
    if value and not 1e-3 <= abs(value) < 1e4:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.2g}"


def power_of_ten(exponent: float) -> str:
    """A base-10 logarithm, as it stands in the scalars.

    Example:
        >>> power_of_ten(-2.96)
        '-3.0'
    """
    return f"{exponent:.1f}"


def _towards(name: str) -> Callable[[float, Thresholds], float]:
    """Half of the threshold is no reason to worry; the threshold itself is all there is."""
    return lambda value, thresholds: 2 * value / getattr(thresholds, name) - 1


def never(value: float, thresholds: Thresholds) -> float:
    """The number by itself is no reason to worry."""
    return 0.0


COLUMNS = (
    Column("not finite", "NaN", "share of the output that is NaN or infinite", percents,
           lambda value, _: float(value > 0), ("not finite",)),
    Column("not finite weights", "NaN w", "share of the weights that is NaN or infinite", percents,
           lambda value, _: float(value > 0), ("not finite",)),
    Column("dead", "dead", "share of channels that are silent and whose weights stand still", percents,
           _towards("dead"), ("dead channels",)),
    Column("silent", "silent", "share of channels that are zero everywhere on the probe", percents,
           never, ("dead channels",)),
    Column("constant", "const", "share of channels that are one other number everywhere", percents,
           never, ("constant channels",)),
    Column("saturated", "bound", "share of the output that is within 0.02 of its bounds", percents,
           _towards("saturated"), ("saturated",)),
    Column("update ratio", "update", "log10 of the last optimizer step's norm over that of the weights",
           power_of_ten, lambda value, limits: 2 * 10**value / limits.update - 1, ("updates too large",)),
    Column("growth", "grown", "norm of the weights over that before training", short,
           lambda value, limits: log(max(value, 1)) / log(limits.growth), ("updates too large",)),
    Column("gradient norm", "grad", "norm of the gradient of the weights", short, never,
           ("vanishing gradients", "exploding gradients")),
    Column("attention entropy", "entr.", "entropy of attention: 1 is evenly over all keys",
           lambda value: f"{value:.2f}", never, ("collapsed attention heads",)),
    Column("duplicates", "twins", "share of filters that are the same as another one", percents,
           _towards("duplicates"), ("duplicate filters",)),
    Column("effective rank share", "rank", "effective rank over the largest possible", percents, never,
           ("rank collapse",)),
    Column("distance", "moved", "distance from the weights before training over their norm then",
           short, never, ("weights do not move",)),
    Column("change", "change", "log10 of the change since the step before over the norm of the weights",
           power_of_ten, never, ("weights do not move",)),
    Column("spread", "spread", "standard deviation of the output", short, never),
    Column("weight norm", "norm", "norm of the weights", short, never),
)  # fmt: skip
"""In the order of their weight: those of verdicts are shown first, then the first that are known."""
USUAL = frozenset(
    ("dead", "silent", "update ratio", "gradient norm", "attention entropy", "distance", "change", "spread")
)
"""These are shown without a verdict, too."""
