"""Tags that every reader shows and file names that every system takes, from arbitrary layer names."""

from __future__ import annotations

import hashlib
import re

_LONGEST_TAG = 200  # characters
_LONGEST_NAME = 120  # bytes, of the 255 that file systems allow
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def printable_tag(tag: str) -> str:
    r"""The tag with unprintable characters written out, and shortened where it is very long.

    Example:
        >>> printable_tag("filters/03_con\nv")
        'filters/03_con\\nv'
    """
    tag = _escaped(tag)
    if len(tag) <= _LONGEST_TAG:
        return tag
    return tag[: _LONGEST_TAG - 9] + "~" + fingerprint(tag)


def file_name(name: str) -> str:
    """One file or folder name for `name`: no separators, nothing hidden, nothing reserved, bounded.

    Letters of all scripts stay. Slashes become dots.

    Example:
        >>> file_name("03_backbone/conv: 1")
        '03_backbone.conv_ 1'
        >>> file_name("..")
        '_'
    """
    safe = _escaped(name).replace("/", ".")
    safe = re.sub(r'[<>:"\\|?*]', "_", safe).rstrip(". ")
    if not safe.strip(". "):
        safe = "_"
    if safe.startswith((".", " ")) or _RESERVED.fullmatch(safe):
        safe = "_" + safe.lstrip(". ")
    encoded = safe.encode("utf-8")
    if len(encoded) > _LONGEST_NAME:
        safe = encoded[: _LONGEST_NAME - 9].decode("utf-8", "ignore") + "~" + fingerprint(name)
    return safe


def fingerprint(text: str) -> str:
    """Eight characters that tell texts apart."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:8]


def _escaped(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
