"""What stands on a page, gathered from a file of snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from layerviz_callbacks.errors import SnapshotFileError
from layerviz_callbacks.report.contents import Contents
from layerviz_callbacks.report.curves import Curves, distances_from_start
from layerviz_callbacks.report.films import Film, films_of
from layerviz_callbacks.report.findings import Findings
from layerviz_callbacks.report.health import with_health
from layerviz_callbacks.report.steps import chosen_steps
from layerviz_callbacks.report.views import views_for
from layerviz_callbacks.selection import Selector, select
from layerviz_callbacks.snapshot import Layer, Snapshot
from layerviz_callbacks.store import SnapshotFile
from layerviz_callbacks.views import Health, View, draw_probe

Progress = Callable[[int, int], None]
"""Is told how many of how many pictures are done."""


def gathered(
    file: SnapshotFile,
    *,
    layers: Selector | None,
    views: Sequence[View] | None,
    title: str | None,
    most_steps: int,
    progress: Progress | None,
) -> Contents:
    """All that a page of this file tells; see `write_report`.

    Raises:
        SelectionError: `layers` matches nothing.
        SnapshotFileError: the file is damaged, or holds no step.
    """
    if not file.steps:
        raise SnapshotFileError(f"{file.path.name!r} holds no step yet.")
    return _Gathering(file, layers, most_steps).contents(views, title or file.path.stem, progress)


class _Gathering:
    def __init__(self, file: SnapshotFile, layers: Selector | None, most_steps: int) -> None:
        self._file = file
        self._steps, self._best = file.steps, file.best_step
        self._shown = chosen_steps(self._steps, most_steps, best=self._best)
        last = file[self._steps[-1]]
        self._names = None if layers is None else frozenset(select(layers, [(one.name, one) for one in last]))
        self._layers = {one.name for one in last if self._is_chosen(one)}
        self._told: dict[
            int, Snapshot
        ] = {}  # what was found anew of the steps that are shown, without arrays

    def _is_chosen(self, layer: Layer) -> bool:
        return self._names is None or bool({layer.name, layer.base_name} & self._names)

    def contents(self, views: Sequence[View] | None, title: str, progress: Progress | None) -> Contents:
        contents = Contents(title, self._look(), best=self._best)
        self._add_numbers(contents)
        distances = distances_from_start(self._file[step] for step in self._shown)
        contents.add_distances({name: found for name, found in distances.items() if name in self._layers})
        if len(self._shown) < len(self._steps):
            contents.add_note(
                f"{len(self._shown)} of {len(self._steps)} steps are pictured: the first, the best, the "
                "last, and others, closer together at the beginning. Curves of metrics have all steps."
            )
        look = self._look
        self._add_films(
            contents, list(views or views_for(look()[-1])), progress or (lambda done, total: None)
        )
        return contents

    def _look(self) -> list[Snapshot]:
        """The steps that are shown, as they are drawn; no array of a layer is in memory yet."""
        found = []
        for step in self._shown:
            snapshot, told = self._file[step], self._told.get(step)
            if told is not None:
                snapshot = replace(snapshot, health=told.health, verdicts=told.verdicts)
            found.append(snapshot if self._names is None else snapshot.choose(self._names))
        return found

    def _add_numbers(self, contents: Contents) -> None:
        curves, findings = Curves(), Findings()
        for snapshot in self._with_health(contents):
            curves.add(snapshot)
            findings.add(snapshot)
        charts = [chart for chart in curves.charts() if not chart.layer or chart.layer in self._layers]
        contents.add_charts(curves.steps, charts)
        contents.add_findings(findings.worst_first())

    def _with_health(self, contents: Contents) -> Iterator[Snapshot]:
        """Every step in its order."""
        if any(self._file[step].health for step in self._steps):
            yield from (self._file[step] for step in self._steps)
            return
        shown = with_health(self._file[step] for step in self._shown)
        for step in self._steps:
            if step not in self._shown:
                yield self._file[step]
                continue
            snapshot = next(shown)
            if snapshot.health:
                self._told[step] = replace(snapshot, layers={})
            yield snapshot
        if self._told:
            contents.add_note(
                "The health of layers was found from the kernels and outputs in the file: what is known only "
                "while a network trains, such as gradients and updates, is not in it."
            )

    def _add_films(self, contents: Contents, views: Sequence[View], progress: Progress) -> None:
        def failed(what: str, error: Exception) -> None:
            contents.add_note(f"{what}: not drawn ({type(error).__name__}: {error})")

        snapshots = self._look()
        first, last = snapshots[0], snapshots[-1]
        total = 1 + sum(len(view.drawn(last)) if view.per_layer else 1 for view in views)
        progress(0, total)
        for done, film in enumerate(self._films(first, views, failed), start=1):
            contents.add_film(film)
            progress(min(done, total), total)
        progress(total, total)

    def _films(
        self, first: Snapshot, views: Sequence[View], failed: Callable[[str, Exception], None]
    ) -> Iterator[Film]:
        for view in views:
            if isinstance(view, Health):
                yield from films_of(view, self._look, failed)
        for picture in draw_probe(first):
            yield Film(picture.tag, "probe", "", {first.step: picture})
        for view in views:
            if not isinstance(view, Health):
                yield from films_of(view, self._look, failed)
