"""The benchmarks of pictures run and print their tables."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def printed_by(name, *arguments):
    command = [sys.executable, str(BENCHMARKS / name), "--quick", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "cores" in result.stdout
    return result.stdout


def test_lines_are_drawn_by_all_who_are_installed():
    rows = [line for line in printed_by("lines.py").splitlines() if line.startswith(("layerviz", "Pillow"))]
    assert len(rows) == 3
    assert all(float(number) > 0 for row in rows for number in row.split()[-4:])


def test_the_growth_of_cost_is_printed_and_plotted(tmp_path):
    pytest.importorskip("matplotlib")
    output = printed_by("scale.py", "--out", str(tmp_path / "plots" / "scale.png"))
    verdicts = [line.split(":")[0] for line in output.splitlines() if "times as many cost" in line]
    assert verdicts == ["channels", "layers", "samples", "pixels", "epochs"]
    assert (tmp_path / "plots" / "scale.png").stat().st_size > 1000


def test_pictures_are_compared_with_all_who_are_installed():
    for package in ("torch", "tensorflow", "keras", "matplotlib", "isal"):
        pytest.importorskip(package)
    output = printed_by("pictures.py")
    goals = [line for line in output.splitlines() if line.startswith(("met ", "MISSED"))]
    rows = [line for line in output.splitlines() if line not in goals and line[60:68].strip()[-1:].isdigit()]
    names = [line[:58].strip() for line in rows]
    assert sum("layerviz" in name.lower() for name in names) == 6
    assert sum(name.startswith("floor") for name in names) == 2
    assert len(names) == 15
    assert len(goals) == 6
