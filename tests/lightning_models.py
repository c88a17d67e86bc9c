"""LightningModules for both namespaces, and a small Trainer."""

import importlib

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torch_models import ConvNet, images

NAMESPACES = ["lightning.pytorch", "pytorch_lightning"]


def namespace(name=NAMESPACES[0]):
    return importlib.import_module(name)


def digit_net(name=NAMESPACES[0], **parts):
    """A module around `ConvNet`; `parts` replace or add methods."""
    lightning = namespace(name)

    class DigitNet(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = ConvNet()
            self.order = []

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, batch_idx):
            x, y = batch
            self.order.append(x.sum().item())
            loss = functional.cross_entropy(self(x), y)
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch, batch_idx):
            x, y = batch
            self.log("val_loss", functional.cross_entropy(self(x), y))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    kind = type("DigitNet", (DigitNet,), parts)
    return kind()


def train_loader(**options):
    return DataLoader(TensorDataset(*images(12)), batch_size=4, **{"shuffle": True, **options})


def val_loader():
    return DataLoader(TensorDataset(*images(6, seed=2)), batch_size=6)


def small_trainer(*callbacks, name=NAMESPACES[0], **options):
    settings = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
    }
    return namespace(name).Trainer(callbacks=list(callbacks), **{**settings, **options})


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        return self.conv(x)
