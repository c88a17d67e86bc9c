"""`layerviz compare`: two runs, or two epochs of one run, side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerviz_callbacks.commands.options import add_layers, add_places, locations, parser_of, sinks_of
from layerviz_callbacks.commands.terminal import tell
from layerviz_callbacks.errors import ArgumentError

_EXAMPLES = """
layerviz compare a.h5 b.h5                                     two runs at their last steps: a table
layerviz compare a.h5 b.h5 --step best --out compared          and its pictures: matched filters, CKA
layerviz compare run.h5 --step 1 20 --log-dir logs             two epochs of one run, in TensorBoard
layerviz compare a.h5 b.h5 --step 5 10 --layer 'conv*'         step 5 of a and step 10 of b
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = parser_of(
        commands, "compare", help="compare two runs, or two epochs of one run, layer by layer",
        examples=_EXAMPLES,
    )  # fmt: skip
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE",
        help="one or two files that a callback's snapshots= or Snapshot.save wrote",
    )  # fmt: skip
    parser.add_argument(
        "--step", "--steps", dest="steps", type=_step, nargs="+", action="extend", metavar="STEP",
        help="first, last, best, or a number; two of them: one for each. Default: last; of one file its "
        "first and its last",
    )  # fmt: skip
    add_layers(parser)
    parser.add_argument(
        "--parted-below", type=float, default=None, metavar="CKA",
        help="layers part where CKA is below (default: 0.8)",
    )  # fmt: skip
    add_places(parser, "")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Tell the table; write the pictures where a place for them is given.

    Raises:
        LayerVizError: a file cannot be read, or the two cannot be compared.
    """
    from layerviz_callbacks.comparing import PARTED_BELOW, compare

    if len(given.files) > 2:
        raise ArgumentError(
            f"compare takes one file or two, and {len(given.files)} were given: "
            f"{', '.join(map(str, given.files))}. Compare them in pairs."
        )
    steps = given.steps or []
    if len(steps) > 2:
        raise ArgumentError(f"--step takes one step or two, and {len(steps)} were given.")
    if len(given.files) == 1 and len(steps) == 1:
        raise ArgumentError(
            f"Of one file two steps are compared, and only --step {steps[0]} was given. Give both, "
            f"for example --step {steps[0]} last, or a second file."
        )
    comparison = compare(
        *given.files,
        step=None if not steps else steps[0] if len(steps) == 1 else (steps[0], steps[1]),
        layers=given.layers,
        parted_below=PARTED_BELOW if given.parted_below is None else given.parted_below,
    )
    tell(str(comparison))
    sinks = sinks_of(given)
    if not sinks:
        return 0
    pictures = comparison.pictures()
    for sink in sinks:
        sink.open(first_step=0)
    try:
        for sink in sinks:
            sink.write(pictures, comparison.step)
            sink.write_text("comparison/table", f"```text\n{comparison}\n```", comparison.step)
    finally:
        for sink in sinks:
            sink.close()
    tell(f"\n{len(pictures)} pictures: {locations(sinks)}")
    return 0


def _step(text: str) -> str | int:
    if text in ("first", "last", "best"):
        return text
    if text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a step. Allowed: first, last, best, or a number")
