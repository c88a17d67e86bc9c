"""Lightning itself starts two processes: `python lightning_launched.py STRATEGY FOLDER`."""

import sys
from pathlib import Path

import torch
from lightning_models import namespace, small_trainer, train_loader, val_loader
from torch.nn import functional
from torch_models import ConvNet

from layerviz_callbacks.lightning import LayerVizCallback


class Module(namespace().LightningModule):
    def __init__(self):
        super().__init__()
        self.net = ConvNet()

    def training_step(self, batch, batch_idx):
        return functional.cross_entropy(self.net(batch[0]), batch[1])

    validation_step = training_step

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


def shown(module, batch):
    return module.net(batch[0])


if __name__ == "__main__":
    strategy, folder = sys.argv[1], Path(sys.argv[2])
    torch.manual_seed(0)
    callback = LayerVizCallback(log_dir=folder / "logs", forward=shown)
    trainer = small_trainer(callback, strategy=strategy, devices=2)
    trainer.fit(Module(), train_loader(), val_loader())
