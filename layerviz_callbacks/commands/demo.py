"""`layerviz demo`: a first run on real scanned digits."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerviz_callbacks.commands.options import count, parser_of
from layerviz_callbacks.commands.terminal import tell

FRAMEWORKS = ("keras", "lightning")
_EXAMPLES = """
python -m layerviz_callbacks demo --framework keras --epochs 3
layerviz demo --out demo
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = parser_of(
        commands, "demo", help="train a small convnet on real scanned digits and picture it",
        examples=_EXAMPLES,
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write to (default: demo)")
    parser.add_argument("--epochs", type=count, default=8, help="epochs of each training (default: 8)")
    parser.add_argument("--framework", choices=FRAMEWORKS, action="append", help="default: both")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Train and picture; 1 where a training missed its goal.

    Raises:
        ArgumentError: a package that the demo needs is missing.
    """
    from layerviz_callbacks.demo import run as run_demo

    frameworks = tuple(given.framework or FRAMEWORKS)
    return 0 if run_demo(out=given.out, epochs=given.epochs, frameworks=frameworks, tell=tell) else 1
