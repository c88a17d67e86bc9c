"""What each addition to the callback costs, as a share of a training whose epochs last their time.

    python benchmarks/additions.py [--epoch-seconds 20] [--steps 12] [--quick]

A convnet learns 64 x 64 pictures (PyTorch, one thread). It trains for `--epoch-seconds`, which is the epoch
that everything is compared with; then, for each row of the table, a fresh callback records `--steps` steps
with a few batches between them, without a budget:

    waited      milliseconds that the training waits at a recorded step, the median
    processor   milliseconds of the processor that a step takes in all, drawing and writing included, the mean
                over all steps: film strips are drawn at fewer and fewer of them
    of epoch    the latter as a share of the epoch; the budget of a callback is 2 percent by default
    to the first  the latter, relative to the first row
    kB a step   what is written to disk a step, mean

What is drawn by default has a star.
"""

import argparse
import logging
import statistics
import tempfile
import time
from pathlib import Path

import torch
from rounds import machine
from torch import nn

from layerviz_callbacks import Probe, views
from layerviz_callbacks.torch import attach

BATCH, SIDE, CLASSES = 32, 64, 10
BETWEEN = 3
"""So many batches are learned between two recorded steps."""


def network():
    """Six convolutions and two dense layers."""
    layers, channels = [], 3
    for width in (32, 32, 0, 64, 64, 0, 128, 128, 0):
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(channels * (SIDE // 8) ** 2, 256), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(256, CLASSES))


class Training:
    """A network that learns one batch after the other."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = network()
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3)
        generator = torch.Generator().manual_seed(1)
        self._images = torch.rand(8, BATCH, 3, SIDE, SIDE, generator=generator)
        self._labels = torch.randint(CLASSES, (8, BATCH), generator=generator)
        self._batches = 0

    def learn(self, count):
        """Learn so many batches."""
        for _ in range(count):
            place = self._batches % len(self._images)
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.model(self._images[place]), self._labels[place])
            loss.backward()
            self.optimizer.step()
            self._batches += 1

    def epoch(self, seconds):
        """Learn until an epoch of so many seconds is over; how long it took, and its batches."""
        began, first = time.perf_counter(), self._batches
        while time.perf_counter() - began < seconds:
            self.learn(1)
        return time.perf_counter() - began, self._batches - first


def rows():
    """What is compared: name, views, and whether snapshots are kept."""
    plain = [views.Filters(), views.FeatureMaps(), views.Attention()]
    film, health = [*plain, views.FilmStrip()], [*plain, views.FilmStrip(), views.Health()]
    shown = [
        ("filters and feature maps", plain, False),
        ("with film strips", film, False),
        ("with film strips and health", health, False),
        ("with film strips and snapshots", film, True),
        ("with all of these", health, True),
    ]
    default = {type(view) for view in views.default_views()}
    return {
        name + (" *" if {type(view) for view in each} == default and not kept else ""): (each, kept)
        for name, each, kept in shown
    }


def measure(shown, *, snapshots, steps):
    """Milliseconds that training waited (median) and of the processor (mean), and the kB written, a step."""
    training, waited = Training(), []
    training.learn(BETWEEN)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.h5" if snapshots else None
        probe = Probe(torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2)))
        learning = 0.0
        began = time.process_time()
        with attach(
            training.model, probe, log_dir=Path(folder) / "logs", views=shown, budget=None, snapshots=file,
            optimizer=training.optimizer,
        ) as record:  # fmt: skip
            for step in range(1, steps + 1):
                before = time.thread_time()
                training.learn(BETWEEN)
                learning += time.thread_time() - before
                before = time.perf_counter()
                record(step, loss=1 / step)
                waited.append(time.perf_counter() - before)
        spent = time.process_time() - began - learning
        written = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return statistics.median(waited) * 1e3, spent / (steps + 1) * 1e3, written / (steps + 1) / 1e3


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epoch-seconds", type=float, default=20.0)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="an epoch of half a second, two steps")
    given = parser.parse_args()
    if given.quick:
        given.epoch_seconds, given.steps = 0.5, 2
    logging.getLogger("layerviz_callbacks").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(machine())
    training = Training()
    training.learn(BETWEEN)
    epoch, batches = training.epoch(given.epoch_seconds)
    print(f"an epoch: {epoch:.1f} s, {batches} batches of {BATCH}; {given.steps} recorded steps")
    measure([views.Filters()], snapshots=False, steps=1)  # imports, fonts
    found = {
        name: measure(shown, snapshots=kept, steps=given.steps) for name, (shown, kept) in rows().items()
    }
    first = next(iter(found.values()))[1]
    print(f"{'':32}{'waited':>10}{'processor':>12}{'of epoch':>11}{'to the first':>14}{'kB a step':>11}")
    for name, (waited, spent, written) in found.items():
        share = spent / 1e3 / epoch
        print(f"{name:32}{waited:7.1f} ms{spent:9.1f} ms{share:11.2%}{spent / first:14.2f}{written:11.0f}")


if __name__ == "__main__":
    main()
