"""Which step of a training is the best so far, by a metric that is monitored."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from layerviz_callbacks.errors import ArgumentError, check_choice, did_you_mean

MODES = ("auto", "min", "max")
Direction = Callable[[str], str | None]
"""What a framework knows of a metric by its name: "min" where less is better, "max" where more is."""

_LESS_IS_BETTER = frozenset({
    "loss", "losses", "error", "errors", "err", "mse", "mae", "rmse", "mape", "msle", "rmsle", "nll",
    "perplexity", "ppl", "bpc", "wer", "cer", "eer", "fid", "lpips", "entropy", "crossentropy",
    "divergence", "kld", "hinge", "poisson", "logcosh", "distance", "hausdorff", "brier", "ece", "regret",
})  # fmt: skip
_MORE_IS_BETTER = frozenset({
    "accuracy", "acc", "auc", "auroc", "auprc", "roc", "map", "map50", "f1", "f2", "fbeta", "fmeasure",
    "dice", "iou", "miou", "jaccard", "precision", "recall", "sensitivity", "specificity", "r2", "psnr",
    "ssim", "bleu", "rouge", "kappa", "mcc", "correlation", "pearson", "spearman", "ndcg", "mrr", "reward",
})  # fmt: skip


@dataclass(frozen=True)
class Monitor:
    """What tells the best step.

    Attributes:
        name: of the metric, as training reports it, such as "val_accuracy".
        mode: "min": less is better; "max": more is; "auto": what the name says, see `direction`.

    Raises:
        ArgumentError: `name` is none, or there is no such mode.

    Example:
        >>> Monitor("val_accuracy").direction, Monitor("val_dice_loss").direction, Monitor("val_x").direction
        ('max', 'min', None)
    """

    name: str
    mode: str = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ArgumentError(
                f"monitor={self.name!r} is no name of a metric. Pass what training reports, for example "
                "monitor='val_loss'."
            )
        check_choice("mode", self.mode, MODES)

    @classmethod
    def of(cls, monitor: str | None, mode: str) -> Monitor | None:
        """What the user gave; None where nothing is monitored."""
        check_choice("mode", mode, MODES)
        if monitor is None:
            if mode != "auto":
                raise ArgumentError(
                    f"mode={mode!r} says in which direction a metric is better, and monitor= is missing. "
                    "Pass for example monitor='val_loss'."
                )
            return None
        return cls(monitor, mode)

    @property
    def direction(self) -> str | None:
        """Which is better, "min" or "max", by `mode` or else by the words of the name; None: unknown.

        A word such as "loss" or "error" goes before one such as "accuracy" or "iou".
        """
        if self.mode != "auto":
            return self.mode
        words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+\d*|[A-Z]+(?![a-z])\d*|\d+", self.name)}
        words |= set(re.split(r"[^a-z0-9]+", self.name.lower()))
        if words & _LESS_IS_BETTER:
            return "min"
        return "max" if words & _MORE_IS_BETTER or "io_u" in self.name else None

    def unknown(self) -> ArgumentError:
        """The error for a name that does not tell its direction."""
        return ArgumentError(
            f"monitor={self.name!r}: the name does not tell whether more or less of it is better. "
            "Type mode='max' or mode='min'."
        )


@dataclass(frozen=True)
class Best:
    """The best step so far.

    Attributes:
        monitor: the name of the metric.
        value: its value there.
        step: see `Snapshot.step`.
    """

    monitor: str
    value: float
    step: int


class BestSoFar:
    """Finds the best step as the frameworks' own `ModelCheckpoint` does: what is strictly better counts.

    A step without the metric, or at which it is NaN, is never the best.

    Args:
        monitor: what tells it.
        direction: asked where the mode is "auto", before the name is.

    Attributes:
        best: None before the metric was reported.

    Example:
        >>> so_far = BestSoFar(Monitor("val_loss"))
        >>> [so_far.improves(step, {"val_loss": loss}) for step, loss in enumerate([0.5, 0.5, 0.4, 0.6])]
        [True, False, True, False]
        >>> so_far.best
        Best(monitor='val_loss', value=0.4, step=2)
    """

    def __init__(self, monitor: Monitor, direction: Direction | None = None) -> None:
        self.monitor = monitor
        self.best: Best | None = None
        self.direction = direction
        self._found: str | None = None
        self._reported: set[str] = set()
        self._earlier: Mapping[int, Mapping[str, Any]] = {}  # to be looked at with the first step

    def improves(self, step: int, metrics: Mapping[str, Any]) -> bool:
        """Whether this step is better than every step before; it is remembered then.

        Raises:
            ArgumentError: nothing tells whether more or less of the metric is better.
        """
        self._reported.update(metrics)
        earlier, self._earlier = self._earlier, {}
        for before, reported in earlier.items():
            self.improves(before, reported)
        value = number_of(metrics.get(self.monitor.name))
        if value is None or math.isnan(value):
            return False
        better = value.__lt__ if self._mode() == "min" else value.__gt__
        if self.best is not None and not better(self.best.value):
            return False
        self.best = Best(self.monitor.name, value, step)
        return True

    def resume(self, earlier: Best | Mapping[int, Mapping[str, Any]]) -> None:
        """Go on from an earlier training.

        Args:
            earlier: what was the best of it; one by another metric counts for nothing. Or by step, what
                was reported there.
        """
        if not isinstance(earlier, Best):
            self._earlier = earlier
        elif earlier.monitor == self.monitor.name:
            self.best = earlier

    def missing(self, metrics: Mapping[str, Any], when: str) -> str:
        """What to say where these metrics lack what is monitored; empty where they do not."""
        name, known = self.monitor.name, sorted(metrics)
        if name in metrics:
            return ""
        there = f"only {known}" if known else "no metrics at all"
        return (
            f"monitor={name!r}: {when} reported no such metric, {there}.{did_you_mean(name, known)} "
            "What lacks it is never the best (told once)."
        )

    def never_reported(self) -> str:
        """What to say at the end where no step ever had the metric; empty where one had, or nothing came."""
        name, known = self.monitor.name, sorted(self._reported)
        if self.best is not None or name in known or not known:
            return ""
        return f"monitor={name!r} was never reported, only {known}.{did_you_mean(name, known)}"

    def _mode(self) -> str:
        if self._found is None:
            asked = None
            if self.monitor.mode == "auto" and self.direction is not None:
                asked = self.direction(self.monitor.name)
            self._found = asked or self.monitor.direction
        if self._found is None:
            raise self.monitor.unknown()
        return self._found


def number_of(value: Any) -> float | None:
    """A metric as a number; None where it is none."""
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def numbers_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those of the metrics that are numbers."""
    numbers = {name: number_of(value) for name, value in metrics.items()}
    return {name: number for name, number in numbers.items() if number is not None}
