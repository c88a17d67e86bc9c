"""Writing an event file loads no framework, though all of them are installed here."""

import subprocess
import sys

HEAVY = ("tensorflow", "torch", "keras", "jax", "matplotlib", "lightning")

WRITE = """
import numpy as np, sys
from layerviz_callbacks.picture import Picture
from layerviz_callbacks.sinks import Folder, TensorBoard
assert "tensorboard" not in sys.modules, "importing the sinks alone must not load tensorboard"
for sink in (TensorBoard(sys.argv[1]), Folder(sys.argv[1] + "/pictures")):
    sink.open(first_step=0)
    sink.write([Picture("a/b", np.zeros((2, 2, 3), np.uint8))], 0)
    sink.write_text("note", "text", 0)
    sink.flush()
    sink.close()
"""
REPORT = f"\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"


def loaded_by(code: str, folder) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code + REPORT, str(folder)], capture_output=True, text=True, check=True
    )
    return result.stdout.strip().splitlines()[-1] if result.stdout.strip() else ""


def test_writing_event_files_and_pictures_loads_no_framework(tmp_path):
    assert loaded_by(WRITE, tmp_path) == ""
    assert list(tmp_path.glob("layerviz/events.out.tfevents.*"))
    assert (tmp_path / "pictures" / "a" / "b" / "step_0000.png").exists()


def test_the_test_above_can_fail(tmp_path):
    # tensorboard's own writer loads TensorFlow where it is installed
    theirs = (
        "import sys\nfrom tensorboard.summary.writer.event_file_writer import EventFileWriter\n"
        "EventFileWriter(sys.argv[1]).close()\n"
    )
    assert "tensorflow" in loaded_by(theirs, tmp_path).split()
