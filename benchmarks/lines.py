"""What it costs to draw waveforms: 64 traces of 6000 samples, each in a panel of its own.

    python benchmarks/lines.py [--quick]

Everyone draws the same panels onto a sheet of the same size, up to the finished pixels in memory (no PNG).
"full arrays" reads all samples; "as read" starts from what a reader hands over in a training: of each column
of pixels the first, the smallest and the largest value. CPU time and time passed, medians over rounds in
which all take turns. OpenCV is measured where it is installed.
"""

import argparse
import importlib.util
import os

os.environ.setdefault("MPLBACKEND", "agg")

import numpy as np
from rounds import machine, print_table, take_turns
from snapshots import waveforms

from layerviz_callbacks.cut import OutputCut, cut_output
from layerviz_callbacks.render.curve import curve_columns, draw_curves, panels
from layerviz_callbacks.render.grid import grid
from layerviz_callbacks.render.layout import fit_panels
from layerviz_callbacks.render.scale import Scale

TRACES, LENGTH, WIDTH, HEIGHT = 64, 6000, 684, 900


def ours(traces, tiles):
    """Smallest and largest value of each column of pixels, all panels at once."""

    def work():
        scale = Scale.of(traces)
        empty = panels(tiles.height, tiles.width, leading=(len(traces),), scale=scale)
        return grid(draw_curves(empty, traces, scale), tiles.columns)

    return work


def points(traces, tiles):
    """Each trace's corners on the sheet `(trace, sample, 2)`, as x and y in pixels."""
    limit = np.abs(traces).max()
    row, column = np.divmod(np.arange(len(traces)), tiles.columns)
    x = (column * (tiles.width + tiles.gap))[:, None] + np.linspace(0, tiles.width - 1, traces.shape[-1])
    y = (1 - traces / limit) / 2 * (tiles.height - 1)
    return np.stack([x, (row * (tiles.height + tiles.gap))[:, None] + y], axis=-1)


def pillow(traces, tiles):
    """Pillow: a line of 2 pixels a trace."""
    from PIL import Image, ImageDraw

    def work():
        image = Image.new("L", (tiles.total_width, tiles.total_height), 255)
        draw = ImageDraw.Draw(image)
        for corners in points(traces, tiles).astype(np.float32):
            draw.line(corners.ravel().tolist(), fill=0, width=2)
        return np.asarray(image)

    return work


def opencv(traces, tiles):
    """OpenCV: all lines in one call."""
    import cv2

    def work():
        image = np.full((tiles.total_height, tiles.total_width), 255, np.uint8)
        return cv2.polylines(image, list(points(traces, tiles).astype(np.int32)), False, 0, 2)

    return work


def drawn(figure):
    """The figure's pixels."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def line_collection(traces, tiles):
    """matplotlib: one axis, all traces in one LineCollection."""
    from matplotlib import pyplot
    from matplotlib.collections import LineCollection

    def work():
        figure = pyplot.figure(figsize=(tiles.total_width / 100, tiles.total_height / 100), dpi=100)
        axis = figure.add_axes((0, 0, 1, 1), xlim=(0, tiles.total_width), ylim=(tiles.total_height, 0))
        axis.add_collection(LineCollection(points(traces, tiles), linewidths=1.44))
        pixels = drawn(figure)
        pyplot.close(figure)
        return pixels

    return work


def subplots(traces, tiles):
    """matplotlib: an axis a trace."""
    from matplotlib import pyplot

    def work():
        size = tiles.total_width / 100, tiles.total_height / 100
        figure, axes = pyplot.subplots(tiles.rows, tiles.columns, figsize=size, dpi=100)
        for axis, trace in zip(axes.flat, traces, strict=True):
            axis.plot(trace, linewidth=1.44)
            axis.axis("off")
        pixels = drawn(figure)
        pyplot.close(figure)
        return pixels

    return work


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round")
    rounds = 1 if parser.parse_args().quick else 15
    traces = np.ascontiguousarray(waveforms(TRACES, LENGTH)[..., 0])
    tiles = fit_panels(TRACES, WIDTH, HEIGHT)
    part, _ = cut_output(traces[..., None], OutputCut(stretches=curve_columns(tiles.width)))
    full = "layerviz_callbacks, full arrays"
    contestants = {
        full: ours(traces, tiles),
        "layerviz_callbacks, as read": ours(np.ascontiguousarray(part[..., 0]), tiles),
        "Pillow ImageDraw.line": pillow(traces, tiles),
    }
    for package, name, make in (
        ("cv2", "OpenCV polylines", opencv),
        ("matplotlib", "matplotlib LineCollection, one axis", line_collection),
        ("matplotlib", "matplotlib, 64 subplots", subplots),
    ):
        if importlib.util.find_spec(package):
            contestants[name] = make(traces, tiles)
        else:
            print(f"{name}: {package} is not installed")
    shown = f"{tiles.columns} x {tiles.rows} panels of {tiles.width} x {tiles.height} pixels"
    print(f"{machine()}; {shown}; medians of {rounds} rounds\n")
    print_table(f"{TRACES} traces of {LENGTH} samples", take_turns(contestants, rounds), full)


if __name__ == "__main__":
    main()
