"""Lightning's optimizers tell what their last step added, whatever their schedules do afterwards."""

import numpy as np
import pytest
import torch
from fakes import ListSink
from lightning_models import NAMESPACES, digit_net, loaders, namespace, outcome, small_trainer
from statistics_oracles import AsksForStatistics, assert_output_statistics
from torch_models import same, seed_all

from layerviz_callbacks.lightning import LayerVizCallback

pytestmark = pytest.mark.filterwarnings("ignore")


def scheduled(self):
    """The rate falls to a half right after an epoch's last step, before callbacks are called."""
    optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]


def watcher(name):
    """Keeps the head's weights before each step, and the gradient that it was given."""

    class Watcher(namespace(name).Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            self.before = pl_module.net.head.weight.detach().clone()

        def on_train_batch_end(self, trainer, pl_module, *_):
            self.gradient = pl_module.net.head.weight.grad.clone()  # before validation, which zeroes it

        def on_train_epoch_end(self, trainer, pl_module):
            added = pl_module.net.head.weight.detach() - self.before
            self.epochs = [*getattr(self, "epochs", []), (self.gradient.numpy(), added.numpy())]

    return Watcher()


@pytest.mark.parametrize("name", NAMESPACES)
@pytest.mark.parametrize("clipped", [None, 0.01])
def test_gradient_and_update_are_those_of_the_epochs_last_step(name, clipped):
    seed_all()
    module, view, seen = digit_net(name, configure_optimizers=scheduled), AsksForStatistics(), watcher(name)
    callback = LayerVizCallback(log_dir=ListSink(), views=[view], layers=["net.conv", "net.head"])
    trainer = small_trainer(seen, callback, name=name, max_epochs=3, gradient_clip_val=clipped)
    trainer.fit(module, *loaders())
    samples = [snapshot["net.head"].statistics.weights for snapshot in view.snapshots]
    assert samples[0].gradient is None and samples[0].update is None
    assert len(samples) == 4
    for sample, (gradient, added) in zip(samples[1:], seen.epochs, strict=True):
        np.testing.assert_array_equal(sample.gradient, gradient)
        np.testing.assert_allclose(sample.update, added, rtol=1e-3, atol=2e-8)  # weights are rounded
        assert np.abs(added).max() > 1e-5
    assert not trainer.optimizers[0]._optimizer_step_post_hooks
    with torch.no_grad():
        x = torch.from_numpy(view.snapshots[-1].inputs["input"].transpose(0, 3, 1, 2))
        whole = module.net.conv(x).permute(0, 2, 3, 1).numpy()
    assert_output_statistics(view.snapshots[-1]["net.conv"].statistics.output, whole)


@pytest.mark.parametrize("name", NAMESPACES)
def test_training_is_the_same_bit_for_bit_where_statistics_are_taken_of_all_layers(name):
    def trained(*callbacks):
        make = lambda: digit_net(name, configure_optimizers=scheduled)  # noqa: E731
        return outcome(make, loaders, *callbacks, name=name)[0]

    view = AsksForStatistics()
    assert same(trained(LayerVizCallback(log_dir=ListSink(), views=[view], layers="*")), trained())
    assert view.snapshots[-1]["net.norm"].statistics.output is not None
