"""Images from files as the input of a model: resized and scaled, and said in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from layerviz_callbacks.errors import ProbeError
from layerviz_callbacks.replaying.checkpoint_files import natural

_ENDS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_COLOURS = {1: "grey", 3: "RGB", 4: "RGBA"}
_IMAGENET_MEANS, _IMAGENET_DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageForm:
    """How a model takes images, as far as is known.

    Attributes:
        size: height and width; None: any.
        channels: 1, 3 or 4; None: not known.
        channels_first: `(sample, channel, height, width)` rather than `(sample, height, width, channel)`.
        channel_axis: whether there is an axis of channels at all.
        refusal: why the model takes no images, in words; empty where it may.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    channels_first: bool = False
    channel_axis: bool = True
    refusal: str = ""

    def changed(self, *, size: tuple[int, int] | None, channels: int | None) -> ImageForm:
        """The same with what the user says."""
        return replace(self, size=size or self.size, channels=channels or self.channels)

    @classmethod
    def of_keras(cls, shape: tuple[int | None, ...] | None, *, channels_first: bool) -> ImageForm:
        """From the shape of a Keras model's input, with the axis of samples.

        Example:
            >>> ImageForm.of_keras((None, 28, 28, 1), channels_first=False).size
            (28, 28)
        """
        if shape is None:
            return cls(channels_first=channels_first)
        if len(shape) not in (3, 4):
            return cls(
                refusal=f"the model takes the shape {shape}, which is not that of images; give .npy or .npz"
            )
        space: Any = shape[2:] if channels_first and len(shape) == 4 else shape[1:3]
        channels = None if len(shape) == 3 else shape[1] if channels_first else shape[3]
        return cls(
            size=None if None in space else (space[0], space[1]),
            channels=1 if len(shape) == 3 else channels,
            channels_first=channels_first,
            channel_axis=len(shape) == 4,
        )

    @classmethod
    def of_torch(cls, model: Any) -> ImageForm:
        """From a PyTorch model: the channels that its first 2-D convolution takes; it declares no size."""
        kernels = [weight.shape for weight in model.parameters() if weight.ndim == 4]
        channels = int(kernels[0][1]) if kernels and int(kernels[0][1]) in _MODES else None
        return cls(channels=channels, channels_first=True)


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Images, read.

    Attributes:
        inputs: as the model takes them, float32.
        display: as they look, `(sample, height, width, channel)` of unsigned 8-bit numbers.
        words: what was done to them.
    """

    inputs: np.ndarray
    display: np.ndarray
    words: str


def images_in(path: Path) -> tuple[list[Path], int]:
    """The images of a folder in the natural order of their names, and how many other files there are.

    Raises:
        ProbeError: there is none.
    """
    if path.is_file():
        return [path], 0
    files = [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
    images = sorted((file for file in files if file.suffix.lower() in _ENDS), key=natural)
    if not images:
        folders = sum(1 for inner in path.iterdir() if inner.is_dir())
        hint = f" It has {folders} folders: give one of them." if folders else ""
        raise ProbeError(f"The folder {str(path)!r} holds no images ({', '.join(_ENDS)}).{hint}")
    return images, len(files) - len(images)


def read_images(files: Sequence[Path], form: ImageForm, scale: str) -> ImageBatch:
    """Read images as one batch.

    Args:
        files: the images.
        form: how the model takes them.
        scale: "0..1", "0..255", "-1..1" or "imagenet".

    Raises:
        ProbeError: an image cannot be read, they differ in size and none is known, or the model takes none.
    """
    if form.refusal:
        raise ProbeError(f"--probe: {form.refusal}.")
    images = [_opened(file) for file in files]
    channels = form.channels or (1 if all(image.mode in ("1", "L", "I;16") for image in images) else 3)
    if channels not in _MODES:
        raise ProbeError(
            f"--probe: the model takes {channels} channels, and images have 1, 3 or 4. Give .npy."
        )
    if scale == "imagenet" and channels != 3:
        raise ProbeError(f"--scale imagenet is of RGB, and the model takes {channels} channels.")
    images = [_converted(image, _MODES[channels]) for image in images]
    sizes = list(dict.fromkeys((image.height, image.width) for image in images))
    if form.size is None and len(sizes) > 1:
        raise ProbeError(
            f"--probe: the images have {len(sizes)} sizes, such as {_by(sizes[0])} and {_by(sizes[1])}, and "
            "the model declares none. Type height and width as it was trained with, for example --size 64x64."
        )
    height, width = form.size or sizes[0]
    resized = [image.resize((width, height), Image.Resampling.BICUBIC) for image in images]
    display = np.stack([np.asarray(image) for image in resized]).reshape(len(images), height, width, channels)
    inputs = _scaled(display.astype(np.float32), scale)
    if not form.channel_axis:
        inputs = inputs[..., 0]
    elif form.channels_first:
        inputs = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
    size = _by((height, width))
    done = f"resized to {size}" if sizes != [(height, width)] else f"of {size}"
    return ImageBatch(inputs, display, f"{done}, {_COLOURS[channels]}, values {_words(scale)}")


def _opened(file: Path) -> Image.Image:
    try:
        with Image.open(file) as image:
            image.load()
            opened = ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ProbeError(f"--probe: {file.name} is no image that can be read: {error}") from error
    if opened.mode in ("F", "I"):
        raise ProbeError(
            f"--probe: {file.name} has values of the type {opened.mode!r} with no range of their own. "
            "Give them as .npy, scaled as the model was trained."
        )
    return opened


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would clip at 255
        image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().astype(np.uint8))
    return image.convert(mode)


def _scaled(values: np.ndarray, scale: str) -> np.ndarray:
    if scale == "0..255":
        return values
    if scale == "-1..1":
        return values / np.float32(127.5) - np.float32(1)
    values = values / np.float32(255)
    if scale == "imagenet":
        means = np.array(_IMAGENET_MEANS, np.float32)
        values = (values - means) / np.array(_IMAGENET_DEVIATIONS, np.float32)
    return values


def _words(scale: str) -> str:
    return "scaled as for ImageNet" if scale == "imagenet" else f"scaled to {scale}"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
