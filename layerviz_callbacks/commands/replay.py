"""`layerviz replay`: the pictures of a training that is over, from its checkpoints."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from layerviz_callbacks.commands.models import add_model, built, image_form
from layerviz_callbacks.commands.options import add_layers, add_views, parser_of, sinks_of
from layerviz_callbacks.commands.probe_files import add_probe, probe_of
from layerviz_callbacks.commands.terminal import log_of_warnings, table, tell, with_progress
from layerviz_callbacks.commands.typed_words import as_typed
from layerviz_callbacks.commands.view_names import views_named

if TYPE_CHECKING:
    from layerviz_callbacks.replaying import Numbering

_NAMED = 4
_EXAMPLES = """
layerviz replay checkpoints/ --probe photos/
layerviz replay run/*.weights.h5 --model train:make_model --probe x_val.npy --log-dir logs
layerviz replay lightning_logs/version_0/checkpoints/ --model train:LitNet --probe photos/ --size 32x32
layerviz replay checkpoints/ --probe photos/ --layer 'conv*' --view film --out pictures/
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = parser_of(
        commands, "replay", examples=_EXAMPLES,
        help="picture a training that is over and never had the callback, from its checkpoints",
    )  # fmt: skip
    parser.add_argument(
        "checkpoints", type=Path, nargs="+",
        help="a folder, or the files: .keras, .weights.h5, .h5 of Keras; .ckpt of Lightning; .pt, .pth, "
        ".bin, .safetensors of PyTorch",
    )  # fmt: skip
    add_model(parser)
    add_probe(parser)
    add_layers(parser)
    add_views(parser, "what a callback draws")
    parser.add_argument(
        "--snapshots", type=Path, metavar="FILE.h5", help="keep every step as a snapshot, too"
    )
    parser.add_argument("--log-dir", type=Path, metavar="FOLDER", help="for TensorBoard (default: logs)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="PNG files go here")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Replay; 1 where a checkpoint could not be loaded, 2 where none could.

    Raises:
        LayerVizError: there are no checkpoints, no model, or it cannot be called with the probe.
    """
    from layerviz_callbacks.replaying import Replay

    found = Replay(given.checkpoints, model=built(given), trust=given.trust)
    probe, words = probe_of(given, image_form(found.loader.model))
    tell(words)
    _tell_order(found.numbering)
    with log_of_warnings(verbose=given.verbose):
        done = found.run(
            probe,
            log_dir=sinks_of(given, log_dir="logs"),
            layers=given.layers,
            views=None if given.views is None else views_named(given.views),
            progress=with_progress("replaying", lambda one: one.path.name),
            **({} if given.snapshots is None else {"snapshots": given.snapshots}),
        )
    total, pictured = len(found.numbering.checkpoints), as_typed(done.pictured)
    tell(f"{len(done.steps)} of {total} checkpoints are pictured{': ' * bool(pictured)}{pictured}.")
    _tell_failures(done.failures)
    if done.steps:
        tell(f"Pictures: {done.location}")
    if done.snapshots is not None:
        tell(f"Snapshots: {done.snapshots}")
    return 0 if not done.failures else 1 if done.steps else 2


def _tell_failures(failures: Mapping[Path, str]) -> None:
    """What could not be loaded; of the same reason once."""
    by_reason: dict[str, list[str]] = {}
    for path, why in failures.items():
        by_reason.setdefault(why.removeprefix(path.name).strip(), []).append(path.name)
    for why, names in by_reason.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        tell(f"Not {', '.join(names[:_NAMED])}{more}: {why}")


def _tell_order(numbering: Numbering) -> None:
    rows = [[numbering.unit, "file", "known from"]]
    paths = [one.path for one in numbering.checkpoints]
    names = [str(path) if len({one.parent for one in paths}) > 1 else path.name for path in paths]
    rows += [
        [str(one.step), name, one.source] for one, name in zip(numbering.checkpoints, names, strict=True)
    ]
    tell(table(rows, right=[0]))
    for path, why in numbering.left_out.items():
        tell(f"Left out: {path.name} ({why})")
    if len({path.name for path in paths}) < len(paths):
        tell("Files of one name in several folders: if these are several trainings, replay one at a time.")
    tell()
