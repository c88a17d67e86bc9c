"""What a film strip costs a step, beside filters and feature maps of the same layers, as the film grows.

    python benchmarks/film.py [--epochs 1 10 100 1000]

For the demo's convnet on 8 x 8 digits and a network like VGG on 64 x 64 colour photographs (PyTorch, random
weights that drift a little each step), after so many epochs: the milliseconds of the processor that `Filters`
and `FeatureMaps` take a step to draw and encode; those that `FilmStrip` takes to keep a step, and to draw and
encode one that is drawn; what that makes a step, since it is drawn at ever fewer steps; and the ratio of that
to the two others. Then the kB that are written and remembered, and what is read with a film strip and
without. Medians over the last steps before each number of epochs.
"""

import argparse
import statistics
import time
from dataclasses import replace

import numpy as np
import torch
from rounds import machine
from torch import nn

from layerviz_callbacks import Probe, views
from layerviz_callbacks.history import Album, Frame
from layerviz_callbacks.plan import plan_of, request_of
from layerviz_callbacks.request import Request
from layerviz_callbacks.torch.reader import TorchReader

MEASURED = 5
"""So many steps are measured before each number of epochs."""


def digits_network():
    """The demo's convnet, and four digits' worth of noise."""
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()]
    layers += [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*layers), torch.rand(4, 1, 8, 8)


def like_vgg():
    """Thirteen convolutions and three dense layers, as many channels as VGG16 has."""
    layers, channels = [], 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(2048, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(1024, 10)), torch.rand(4, 3, 64, 64)


def drawn(shown, snapshot):
    """The seconds to draw and encode views, and the bytes of the files."""
    began = time.process_time()
    written = sum(len(picture.png()) for view in shown for picture in view.draw(snapshot))
    return time.process_time() - began, written


def drawn_steps(epochs):
    """How many of the steps 0 to `epochs` a sparse view is drawn at; the last one too."""
    count, due = 0, 0
    for step in range(epochs + 1):
        if step >= due or step == epochs:
            count, due = count + 1, step + 1 + step // 8  # see layerviz_callbacks.delivery
    return count


def measure(name, network, batch, epochs):
    """Print one network's table."""
    shown = [views.Filters(), views.FeatureMaps(), views.FilmStrip()]
    film = shown[2]
    reader = TorchReader(network, Probe(batch))
    shapes = reader.read(Request())
    plans = {
        "without": plan_of(shown[:2], None, reader.entries()),
        "with": plan_of(shown, None, reader.entries()),
    }
    requests = {what: request_of(plan, shapes) for what, plan in plans.items()}
    snapshot, album = reader.read(requests["with"]), Album()
    rng = np.random.default_rng(0)
    print(f"\n{name}: {sum(layer.kernel_shape is not None for layer in snapshot)} layers")
    print("                    others              film strip")
    print(" epoch        ms        kB      keep      draw    a step   / others        kB    remembered kB")
    spent = []
    for step in range(max(epochs) + 1):
        layers = {
            one.name: replace(one, kernel=_drifted(one.kernel, rng), output=_drifted(one.output, rng))
            for one in snapshot
        }
        now = replace(snapshot, layers=layers, step=step, when=f"epoch {step}", ranges={})
        snapshot = replace(snapshot, layers=layers)
        begun = time.process_time()
        now = replace(now, history=album.frames)
        kept = film.keep(now)
        album.add(Frame(step, kept=kept))
        keeping = time.process_time() - begun
        if any(0 <= until - step < MEASURED for until in epochs):
            spent.append((*drawn(shown[:2], now), keeping, *drawn([film], now)))
        if step in epochs:
            at = [statistics.median(numbers) for numbers in zip(*spent[-MEASURED:], strict=True)]
            arrays = {id(array): array.nbytes for frame in album.frames for array in frame.kept.values()}
            others, size, keep, draw, film_size = at
            each = keep + draw * drawn_steps(step) / (step + 1)
            print(
                f"{step:>6} {others * 1e3:9.1f} {size / 1e3:9.0f} {keep * 1e3:9.1f} {draw * 1e3:9.1f} "
                f"{each * 1e3:9.1f} {each / others:10.2f} {film_size / 1e3:9.0f} "
                f"{sum(arrays.values()) / 1e3:16.0f}"
            )
    for what, request in requests.items():
        taken = []
        for _ in range(MEASURED):
            began = time.perf_counter()
            read = reader.read(request)
            taken.append(time.perf_counter() - began)
        copied = sum(array.nbytes for one in read for array in (one.kernel, one.output) if array is not None)
        print(
            f"read {what} the film strip: {statistics.median(taken) * 1e3:.1f} ms a step in the training's "
            f"thread, {copied / 1e6:.2f} MB copied"
        )


def _drifted(values, rng):
    if values is None:
        return None
    return values + np.float32(0.002) * np.float32(rng.normal())


def main():
    """Measure both networks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 10, 100, 1000])
    given = parser.parse_args()
    print(machine())
    torch.manual_seed(0)
    for name, (network, batch) in (("digits", digits_network()), ("like VGG", like_vgg())):
        with torch.no_grad():
            measure(name, network.eval(), batch, given.epochs)


if __name__ == "__main__":
    main()
