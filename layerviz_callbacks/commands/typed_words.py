"""What the package says of its arguments, in the words that are typed at the command line."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def as_typed(words: str, layers: Sequence[str] | None = None) -> str:
    """A message with `--layer` in place of `layers=`.

    Args:
        words: of the package.
        layers: what was given with `--layer`, as the message may quote it.

    Example:
        >>> as_typed("layers=['cnv'] matches no layer.", ["cnv"])
        '--layer cnv matches no layer.'
        >>> as_typed("add their names to layers= to see their outputs")
        'add their names to --layer to see their outputs'
    """
    if layers:
        words = words.replace(f"layers={list(layers)!r}", f"--layer {shlex.join(layers)}")
    return words.replace("layers=", "--layer ").replace("--layer  ", "--layer ")
