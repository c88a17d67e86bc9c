"""Train in every framework that is installed, and say where the pictures are."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from layerviz_callbacks.demo.contact_sheet import contact_sheet
from layerviz_callbacks.demo.digits import load_digits
from layerviz_callbacks.errors import ArgumentError

GOAL = 0.95


def run(*, out: Path, epochs: int, frameworks: tuple[str, ...], tell: Callable[[str], object]) -> bool:
    """Run the demo.

    Args:
        out: the folder that everything is written to.
        epochs: epochs of each training.
        frameworks: of "keras" and "lightning".
        tell: shows one line to the person at the terminal.

    Returns:
        Whether every training reached 95 % accuracy on held-out digits.

    Raises:
        ArgumentError: a package that the demo needs is missing; the message says what to type.
    """
    for module, extra in [("sklearn", "demo"), *((name, name) for name in frameworks)]:
        if find_spec(module) is None:
            raise ArgumentError(
                f"the demo needs {module}, which is not installed. "
                f"Type: pip install 'layerviz_callbacks[{extra}]'"
            )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notices
    digits = load_digits()
    accuracies = {}
    for framework in frameworks:
        tell(
            f"\n{framework}: a small convnet on {len(digits.train_labels)} scanned digits, {epochs} epochs\n"
        )
        if framework == "keras":
            from layerviz_callbacks.demo.train_keras import train_keras as train
        else:
            from layerviz_callbacks.demo.train_lightning import train_lightning as train
        accuracies[framework] = train(digits, out=out, epochs=epochs)
    sheet = out / "contact_sheet.png"
    runs = [_newest(out / "pictures" / framework) for framework in frameworks]
    contact_sheet([column for run in runs for column in _columns(run)], sheet)
    tell("")
    for framework, accuracy in accuracies.items():
        verdict = "" if accuracy >= GOAL else f"  (below the {GOAL:.0%} this demo should reach)"
        tell(f"{framework}: {accuracy:.1%} of {len(digits.held_out_labels)} held-out digits right{verdict}")
    tell(f"\nA contact sheet to look at:  {sheet}")
    tell(f"Every picture as a PNG:      {out / 'pictures'}")
    tell(f"Watch it in TensorBoard:     tensorboard --logdir {shlex.quote(str(out / 'logs'))} "
         "--samples_per_plugin=images=100")  # fmt: skip
    return all(accuracy >= GOAL for accuracy in accuracies.values())


def _newest(folder: Path) -> Path:
    """A run beside an older one is written to `keras-2`, `keras-3`, ..."""
    runs = [path for path in folder.parent.glob(f"{folder.name}*") if path.is_dir()]
    return max(runs, key=lambda path: path.stat().st_mtime)


def _columns(folder: Path) -> list[list[Path]]:
    """Two columns: the probe and the first filters before and after training; the last feature maps."""
    filters = sorted(folder.glob("filters/*_conv1/*.png"))
    maps = [sorted(folder.glob(f"feature maps/*_{layer}/*.png"))[-1:] for layer in ("conv1", "conv2")]
    return [
        [*sorted(folder.glob("probe/**/*.png"))[:1], filters[0], filters[-1]],
        [file for files in maps for file in files],
    ]
