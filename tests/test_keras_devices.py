"""Keras on several devices, on its own engines: real runs on two devices that the processor is split into."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


@pytest.mark.parametrize("kind", ["mirrored", "data-parallel", "model-parallel"])
def test_training_on_two_devices_is_untouched_and_pictured_once(kind, tmp_path):
    script = Path(__file__).with_name("keras_devices.py")
    done = subprocess.run(
        [sys.executable, script, kind, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().split("\n")[-1])
    assert found == {
        "copies": 2,
        "repeatable": True,
        "untouched": True,
        "kernel": True,
        "kernel shape": [8, 72],
        "output": True,
        "output shape": [3, 6, 6, 2],
    }
    (run,) = tmp_path.iterdir()
    events = EventAccumulator(str(run))
    events.Reload()
    steps = {tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]}
    assert steps["filters/05_wide"] == steps["feature maps/01_conv"] == [0, 1, 2]
