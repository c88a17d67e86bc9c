"""SIGKILL at any moment: what was recorded up to the last finished epoch can be read."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

TRAINING = textwrap.dedent("""
    import sys
    from fakes import CountingReader, Kernels, Shapes
    from layerviz_callbacks.recorder import Recorder

    recorder = Recorder(log_dir=sys.argv[1], views=[Shapes(), Kernels()], worker=eval(sys.argv[2]))
    recorder.begin(CountingReader(), step=0, total=None)
    print(0, flush=True)
    for epoch in range(1, 1_000_000):
        recorder.epoch_end(epoch)
        print(epoch, flush=True)
""")


def steps_of(folder):
    """The steps of each tag, as TensorBoard's own reader of event files gives them."""
    steps = {}
    for path in sorted((folder / "layerviz").glob("events.out.tfevents.*")):
        for raw in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(raw)
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name != "text":
                    steps.setdefault(value.tag, []).append(event.step)
    return steps


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("worker", [None, "thread"])
@pytest.mark.parametrize("seed", range(6))
def test_a_killed_training_leaves_every_drawn_epoch_readable(seed, worker, tmp_path):
    command = [sys.executable, "-c", TRAINING, str(tmp_path), repr(worker)]
    settings = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) as training:
        first = training.stdout.readline()
        assert first == "0\n"
        time.sleep(random.Random(seed).uniform(0, 0.3))
        training.kill()
        finished = [0, *map(int, training.stdout.read().split("\n")[:-1])]
    steps = steps_of(tmp_path)
    if worker is None:  # what is finished is on disk
        for tag in ("shapes/01_conv1", "kernels/01_conv1"):
            last = steps[tag][-1]
            assert steps[tag] == list(range(last + 1))
            assert last >= finished[-1]
    else:  # what was drawn beside the training is on disk; this training is faster than any drawing
        for found in steps.values():
            assert found == sorted(set(found))
            assert found[0] == 0
