"""A model as it is named at the command line, and how it takes images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerviz_callbacks.commands.options import MODEL_HELP, TRUST_HELP

if TYPE_CHECKING:
    from layerviz_callbacks.commands.image_files import ImageForm
    from layerviz_callbacks.replaying import Loader


def add_model(parser: argparse.ArgumentParser) -> None:
    """`--model` and `--trust`."""
    parser.add_argument("--model", metavar="MODULE:BUILD", help=MODEL_HELP)
    parser.add_argument("--trust", action="store_true", help=TRUST_HELP)


def built(given: argparse.Namespace) -> Any:
    """What `--model` names; None where it was not given."""
    from layerviz_callbacks.replaying import function_named

    return None if given.model is None else function_named(given.model)


def loader(files: Sequence[Path], given: argparse.Namespace) -> Loader:
    """The model of these files."""
    from layerviz_callbacks.replaying import loader_of

    return loader_of(files, built(given), trust=given.trust)


def image_form(model: Any) -> ImageForm:
    """How a model takes images, as far as it tells."""
    from layerviz_callbacks.commands.image_files import ImageForm

    roots = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    if roots & {"keras", "tf_keras"}:
        from layerviz_callbacks.keras.saved_models import has_channels_first, input_shape

        return ImageForm.of_keras(input_shape(model), channels_first=has_channels_first(model))
    return ImageForm.of_torch(model)
