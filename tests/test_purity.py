"""Training is untouched: every row of benchmarks/purity.py, Keras on each of its backends.

On JAX and PyTorch, Keras' most different rows; `make test-all` takes all of them there, too.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "purity.py"
ROWS = {"keras": 10, "torch": 9, "lightning": 3}
EVERYTHING = bool(os.environ.get("LAYERVIZ_TEST_ALL"))
MOST_DIFFERENT = [
    "dropout and batch normalisation",
    "data augmentation layers",
    "spectral normalisation",
    "gradient accumulation",
    "attention with dropout",
]


@pytest.mark.parametrize(
    ("framework", "backend"),
    [("keras", "tensorflow"), ("keras", "jax"), ("keras", "torch"), ("torch", ""), ("lightning", "")],
)
def test_every_training_is_bit_for_bit_the_same_with_pictures(framework, backend):
    chosen = MOST_DIFFERENT if backend in ("jax", "torch") and not EVERYTHING else []
    done = subprocess.run(
        [sys.executable, BENCHMARK, "--framework", framework, *(f"--training={name}" for name in chosen)],
        env={**os.environ, **({"KERAS_BACKEND": backend} if backend else {})},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    rows = [line for line in done.stdout.split("\n") if line.startswith(f"{framework} | ")]
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert len(rows) == (len(chosen) or ROWS[framework])
    assert all("| yes |" in row and "weights" in row for row in rows)
