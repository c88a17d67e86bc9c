"""The `layerviz` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import layerviz_callbacks
from layerviz_callbacks.errors import LayerVizError

FRAMEWORKS = ("keras", "lightning")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0 done, 1 the demo missed its goal, 2 cannot be done."""
    parser = argparse.ArgumentParser(
        prog="layerviz", description="See what a network is learning while it trains."
    )
    parser.add_argument("--version", action="version", version=layerviz_callbacks.__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="train a small convnet on real scanned digits and picture it",
        epilog="example: python -m layerviz_callbacks demo --framework keras --epochs 3",
    )
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder to write to (default: demo)")
    demo.add_argument("--epochs", type=_count, default=8, help="epochs of each training (default: 8)")
    demo.add_argument("--framework", choices=FRAMEWORKS, action="append", help="default: both")
    given = parser.parse_args(arguments)
    from layerviz_callbacks.demo import run

    try:
        reached = run(
            out=given.out,
            epochs=given.epochs,
            frameworks=tuple(given.framework or FRAMEWORKS),
            tell=_tell,
        )
    except LayerVizError as error:
        sys.stderr.write(f"layerviz: {error}\n")
        return 2
    return 0 if reached else 1


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a count; give 1 or more")
    return count


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
