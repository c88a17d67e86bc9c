"""`layerviz show`: what a file of snapshots holds, and its pictures drawn again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from layerviz_callbacks.commands.options import (
    add_layers,
    add_places,
    add_views,
    locations,
    parser_of,
    sinks_of,
)
from layerviz_callbacks.commands.terminal import tell, with_progress
from layerviz_callbacks.errors import ArgumentError

if TYPE_CHECKING:
    from layerviz_callbacks.store import SnapshotFile

_EXAMPLES = """
layerviz show run.h5                                              a table of its steps and layers
layerviz show run.h5 --layer conv2 --view film                    pictures/1 film strip/02_conv2/step_0012.png
layerviz show run.h5 --view filters feature-maps --step best
layerviz show run.h5 --layer 'conv*' --step all --log-dir logs    TensorBoard, with the numbers
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = parser_of(
        commands, "show", help="show what a file of snapshots holds, and draw its pictures again",
        examples=_EXAMPLES,
    )  # fmt: skip
    parser.add_argument(
        "file", type=Path, help="what a callback's snapshots= or Snapshot.save wrote (run.h5)"
    )
    add_layers(parser)
    add_views(parser, "what a callback draws, as far as the file holds it")
    parser.add_argument(
        "--step", type=_step, default=None, metavar="STEP",
        help="last (default), best, all, or a number",
    )  # fmt: skip
    add_places(parser, " (default: pictures)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Tell what the file holds where no pictures are asked for; else draw them; 1 where a view failed.

    Raises:
        LayerVizError: the file cannot be read, or does not hold what is asked for.
    """
    from layerviz_callbacks.store import SnapshotFile

    with SnapshotFile(given.file) as file:
        steps = _steps(file, given.step)
        if given.views is None and given.out is None and given.log_dir is None:
            from layerviz_callbacks.commands.file_tables import tell_file

            tell_file(file, steps if given.step is not None else None, given.layers)
            return 0
        return _draw(file, steps, given)


def _step(text: str) -> str | int:
    if text in ("last", "best", "all"):
        return text
    if text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a step. Allowed: last, best, all, or a number")


def _steps(file: SnapshotFile, wanted: str | int | None) -> tuple[int, ...]:
    """The steps that are shown, in their order."""
    steps = file.steps
    if not steps:
        raise ArgumentError(
            f"{str(file.path)!r} holds no step yet. A training that runs writes its first one soon."
        )
    if wanted == "all":
        return steps
    if wanted in (None, "last"):
        return steps[-1:]
    if wanted == "best":
        if file.best_step is None:
            raise ArgumentError(
                "--step best: no step of this file is marked as the best. Record with monitor='val_loss', or "
                f"give a number from {steps[0]} to {steps[-1]}."
            )
        return (file.best_step,)
    if wanted not in steps:
        near = min(steps, key=lambda step: abs(step - int(wanted or 0)))
        raise ArgumentError(
            f"--step {wanted}: the file does not hold it. It has {len(steps)} steps from {steps[0]} to "
            f"{steps[-1]}; the nearest is {near}."
        )
    return (int(wanted or 0),)


def _draw(file: SnapshotFile, steps: Sequence[int], given: argparse.Namespace) -> int:
    from layerviz_callbacks.commands.drawing import Redrawing, TellingPolicy
    from layerviz_callbacks.commands.stored_views import plan_for

    plan = plan_for(
        file[steps[-1]], given.views, given.layers, name=given.file.name, films=len(file.steps) > 1
    )
    sinks, policy = sinks_of(given, out="pictures"), TellingPolicy()
    for sink in sinks:
        sink.open(first_step=0)
    redrawing = Redrawing(plan, sinks, policy)
    if given.views is None:
        redrawing.probe(file[steps[0]])
    gone_through = [step for step in file.steps if step <= steps[-1]]
    progress = with_progress("drawing", lambda step: f"step {step}")
    try:
        for step in progress(gone_through):
            redrawing.step(file[step], draw=step in steps, last=step == steps[-1])
    finally:
        for sink in sinks:
            sink.close()
    for family, pictures in redrawing.drawn.items():
        tell(f"{family}: {pictures} picture{'' if pictures == 1 else 's'}")
    tell(f"Pictures: {locations(sinks)}")
    return 1 if policy.faults else 0
