"""What all tests share: the same random numbers in each run, and golden pictures.

`pytest --overwrite-golden` writes the golden pictures anew, to be looked at before they are accepted.
"""

import logging
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

collect_ignore = ["keras_devices.py", "torch_processes.py"]  # scripts that tests run in other processes

GOLDEN = Path(__file__).parent / "golden"
LONGEST = [
    "test_keras_backends",
    "test_purity",
    "test_examples",
    "test_same_picture_everywhere",
    "test_lightning_devices",
]
"""These files take minutes: they begin first, so that no core waits for them at the end."""


def pytest_addoption(parser):
    parser.addoption(
        "--overwrite-golden",
        action="store_true",
        help="write tests/golden/*.png anew; look before you accept",
    )


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True)
def same_random_numbers_in_each_run():
    """A test that draws numbers without a seed of its own draws the same ones each time."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  for code that draws from the global generator
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def no_test_silences_another():
    """The level of the package's logger, which code under test may set, is after a test as it was before."""
    log = logging.getLogger("layerviz_callbacks")
    before = log.level
    yield
    log.setLevel(before)


@pytest.fixture
def check_golden(request, tmp_path):
    """`check_golden(picture, "name")`: the picture is the one in tests/golden/name.png, colour by colour.

    Where a picture differs, the new one is written into the test's temporary folder, to be looked at. Letters
    may differ slightly between versions of FreeType: 1 pixel in 200 may be off.
    """

    def check(picture, name):
        path = GOLDEN / f"{name}.png"
        if request.config.getoption("--overwrite-golden"):
            GOLDEN.mkdir(exist_ok=True)
            picture.save(path)
        assert path.exists(), f"{path} is missing: run pytest --overwrite-golden, and look at it"
        accepted = np.asarray(Image.open(path).convert("RGB"))
        drawn = picture.rgb()
        differs = accepted.shape != drawn.shape or (accepted != drawn).any(axis=-1).mean() > 1 / 200
        drawn_path = tmp_path / f"{name}.png"
        if differs:
            picture.save(drawn_path)
        assert not differs, f"{name} looks different: compare tests/golden/{name}.png and {drawn_path}"

    return check
