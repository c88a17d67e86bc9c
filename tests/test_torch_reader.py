"""Outputs equal those of a plain hook, under names that the author of the model would use."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.utils.checkpoint
from torch import nn
from torch_models import ConvNet, images, read_all

from layerviz_callbacks import ArgumentError, Probe, SelectionError, inspect
from layerviz_callbacks.request import Request
from layerviz_callbacks.torch import TorchReader
from layerviz_callbacks.torch import inspect as inspect_torch


def plain_hook_outputs(model, x):
    found = {}
    handles = [
        module.register_forward_hook(lambda m, a, out, name=name: found.update({name: out.detach().clone()}))
        for name, module in model.named_modules()
        if name
    ]
    model.eval()
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return found


def test_outputs_equal_those_of_a_plain_hook_even_before_an_activation_in_place():
    x, _ = images(3)
    torch.manual_seed(0)
    model = ConvNet(inplace=True)
    reference = ConvNet(inplace=False)
    reference.load_state_dict(model.state_dict())
    snapshot = read_all(model, x)
    for name, expected in plain_hook_outputs(reference, x).items():
        moved = expected.permute(0, 2, 3, 1) if expected.ndim == 4 else expected
        np.testing.assert_array_equal(snapshot[name].output, moved.numpy(), err_msg=name)
        assert snapshot[name].output_shape == tuple(moved.shape)
    assert snapshot["conv"].output.min() < 0 == snapshot["act"].output.min()


def test_only_what_was_asked_for_is_copied():
    x, _ = images(2)
    request = Request(weights=frozenset({"head"}), outputs=frozenset({"conv"}))
    snapshot = TorchReader(ConvNet(), x).read(request)
    assert snapshot["head"].kernel is not None and snapshot["conv"].kernel is None
    assert snapshot["conv"].output is not None and snapshot["head"].output is None
    assert snapshot["conv"].kernel_shape == (4, 1, 3, 3)
    assert snapshot["head"].output_shape == (2, 3)


def test_without_outputs_the_model_runs_once_for_the_shapes_and_never_again():
    class Counting(nn.Linear):
        calls = 0

        def forward(self, x):
            Counting.calls += 1
            return super().forward(x)

    reader = TorchReader(nn.Sequential(Counting(2, 3)), np.ones((4, 2)))
    for _ in range(3):
        snapshot = reader.read(Request(weights=frozenset({"0"})))
        assert snapshot["0"].output_shape == (4, 3)
    assert Counting.calls == 1


def test_a_second_call_has_a_number():
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 2, 1)

        def forward(self, left, right):
            return self.conv(left) - self.conv(right)

    left, right = torch.rand(2, 1, 3), torch.rand(2, 1, 3)
    model = Siamese()
    snapshot = read_all(model, [left, right])
    assert list(snapshot.layers) == ["conv", "conv#2"]
    np.testing.assert_array_equal(
        snapshot["conv#2"].output, model.conv(right).detach().permute(0, 2, 1).numpy()
    )
    assert snapshot["conv#2"].kernel is None and snapshot["conv#2"].kernel_shape == (2, 1, 1)
    assert list(snapshot.inputs) == ["input 1", "input 2"]


def test_several_outputs_have_names():
    @dataclasses.dataclass
    class Pair:
        low: torch.Tensor
        high: torch.Tensor

    class Splits(nn.Module):
        def __init__(self, form):
            super().__init__()
            self.form = form

        def forward(self, x):
            return self.form(x, x + 1)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = Splits(lambda low, high: (low, high))
            self.b = Splits(lambda low, high: {"low": low, "high": high})
            self.c = Splits(Pair)

        def forward(self, x):
            self.b(x), self.c(x)
            return self.a(x)

    snapshot = read_all(Model(), np.zeros((1, 2)))
    assert list(snapshot.layers) == ["a", "a.1", "b", "b.high", "c", "c.high"]
    assert all(snapshot[name].output.max() == 1 for name in ("a.1", "b.high", "c.high"))
    assert list(snapshot.outputs) == ["output 1", "output 2"]


def test_a_second_output_never_takes_the_name_of_an_inner_layer():
    class Block(nn.Sequential):
        def forward(self, x):
            return x, super().forward(x)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Block(nn.Linear(2, 3), nn.Linear(3, 4))

        def forward(self, x):
            return self.block(x)[1]

    snapshot = read_all(Model(), np.zeros((1, 2)))
    assert snapshot["block.1"].kind == "Linear"
    assert snapshot["block.output.1"].output_shape == (1, 4)


def test_wrappers_are_taken_off_the_names():
    inner = nn.Sequential(nn.Conv1d(1, 2, 1), torch.compile(nn.ReLU(), backend="eager"))
    wrapped = torch.compile(nn.DataParallel(inner), backend="eager")
    entries = TorchReader(wrapped, np.zeros((1, 1, 3))).entries()
    assert [(entry.name, entry.has_kernel) for entry in entries] == [("0", True), ("1", False)]
    assert entries[1].module.__class__ is nn.ReLU


def test_an_attribute_that_is_called_module_keeps_its_name():
    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(2, 2)

        def forward(self, x):
            return self.module(x)

    assert list(read_all(Holder(), np.zeros((1, 2))).layers) == ["module"]


@pytest.mark.parametrize("how", ["function", "method"])
def test_a_model_that_was_compiled_and_called_before_is_heard(how):
    model = nn.Sequential(nn.Conv1d(1, 2, 1), nn.ReLU())
    x = torch.rand(2, 1, 5)
    if how == "function":
        compiled = torch.compile(model, backend="eager")
    else:
        compiled = model
        compiled.compile(backend="eager")
    compiled(x)
    snapshot = read_all(compiled, x)
    np.testing.assert_array_equal(snapshot["0"].output, model[0](x).detach().permute(0, 2, 1).numpy())


def test_the_fused_attention_path_does_not_hide_inner_layers():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    snapshot = read_all(nn.Sequential(layer), torch.rand(2, 5, 8))
    assert snapshot["0.linear1"].output_shape == (2, 5, 16)
    assert snapshot["0.self_attn"].output_shape == (2, 5, 8)
    assert not snapshot["0.self_attn"].container and snapshot["0"].container


@pytest.mark.filterwarnings("ignore:.*nested tensors.*")
def test_masked_positions_are_not_packed_away():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 1).eval()
    mask = torch.tensor([[False, False, False, True, True]] * 2)
    batch = {"src": torch.rand(2, 5, 8), "src_key_padding_mask": mask}
    assert read_all(encoder, batch)["layers.0"].output_shape == (2, 5, 8)


def test_a_layer_that_is_never_called_has_no_output_shape():
    model = ConvNet()
    model.spare = nn.Linear(2, 2)
    snapshot = read_all(model, images(2)[0])
    assert snapshot["spare"].output_shape is None and snapshot["spare"].kernel is not None
    assert "not called" in snapshot.summary()


def test_bfloat16_and_complex_outputs_come_as_float32():
    class Fourier(nn.Module):
        def forward(self, x):
            return torch.fft.fft(x)

    model = nn.Sequential(Fourier())
    output = read_all(model, np.ones((1, 4), np.float32))["0"].output
    np.testing.assert_array_equal(output, [[4, 0, 0, 0]])
    half = read_all(nn.Sequential(nn.Linear(2, 2).bfloat16()), np.ones((1, 2)))["0"]
    assert half.output.dtype == half.kernel.dtype == np.float32


def test_packed_sequences_are_padded_with_their_samples_first():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 2, batch_first=True)

        def forward(self, x):
            lengths = torch.tensor([2, 5])
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return self.lstm(packed)[0]

    model, x = Packed(), torch.rand(2, 5, 3)
    read = read_all(model, x)["lstm"]
    assert read.output_shape == (2, 5, 2)
    for sample, length in enumerate((2, 5)):
        alone = model.lstm(x[sample : sample + 1, :length])[0].detach().numpy()[0]
        np.testing.assert_allclose(read.output[sample, :length], alone, rtol=1e-5, atol=1e-6)
        assert not read.output[sample, length:].any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_block_is_heard_once_and_without_a_warning(reentrant):
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True))

        def forward(self, x):
            return torch.utils.checkpoint.checkpoint(self.block, x, use_reentrant=reentrant)

    model, x = Checkpointed(), torch.rand(4, 2)
    snapshot = read_all(model, x)
    assert list(snapshot.layers) == ["block", "block.0", "block.1"]
    np.testing.assert_array_equal(snapshot["block.0"].output, model.block[0](x).detach().numpy())


def test_an_output_that_is_no_tensor_is_refused_in_words():
    class Words(nn.Module):
        def forward(self, x):
            return "seven"

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = Words()

        def forward(self, x):
            self.words(x)
            return x

    layer = read_all(Model(), np.zeros((1, 2)))["words"]
    assert "str" in layer.refusal and layer.output is None


def test_inspect_reads_everything_and_chooses_what_was_asked_for():
    x, _ = images(2)
    model = ConvNet()
    everything = inspect_torch(model, x)
    assert everything.chosen is None
    assert all(layer.output is not None for layer in everything)
    chosen = inspect(model, Probe(x, names=["a", "b"]), layers=nn.Conv2d)  # the one at top level
    assert chosen.chosen == frozenset({"conv"})
    assert chosen["head"].output is None
    with pytest.raises(SelectionError, match="Did you mean 'conv'"):
        inspect(model, x, layers="conf")


def test_what_display_gives_is_shown_as_it_is():
    x, _ = images(2)
    shown = np.zeros((2, 8, 8, 3), np.uint8)
    np.testing.assert_array_equal(read_all(ConvNet(), Probe(x, display=shown)).inputs["input"], shown)


def test_what_is_no_module_is_refused():
    with pytest.raises(ArgumentError, match=r"builtins.str.*torch\.nn\.Module"):
        inspect_torch("model", np.zeros((1, 2)))


def test_a_lazy_model_is_refused_before_it_draws_its_weights():
    model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(ArgumentError, match=r"not built yet.*\['0'\].*model\(x_val\[:4\]\)"):
        inspect_torch(model, np.zeros((1, 2)))
    assert isinstance(model[0], nn.LazyLinear)
