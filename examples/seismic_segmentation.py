"""What the blocks of a small fully convolutional ResNet see in layered seismic sections.

    python examples/seismic_segmentation.py [--epochs 12] [--out PICTURES] [--log-dir LOGS]

The sections are SYNTHETIC, made by the forward model of `layered_sections.py`: beds of four kinds of rock are
folded, broken by faults and pierced by salt; their reflectivity is convolved with a Ricker wavelet. The
network names the rock at each pixel by the texture of the reflections alone: the units lie in any order.

What to look for: "predictions/output" is prediction beside truth with the IoU of each rock, here of three
sections that were not trained on: salt and slumps are learnt first, mudstone and carbonate, both pale, are
confused longest. "feature maps" (and the same in grey) show every block: conv1 and layer1 still follow each
reflection and break off at faults, layer3 and layer4 fill whole bodies. "composite" joins their channels:
the mean of layer1 is bright where reflections are strong, the first principal component of layer3 is the
salt, the groups of channels in layer4 draw the units without having been told of them. "grad-cam of class 4"
is what in a block speaks for salt.
"""

import argparse
from pathlib import Path

import lightning
import torch
from layered_sections import FACIES, sections
from torch import nn
from torch.nn.functional import cross_entropy, interpolate, relu

from layerviz_callbacks import Probe, sinks, views
from layerviz_callbacks.lightning import LayerVizCallback

SHOWN = [0, 1, 3]  # of the held-out sections; the first and the last have salt
BLOCKS = ["conv1", "layer1", "layer2", "layer3", "layer4"]


class Residual(nn.Module):
    """Two convolutions around a shortcut (He et al. 2016)."""

    def __init__(self, inputs, outputs, stride=1, dilation=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        inner = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(inner + self.shortcut(x))


class SectionSegmenter(lightning.LightningModule):
    """A small fully convolutional ResNet: maps of 1/2, then of 1/4 of the section, and those dilated."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(1, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        )
        self.layer1 = nn.Sequential(Residual(16, 16), Residual(16, 16))
        self.layer2 = nn.Sequential(Residual(16, 32, stride=2), Residual(32, 32))
        self.layer3 = nn.Sequential(Residual(32, 64, dilation=2), Residual(64, 64, dilation=2))
        self.layer4 = nn.Sequential(Residual(64, 64, dilation=4), Residual(64, 64, dilation=4))
        self.head = nn.Conv2d(64, len(FACIES), 3, padding=1)

    def forward(self, section):
        x = self.layer2(self.layer1(self.conv1(section)))
        scores = self.head(self.layer4(self.layer3(x)))
        return interpolate(scores, size=section.shape[2:], mode="bilinear")

    def training_step(self, batch, batch_idx):
        section, facies = batch
        if torch.rand(()) < 0.5:
            section, facies = section.flip(3), facies.flip(2)
        loss = cross_entropy(self(section), facies)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        section, facies = batch
        self.log("right", (self(section).argmax(1) == facies).float().mean(), prog_bar=True)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=3e-3)
        steps = self.trainer.estimated_stepping_batches
        return [optimizer], [
            {"scheduler": torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, steps), "interval": "step"}
        ]


def dataset(count, *, seed):
    """Sections `(section, 1, row, column)` and the numbers of their rocks."""
    amplitude, facies = sections(count, seed)
    return torch.utils.data.TensorDataset(torch.from_numpy(amplitude[:, None]), torch.from_numpy(facies))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--log-dir", default="logs/seismic_segmentation", help="for TensorBoard")
    parser.add_argument("--out", type=Path, help="a folder for PNG files as well")
    parser.add_argument("--quick", action="store_true", help="a few training steps only")
    options = parser.parse_args()
    count, epochs = (24, 1) if options.quick else (240, options.epochs)
    lightning.seed_everything(0, verbose=False)
    training, held_out = dataset(count, seed=0), dataset(24, seed=1)
    inputs, targets = held_out[SHOWN]
    probe = Probe(inputs, names=[f"section {place + 1}" for place in SHOWN], targets=targets)
    drawn = [
        views.FeatureMaps(layers=BLOCKS, max_channels=16),
        views.FeatureMaps(
            layers=BLOCKS, max_channels=16, channels="strongest", contrast="channel", colours="grey"
        ),
        views.Composite(layers=["layer1"], method="mean"),
        views.Composite(layers=["layer2", "layer3"], method="principal component"),
        views.Composite(layers=["layer4"], method="clusters"),
        views.Predictions(labels=FACIES),
        views.GradCAM(layers=["layer1", "layer4"], target=FACIES.index("salt"), labels=FACIES),
    ]
    places = [sinks.TensorBoard(options.log_dir), *([sinks.Folder(options.out)] if options.out else [])]
    pictures = LayerVizCallback(probe, log_dir=places, views=drawn, every_n_epochs=4)
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False, callbacks=[pictures],
    )  # fmt: skip
    loaders = [
        torch.utils.data.DataLoader(training, batch_size=12, shuffle=True),
        torch.utils.data.DataLoader(held_out, batch_size=24),
    ]
    trainer.fit(SectionSegmenter(), *loaders)
    print(f"\n{float(trainer.callback_metrics['right']):.0%} of the pixels of held-out sections are right")
    print(f"Pictures: {', '.join(place.location for place in places)}")
    print(f"tensorboard --logdir {options.log_dir} --samples_per_plugin=images=100")


if __name__ == "__main__":
    main()
