"""`forward=`: the user says how a module is shown the probe."""

import functools

import numpy as np
import pytest
import torch
from fakes import Keeps, ListSink
from lightning_models import (
    digit_net,
    gan,
    gan_loader,
    namespace,
    outcome,
    small_trainer,
    step_of,
    train_loader,
    val_loader,
)
from torch import nn
from torch.utils.data import DataLoader
from torch_models import ConvNet, images, same

from layerviz_callbacks import ArgumentError, Probe, ProbeError
from layerviz_callbacks.lightning import LayerVizCallback

pytestmark = pytest.mark.filterwarnings("ignore")
X, Y = images(6, seed=2)
NO_FORWARD = namespace().LightningModule.forward


def snapshots_of(module, *loaders, trainer=None, **options):
    view = Keeps()
    callback = LayerVizCallback(log_dir=ListSink(), views=[view], **{"layers": "*", **options})
    small_trainer(callback, **(trainer or {})).fit(module, *loaders)
    return view.snapshots


def channels_last(tensor):
    return tensor.permute(0, 2, 3, 1).numpy()


def without_forward(**parts):
    by_hand = step_of(lambda module, batch: (module.net(batch[0]), batch[1]))
    return digit_net(**{"training_step": by_hand, "forward": NO_FORWARD, **parts})


def test_forward_is_given_the_first_samples_of_the_batch():
    given = []

    def forward(module, batch):
        given.append((type(batch), [part.shape for part in batch], torch.equal(batch[1], Y[:4])))
        return module.net(batch[0])

    module = without_forward()
    module.validation_step = step_of(lambda module, batch: (module.net(batch[0]), batch[1])).__get__(module)
    last = snapshots_of(module, train_loader(), val_loader(), forward=forward)[-1]
    assert set(map(str, given)) == {str((list, [X[:4].shape, Y[:4].shape], True))}
    module.eval()
    with torch.no_grad():
        np.testing.assert_array_equal(last["net.conv"].output, channels_last(module.net.conv(X[:4])))
        np.testing.assert_array_equal(last.outputs["output"], module.net(X[:4]).numpy())
    np.testing.assert_array_equal(last.inputs["input"][..., 0], X[:4, 0].numpy())


def test_forward_wins_over_what_validation_step_does():
    module = digit_net()
    last = snapshots_of(
        module, train_loader(), val_loader(), forward=lambda module, batch: module(-batch[0])
    )[-1]
    module.eval()
    with torch.no_grad():
        np.testing.assert_array_equal(last.outputs["output"], module(-X[:4]).numpy())
    np.testing.assert_array_equal(last.inputs["input"][..., 0], -X[:4, 0].numpy())


PROBES = {
    "array": (X[:2].numpy(), torch.Tensor, lambda x: x),
    "tensor": (X[:2], torch.Tensor, lambda x: x),
    "double precision": (X[:2].double(), torch.Tensor, lambda x: x),
    "dict": ({"image": X[:2].numpy(), "age": Y[:2].numpy()}, dict, lambda x: x["image"]),
    "tuple": ((X[:2].numpy(), Y[:2].numpy()), tuple, lambda x: x[0]),
    "list": ([X[:2], Y[:2]], list, lambda x: x[0]),
    "probe": (Probe((X[:2].numpy(), Y[:2].numpy()), names=["a", "b"]), tuple, lambda x: x[0]),
}


@pytest.mark.parametrize("form", PROBES)
def test_with_a_probe_forward_is_given_it_as_the_user_gave_it(form):
    probe, kind, image_of = PROBES[form]
    kinds = []

    def forward(module, inputs):
        kinds.append(type(inputs))
        return module.net(image_of(inputs))

    module = without_forward()
    last = snapshots_of(module, train_loader(), probe=probe, forward=forward)[-1]
    assert set(kinds) == {kind}
    module.eval()
    with torch.no_grad():
        np.testing.assert_array_equal(last.outputs["output"], module.net(X[:2]).numpy())
        np.testing.assert_array_equal(last["net.conv"].output, channels_last(module.net.conv(X[:2])))


