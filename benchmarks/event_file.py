"""What it costs to write one encoded picture into a TensorBoard event file, by four writers.

    python benchmarks/event_file.py

All writers get the same PNG bytes, so that drawing and encoding do not count. CPU time of the whole
process (all threads) from the first event to the flush; the median over rounds in which the writers take
turns. The ratio is to the first line. Needs TensorFlow and PyTorch.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

ROUNDS = 11
PICTURES = 20  # a round
TAG, DESCRIPTION, SIZE = "filters/03_conv2", "**64** filters of 3 x 3", (700, 340)

Writer = Callable[[Path, bytes], Callable[[], None]]  # (folder, PNG) -> the round that is measured


def layerviz(folder: Path, png: bytes) -> Callable[[], None]:
    """Our writer."""
    from layerviz_callbacks.sinks.event_file import EventFile
    from layerviz_callbacks.sinks.events import image_event

    file = EventFile(folder)

    def write() -> None:
        for step in range(PICTURES):
            file.append(image_event(TAG, png, SIZE, step, description=DESCRIPTION))
        file.check()

    return write


def tf_summary(folder: Path, png: bytes) -> Callable[[], None]:
    """TensorFlow's compiled writer, given the encoded picture."""
    import tensorflow as tf
    from tensorboard.plugins.image.metadata import create_summary_metadata

    writer = tf.summary.create_file_writer(str(folder))
    metadata = create_summary_metadata(display_name=None, description=DESCRIPTION)

    def write() -> None:
        with writer.as_default():
            for step in range(PICTURES):
                tensor = tf.constant([str(SIZE[0]), str(SIZE[1]), png])
                tf.summary.write(tag=TAG, tensor=tensor, step=step, metadata=metadata)
        writer.flush()

    return write


def event_file_writer(folder: Path, png: bytes) -> Callable[[], None]:
    """tensorboard's own Python writer, given the finished event."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    from layerviz_callbacks.sinks.events import image_event

    writer = EventFileWriter(str(folder))

    def write() -> None:
        for step in range(PICTURES):
            writer.add_event(Event.FromString(image_event(TAG, png, SIZE, step, description=DESCRIPTION)))
        writer.flush()

    return write


def summary_writer(folder: Path, png: bytes) -> Callable[[], None]:
    """PyTorch's `SummaryWriter`, given the encoded picture as its own `add_image` would make it."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    width, height = SIZE

    def write() -> None:
        for step in range(PICTURES):
            image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
            writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=TAG, image=image)]), step)
        writer.flush()

    return write


WRITERS: dict[str, Writer] = {
    "layerviz_callbacks": layerviz,
    "tf.summary.write": tf_summary,
    "tensorboard EventFileWriter": event_file_writer,
    "torch SummaryWriter": summary_writer,
}


def cpu_milliseconds_a_picture(png: bytes, folder: Path) -> dict[str, float]:
    """Writer -> median CPU time of one picture in milliseconds."""
    rounds: dict[str, list[float]] = {name: [] for name in WRITERS}
    ready = {}
    for name, make in WRITERS.items():
        place = folder / name.replace(" ", "_")
        place.mkdir()
        ready[name] = make(place, png)
        ready[name]()  # imports, first metadata and threads are not what is measured
    for _ in range(ROUNDS):
        for name, write in ready.items():
            begin = time.process_time()
            write()
            rounds[name].append((time.process_time() - begin) / PICTURES * 1000)
    return {name: statistics.median(times) for name, times in rounds.items()}


def main() -> None:
    """Measure and print the table."""
    print(f"{'CPU time of one picture':30}{'PNG kB':>8}{'ms':>10}{'ratio':>8}")
    for kilobytes in (50, 200):
        png = np.random.default_rng(0).bytes(kilobytes * 1000)
        with tempfile.TemporaryDirectory() as folder:
            times = cpu_milliseconds_a_picture(png, Path(folder))
        own = times["layerviz_callbacks"]
        for name, milliseconds in times.items():
            print(f"{name:30}{kilobytes:8}{milliseconds:10.3f}{milliseconds / own:8.1f}")


if __name__ == "__main__":
    main()
