"""Options that several commands have."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from layerviz_callbacks.commands.view_names import view_classes, view_name

if TYPE_CHECKING:
    from layerviz_callbacks.sinks import Sink

MODEL_HELP = (
    "package.module:build, a function or class that gives the model. Modules of the current folder are "
    "found, and importing one runs it"
)
TRUST_HELP = (
    "run code that stands in the files (pickled Python objects, lambda layers). Without it such files are "
    "refused. Only for files of people you trust"
)


def parser_of(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, *, help: str, examples: str
) -> argparse.ArgumentParser:
    """The parser of a command, with examples at the end of its help.

    Args:
        commands: where it is added.
        name: of the command.
        help: one line of what it does.
        examples: lines that can be typed, a line each.
    """
    lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())
    return commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=f"examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def count(text: str) -> int:
    """A whole number from 1 on."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a count; give 1 or more")
    return number


def add_layers(parser: argparse.ArgumentParser) -> None:
    """`--layer`: names, globs and kinds."""
    parser.add_argument(
        "--layer", "--layers", dest="layers", nargs="+", action="extend", metavar="NAME",
        help="layers by name, glob ('conv*') or kind ('kind:convolution'); default: those that views choose",
    )  # fmt: skip


def add_views(parser: argparse.ArgumentParser, default: str) -> None:
    """`--view`: what is drawn."""
    parser.add_argument(
        "--view", "--views", dest="views", nargs="+", action="extend", type=view_name, metavar="VIEW",
        help=f"what to draw: {', '.join(view_classes())}; the beginning of a name is enough. "
        f"Default: {default}",
    )  # fmt: skip


def add_places(parser: argparse.ArgumentParser, default: str) -> None:
    """`--out` and `--log-dir`: where pictures go."""
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=f"PNG files go here{default}")
    parser.add_argument("--log-dir", type=Path, metavar="FOLDER", help="TensorBoard's files go here")


def sinks_of(given: argparse.Namespace, *, out: str = "", log_dir: str = "") -> list[Sink]:
    """The places that were given; where none was, the default ones that are named."""
    from layerviz_callbacks.sinks import Folder, TensorBoard

    folder = given.out or (Path(out) if out and given.log_dir is None else None)
    logs = given.log_dir or (Path(log_dir) if log_dir and given.out is None else None)
    return [*([Folder(folder)] if folder else []), *([TensorBoard(logs)] if logs else [])]


def locations(sinks: Sequence[Sink]) -> str:
    """Where the pictures are, and how they are looked at."""
    return ", ".join(sink.location for sink in sinks)
