"""The Keras door on the other backends, each in a process of its own: the same tests must pass there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EVERYWHERE = ["zoo/test_keras_zoo.py", "test_keras_compiled.py"]
EVERYTHING = bool(os.environ.get("LAYERVIZ_TEST_ALL"))
MORE_ON_JAX = [
    "test_keras_untouched.py::test_training_is_bit_identical_with_the_callback",
    "test_keras_untouched.py::"
    "test_training_is_bit_identical_where_passes_are_compiled_and_layers_draw_by_themselves",
    "test_keras_attention.py::test_training_is_bit_identical_with_attention_recorded_each_epoch",
]
SELECTED = {
    "torch": [
        *EVERYWHERE,
        "test_keras_reader.py",
        "test_keras_untouched.py",
        "test_keras_callback.py",
        "test_keras_attention.py",
        "test_keras_gradients.py",
        "test_keras_differentiating.py",
        "test_keras_statistics.py",
        "test_keras_updates.py",
    ],
    # On JAX all is compiled, for seconds a model: one test a promise; test_purity.py trains there, too.
    "jax": [
        *EVERYWHERE,
        "test_keras_reader.py::test_sequential_outputs_equal_a_sub_model",
        "test_keras_reader.py::test_raw_parameters_are_layers_of_their_own",
        "test_keras_reader.py::test_channels_first_outputs_and_inputs_are_given_channels_last",
        "test_keras_untouched.py::test_training_is_bit_identical_with_the_callback[subclassed]",
        "test_keras_attention.py::test_attention_written_by_hand_can_be_counted_on_paper",
        "test_keras_attention.py::test_multi_head_attention_gives_the_scores_of_the_layer_itself",
        "test_keras_attention.py::"
        "test_a_compiled_pass_with_attention_is_traced_once_for_each_request_and_cut_inside",
        "test_keras_attention.py::test_what_other_threads_compute_is_not_heard",
        "test_keras_gradients.py::test_two_channels_as_on_paper",
        "test_keras_gradients.py::"
        "test_the_score_is_taken_before_the_last_softmax_or_sigmoid[framework's sigmoid in call]",
        "test_keras_gradients.py::test_each_call_of_a_shared_layer_has_its_gradient",
        "test_keras_gradients.py::test_what_has_no_gradient_says_why",
        "test_keras_gradients.py::test_a_compiled_pass_gives_the_gradients_of_an_eager_one_and_is_traced_once",
        "test_keras_gradients.py::test_a_model_that_cannot_be_traced_is_differentiated_all_the_same",
        "test_keras_gradients.py::test_training_is_bit_identical_with_gradients_of_all_layers[sequential]",
        "test_keras_differentiating.py::test_the_weights_change_from_call_to_call_and_nothing_is_traced_again",
        "test_keras_statistics.py::test_a_compiled_pass_is_traced_once_for_each_request_with_statistics",
        "test_keras_statistics.py::test_what_is_not_finite_counts_as_that_alone",
        "test_keras_updates.py::test_the_state_of_an_optimizer_tells_what_it_added[accumulation]",
        "test_keras_updates.py::test_the_state_of_an_optimizer_tells_what_it_added[loss scaling]",
        "test_keras_updates.py::test_in_a_training_the_update_is_what_lies_between_two_steps[epochs]",
        *(MORE_ON_JAX if EVERYTHING else []),
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
