"""A page as one HTML file: its frame, style, program and data; nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator
from importlib import resources

from layerviz_callbacks.report.contents import Contents

_PROGRAM = ("reels.js", "charts.js", "state.js", "pictures.js", "lens.js", "page.js")


def page_of(contents: Contents) -> Iterator[str]:
    """The HTML of a page, piece by piece.

    What comes from the training is data: the page's program puts it in as text, and it cannot end the
    element that it stands in.
    """
    reels = contents.finish()
    frame = _part("page.html")
    program = "\n".join(_part(name) for name in _PROGRAM)
    for name, text in (
        ("title", html.escape(contents.facts["title"])),
        ("style", _part("page.css")),
        ("program", program),
    ):
        frame = frame.replace(f"<!--{name}-->", text, 1)
    before, after = frame.split("<!--data-->", 1)
    yield before
    yield f'<script type="application/json" id="facts">{_data(contents.facts)}</script>\n'
    for number, reel in enumerate(reels):
        text = base64.b64encode(reel).decode()
        yield f'<script type="application/octet-stream;base64" id="reel-{number}">{text}</script>\n'
    yield after


def _part(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _data(facts: object) -> str:
    text = json.dumps(facts, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
