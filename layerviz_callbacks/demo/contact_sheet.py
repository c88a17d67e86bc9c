"""The pictures of a run side by side in one PNG, to look at without TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

MARGIN = 24


def contact_sheet(columns: Sequence[Sequence[Path]], path: Path) -> None:
    """Paste PNG files in columns on white and save them as one PNG.

    Args:
        columns: the files of each column, from top to bottom.
        path: where the sheet is written.
    """
    opened = [[Image.open(file).convert("RGB") for file in column] for column in columns if column]
    widths = [max(image.width for image in column) for column in opened]
    heights = [sum(image.height + MARGIN for image in column) for column in opened]
    sheet = Image.new("RGB", (sum(widths) + MARGIN * (len(widths) + 1), max(heights) + MARGIN), "white")
    left = MARGIN
    for column, width in zip(opened, widths, strict=True):
        top = MARGIN
        for image in column:
            sheet.paste(image, (left, top))
            top += image.height + MARGIN
        left += width + MARGIN
    sheet.save(path)
