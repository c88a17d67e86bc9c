"""Which number of a model's answer is explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerviz_callbacks.errors import ArgumentError, check_choice, did_you_mean

CLASSES = ("predicted", "target")
REGIONS = ("predicted", "target", "all")


@dataclass(frozen=True)
class Target:
    """Which number of a model's answer is explained: a class of each sample, and where in its answer.

    Attributes:
        of: "predicted": the class that the model gives the most; "target": that of the probe's targets; a
            class number for all samples; or a tuple of one class number a sample.
        output: which of several outputs; None: "logits" where there is one of that name, else the first.
        region: for answers with axes of space (a segmentation, curves over time), over which places the
            score is summed: those where the class is "predicted" (nowhere: its highest place), those of the
            probe's "target", or "all".
    """

    of: str | int | tuple[int, ...] = "predicted"
    output: str | None = None
    region: str = "predicted"

    @classmethod
    def checked(cls, of: object, *, output: object = None, region: object = "predicted") -> Target:
        """A target from what a user typed.

        Raises:
            ArgumentError: it is none; the message says what to type.

        Example:
            >>> Target.checked([3, 7])
            Target(of=(3, 7), output=None, region='predicted')
        """
        if isinstance(of, np.ndarray):
            of = of.tolist()
        chosen: str | int | tuple[int, ...]
        if isinstance(of, str) and of in CLASSES:
            chosen = of
        elif _is_class(of):
            chosen = int(of)  # type: ignore[call-overload]
        elif isinstance(of, Sequence) and len(of) and all(_is_class(one) for one in of):
            chosen = tuple(int(one) for one in of)
        else:
            hint = did_you_mean(of, CLASSES) if isinstance(of, str) else ""
            raise ArgumentError(
                f"target={of!r} is no class. Allowed: 'predicted', 'target', a class number from 0 on, or a "
                f"list of one class number a sample, such as target=[3, 7].{hint}"
            )
        if output is not None and not isinstance(output, str):
            raise ArgumentError(f"output={output!r} is no name of an output. Allowed: None or a name.")
        check_choice("region", region, REGIONS)
        return cls(chosen, output, str(region))

    def __str__(self) -> str:
        """In words, such as "class 3"; the predicted class of a named output is just its name.

        Example:
            >>> str(Target(3)), str(Target("target", output="mask")), str(Target(output="P"))
            ('class 3', 'target class of mask', 'P')
        """
        if isinstance(self.of, str):
            words = f"{self.of} class"
        elif isinstance(self.of, int):
            words = f"class {self.of}"
        else:
            words = "classes " + ", ".join(str(one) for one in self.of)
        if self.output is not None:
            words = self.output if self.of == CLASSES[0] else f"{words} of {self.output}"
        return words if self.region == "predicted" else f"{words}, region {self.region}"


def _is_class(given: object) -> bool:
    return isinstance(given, (int, np.integer)) and not isinstance(given, bool) and int(given) >= 0
