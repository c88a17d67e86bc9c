"""Names of layers, weights and outputs as names in a file, and back."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

_PLAIN = re.compile(r"[^/%\x00-\x1f\x7f\ud800-\udfff]", re.UNICODE)
_EMPTY = "%"


def escaped(name: str) -> str:
    """A name that HDF5 takes as one: slashes, percent signs and what cannot be printed as `%XX`.

    Example:
        >>> escaped("backbone/conv1"), escaped("Schicht ä"), escaped("."), escaped("")
        ('backbone%2Fconv1', 'Schicht ä', '%2E', '%')
    """
    if name == "":
        return _EMPTY
    if not name.strip("."):  # ".": this group itself
        return "".join("%2E" for _ in name)
    return "".join(character if _PLAIN.fullmatch(character) else _coded(character) for character in name)


def unescaped(written: str) -> str:
    r"""The name that was escaped.

    Example:
        >>> unescaped(escaped("50 %/100\n"))
        '50 %/100\n'
    """
    if written == _EMPTY:
        return ""
    return unquote_to_bytes(written.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


def _coded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
