"""How much slower training gets: steps per second with the callback on, relative to off.

    python benchmarks/training.py [--quick] [--framework keras|torch] [--cores 1|2]

A convnet on 32 x 32 images is trained in epochs of 0.5 and of 5 seconds, off and on in turn, default views,
every epoch, on two cores and pinned to one (each in a process of its own). Prints the slowdown of the epochs,
with the budget's free quarter second and without it (medians of pairs, and the best round against the best,
which a busy machine disturbs least), what is paid once at the start, and what the training's
own thread waits for in each epoch: the pass of the probe, the copies, the hand-over.
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from layerviz_callbacks import Budget

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(64, 32, 32, 3)).astype(np.float32)
LABELS = RANDOM.integers(0, 10, 64)
CHANNELS = (32, 64, 64)


def keras_training():
    """`train(steps per epoch, epochs, options or None)` gives (seconds of the start, of the epochs)."""
    import keras
    from keras import layers

    from layerviz_callbacks.keras import LayerVizCallback

    keras.utils.set_random_seed(0)
    blocks = [layers.Conv2D(count, 3, padding="same", activation="relu") for count in CHANNELS]
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), *blocks, layers.GlobalAveragePooling2D(), layers.Dense(10)]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def batches():
        while True:
            yield IMAGES, LABELS

    def train(steps, epochs, options):
        callbacks = [] if options is None else [LayerVizCallback(IMAGES[:4], **options)]
        marks = []

        class Mark(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                marks.append(time.perf_counter())

        began = time.perf_counter()
        callbacks.append(Mark())
        model.fit(batches(), steps_per_epoch=steps, epochs=epochs, verbose=0, callbacks=callbacks)
        return marks[0] - began, time.perf_counter() - marks[0]

    def forward():
        model.predict(IMAGES[:4], verbose=0)

    return train, forward


def torch_training():
    """The same as a plain PyTorch loop."""
    import torch
    from torch import nn

    from layerviz_callbacks.torch import attach

    torch.manual_seed(0)
    network, before = nn.Sequential(), 3
    for count in CHANNELS:
        network.extend([nn.Conv2d(before, count, 3, padding=1), nn.ReLU()])
        before = count
    network.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10)])
    optimizer = torch.optim.Adam(network.parameters())
    x, y = torch.from_numpy(IMAGES).movedim(-1, 1).contiguous(), torch.from_numpy(LABELS)

    def epoch(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()

    def train(steps, epochs, options):
        began = time.perf_counter()
        with (
            nullcontext(lambda number: None)
            if options is None
            else attach(network, x[:4], **options) as record
        ):
            first = time.perf_counter()
            for number in range(1, epochs + 1):
                epoch(steps)
                record(number)
        return first - began, time.perf_counter() - first

    def forward():
        with torch.no_grad():
            network(x[:4])

    return train, forward


FRAMEWORKS = {"keras": keras_training, "torch": torch_training}


def waits():
    """Time every read and hand-over from here on: the seconds of each, by name, as they come."""
    from layerviz_callbacks import recording

    found = {"read": [], "hand-over": []}

    def timed(owner, method, name):
        function = getattr(owner, method)

        def wrapper(*arguments, **named):
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                found[name].append(time.perf_counter() - began)

        setattr(owner, method, wrapper)

    timed(recording.Recording, "_read_and_hand_over", "read")  # the hand-over is taken off below
    timed(recording.ThreadWorker, "submit", "hand-over")
    return found


def measure(framework, *, seconds, rounds, epochs):
    """One row: the slowdown with the free quarter second and without, and the waits of an epoch."""
    train, forward = FRAMEWORKS[framework]()
    train(5, 1, None)
    steps = max(1, round(20 * seconds / train(20, 1, None)[1]))
    train(steps, 1, None)
    budgets = {"default": 0.02, "no free time": Budget(0.02, free_seconds=0)}
    times, starts = {name: [] for name in ["off", *budgets]}, []
    found = waits()
    for _ in range(rounds):
        alone, seconds = train(steps, epochs, None)
        times["off"].append(seconds)
        for name, budget in budgets.items():
            with tempfile.TemporaryDirectory() as folder:
                start, seconds = train(steps, epochs, {"log_dir": folder, "budget": budget})
            times[name].append(seconds)
            starts.append(start - alone)
    passes = []
    for _ in range(10):
        began = time.perf_counter()
        forward()
        passes.append(time.perf_counter() - began)
    hand_over = statistics.median(found["hand-over"])
    read = statistics.median(found["read"]) - hand_over
    one_pass = min(read, statistics.median(passes))
    off = statistics.median(times["off"])
    return {
        "epoch": off / epochs,
        **{
            name: statistics.median(on / alone for on, alone in zip(times[name], times["off"], strict=True))
            for name in budgets
        },
        "best": min(times["no free time"]) / min(times["off"]),
        "start": statistics.median(starts) * 1000,
        "forward": one_pass * 1000,
        "copy": (read - one_pass) * 1000,
        "hand-over": hand_over * 1000,
    }


def in_own_process(framework, seconds, cores, quick):
    command = [sys.executable, __file__, "--run", framework, str(seconds), str(cores)]
    done = subprocess.run(
        [*command, *(["--quick"] if quick else [])], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.strip().split("\n")[-1])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--framework", choices=FRAMEWORKS, action="append", help="default: both")
    parser.add_argument("--cores", type=int, choices=(1, 2), action="append", help="default: two and one")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    logging.getLogger("layerviz_callbacks").setLevel(logging.ERROR)
    if given.run:
        framework, seconds, cores = given.run[0], float(given.run[1]), int(given.run[2])
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
        short = seconds < 2
        size = {"rounds": 5 if short else 3, "epochs": 5 if short else 2}
        size = {"rounds": 1, "epochs": 2} if given.quick else size
        print(json.dumps(measure(framework, seconds=seconds, **size)))
        return
    print(
        "framework | cores | epoch, s | on/off | on/off, no free time | best/best | start, ms once | "
        "forward, copy, hand-over: ms an epoch"
    )
    for framework in given.framework or FRAMEWORKS:
        for cores in given.cores or (2, 1):
            for seconds in (0.2,) if given.quick else (0.5, 5):
                row = in_own_process(framework, seconds, cores, given.quick)
                waited = ", ".join(f"{row[name]:.2f}" for name in ("forward", "copy", "hand-over"))
                print(
                    f"{framework} | {cores} | {row['epoch']:.2f} | {row['default']:.3f} | "
                    f"{row['no free time']:.3f} | {row['best']:.3f} | {row['start']:.0f} | {waited}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
