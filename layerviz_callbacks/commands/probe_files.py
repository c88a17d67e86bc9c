"""A probe out of files: arrays as NumPy saves them, or a folder of images."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from layerviz_callbacks.commands.options import count
from layerviz_callbacks.errors import ProbeError
from layerviz_callbacks.probe import Probe

if TYPE_CHECKING:
    from layerviz_callbacks.commands.image_files import ImageForm

SCALES = ("0..1", "0..255", "-1..1", "imagenet")
_MOST_SAMPLES = 16


def add_probe(parser: argparse.ArgumentParser) -> None:
    """`--probe` and what belongs to it."""
    parser.add_argument(
        "--probe", type=Path, required=True, metavar="FILES",
        help="what the model is shown: a folder of images (or one image), .npy (sample, ...), or .npz with "
        "an array for each input by its name, and 'names' and 'targets' where there are any",
    )  # fmt: skip
    parser.add_argument(
        "--samples", type=count, default=_MOST_SAMPLES, metavar="N",
        help=f"show the first N samples (default: {_MOST_SAMPLES})",
    )  # fmt: skip
    parser.add_argument(
        "--scale", choices=SCALES, default="0..1",
        help="how the model wants the values of images: 0..1 (default), 0..255, -1..1, or imagenet (0..1, "
        "minus the means and divided by the deviations of ImageNet's red, green and blue)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=_size, metavar="HxW",
        help="height and width that images are resized to; default: what the model declares",
    )  # fmt: skip
    parser.add_argument(
        "--channels", type=int, choices=(1, 3, 4), help="of images: 1 is grey, 3 is RGB; default: the model's"
    )


def probe_of(given: argparse.Namespace, form: ImageForm) -> tuple[Probe, str]:
    """The probe that was asked for.

    Args:
        given: what `add_probe` describes.
        form: of images, as the model takes them.

    Returns:
        The probe, and a line that says what was done to make it.

    Raises:
        ProbeError: there is no such file, it is no array, holds Python objects, or the images do not fit.
    """
    path: Path = given.probe
    if not path.exists():
        raise ProbeError(
            f"--probe {path}: there is no such file or folder. Allowed: a folder of images, .npy, .npz."
        )
    if path.suffix in (".npy", ".npz"):
        return _of_arrays(path, given.samples, trust=given.trust)
    from layerviz_callbacks.commands.image_files import images_in, read_images

    files, others = images_in(path)
    form = form.changed(size=given.size, channels=given.channels)
    shown = files[: given.samples]
    images = read_images(shown, form, given.scale)
    probe = Probe(images.inputs, names=[file.stem for file in shown], display=images.display)
    parts = [_counted(len(shown), len(files), "image"), images.words]
    parts += [f"{others} other files are left alone"] if others else []
    return probe, f"Probe: {', '.join(parts)}."


def _of_arrays(path: Path, samples: int, *, trust: bool) -> tuple[Probe, str]:
    arrays = _arrays(path, trust=trust)
    names, targets = arrays.pop("names", None), arrays.pop("targets", None)
    if not arrays:
        raise ProbeError(f"--probe {path} holds no inputs. Save them by name: np.savez('probe.npz', x=x).")
    if any(array.ndim == 0 for array in arrays.values()):
        raise ProbeError(f"--probe {path} holds a single number. Allowed: arrays (sample, ...).")
    total = max(len(array) for array in arrays.values())
    cut = {name: array[:samples] for name, array in arrays.items()}
    inputs: Any = next(iter(cut.values())) if len(cut) == 1 else cut
    labels = None if names is None else [str(name) for name in names[:samples]]
    probe = Probe(inputs, names=labels, targets=None if targets is None else targets[:samples])
    shapes = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in cut.items())
    return probe, f"Probe: {_counted(len(probe), total, 'sample')}, {shapes}."


def _arrays(path: Path, *, trust: bool) -> dict[str, np.ndarray]:
    try:
        loaded = np.load(path, allow_pickle=trust)
        if isinstance(loaded, Mapping):
            return {name: loaded[name] for name in loaded}
        return {"input": np.asarray(loaded)}
    except (OSError, ValueError, EOFError) as error:
        if "allow_pickle" in str(error) and _is_numpy(path):
            raise ProbeError(
                f"--probe {path} holds Python objects, and reading these can run any code. Save numbers: "
                "np.save('probe.npy', x.astype('float32')). Or type --trust if you trust who wrote it."
            ) from error
        said = f"{type(error).__name__}: {error}" if _is_numpy(path) else "it is no .npy or .npz"
        raise ProbeError(f"--probe {path} cannot be read: {said}") from error


def _is_numpy(path: Path) -> bool:
    """Whether a file begins as `.npy` or `.npz` does; NumPy takes anything else for a pickle."""
    with path.open("rb") as file:
        return file.read(6).startswith((b"\x93NUMPY", b"PK"))


def _counted(shown: int, total: int, what: str) -> str:
    plural = what if total == 1 else what + "s"
    return (
        f"{total} {plural}"
        if shown == total
        else f"the first {shown} of {total} {plural} (--samples says so)"
    )


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; give height x width, for example 64x64")
    return int(height), int(width)
