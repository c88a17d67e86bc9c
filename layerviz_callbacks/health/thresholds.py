"""From which numbers on something is told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite

from layerviz_callbacks.errors import ArgumentError


@dataclass(frozen=True)
class Thresholds:
    """From which numbers on a layer gets a verdict. What is not given keeps its default.

    Attributes:
        dead: share of channels that are silent (exactly zero at all places of all samples) and whose weights no
            longer move. "As much as 40%" can be dead where the learning rate is too high, says the Stanford
            course CS231n (notes on neural networks, part 1); Lu et al. 2019, arXiv:1903.06733. Small networks
            that classify well may have half of a dense layer dead, most of it from initialisation.
        silent: share of channels that are silent, where it is not known whether their weights move. Rectifiers
            leave about half of their outputs at zero right after initialisation, and more later (Glorot, Bordes
            and Bengio 2011, "Deep Sparse Rectifier Neural Networks").
        evidence: so many values a channel must have (samples times places) for its silence alone to tell
            anything. A channel that answers to 2 % of independent inputs is silent on 256 of them with a
            chance of 0.6 %; on 4 of them, with one of 92 %.
        constant: share of channels that have one value other than zero at all places of all samples.
        saturated: share of the values of a bounded output that are within 0.02 of a bound. Glorot and Bengio
            2010, "Understanding the difficulty of training deep feedforward neural networks"; hidden tanh units
            of networks that train well reach about a half.
        update: L2 norm of the last optimizer step divided by that of the weights, a whole layer. A hundred
            times the 0.001 that CS231n, module 3 ("Ratio of weights:updates"), calls about right.
        growth: L2 norm of the weights divided by that which they had before training.
        still: relative change of weights since the step before (L2), up to which they have not moved: the
            resolution of 32-bit floating-point numbers.
        duplicate: magnitude of the cosine between two filters from which on they are the same.
        duplicates: share of filters that have a duplicate. Without broken symmetry all of them have (Goodfellow,
            Bengio and Courville 2016, "Deep Learning", section 8.4); trained networks rarely have any.
        rank: effective rank (Roy and Vetterli 2007) divided by the largest that the matrix could have, and at
            most half of what it was before training.
        one_key: share of a head's attention that goes to a single key of each sample, over all its queries.
            Far above the 0.5 to 0.9 that attention sinks of healthy language models take (Xiao et al. 2023,
            arXiv:2309.17453).
        uniform: normalised entropy of a head; 1 is evenly spread over all keys.
        heads: share of the heads of a layer that are collapsed.
        vanishing: root mean square of the gradient of the weights, in the first third of the layers divided by
            that in the last third. Glorot and Bengio 2010; Hochreiter 1991.
        exploding: the same ratio, upwards; or norm of the gradient divided by its largest at the first two steps
            at which it was known. Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063.

    Raises:
        ArgumentError: a number is not one that it may be.

    Example:
        >>> Thresholds(dead=0.5).dead
        0.5
    """  # noqa: E501

    dead: float = 0.6
    silent: float = 0.8
    evidence: int = 256
    constant: float = 0.25
    saturated: float = 0.75
    update: float = 0.1
    growth: float = 10.0
    still: float = 1e-7
    duplicate: float = 0.99
    duplicates: float = 0.25
    rank: float = 0.1
    one_key: float = 0.98
    uniform: float = 0.999
    heads: float = 0.5
    vanishing: float = 1e-4
    exploding: float = 1e3

    def __post_init__(self) -> None:
        for field in fields(self):
            low, high, words, example = _ALLOWED[field.name]
            given = getattr(self, field.name)
            number = isinstance(given, (int, float)) and not isinstance(given, bool) and isfinite(given)
            if not number or not low < given <= high or (field.name == "evidence" and given != int(given)):
                raise ArgumentError(
                    f"Thresholds({field.name}={given!r}) cannot be reached or means nothing. "
                    f"Allowed: {words}, for example {field.name}={example}."
                )


_SHARE = (0.0, 1.0, "a share above 0, up to 1")
_RATIO = (0.0, float("inf"), "a number above 0")
_MULTIPLE = (1.0, float("inf"), "a number above 1")
_ALLOWED: dict[str, tuple[float, float, str, str]] = {
    "dead": (*_SHARE, "0.5"),
    "silent": (*_SHARE, "0.8"),
    "evidence": (0.0, float("inf"), "a whole number from 1 on", "1000"),
    "constant": (*_SHARE, "0.5"),
    "saturated": (*_SHARE, "0.9"),
    "update": (*_RATIO, "0.03"),
    "growth": (*_MULTIPLE, "30"),
    "still": (*_RATIO, "1e-6"),
    "duplicate": (*_SHARE, "0.95"),
    "duplicates": (*_SHARE, "0.5"),
    "rank": (*_SHARE, "0.05"),
    "one_key": (*_SHARE, "0.9"),
    "uniform": (*_SHARE, "0.99"),
    "heads": (*_SHARE, "0.25"),
    "vanishing": (*_SHARE, "1e-6"),
    "exploding": (*_MULTIPLE, "1e6"),
}
