"""One picture: tag, pixels, caption; knows its PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from layerviz_callbacks.render.animated_png import encode_animated_png
from layerviz_callbacks.render.held_range import HeldRange
from layerviz_callbacks.render.png import encode_png


@dataclass(frozen=True, eq=False)
class Picture:
    """A drawn sheet.

    Attributes:
        tag: where it stands in TensorBoard, such as "filters/03_conv2".
        pixels: palette indices `(height, width)`, or RGB `(height, width, 3)`; uint8.
        palette: RGB of the 256 indices `(256, 3)`, uint8; None for RGB pixels.
        caption: what the picture is, in one line of words.
        description: the same with details, as Markdown, for TensorBoard's (i) pop-up.
        held: the range of values it is drawn with, where that holds still over steps; else None.
        samples: where each sample of the probe stands: left, top, width, height; empty where they are not
            apart.

    Example:
        >>> import numpy as np
        >>> picture = Picture("demo/grey", np.zeros((2, 3, 3), np.uint8))
        >>> picture.size
        (3, 2)
    """

    tag: str
    pixels: np.ndarray
    palette: np.ndarray | None = None
    caption: str = ""
    description: str = ""
    held: HeldRange | None = None
    samples: Sequence[tuple[int, int, int, int]] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def rgb(self) -> np.ndarray:
        """The colours `(height, width, 3)`, uint8."""
        return self.pixels if self.palette is None else self.palette[self.pixels]

    def png(self) -> bytes:
        """The picture as a PNG file's bytes: 8-bit palette, or RGB.

        It is encoded once, however many sinks write it; the bytes are kept as long as the picture.
        """
        return self._png

    def save(self, path: str | Path) -> None:
        """Write the PNG file.

        Example:
            >>> snapshot.pictures()[0].save("conv1.png")               # doctest: +SKIP
        """
        Path(path).write_bytes(self.png())

    @cached_property
    def _png(self) -> bytes:
        kind = (self.palette is not None, self.pixels.shape[2:])
        if self.pixels.size and self.pixels.dtype == np.uint8 and kind in ((True, ()), (False, (3,))):
            return encode_png(self.pixels, self.palette)
        return self._png_of_another_kind()

    def _png_of_another_kind(self) -> bytes:
        """Grey, with opacity, 16 bits: pictures of views that are not ours."""
        from PIL import Image  # by need

        image = Image.fromarray(self.pixels)
        if self.palette is not None:
            image.putpalette(np.ascontiguousarray(self.palette, np.uint8).tobytes())
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()

    def __repr__(self) -> str:
        width, height = self.size
        return f"Picture({self.tag!r}, {width} x {height})"


@dataclass(frozen=True, eq=False, repr=False)
class Animation(Picture):
    """A picture that moves where it is shown by a browser, such as TensorBoard's: an animated PNG.

    Attributes:
        frames: pixels like `pixels`, of the same size. `pixels` itself is what is shown where nothing moves.
        seconds: how long each frame is shown; then it begins anew.

    Example:
        >>> import numpy as np
        >>> black = np.zeros((2, 3, 3), np.uint8)
        >>> moving = Animation("demo/blinking", black, frames=[black, black + 255], seconds=[0.5, 0.5])
        >>> b"acTL" in moving.png()
        True
    """

    frames: Sequence[np.ndarray] = ()
    seconds: Sequence[float] = ()

    @cached_property
    def _png(self) -> bytes:
        return encode_animated_png(self.frames, self.seconds, self.palette, still=self.pixels)
