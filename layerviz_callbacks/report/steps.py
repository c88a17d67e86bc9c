"""Which of many steps are shown."""

from __future__ import annotations

from collections.abc import Iterable

from layerviz_callbacks.history import Album, Frame


def chosen_steps(steps: Iterable[int], most: int, *, best: int | None = None) -> list[int]:
    """At most so many of the steps, spaced logarithmically; the first, the best and the last are among them.

    Example:
        >>> chosen_steps(range(101), 6, best=70)
        [0, 1, 4, 18, 70, 100]
    """
    album = Album(most)
    for step in steps:
        album.add(Frame(step, best=step == best))
    return [frame.step for frame in album.frames]
