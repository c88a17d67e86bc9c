"""How the cost of pictures grows: with channels, layers, samples, pixels and epochs.

    python benchmarks/scale.py [--quick] [--out benchmarks/results/scale.png]

One of the five grows, the others stay: 64 channels, 13 convolutions, 4 samples, maps of 64 x 64, one epoch.
Measured is what happens beside a training for one recorded epoch: draw, encode and write what a reader
hands over, which is no more than is drawn (what reading takes is in capture.py). CPU time, the median of
some runs. "growth" is the power of the cost between one value and the next: 1 is linear, 0 is capped. For
epochs it is a whole run into one event file, with the file's size. "peak MB" is the most memory that the
process has held so far, the full arrays of a layer among it. The plot needs matplotlib.
"""

import argparse
import math
import os
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")

from rounds import machine
from snapshots import as_read, convolution, draw_all, photos, snapshot_of

from layerviz_callbacks import views
from layerviz_callbacks.sinks import TensorBoard

SWEEPS = {
    "channels": [16, 64, 256, 1024, 4096],
    "layers": [5, 13, 50, 150, 500],
    "samples": [1, 2, 4, 8, 16, 64],
    "pixels": [28, 64, 128, 256, 512, 1024],
    "epochs": [1, 10, 100, 1000],
}
QUICK = {"channels": [16, 64], "layers": [2, 4], "samples": [1, 2], "pixels": [28, 64], "epochs": [1, 10]}
STANDING = {"channels": 64, "layers": 13, "samples": 4, "pixels": 64}
LINEAR = 1.15
"""A power up to this is called linear: what is measured, is measured on a shared machine."""


def snapshot_as_read(due, *, channels, layers, samples, pixels):
    """A network of equal convolutions."""
    images = photos(samples, min(pixels, 64))
    layer = convolution(channels=channels, pixels=pixels, samples=samples)
    (read,) = as_read(snapshot_of([layer], images), due)
    return snapshot_of(
        [replace(read, name=f"conv{place}", place=place) for place in range(1, layers + 1)], images
    )


def epoch_of(snapshot, due, sink, step):
    """Draw, encode and write, a view at a time; how many pictures."""
    pictures = draw_all(snapshot, due)
    sink.write(pictures, step)
    return len(pictures)


def one_epoch(rounds, **sizes):
    """Pictures, median CPU milliseconds and MB of one epoch."""
    due = views.default_views()
    snapshot = snapshot_as_read(due, **{**STANDING, **sizes})
    with tempfile.TemporaryDirectory() as folder:
        sink = TensorBoard(folder)
        sink.open(first_step=0)
        pictures = epoch_of(snapshot, due, sink, 0)
        began, taken = size_of(folder), []
        for step in range(1, rounds + 1):
            cpu = time.process_time()
            epoch_of(snapshot, due, sink, step)
            taken.append(time.process_time() - cpu)
        sink.close()
        written = (size_of(folder) - began) / rounds
    return pictures, statistics.median(taken) * 1000, written / 1e6


def epochs_of(count):
    """Pictures, CPU milliseconds and MB of a run of so many epochs of a small network."""
    due = views.default_views()
    snapshot = snapshot_as_read(due, channels=16, layers=2, samples=2, pixels=28)
    with tempfile.TemporaryDirectory() as folder:
        sink = TensorBoard(folder)
        sink.open(first_step=0)
        epoch_of(snapshot, due, sink, 0)  # what is made once does not count
        cpu, began = time.process_time(), size_of(folder)
        pictures = sum(epoch_of(snapshot, due, sink, step) for step in range(1, count + 1))
        taken = time.process_time() - cpu
        sink.close()
        return pictures, taken * 1000, (size_of(folder) - began) / 1e6


def size_of(folder):
    """Bytes of all files."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def greatest_memory():
    """The most memory that the process has held so far, in MB."""
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (1e6 if sys.platform == "darwin" else 1e3)


def sweep(name, values, rounds):
    """Print a row a value; the CPU milliseconds."""
    title = "epochs (of a small network: 2 layers, 16 channels)" if name == "epochs" else name
    print(f"\n{title:>10}{'pictures':>10}{'CPU ms':>10}{'ms each':>9}{'MB':>9}{'peak MB':>9}{'growth':>8}")
    found = []
    for value in values:
        pictures, cpu, written = epochs_of(value) if name == "epochs" else one_epoch(rounds, **{name: value})
        growth = ""
        if found:
            before, earlier = found[-1]
            growth = f"{math.log(cpu / earlier) / math.log(value / before):.2f}"
        found.append((value, cpu))
        each = cpu / max(1, pictures)
        row = f"{value:>{len(title) if len(title) > 10 else 10}}{pictures:10}{cpu:10.1f}{each:9.2f}"
        print(f"{row}{written:9.2f}{greatest_memory():9.0f}{growth:>8}", flush=True)
    (first, cheap), (last, dear) = found[0], found[-1]
    power = math.log(dear / cheap) / math.log(last / first)
    verdict = "capped" if power < 0.5 else "linear or less" if power <= LINEAR else "MORE THAN LINEAR"
    print(f"{name}: {last / first:.0f} times as many cost {dear / cheap:.1f} times as much: {verdict}")
    return found


def plot(found, path):
    """Cost against each, on logarithmic axes, with a line of linear growth."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(3.2 * len(found), 3), layout="constrained")
    for axis, (name, points) in zip(axes, found.items(), strict=True):
        values, costs = zip(*points, strict=True)
        axis.loglog(values, costs, "o-", label="measured")
        axis.loglog(values, [costs[0] * value / values[0] for value in values], ":", label="linear")
        axis.set_xlabel(name)
        axis.set_xticks(values, [str(value) for value in values])
        axis.minorticks_off()
    axes[0].set_ylabel("CPU ms: draw, encode, write")
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"\nplot: {path}")


def main():
    """Measure, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few small values, one run each")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scale.png")
    options = parser.parse_args()
    print(machine())
    sweeps, rounds = (QUICK, 1) if options.quick else (SWEEPS, 5)
    plot({name: sweep(name, values, rounds) for name, values in sweeps.items()}, options.out)


if __name__ == "__main__":
    main()
