"""What views know of the steps before the one they draw: held ranges, earlier frames, what was followed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from layerviz_callbacks.history import Album, Frame
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.render.held_range import HeldRange
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views import View
from layerviz_callbacks.views.base import Follower


@runtime_checkable
class ResumingFollower(Protocol):
    """A `Follower` that goes on where an earlier training stood."""

    def follow(self, snapshot: Snapshot) -> Snapshot:
        """See `Follower.follow`."""

    def resume(self, snapshot: Snapshot) -> None:
        """Take over a step of the earlier training, out of its file: one after the other, in their order.

        Its `numbers`, `health` and `verdicts` are known; the statistics of its layers are not.
        """


class Following:
    """Goes through the steps of one training in their order."""

    def __init__(self) -> None:
        self._ranges: dict[str, HeldRange] = {}  # by tag
        self._albums: dict[Hashable, Album] = {}  # these by the view's key
        self._followers: dict[Hashable, Follower | None] = {}
        self._followed: dict[Hashable, Snapshot] = {}  # without arrays: what came of the last step

    @property
    def ranges(self) -> Mapping[str, HeldRange]:
        """By tag, the range that a picture was last drawn with."""
        return dict(self._ranges)

    def hold(self, pictures: Sequence[Picture]) -> None:
        """Remember what these were drawn with."""
        self._ranges |= {picture.tag: picture.held for picture in pictures if picture.held is not None}

    def prepared(
        self, view: View, key: Hashable, names: frozenset[str] | None, snapshot: Snapshot
    ) -> tuple[Snapshot, bool]:
        """The snapshot with what this view must know of the steps before, and remember this one.

        Args:
            view: what is going to be drawn.
            key: the same for each step.
            names: the layers that were chosen for it.
            snapshot: the step; one that was given before takes the place of that.

        Returns:
            The snapshot, and whether somebody looked at the health of its layers.
        """
        shown = replace(snapshot, chosen=names, ranges=self.ranges)
        follower = self._follower(view, key)
        if follower is not None:
            shown = self._follow(follower, key, shown)
        return self._remembered(view, key, shown), follower is not None

    def resume(self, view: View, key: Hashable, names: frozenset[str] | None, snapshot: Snapshot) -> None:
        """Remember a step of an earlier training, out of its file."""
        follower = self._follower(view, key)
        shown = replace(snapshot, chosen=names)
        if isinstance(follower, ResumingFollower):
            follower.resume(shown)
        self._remembered(view, key, shown)
        self._ranges |= snapshot.ranges or {}

    def _follower(self, view: View, key: Hashable) -> Follower | None:
        if key not in self._followers:
            self._followers[key] = view.follower()
        return self._followers[key]

    def _follow(self, follower: Follower, key: Hashable, shown: Snapshot) -> Snapshot:
        known = self._followed.get(key)
        if known is not None and known.step == shown.step:  # the same step once more: nothing was trained
            return replace(shown, health=known.health, verdicts=known.verdicts)
        found = follower.follow(shown)
        self._followed[key] = replace(found, layers={}, inputs={}, outputs={}, scores={}, saliency={})
        return found

    def _remembered(self, view: View, key: Hashable, shown: Snapshot) -> Snapshot:
        if "history" not in view.needs:
            return shown
        album = self._albums.setdefault(key, Album())
        shown = replace(shown, history=album.frames)
        album.add(Frame(shown.step, shown.when, shown.metrics, shown.best, view.keep(shown)))
        return shown
