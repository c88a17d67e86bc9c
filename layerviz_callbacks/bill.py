"""What was recorded of a training, what it cost, and what was left out, in words."""

from __future__ import annotations

from collections.abc import Sequence

from layerviz_callbacks.delivery import Delivery
from layerviz_callbacks.metering import Meter
from layerviz_callbacks.store import RunFile
from layerviz_callbacks.views.words import count_of


def bill(delivery: Delivery, meter: Meter | None, location: str, file: RunFile | None) -> str:
    """The last line of a training in the log.

    Args:
        delivery: what was drawn and written.
        meter: how long training waited; None: nothing trained meanwhile.
        location: where pictures are.
        file: where snapshots are kept.

    Returns:
        Such as "Recorded 5 steps: 66 pictures, 2.8 MB; training waited 0.17 s for it (0.3%), drawing took
        1 s. Pictures: logs/layerviz".
    """
    waited = ""
    if meter is not None:
        share = meter.waiting / max(meter.training + meter.waiting, 1e-9)
        waited = f"training waited {meter.waiting:.2g} s for it ({share:.1%}), "
    kept = ""
    if file is not None:
        steps = count_of(delivery.stored, delivery.stored, "step")
        kept = f". Snapshots: {steps} in {file.path}, {file.size / 1e6:.2g} MB"
    return (
        f"Recorded {count_of(delivery.steps, delivery.steps, 'step')}: "
        f"{count_of(delivery.pictures, delivery.pictures, 'picture')}, "
        f"{delivery.written_bytes / 1e6:.2g} MB; {waited}drawing took {delivery.seconds:.2g} s. "
        f"Pictures: {location}{kept}"
    )


def left_out(steps: Sequence[int], *, at_the_end: bool) -> str:
    """What to say of steps that were recorded and not drawn.

    Args:
        steps: there is at least one.
        at_the_end: drawing did not come to its end after the training either.
    """
    listed = ", ".join(str(step) for step in steps[:8]) + (", ..." if len(steps) > 8 else "")
    late = " within a minute after the end of the training" if at_the_end else ""
    return (
        f"Drawing was slower than the training: {len(steps)} recorded steps were left out{late}: {listed}. "
        "Type every_n_epochs=2, or choose fewer layers with layers=."
    )
