"""`import layerviz_callbacks` loads no framework, no plotting library and not even TensorBoard."""

import subprocess
import sys

HEAVY = {"tensorflow", "keras", "torch", "jax", "lightning", "pytorch_lightning", "matplotlib", "tensorboard"}


def loaded_after(statement):
    program = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_the_package_loads_no_framework():
    loaded = loaded_after("import layerviz_callbacks, layerviz_callbacks.recorder, layerviz_callbacks.cli")
    assert "layerviz_callbacks" in loaded
    assert loaded & HEAVY == set()


def test_the_test_above_can_fail():
    assert loaded_after("import layerviz_callbacks, tensorboard") & HEAVY == {"tensorboard"}


def test_the_package_alone_does_not_even_load_numpy_and_has_every_name():
    assert loaded_after("import layerviz_callbacks") & {*HEAVY, "numpy", "PIL", "google_crc32c"} == set()
    assert "numpy" in loaded_after("from layerviz_callbacks import *")
    every = "for name in [*package.__all__, '__version__']: getattr(package, name)"
    assert "numpy" in loaded_after(f"import layerviz_callbacks as package\n{every}")
