"""Words on sheets and in their descriptions."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import lru_cache

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|])")
_TILDE = "&#126;"  # three begin a block of code; a backslash before one would be shown


@lru_cache(maxsize=1024)
def escape_markdown(text: str) -> str:
    r"""Text as Markdown that shows just these letters: no markup, no HTML, one line.

    Example:
        >>> escape_markdown("<b>conv_1</b>")
        '&lt;b&gt;conv\\_1&lt;/b&gt;'
    """
    escaped = _MARKDOWN.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))
    return escaped.replace("~", _TILDE)


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


def listed(numbers: Sequence[int], *, most: int = 14) -> str:
    """Numbers joined by commas; of many the first ones and the last.

    Example:
        >>> listed([3, 1, 2]), listed(range(100), most=4)
        ('3, 1, 2', '0, 1, 2, ..., 99')
    """
    shown = [str(number) for number in numbers]
    if len(shown) > most:
        shown = [*shown[: most - 1], "...", shown[-1]]
    return ", ".join(shown)


def slices_words(places: Sequence[int] | None, total: int) -> str:
    """Which slices of how many stand side by side in a channel; empty for a single one of one.

    Example:
        >>> slices_words((2, 8, 13), 16), slices_words(None, 3), slices_words((8,), 16)
        ('each channel: slices 2, 8, 13 of 16, left to right', 'each channel: its 3 slices, left to right', 'each channel: slice 8 of 16')
    """  # noqa: E501
    if places is None or len(places) == total:
        return f"each channel: its {total} slices, left to right" if total > 1 else ""
    if len(places) == 1:
        return f"each channel: slice {places[0]} of {total}"
    return f"each channel: slices {listed(places)} of {total}, left to right"
