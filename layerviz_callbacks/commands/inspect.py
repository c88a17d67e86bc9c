"""`layerviz inspect`: the pictures of a trained model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from layerviz_callbacks.commands.models import add_model, image_form, loader
from layerviz_callbacks.commands.options import (
    add_layers,
    add_places,
    add_views,
    locations,
    parser_of,
    sinks_of,
)
from layerviz_callbacks.commands.probe_files import add_probe, probe_of
from layerviz_callbacks.commands.terminal import tell
from layerviz_callbacks.commands.view_names import views_named, views_of_one_step
from layerviz_callbacks.errors import ArgumentError

_EXAMPLES = """
layerviz inspect model.keras --probe photos/
layerviz inspect model.keras --probe photos/ --scale=-1..1 --layer 'conv*' --view filters grad-cam
layerviz inspect net.pt --model train:Net --probe x_val.npy --out pictures/
layerviz inspect --model networks.vision:build --weights last.ckpt --probe photos/ --size 64x64 --log-dir logs
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = parser_of(
        commands, "inspect", help="picture a trained model, of Keras or PyTorch", examples=_EXAMPLES
    )
    parser.add_argument(
        "file", type=Path, nargs="?",
        help="a saved Keras model (.keras, .h5), or weights (.weights.h5, .ckpt, .pt, .safetensors ...), "
        "which need --model",
    )  # fmt: skip
    parser.add_argument("--weights", type=Path, metavar="FILE", help="the same as FILE")
    add_model(parser)
    add_probe(parser)
    add_layers(parser)
    add_views(parser, "what a callback draws, without films")
    add_places(parser, " (default: pictures)")
    parser.add_argument("--save", type=Path, metavar="FILE.h5", help="keep what was read as a snapshot, too")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Read the model, tell its layers, and draw; 1 where a view failed.

    Raises:
        LayerVizError: the model cannot be opened, or not be called with the probe.
    """
    from layerviz_callbacks import inspect
    from layerviz_callbacks.commands.drawing import TellingPolicy
    from layerviz_callbacks.delivery import Delivery
    from layerviz_callbacks.job import Job
    from layerviz_callbacks.plan import PlannedView
    from layerviz_callbacks.replaying import find_checkpoints

    if given.save is not None and given.save.exists():
        raise ArgumentError(
            f"--save {given.save}: there is a file of that name already, and nothing is written over. Choose "
            "another name, or delete it."
        )
    files = find_checkpoints(_file(given)) if _file(given) else []
    loaded = loader(files, given)
    probe, words = probe_of(given, image_form(loaded.model))
    tell(words)
    loaded.reader(probe)  # builds a model that has no weights yet
    if files and given.model is not None:
        loaded.load(files[0])
    views = views_of_one_step() if given.views is None else views_named(given.views)
    snapshot = inspect(loaded.model, probe, layers=given.layers, views=views)
    tell(snapshot.summary())
    sinks, policy = sinks_of(given, out="pictures"), TellingPolicy()
    for sink in sinks:
        sink.open(first_step=0)
    delivery = Delivery(sinks, policy)
    plan = [PlannedView(view, snapshot.chosen if view.per_layer else None) for view in views]
    delivery.deliver(Job(snapshot, plan, probe=True, keep=True))
    delivery.close()
    if given.save is not None:
        tell(f"Snapshot: {snapshot.save(given.save)}")
    tell(f"{delivery.pictures} pictures: {locations(sinks)}")
    return 1 if policy.faults else 0


def _file(given: argparse.Namespace) -> Sequence[Path]:
    if given.file is not None and given.weights is not None:
        raise ArgumentError(f"Give one file: {given.file}, or --weights {given.weights}.")
    found = given.file or given.weights
    return [] if found is None else [found]
