import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def table(name, *arguments):
    command = [sys.executable, str(BENCHMARKS / name), "--quick", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return [line.split() for line in result.stdout.splitlines() if line.strip()]


def test_the_zoo_counts_every_convolution_of_our_own_network():
    pytest.importorskip("torch")
    rows = table("zoo.py", "--family", "own")
    assert rows[0][:2] == ["model", "layers"]
    assert rows[1][0] == "torch_unet_1d"
    assert rows[1][4] == "11/11"


def test_the_memory_tables_show_that_cuts_copy_less_and_a_run_holds_its_threads_and_files():
    pytest.importorskip("tensorflow")
    pytest.importorskip("lightning")
    rows = table("memory.py")
    mobile_net = next(row for row in rows if row[0] == "MobileNet")
    assert float(mobile_net[-1]) < 0.5  # of the bytes
    recorded = [row for row in rows if row[:2] == ["lightning", "with"]]
    assert [row[2] for row in recorded] == ["2", "3", "4"]
    assert len({tuple(row[4:6]) for row in recorded}) == 1


def test_the_cost_of_capture_is_printed_for_each_network():
    pytest.importorskip("torch")
    rows = table("capture.py")
    assert [" ".join(row[:-4]) for row in rows[1:]] == ["small CNN", "LSTM"]
    assert all(float(value) > 0 for row in rows[1:] for value in row[-4:])


def test_the_size_of_a_report_and_the_seconds_it_takes_are_printed():
    pytest.importorskip("h5py")
    size, written, *opened = [" ".join(row) for row in table("report.py")]
    assert size.startswith("4 layers, 6 epochs: ") and float(size.split()[-2]) > 0
    assert written.startswith("written in ") and len(opened) == 1
