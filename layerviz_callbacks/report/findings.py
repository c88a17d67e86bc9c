"""What was found wrong over a whole training, the worst first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from layerviz_callbacks.health import Verdict
from layerviz_callbacks.snapshot import Snapshot


@dataclass(frozen=True)
class Finding:
    """One thing that was wrong.

    Attributes:
        verdict: as it was last found.
        until: the step at which it was gone; None: it is still there at the last step that looked.
    """

    verdict: Verdict
    until: int | None = None


class Findings:
    """Collects verdicts step by step."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Finding] = {}

    def add(self, snapshot: Snapshot) -> None:
        """The verdicts of one more step; a step at which nobody looked says nothing."""
        if not snapshot.verdicts and not snapshot.health:
            return
        present = {(verdict.layer, verdict.illness): verdict for verdict in snapshot.verdicts}
        for key, finding in self._found.items():
            if key not in present and finding.until is None:
                self._found[key] = Finding(finding.verdict, snapshot.step)
        for key, verdict in present.items():
            self._found[key] = Finding(verdict)

    def worst_first(self) -> list[Finding]:
        """What is there at the end, the worst first; then what was there before."""
        return sorted(self._found.values(), key=lambda one: (one.until is not None, -one.verdict.severity))


def findings_of(snapshots: Iterable[Snapshot]) -> list[Finding]:
    """What was found wrong over these steps, the worst first."""
    findings = Findings()
    for snapshot in snapshots:
        findings.add(snapshot)
    return findings.worst_first()
