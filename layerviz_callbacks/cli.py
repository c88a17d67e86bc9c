"""The `layerviz` command."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import layerviz_callbacks
from layerviz_callbacks.commands.typed_words import as_typed
from layerviz_callbacks.errors import ArgumentError, LayerVizError, SelectionError, did_you_mean
from layerviz_callbacks.messages import NAME, logger

COMMANDS = ("show", "report", "compare", "inspect", "replay", "demo")
_EXAMPLES = """examples:
  layerviz demo                                          a first run on real digits
  layerviz show run.h5                                   what a file of snapshots holds
  layerviz show run.h5 --layer conv2 --view film         its pictures, drawn again
  layerviz report run.h5 --open                          the training as one page, in the browser
  layerviz compare seed1.h5 seed2.h5                     what is different in a second run
  layerviz inspect model.keras --probe photos/           a trained model
  layerviz replay checkpoints/ --probe photos/           a training that is over

Each command tells more: layerviz show --help"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: what was typed after `layerviz`; None: that of this process.

    Returns:
        The exit status: 0 done; 1 something was left out, or the demo missed its goal; 2 cannot be done.
    """
    typed = joined(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(typed)
    except LayerVizError as error:
        sys.stderr.write(f"layerviz: {error}\n")
        if "--verbose" in typed:
            logger().error("where it came from:", exc_info=error)
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("layerviz: interrupted\n")
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    return _parsers()[0]


class _Parser(argparse.ArgumentParser):
    """A parser that says why a file is missing where an option has taken its name."""

    def error(self, message: str) -> NoReturn:
        if "required: " in message and message.endswith((" file", " FILE", " checkpoints")):
            message += (
                f". Write it first, directly after '{self.prog}': an option such as --layer takes all the "
                "words that follow it"
            )
        super().error(message)


def _run(typed: Sequence[str]) -> int:
    whole, commands = _parsers()
    if not typed:
        whole.print_help(sys.stderr)
        return 2
    name = next((word for word in typed if not word.startswith("-")), None)
    if name is not None and name not in commands:
        raise ArgumentError(
            f"{name!r} is not a command. Allowed: {', '.join(commands)}.{did_you_mean(name, commands)}"
        )
    given, strange = whole.parse_known_args(typed)
    if strange:
        options = re.findall(r"--[a-z][a-z-]*", commands[given.command].format_help())
        raise ArgumentError(
            f"layerviz {given.command} does not know {' '.join(strange)!r}."
            f"{did_you_mean(strange[0], dict.fromkeys(options))} Type: layerviz {given.command} --help"
        )
    if given.verbose:
        logging.getLogger(NAME).setLevel(logging.DEBUG)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notices
    try:
        status: int = given.run(given)
    except SelectionError as error:
        raise SelectionError(as_typed(str(error), given.layers)) from error
    return status


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    whole = _Parser(
        prog="layerviz",
        description="See what a network is learning while it trains, and afterwards.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=layerviz_callbacks.__version__)
    whole.add_argument("--verbose", action="store_true", help="tell more, and where an error came from")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"{__package__}.commands.{name}").add_to(commands)
    for one in commands.choices.values():
        one.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return whole, dict(commands.choices)


def joined(arguments: Sequence[str]) -> list[str]:
    """`--scale -1..1` as `--scale=-1..1`: else the range would be taken for an option.

    Example:
        >>> joined(["inspect", "--scale", "-1..1"])
        ['inspect', '--scale=-1..1']
    """
    words: list[str] = []
    for word in arguments:
        if words and words[-1].startswith("--") and re.fullmatch(r"-\d+\.\.\d+", word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words
