"""What a small 3-D U-Net sees in a head: grey matter found in a magnetic-resonance volume, in Lightning.

    python examples/volumes.py [--volume T1.nii.gz --mask GREY.nii.gz] [--out PICTURES] [--log-dir LOGS]

Learns from cubes of nilearn's MNI152 template (a T1-weighted average of 152 heads and its grey matter, both
inside the package), mirrored left to right and changed in brightness and contrast. --volume shows your own
NIfTI volume instead of the template; with --mask, its grey matter, the network learns from them.

What to look for: "feature maps/..._probability" is the answer, slice by slice from the neck to the crown:
the ribbon of the cortex and the deep nuclei bright, white matter and the ventricles dark. In down1 some
channels show edges, others what is bright or dark; in bottom the head's outline and a few regions are left;
up1 brings the cortex back. "filters/..._down1.0" are the 3 x 3 x 3 kernels, three slices each: one that
changes from slice to slice looks for an edge between below and above.
"""

import argparse
from pathlib import Path

import lightning
import nibabel
import numpy as np
import torch
from nilearn import datasets, image
from torch import nn
from torch.nn.functional import binary_cross_entropy, interpolate

from layerviz_callbacks import Probe, sinks
from layerviz_callbacks.lightning import LayerVizCallback

CUBE = 32  # voxels a side
LAYERS = ["down?", "bottom", "up?", "*.0", "grey", "probability"]  # blocks, their convolutions, the answer


def volumes(file, mask, resolution):
    """A T1-weighted volume and its grey matter (None without a mask), cut to the head, first axis upwards.

    Intensities have zero mean and unit variance inside the head. Without files, the MNI152 template.
    """
    if file is None:
        pair = [
            load(resolution) for load in (datasets.load_mni152_template, datasets.load_mni152_gm_template)
        ]
    else:
        grid = {"target_affine": np.eye(3) * resolution, "force_resample": True, "copy_header": True}
        pair = [image.resample_img(nibabel.load(one), **grid) for one in (file, mask) if one is not None]
    arrays = [np.moveaxis(one.get_fdata(), 2, 0) for one in pair]  # NIfTI's axes go right, forward, up
    head = np.argwhere(arrays[0] > 0.1 * arrays[0].max())
    begin = np.maximum(0, np.minimum(head.min(axis=0) - 1, np.array(arrays[0].shape) - CUBE))
    cut = tuple(
        slice(low, max(high + 2, low + CUBE)) for low, high in zip(begin, head.max(axis=0), strict=True)
    )
    volume = arrays[0][cut]
    inside = volume[volume > 0.1 * volume.max()]
    return np.maximum((volume - inside.mean()) / inside.std(), -2.5), arrays[1][cut] > 0.5 if len(
        arrays
    ) > 1 else None


def convolution(inputs, outputs):
    """Convolution, normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, 3, padding=1), nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)
    )


class UNet(lightning.LightningModule):
    """Two levels down, two up: 8, 16 and 32 channels."""

    def __init__(self):
        super().__init__()
        self.down1, self.down2 = convolution(1, 8), convolution(8, 16)
        self.pool = nn.MaxPool3d(2)
        self.bottom = convolution(16, 32)
        self.up2, self.up1 = convolution(32 + 16, 16), convolution(16 + 8, 8)
        self.grey, self.probability = nn.Conv3d(8, 1, 1), nn.Sigmoid()

    def forward(self, volume):
        fine = self.down1(volume)
        middle = self.down2(self.pool(fine))
        coarse = self.bottom(self.pool(middle))
        middle = self.up2(torch.cat([interpolate(coarse, size=middle.shape[2:]), middle], 1))
        fine = self.up1(torch.cat([interpolate(middle, size=fine.shape[2:]), fine], 1))
        return self.probability(self.grey(fine))

    def training_step(self, batch, batch_idx):
        volume, grey = batch
        answer = self(volume)
        overlap = 2 * (answer * grey).sum() / (answer + grey).sum()
        self.log("dice", overlap, prog_bar=True, on_epoch=True, on_step=False)
        return binary_cross_entropy(answer, grey) + 1 - overlap

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=5e-3)


class Cubes(torch.utils.data.Dataset):
    """Random cubes of a volume with its mask."""

    def __init__(self, volume, mask, count):
        self.volume, self.mask, self.count = volume, mask, count

    def __len__(self):
        return self.count

    def __getitem__(self, place):
        random = np.random.default_rng(place)
        begin = [random.integers(size - CUBE + 1) for size in self.volume.shape]
        cut = tuple(slice(start, start + CUBE) for start in begin)
        volume, mask = self.volume[cut], self.mask[cut]
        if random.random() < 0.5:
            volume, mask = volume[::-1].copy(), mask[::-1].copy()
        volume = volume * random.uniform(0.8, 1.2) + random.uniform(-0.3, 0.3)
        return torch.tensor(volume[None]).float(), torch.tensor(mask[None]).float()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volume", type=Path, help="your own T1-weighted volume (NIfTI)")
    parser.add_argument("--mask", type=Path, help="its grey matter (NIfTI)")
    parser.add_argument("--log-dir", default="logs/volumes", help="for TensorBoard")
    parser.add_argument("--out", type=Path, help="a folder for PNG files as well")
    parser.add_argument("--quick", action="store_true", help="a few training steps only")
    options = parser.parse_args()
    lightning.seed_everything(0, verbose=False)
    resolution = 4 if options.quick else 3
    if options.mask and not options.volume:
        parser.error("--mask needs its --volume")
    volume, mask = shown, _ = volumes(options.volume, options.mask, resolution)
    if mask is None:
        volume, mask = volumes(None, None, resolution)
    probe = Probe(
        torch.tensor(shown[None, None]).float(), names=["your volume" if options.volume else "MNI152"]
    )
    cubes = Cubes(volume, mask, 8 if options.quick else 64)
    places = [sinks.TensorBoard(options.log_dir), *([sinks.Folder(options.out)] if options.out else [])]
    pictures = LayerVizCallback(probe, log_dir=places, layers=LAYERS)
    trainer = lightning.Trainer(
        max_epochs=1 if options.quick else 5, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_model_summary=False, callbacks=[pictures],
    )  # fmt: skip
    trainer.fit(UNet(), torch.utils.data.DataLoader(cubes, batch_size=4, shuffle=True))
    print(f"\nDice overlap with the grey matter in training: {float(trainer.callback_metrics['dice']):.2f}")
    print(f"Pictures: {', '.join(place.location for place in places)}")
    print(f"tensorboard --logdir {options.log_dir} --samples_per_plugin=images=100")


if __name__ == "__main__":
    main()
