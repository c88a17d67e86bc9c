import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments):
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_pytorch_loop_learns_and_is_pictured(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    printed = run("pytorch_loop.py", tmp_path)
    assert "epoch 5/5: 9" in printed  # 90 % or more of the held-out digits
    assert list((tmp_path / "layerviz").glob("events.out.tfevents.*"))


def test_a_trained_model_becomes_a_table_and_png_files(tmp_path):
    pytest.importorskip("keras")
    pytest.importorskip("sklearn")
    printed = run("inspect_a_trained_model.py", tmp_path)
    assert "conv1    Conv2D        (16, 1, 3, 3)" in printed
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "feature maps 01_conv1.png", "feature maps 02_pool.png", "feature maps 04_head.png",
        "filters 01_conv1.png", "filters 04_head.png",
    ]  # fmt: skip
