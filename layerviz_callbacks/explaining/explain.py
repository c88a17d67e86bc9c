"""What a reading is completed by: saliency and patterns, found with a reader's gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from layerviz_callbacks.snapshot import Snapshot

if TYPE_CHECKING:
    from layerviz_callbacks.reader import Reader
    from layerviz_callbacks.request import Request


def explained(reader: Reader, snapshot: Snapshot, request: Request) -> Snapshot:
    """A snapshot that `reader` has just read for `request`, with the saliency and the patterns asked for.

    What cannot be found stands in `Snapshot.unread`. The weights of scores are not kept.
    """
    if request.saliency or request.patterns:
        raise NotImplementedError
    return replace(
        snapshot, scores={target: score.without_weights() for target, score in snapshot.scores.items()}
    )
