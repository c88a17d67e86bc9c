"""Whatever way a PyTorch model is written in, its kernels and outputs are those of plain arithmetic."""

import numpy as np
import pytest

from layerviz_callbacks import ArgumentError
from layerviz_callbacks.torch import inspect
from zoo.torch_models import RANKS, WAYS, expected_kernels, expected_outputs, inputs


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TorchScript
def test_every_way_of_writing_a_model_is_read(way, rank):
    written, x = WAYS[way], inputs(rank)
    model = written.build(rank)
    modes = [module.training for module in model.modules()]
    snapshot = inspect(model, written.probe(x), forward=written.forward)
    for name, expected in expected_outputs(rank, x).items():
        layer = snapshot[written.prefix + name]
        if name in written.silent:
            assert layer.output is None and "TorchScript" in layer.refusal
            continue
        assert not layer.refusal
        assert layer.output_shape == tuple(expected.shape)
        np.testing.assert_allclose(
            layer.output, expected.numpy(), rtol=written.tolerance, atol=written.tolerance, err_msg=name
        )
    for name, expected in expected_kernels(rank).items():
        layer = snapshot[written.prefix + name]
        np.testing.assert_allclose(layer.kernel, expected.numpy(), rtol=1e-6, err_msg=name)
        assert layer.kind == ("Linear" if rank == 0 else f"Conv{rank}d")
    shown = inputs(rank).movedim(1, -1).numpy()
    np.testing.assert_array_equal(next(iter(snapshot.inputs.values())), shown)
    heard_again = {layer.name for layer in snapshot if "#" in layer.name}
    assert bool(heard_again) is (way == "called twice")
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize("rank", RANKS)
def test_the_second_call_has_its_own_values(rank):
    snapshot = inspect(WAYS["called twice"].build(rank), inputs(rank))
    for name, expected in expected_outputs(rank, -inputs(rank)).items():
        np.testing.assert_allclose(snapshot[f"{name}#2"].output, expected.numpy(), rtol=1e-6, atol=1e-6)


def test_a_model_without_forward_says_what_to_type():
    with pytest.raises(ArgumentError, match=r"no forward\(\).*forward=lambda model, x"):
        inspect(WAYS["another method than forward"].build(1), inputs(1))


def test_the_oracle_tells_another_model():
    other = inspect(WAYS["subclass"].build(1), inputs(1) + 0.01)["first"].output
    assert not np.allclose(other, expected_outputs(1, inputs(1))["first"].numpy(), atol=1e-4)
