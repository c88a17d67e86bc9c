"""The steps that a film shows of a layer, one a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from layerviz_callbacks.history import Album, Frame
from layerviz_callbacks.render.text import measure
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views.film_kept import KeptLayer


@dataclass(frozen=True, eq=False)
class Column:
    """One step of a layer.

    Attributes:
        frame: what is known of the step.
        name: of the layer.
        best: it is the best step of all.
    """

    frame: Frame
    name: str
    best: bool

    @property
    def step(self) -> int:
        """See `Snapshot.step`."""
        return self.frame.step

    @cached_property
    def kept(self) -> KeptLayer:
        """What was kept of the layer."""
        return KeptLayer.from_arrays(self.frame.kept, self.name)


def frames_until(snapshot: Snapshot) -> list[Frame]:
    """The frames before this step; a step that is repeated takes the place of those from it on."""
    return [frame for frame in snapshot.history if frame.step < snapshot.step]


def kept_before(name: str, snapshot: Snapshot) -> KeptLayer:
    """What was known of a layer at the step before."""
    frames = frames_until(snapshot)
    return KeptLayer.from_arrays(frames[-1].kept, name) if frames else KeptLayer()


def columns_of(name: str, snapshot: Snapshot, now: KeptLayer, *, most: int | None = None) -> list[Column]:
    """The columns of a layer, in the order of the steps, `now` the last of them.

    Args:
        name: of the layer.
        snapshot: what is drawn, with its history.
        now: what is kept of its step.
        most: so many columns, spaced logarithmically, the first, best and last among them; None: all.
    """
    arrays = dict(now.arrays(name))
    last = Frame(snapshot.step, snapshot.when, snapshot.metrics, snapshot.best, arrays)
    frames = [*frames_until(snapshot), last]
    best = max((frame.step for frame in frames if frame.best), default=None)
    if most is not None:
        frames = spaced(frames, most)
    return [Column(frame, name, frame.step == best) for frame in frames]


def spaced(frames: Sequence[Frame], most: int) -> list[Frame]:
    """So many of the frames, spaced as an `Album` spaces them."""
    known = {frame.step: frame for frame in frames}
    steps = _spaced_steps(tuple((frame.step, frame.best) for frame in frames), most)
    return [known[step] for step in steps]


@lru_cache(maxsize=32)
def _spaced_steps(steps: tuple[tuple[int, bool], ...], most: int) -> tuple[int, ...]:
    """Found once for all layers of a snapshot."""
    album = Album(max(3, most))
    for step, best in steps:
        album.add(Frame(step, best=best))
    return tuple(frame.step for frame in album.frames)


def step_words(steps: Sequence[int], width: int) -> list[str]:
    """The numbers of steps; those wider than `width` pixels in thousands, millions or billions.

    Example:
        >>> step_words([0, 900, 12000, 1234567], 60)
        ['0', '900', '12k', '1.2M']
    """
    return [_narrow(step, width) for step in steps]


def _narrow(step: int, width: int) -> str:
    word = str(step)
    for letter in "kMG":
        if measure(word) <= width:
            break
        step, rest = divmod(step, 1000)
        word = f"{step}.{rest // 100}{letter}" if step < 10 and rest >= 100 else f"{step}{letter}"
    return word
