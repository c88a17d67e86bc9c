"""A training with the callback is the one without it, bit for bit."""

import pytest
from lightning_models import NAMESPACES, digit_net, namespace, small_trainer, train_loader, val_loader
from torch_models import process_state, same, seed_all

from layerviz_callbacks import Snapshot, Snapshots
from layerviz_callbacks.lightning import LayerVizCallback

pytestmark = pytest.mark.filterwarnings("ignore")


def train(name, *callbacks, validate=True, **options):
    seed_all()
    module = digit_net(name)
    loaders = [train_loader(), val_loader()] if validate else [train_loader()]
    trainer = small_trainer(*callbacks, name=name, max_epochs=3, **options)
    trainer.fit(module, *loaders)
    return {
        "weights": dict(module.state_dict()),
        "optimizer": trainer.optimizers[0].state_dict(),
        "metrics": dict(trainer.callback_metrics),
        "order": module.order,
        "modes": [part.training for part in module.modules()],
        "attributes": sorted(vars(module)),
        "process": process_state(),
    }


@pytest.mark.parametrize("name", NAMESPACES)
@pytest.mark.parametrize("validate", [True, False])
def test_training_is_the_same_bit_for_bit(tmp_path, name, validate):
    callback = LayerVizCallback(log_dir=tmp_path, layers="*")
    assert same(train(name, callback, validate=validate), train(name, validate=validate))
    assert any((tmp_path / "layerviz").iterdir())


def test_training_is_the_same_where_every_step_is_recorded(tmp_path):
    name = NAMESPACES[0]
    assert same(train(name, LayerVizCallback(log_dir=tmp_path, every_n_steps=1)), train(name))


def test_training_is_the_same_where_the_best_epoch_and_snapshots_are_kept(tmp_path):
    pytest.importorskip("h5py")
    name, snapshots = NAMESPACES[0], Snapshots(tmp_path / "run.h5", everything=True)
    callback = LayerVizCallback(log_dir=tmp_path, monitor="val_loss", snapshots=snapshots, every_n_epochs=9)
    assert same(train(name, callback), train(name))
    assert Snapshot.load(tmp_path / "run.h5").step == 3


@pytest.mark.parametrize("name", NAMESPACES)
def test_the_comparison_catches_a_callback_that_leaves_evaluation_mode_on(name):
    class Impure(namespace(name).Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            pl_module.eval()

    assert not same(train(name, Impure()), train(name))


def test_the_comparison_catches_a_callback_that_iterates_the_loader():
    class Impure(namespace().Callback):
        def on_train_start(self, trainer, pl_module):
            next(iter(trainer.train_dataloader))

    assert not same(train(NAMESPACES[0], Impure())["order"], train(NAMESPACES[0])["order"])
