"""The Keras door on the other backends, each in a process of its own: the same tests must pass there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EVERYWHERE = ["zoo/test_keras_zoo.py", "test_keras_compiled.py"]
SELECTED = {
    "torch": [*EVERYWHERE, "test_keras_reader.py", "test_keras_untouched.py", "test_keras_callback.py"],
    # On JAX all is compiled, for seconds a model: one test for each promise.
    "jax": [
        *EVERYWHERE,
        "test_keras_reader.py::test_sequential_outputs_equal_a_sub_model",
        "test_keras_reader.py::test_raw_parameters_are_layers_of_their_own",
        "test_keras_reader.py::test_channels_first_outputs_and_inputs_are_given_channels_last",
        "test_keras_untouched.py::test_training_is_bit_identical_with_the_callback",
        "test_keras_untouched.py::"
        "test_training_is_bit_identical_where_passes_are_compiled_and_layers_draw_by_themselves",
    ],
}


@pytest.mark.parametrize("backend", SELECTED)
def test_the_tests_pass_on_this_backend(backend):
    tests = [str(HERE / selected) for selected in SELECTED[backend]]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *tests],
        cwd=HERE.parent,
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:]