def test_what_forward_changes_in_its_inputs_is_not_seen_the_next_time():
    def forward(module, x):
        return module.net(x.mul_(2))

    module = without_forward()
    last = snapshots_of(module, train_loader(), probe=X[:2], forward=forward)[-1]
    module.eval()
    with torch.no_grad():
        np.testing.assert_array_equal(last.outputs["output"], module.net(2 * X[:2]).numpy())


def test_a_module_without_forward_is_shown_as_its_training_step_calls_its_network():
    module = without_forward()
    last = snapshots_of(module, train_loader(shuffle=False))[-1]
    module.eval()
    with torch.no_grad():
        expected = module.net.conv(images(12)[0][:4])
    np.testing.assert_array_equal(last["net.conv"].output, channels_last(expected))


@pytest.mark.parametrize("given", [False, True])
def test_a_gan_that_optimises_by_hand_shows_the_network_that_forward_calls(given):
    latents = gan_loader().dataset.tensors[1][:4]
    options = {"forward": lambda module, batch: module.generator(batch[1])}
    if given:
        options = {"probe": latents, "forward": lambda module, z: module.generator(z)}
    module = gan()
    last = snapshots_of(module, gan_loader(), **options)[-1]
    module.eval()
    with torch.no_grad():
        spread = module.generator.spread(latents)
        fake = module.generator(latents)
    np.testing.assert_array_equal(last["generator.spread"].output, spread.numpy())
    np.testing.assert_array_equal(last["generator"].output, channels_last(fake))
    np.testing.assert_array_equal(last.inputs["input"], latents.numpy())
    assert last["discriminator.conv"].output is None


def test_a_forward_that_calls_several_networks_shows_them_all():
    def forward(module, batch):
        return module.discriminator(module.generator(batch[1]))

    module = gan()
    last = snapshots_of(module, gan_loader(), forward=forward)[-1]
    real, latents = gan_loader().dataset.tensors
    module.eval()
    with torch.no_grad():
        expected = module.discriminator.conv(module.generator(latents[:4]))
    np.testing.assert_array_equal(last["discriminator.conv"].output, channels_last(expected))
    np.testing.assert_array_equal(last.inputs["input"][..., 0], real[:4, 0].numpy())  # the batch's first part


@pytest.mark.parametrize("every", [{}, {"every_n_steps": 1}])
def test_a_gan_trains_the_same_bit_for_bit(tmp_path, every):
    callback = LayerVizCallback(
        log_dir=tmp_path, layers="*", forward=lambda module, batch: module.generator(batch[1]), **every
    )
    loaders = lambda: [gan_loader()]  # noqa: E731
    with_it, _ = outcome(gan, loaders, callback)
    assert same(with_it, outcome(gan, loaders)[0])
    assert any((tmp_path / "layerviz").iterdir())


def test_a_module_without_forward_trains_the_same_bit_for_bit(tmp_path):
    callback = LayerVizCallback(
        log_dir=tmp_path, layers="*", forward=lambda module, batch: module.net(batch[0])
    )
    loaders = lambda: [train_loader()]  # noqa: E731
    assert same(outcome(without_forward, loaders, callback)[0], outcome(without_forward, loaders)[0])


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        ("net", "'net' cannot be called"),
        (3, "3 cannot be called"),
        (ConvNet(), r"ConvNet\(...\) is a module, not a function"),
        (lambda batch: batch, r"takes \(batch\), not a module and a batch"),
        (lambda: None, r"takes \(\)"),
        (lambda module, batch, scale: None, "takes"),
    ],
)
def test_a_forward_that_cannot_be_called_raises_at_construction(forward, words):
    with pytest.raises(ArgumentError, match=rf"{words}.*forward=lambda module, batch: module\(batch\[0\]\)"):
        LayerVizCallback(forward=forward)


