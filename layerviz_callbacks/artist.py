"""Who draws the pictures of a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from layerviz_callbacks.picture import Picture
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views import View, draw_probe


class Artist(Protocol):
    """Who draws: in this process, or in another one."""

    def draw(self, view: View, snapshot: Snapshot) -> Sequence[Picture]:
        """The pictures of a view; `snapshot.chosen` are its layers. Raises what the view raises."""

    def draw_probe(self, snapshot: Snapshot) -> Sequence[Picture]:
        """The pictures of the probe itself."""

    def close(self) -> None:
        """Nothing more is to be drawn; may be called twice."""


class LocalArtist:
    """Draws in this process, in the thread that asks."""

    def draw(self, view: View, snapshot: Snapshot) -> Sequence[Picture]:
        """The pictures of a view."""
        return view.draw(snapshot)

    def draw_probe(self, snapshot: Snapshot) -> Sequence[Picture]:
        """The pictures of the probe itself."""
        return draw_probe(snapshot)

    def close(self) -> None:
        """Nothing is held."""
