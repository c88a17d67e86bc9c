"""Models that tests of the command line name as `command_models:...`."""

import torch
from torch import nn


def small_net():
    """Two layers on (sample, 1, 8, 8)."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 2))


def small_keras():
    """The weights of `saved_models`."""
    import keras

    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 3, activation="relu", name="conv1"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(2, name="head"),
        ]
    )


def fails():
    raise RuntimeError("no data here")


NUMBER = 3


def lightning_module():
    import lightning.pytorch as lightning

    class Lit(lightning.LightningModule):
        def __init__(self, channels):
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Sequential(nn.Conv2d(1, channels, 3), nn.ReLU(), nn.Flatten())
            self.head = nn.Linear(36 * channels, 2)

        def forward(self, x):
            return self.head(self.net(x))

        def training_step(self, batch, index):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Lit


def lit(channels):
    """A LightningModule that needs what it was made with."""
    return lightning_module()(channels)
