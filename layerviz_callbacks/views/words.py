"""Words on sheets and in their descriptions."""

from __future__ import annotations

import html
import re

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~:])")


def escape_markdown(text: str) -> str:
    r"""Text as Markdown that shows just these letters: no markup, no HTML, one line.

    Example:
        >>> escape_markdown("<b>conv_1</b>")
        '&lt;b&gt;conv\\_1&lt;/b&gt;'
    """
    return _MARKDOWN.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def count_of(shown: int, total: int, noun: str) -> str:
    """How many there are, and how many of them are shown.

    Example:
        >>> count_of(16, 64, "channel"), count_of(1, 1, "sample")
        ('16 of 64 channels', '1 sample')
    """
    plural = noun if total == 1 else f"{noun}s"
    return f"{total} {plural}" if shown == total else f"{shown} of {total} {plural}"


def size_of(space: tuple[int, ...]) -> str:
    """Sizes joined by "x"; a single one as a length.

    Example:
        >>> size_of((3, 5)), size_of((7,))
        ('3x5', 'length 7')
    """
    return f"length {space[0]}" if len(space) == 1 else "x".join(str(length) for length in space)
