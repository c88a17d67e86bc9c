"""What is done about a fault during training: told once and passed over, or raised."""

from __future__ import annotations

from layerviz_callbacks.errors import check_choice, is_out_of_memory
from layerviz_callbacks.messages import logger


class FailurePolicy:
    """Keeps a fault of ours away from a training, or hands it on where that was asked for.

    Args:
        on_error: "warn": each fault is logged once and training goes on; "raise": it is raised.

    Raises:
        ArgumentError: `on_error` is neither.

    Example:
        >>> FailurePolicy("warn").first_time("layers pictured"), FailurePolicy("raise").raises
        (True, True)
    """

    def __init__(self, on_error: str) -> None:
        check_choice("on_error", on_error, ["warn", "raise"])
        self.on_error = on_error
        self._told: set[str] = set()

    @property
    def raises(self) -> bool:
        """Whether faults are raised."""
        return self.on_error == "raise"

    def first_time(self, words: str) -> bool:
        """Whether these words have not been told yet; from now on they have."""
        first = words not in self._told
        self._told.add(words)
        return first

    def fault(self, what: str, error: Exception, *, consequence: str = "this step is left out") -> None:
        """Raise the error, or log what failed, once for each `what`, with what is done about it.

        Args:
            what: what failed, such as "reading the model".
            error: why.
            consequence: what becomes of the pictures.
        """
        if self.raises:
            raise error
        if self.first_time(what):
            logger().error(
                "%s failed, %s and training goes on (told once; on_error='raise' stops instead): %s: %s%s",
                what, consequence, type(error).__name__, error, _what_to_do(error), exc_info=error,
            )  # fmt: skip


def _what_to_do(error: Exception) -> str:
    """Advice for a fault that has a usual remedy; the errors of this package bring their own."""
    if is_out_of_memory(error):
        return " What to do: show fewer samples, such as x_val[:2], or choose fewer layers with layers=."
    return ""
