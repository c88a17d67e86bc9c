"""A plain PyTorch loop in two processes: pictured once, untouched, without waiting for each other."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="gloo processes as started here need a POSIX system"
)


def two_processes(folder, who):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(__file__).with_name("torch_processes.py")
    running = [
        subprocess.Popen(
            [sys.executable, script, str(rank), str(port), folder, who],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in (0, 1)
    ]  # fmt: skip
    told = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    return [json.loads(out.strip().split("\n")[-1]) for out, _ in told]


def test_the_first_process_records_whether_all_attach_or_it_alone(tmp_path):
    plain = two_processes(tmp_path / "plain", "none")
    for who in ("all", "first"):
        assert two_processes(tmp_path / who, who) == plain
        (run,) = (tmp_path / who).iterdir()
        assert len(list(run.iterdir())) == 1
        events = EventAccumulator(str(run))
        events.Reload()
        tags = [tag for tag in events.Tags()["tensors"] if tag.startswith("filters/")]
        assert tags == ["filters/01_0", "filters/05_4"]
        assert [event.step for event in events.Tensors(tags[0])] == [0, 1, 2, 3]


def test_a_sharded_model_is_refused_with_what_to_type(tmp_path):
    for process in two_processes(tmp_path, "sharded"):
        assert "is sharded over 2 processes" in process["told"]
        assert "layerviz_callbacks.lightning.LayerVizCallback" in process["told"]
