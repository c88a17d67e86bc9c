"""What a report costs: its size, the seconds to write it, and the seconds until a browser shows a picture.

python benchmarks/report.py            # 20 convolutions, 50 epochs
python benchmarks/report.py --quick    # 4 of them, 6 epochs

The network is a random one whose kernels and outputs drift, fast at first and then ever more slowly, as those
of a training do; every number changes at every epoch. The browser is a headless Chromium, where there is one.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from snapshots import layer_of, snapshot_of

from layerviz_callbacks import SnapshotWriter, write_report

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))


def network(layers, *, pixels=32, samples=4):
    """Convolutions with 16 to 64 channels, whose maps become smaller."""
    random, photos, inputs = np.random.default_rng(0), np.zeros((samples, pixels, pixels, 3), np.float32), 3
    photos[:] = random.random((samples, pixels, pixels, 3))
    made = []
    for place in range(1, layers + 1):
        part = (place - 1) * 4 // layers
        channels, size = 16 * min(4, part + 1), max(4, pixels >> part)
        kernel = random.standard_normal((channels, inputs, 3, 3), np.float32)
        output = np.maximum(random.standard_normal((samples, size, size, channels), np.float32), 0)
        made.append(layer_of(f"conv{place}", "Conv2D", place, kernel, output))
        inputs = channels
    return snapshot_of(made, photos)


def drifting(snapshot, steps):
    """The steps of a training: what is left to learn halves every few epochs."""
    random = np.random.default_rng(1)
    layers = dict(snapshot.layers)
    for step in range(steps + 1):
        if step:
            share = 0.5 * 0.85**step
            for name, layer in layers.items():
                kernel = layer.kernel + share * random.standard_normal(layer.kernel.shape, np.float32)
                change = share * random.standard_normal(layer.output.shape, np.float32)
                output = np.where(layer.output > 0, np.maximum(layer.output + change, 0), 0)
                layers[name] = replace(layer, kernel=kernel, output=output)
        yield replace(
            snapshot,
            layers=dict(layers),
            step=step,
            when=f"epoch {step}/{steps}",
            metrics={"loss": 0.9**step},
        )


def seconds_until_a_picture(page, folder):
    """From the order to open the page until the first picture is painted; None without a browser."""
    from browser import CHROMIUM, Browser

    if CHROMIUM is None:
        return None
    browser = Browser(folder)
    try:
        shown = browser.page()
        began = time.perf_counter()
        shown.open(page.as_uri() + "#layer=conv1")
        shown.wait("document.querySelector('figure[data-painted]')")
        return time.perf_counter() - began
    finally:
        browser.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--quick", action="store_true")
    quick = arguments.parse_args().quick
    layers, epochs = (4, 6) if quick else (20, 50)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        with SnapshotWriter(place / "run.h5", precision="float16", durable=False) as writer:
            for snapshot in drifting(network(layers), epochs):
                writer.append(snapshot)
        began = time.perf_counter()
        page = write_report(place / "run.h5", place / "report.html")
        written = time.perf_counter() - began
        (place / "profile").mkdir()
        shown = seconds_until_a_picture(page, place / "profile")
        print(f"{layers} layers, {epochs} epochs: {page.stat().st_size / 1e6:.1f} MB")
        print(
            f"written in {written:.1f} s from {(place / 'run.h5').stat().st_size / 1e6:.0f} MB of snapshots"
        )
        print("no browser here" if shown is None else f"first picture after {shown:.2f} s")


if __name__ == "__main__":
    main()
