"""`layerviz report`: a training as one HTML page."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from pathlib import Path

from layerviz_callbacks.commands.options import add_layers, add_views, count, parser_of
from layerviz_callbacks.commands.terminal import tell
from layerviz_callbacks.commands.view_names import views_named

_EXAMPLES = """
layerviz report run.h5                                 run.html, beside it
layerviz report run.h5 -o report.html --open           and the browser shows it
layerviz report run.h5 --layer 'conv*' head --view filters maps
layerviz report run.h5 -o report.html --overwrite --title 'Digits, third try'
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = parser_of(
        commands, "report",
        help="a training as one HTML file, to look through in any browser, without server or network",
        examples=_EXAMPLES,
    )  # fmt: skip
    parser.add_argument("file", type=Path, help="the file of snapshots, such as run.h5")
    parser.add_argument("-o", "--out", type=Path, metavar="PAGE", help="default: run.html for run.h5")
    add_layers(parser)
    add_views(parser, "everything that was kept")
    parser.add_argument("--title", help="of the page; default: the name of the file")
    parser.add_argument(
        "--most-steps", type=count, default=60, metavar="N",
        help="of more steps than this, the first, the best, the last and others (default: 60)",
    )  # fmt: skip
    parser.add_argument(
        "--most-megabytes", type=float, default=20, metavar="N",
        help="where the page would be larger, its largest pictures are there at fewer steps (default: 20)",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace the page where it is there already")
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Write the page, and say where it is.

    Raises:
        LayerVizError: see `layerviz_callbacks.write_report`.
    """
    from layerviz_callbacks.report import write_report

    place = write_report(
        given.file,
        given.out or given.file.with_suffix(".html"),
        layers=given.layers,
        views=views_named(given.views) if given.views else None,
        title=given.title,
        most_steps=given.most_steps,
        most_megabytes=given.most_megabytes,
        overwrite=given.overwrite,
        progress=_show if sys.stderr.isatty() else None,
    )
    tell(f"{place} ({place.stat().st_size / 1e6:.1f} MB): open it in a browser, or send it")
    if given.open:
        webbrowser.open(place.absolute().as_uri())
    return 0


def _show(done: int, total: int) -> None:
    """How far it is, in one line of the terminal that is written over."""
    sys.stderr.write(f"\rdrawing {done}/{total}" + ("\n" if done == total else ""))
    sys.stderr.flush()
