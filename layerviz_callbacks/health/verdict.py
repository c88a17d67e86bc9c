"""What is wrong with a layer, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """One thing that is wrong with one layer.

    Attributes:
        layer: its name; empty where it is the whole model.
        illness: what it is called, such as "dead channels".
        words: how much of it there is, such as "41 of 64 channels are dead".
        since: the first step of those without a break at which it was found.
        when: that step in words, such as "epoch 5".
        severity: from 0 to 1; the worst has the most.
        tag: the picture to look at; empty where none is drawn.
        advice: what usually helps.

    Example:
        >>> str(Verdict("conv3", "dead channels", "41 of 64 channels are dead", 5, tag="filters/3"))
        'conv3: 41 of 64 channels are dead since step 5 (see filters/3)'
    """

    layer: str
    illness: str
    words: str
    since: int
    when: str = ""
    severity: float = 0.5
    tag: str = ""
    advice: str = ""

    def __str__(self) -> str:
        see = f" (see {self.tag})" if self.tag else ""
        return f"{self.layer or 'model'}: {self.words} since {self.when or f'step {self.since}'}{see}"


@dataclass(frozen=True)
class HealthReport:
    """What is wrong with the layers of a model at one step, the worst first.

    Attributes:
        verdicts: the worst first; none where nothing was found.
        when: the step in words; empty where nothing was recorded yet.
        looked: some view looks at the health of layers; else nothing is known of it.

    Example:
        >>> print(HealthReport((), "epoch 3/12"))
        epoch 3/12: nothing is wrong with the layers, as far as was looked.
    """

    verdicts: tuple[Verdict, ...] = ()
    when: str = ""
    looked: bool = True

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)

    def __str__(self) -> str:
        if not self.looked:
            return "No view looks at the health of layers: add views.Health() to views=[...]."
        if not self.when and not self.verdicts:
            return "Nothing was recorded yet."
        if not self.verdicts:
            return f"{self.when}: nothing is wrong with the layers, as far as was looked."
        lines = [f"{place}. {verdict}" for place, verdict in enumerate(self.verdicts, start=1)]
        return "\n".join([f"{self.when}: look here first", *lines])
