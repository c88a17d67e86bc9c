"""What a step in a file of snapshots costs: seconds and megabytes, against `np.save` of the same arrays.

python benchmarks/store.py            # all networks, ten steps of each
python benchmarks/store.py --quick    # small ones, three steps

Each network is written whole (`all`: every kernel and output, as `inspect(...).save(...)` does) and as a
callback reads it for its default pictures (`drawn`). "seconds" are the median of a step that is not waited
for on the disk (`durable=False`), "on disk" those of one that is. The first row of each writes its kernels
and outputs as `.npy` files, without waiting. Each step changes every number.
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from snapshots import as_read, layer_of, snapshot_of, vgg, waveforms

from layerviz_callbacks import SnapshotWriter, views

PRECISIONS = ("float32", "float16", "uint8")


def one_dimensional(*, samples, length, channels):
    """Ten convolutions over seismograms of three components, each half as long as the one before."""
    random, waves = np.random.default_rng(2), waveforms(samples, length)
    layers, inputs = [], 3
    for place in range(1, 11):
        kernel = random.standard_normal((channels, inputs, 7), np.float32)
        output = random.standard_normal((samples, length, channels), np.float32)
        layers.append(layer_of(f"conv{place}", "Conv1D", place, kernel, np.maximum(output, 0)))
        length, inputs = max(1, length // 2), channels
    return snapshot_of(layers, waves)


def networks(quick):
    size = {"pixels": 16, "channels": 8} if quick else {"pixels": 64, "channels": 64}
    length = 500 if quick else 6000
    wholes = {
        "13 convolutions": vgg(**size),
        "10 of seismograms": one_dimensional(samples=4, length=length, channels=size["channels"]),
    }
    for name, whole in wholes.items():
        yield f"{name}, all", whole
        yield f"{name}, drawn", as_read(whole, [views.Filters(), views.FeatureMaps()])


def at_step(snapshot, step):
    """The snapshot after one more step of training: no number is what it was."""
    layers = {
        layer.name: replace(layer, kernel=changed(layer.kernel, step), output=changed(layer.output, step))
        for layer in snapshot
    }
    return replace(snapshot, layers=layers, step=step, metrics={"loss": 1 / (1 + step)})


def changed(values, step):
    """Other numbers of the same size; what is zero stays zero."""
    return values * (1 + 0.01 * step * np.cos(np.arange(values.size, dtype=np.float32))).reshape(values.shape)


def raw(snapshot, folder):
    """Seconds and bytes of `np.save`."""
    folder.mkdir()
    began, size = time.perf_counter(), 0
    for layer in snapshot:
        for kind, values in (("kernel", layer.kernel), ("output", layer.output)):
            np.save(folder / f"{layer.name} {kind}.npy", values)
    seconds = time.perf_counter() - began
    for path in folder.iterdir():
        size += path.stat().st_size
        path.unlink()
    return seconds, size


def stored(steps, path, precision, *, durable):
    """Seconds of each step, and bytes of each but the first, which holds the probe."""
    seconds, sizes = [], []
    with SnapshotWriter(path, precision=precision, durable=durable) as writer:
        for step in steps:
            began = time.perf_counter()
            writer.append(step)
            seconds.append(time.perf_counter() - began)
            sizes.append(writer.file_size)
    path.unlink()
    return statistics.median(seconds[1:]), (sizes[-1] - sizes[0]) / (len(sizes) - 1)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--quick", action="store_true")
    quick = arguments.parse_args().quick
    print(f"{'network':<26}{'as':<10}{'MB a step':>11}{'seconds':>10}{'x raw':>8}{'on disk':>10}")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        place = Path(folder)
        for name, snapshot in networks(quick):
            steps = [at_step(snapshot, step) for step in range(3 if quick else 10)]
            times, sizes = zip(
                *(raw(step, place / "raw" / str(step.step)) for step in made(place, steps)), strict=True
            )
            base = statistics.median(times[1:])
            print(f"{name:<26}{'.npy':<10}{sizes[-1] / 1e6:>11.3f}{base:>10.4f}{1:>8.2f}{'':>10}")
            for precision in PRECISIONS:
                seconds, size = stored(steps, place / "run.h5", precision, durable=False)
                waited, _ = stored(steps, place / "run.h5", precision, durable=True)
                print(
                    f"{name:<26}{precision:<10}{size / 1e6:>11.3f}{seconds:>10.4f}{seconds / base:>8.2f}"
                    f"{waited:>10.4f}"
                )


def made(place, steps):
    """The steps, once their folder is there."""
    (place / "raw").mkdir(exist_ok=True)
    for path in (place / "raw").iterdir():
        path.rmdir()
    return steps


if __name__ == "__main__":
    main()