@pytest.mark.parametrize(
    "forward", [functools.partial(lambda scale, module, batch: None, 2), lambda *both: None, max]
)
def test_whatever_takes_two_is_accepted(forward):
    assert LayerVizCallback(forward=forward).forward is forward


@pytest.mark.parametrize("given", [False, True])
def test_a_forward_that_fails_says_with_what_it_was_called_and_what_to_type(given):
    probe = {"image": X[:2]} if given else None
    words = (
        r"a dict of image: \(2, 1, 8, 8\) float32" if given else r"0: \(4, 1, 8, 8\) float32, 1: \(4,\) int64"
    )
    advice = r"module\.net\(batch\['image'\]\)" if given else r"module\.net\(batch\[0\]\)"
    module = without_forward()
    with pytest.raises(ArgumentError, match=rf"{words}.*KeyError: 'nothing'.*{advice}") as caught:
        snapshots_of(module, train_loader(), probe=probe, forward=lambda module, batch: {}["nothing"])
    assert "forward= was called with DigitNet" in str(caught.value)
    assert module.order == []


def test_a_layer_that_refuses_what_forward_gives_it_says_what_it_takes():
    with pytest.raises(ProbeError, match=r"Conv2d 'net\.conv' takes \(sample, 1, height, width\)"):
        snapshots_of(
            without_forward(),
            train_loader(),
            probe=X[:2],
            forward=lambda module, x: module.net(x.expand(-1, 2, -1, -1)),
        )


def advice_of(module, loader, **options):
    with pytest.raises(ArgumentError) as caught:
        snapshots_of(module, loader, **options)
    return str(caught.value)


def test_the_advice_works_as_it_stands():
    text = advice_of(without_forward(), train_loader(), probe=X[:2])
    typed = "LayerVizCallback(x_val[:4], forward=lambda module, x: module.net(x))"
    assert "has no forward()" in text and typed in text
    callback = eval(typed, {"LayerVizCallback": LayerVizCallback, "x_val": X})
    assert callback.forward(without_forward().eval(), X[:2]).shape == (2, 3)


class Pairs(torch.utils.data.Dataset):
    """Batches of dicts with a text in them."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return {"file": str(index), "view": {"image": X[index]}, "label": Y[index]}


@pytest.mark.parametrize(
    ("child", "loader", "typed"),
    [
        (ConvNet(), train_loader(), "module.first(batch[0])"),
        (ConvNet(), DataLoader(Pairs(), batch_size=3), "module.first(batch['view']['image'])"),
        (ConvNet(), DataLoader(X, batch_size=3), "module.first(batch)"),
        (nn.ModuleList([ConvNet()]), train_loader(), "module.first[0](batch[0])"),
        (nn.ModuleDict({"a": ConvNet()}), train_loader(), "module.first['a'](batch[0])"),
    ],
)
def test_where_nothing_can_be_learnt_the_real_names_of_child_and_batch_are_told(child, loader, typed):
    class ByHand(namespace().LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.loss = nn.CrossEntropyLoss()
            self.first = child
            self.second = nn.Linear(3, 1)

        def training_step(self, batch, batch_idx):
            pass

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters())

    text = advice_of(ByHand(), loader)
    assert "How a batch enters ByHand cannot be found out" in text
    assert f"LayerVizCallback(forward=lambda module, batch: {typed})" in text


def test_a_gan_is_told_to_use_forward_by_its_own_names():
    text = advice_of(gan(), gan_loader())
    assert "optimises by hand" in text and "lambda module, batch: module.generator(batch[0])" in text


def test_a_batch_that_does_not_fit_forward_tells_both_ways_out():
    module = gan()
    type(module).forward = lambda self, z: self.generator(z)
    text = advice_of(module, gan_loader())
    assert "module.generator(batch[0])" in text and "LayerVizCallback(probe=x_val[:4])" in text
