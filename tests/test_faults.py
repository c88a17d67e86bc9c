"""It never kills a run: each fault on its own, in each door, see benchmarks/faults.py."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "faults.py"
specification = importlib.util.spec_from_file_location("faults", BENCHMARK)
faults = importlib.util.module_from_spec(specification)
sys.modules["faults"] = faults
specification.loader.exec_module(faults)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", faults.FAULTS)
@pytest.mark.parametrize("door", faults.DOORS)
def test_a_fault_is_logged_once_and_training_ends_with_the_same_weights(door, fault):
    outcome = faults.tried(door, fault)
    assert outcome.finished, outcome.logged
    assert outcome.equal
    (line,) = outcome.logged
    assert re.search(faults.FAULTS[fault][1], line, re.DOTALL)
