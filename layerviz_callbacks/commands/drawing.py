"""Views drawn to files for a command: a fault is told, and the other views go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from layerviz_callbacks.failure import FailurePolicy
from layerviz_callbacks.history import Album, Frame
from layerviz_callbacks.messages import logger
from layerviz_callbacks.plan import PlannedView
from layerviz_callbacks.render.held_range import HeldRange
from layerviz_callbacks.sinks import Sink
from layerviz_callbacks.snapshot import Snapshot
from layerviz_callbacks.views import draw_probe


class TellingPolicy(FailurePolicy):
    """Tells each fault once, and counts them.

    Attributes:
        faults: how many there were.
    """

    def __init__(self) -> None:
        super().__init__("warn")
        self.faults = 0

    def fault(self, what: str, error: Exception, *, consequence: str = "it is left out") -> None:
        """Tell what failed; see `FailurePolicy.fault`."""
        self.faults += 1
        if self.first_time(what):
            logger().error("%s failed, %s: %s: %s", what, consequence, type(error).__name__, error)
            logger().debug("where it came from:", exc_info=error)


class Redrawing:
    """Draws stored steps as they were drawn while the training ran: in their order, with the same ranges.

    Args:
        plan: the views with their layers.
        sinks: opened.
        policy: what is done about faults.

    Attributes:
        drawn: by the family of a view, how many pictures of it were drawn.
    """

    def __init__(self, plan: Sequence[PlannedView], sinks: Sequence[Sink], policy: FailurePolicy) -> None:
        self._plan = plan
        self._sinks = sinks
        self._policy = policy
        self._albums = {planned.key: Album() for planned in plan}
        self._ranges: dict[str, HeldRange] = {}  # by tag
        self._stored_ranges: Mapping[str, HeldRange] = {}  # of the step before
        self._texts: dict[str, str] = {}
        self.drawn: dict[str, int] = {planned.view.family: 0 for planned in plan}

    @property
    def remembers(self) -> bool:
        """Whether steps that are not drawn must be gone through, too."""
        return any("history" in planned.view.needs for planned in self._plan)

    def step(self, snapshot: Snapshot, *, draw: bool, last: bool = False) -> None:
        """Go through one step.

        Args:
            snapshot: the step.
            draw: it is drawn; else only what later steps must know of it is kept.
            last: no further step comes: what shows all steps on one picture is drawn now.
        """
        numbers: dict[str, float] = {}
        for planned in self._plan:
            if planned.off or not (draw or "history" in planned.view.needs):
                continue
            try:
                shown = self._prepared(planned, snapshot)
                if draw:
                    numbers |= planned.view.scalars(shown)
                if draw and (last or not planned.view.sparse):
                    self._draw(planned, shown)
            except Exception as error:  # noqa: BLE001  whatever a view raises, the others go on
                planned.off = True
                self._policy.fault(f"the view {type(planned.view).__name__}", error)
        if draw:
            for sink in self._sinks:
                sink.write_scalars({**snapshot.numbers, **numbers}, snapshot.step)
                sink.flush()
        self._stored_ranges = snapshot.ranges or {}

    def probe(self, snapshot: Snapshot) -> None:
        """Draw the probe itself."""
        pictures = draw_probe(snapshot)
        for sink in self._sinks:
            sink.write(pictures, snapshot.step)

    def _prepared(self, planned: PlannedView, snapshot: Snapshot) -> Snapshot:
        shown = replace(snapshot, chosen=planned.names, ranges={**self._stored_ranges, **self._ranges})
        if "history" in planned.view.needs:
            album = self._albums[planned.key]
            shown = replace(shown, history=album.frames)
            album.add(Frame(shown.step, shown.when, shown.metrics, shown.best, planned.view.keep(shown)))
        return shown

    def _draw(self, planned: PlannedView, shown: Snapshot) -> None:
        pictures = planned.view.draw(shown)
        self._ranges |= {picture.tag: picture.held for picture in pictures if picture.held is not None}
        self.drawn[planned.view.family] += len(pictures)
        texts = {tag: text for tag, text in planned.view.texts(shown).items() if self._texts.get(tag) != text}
        self._texts |= texts
        for sink in self._sinks:
            sink.write(pictures, shown.step)
            for tag, text in texts.items():
                sink.write_text(tag, text, shown.step)
