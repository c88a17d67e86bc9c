"""A picture that comes from the drawing process."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from layerviz_callbacks.drawing.messages import Sheet
from layerviz_callbacks.picture import Picture


class DrawnPicture(Picture):
    """A picture that comes as its PNG file; pixels and palette are decoded where somebody asks for them.

    Args:
        sheet: what the drawing process made.
    """

    def __init__(self, sheet: Sheet) -> None:
        vars(self).update(
            tag=sheet.tag,
            caption=sheet.caption,
            description=sheet.description,
            held=sheet.held,
            _size=sheet.size,
            _png=bytes(sheet.png),
        )

    @property
    def pixels(self) -> np.ndarray:  # type: ignore[override]
        """Palette indices `(height, width)`, or RGB `(height, width, 3)`; uint8."""
        return np.asarray(self._decoded())

    @property
    def palette(self) -> np.ndarray | None:  # type: ignore[override]
        """RGB of the 256 indices `(256, 3)`, uint8; None for RGB pixels."""
        colours = self._decoded().getpalette("RGB")
        return None if colours is None else np.array(colours, np.uint8).reshape(-1, 3)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        size: tuple[int, int] = vars(self)["_size"]
        return size

    def png(self) -> bytes:
        """The PNG file's bytes."""
        png: bytes = vars(self)["_png"]
        return png

    def _decoded(self) -> Image.Image:
        return Image.open(io.BytesIO(self.png()))
