"""Where a small vision transformer looks, on real photographs with a scanned digit somewhere in them.

    python examples/vit_attention.py [--direct] [--epochs 24] [--out PICTURES] [--log-dir LOGS]

The images are pieces of scikit-learn's two photographs, a temple and a flower; over each, at a random place,
stands one of its scanned digits. The transformer shall name the digit, so its class token must find it.
Digits and parts of the photographs that are shown were not in training. nn.MultiheadAttention computes the
attention in a fused kernel that hides its weights, as does --direct, scaled_dot_product_attention called in
the model's own code; they are pictured all the same.

What to look for: under "attention/..._blocks.0.attention" the small maps are what the class token looks at,
a map a head. Before training (step 0) it looks everywhere alike; after it, each head looks at a few patches
of ink, and so does every other query: stripes in the maps of queries and keys. "attention/rollout" multiplies
the blocks and ends on the digit, wherever that stands. Under Scalars, "attention entropy" sinks from 1 at the
epoch where the accuracy jumps. "saliency smoothgrad" asks the other way round, which pixels would change the
answer; its dotted pattern is that of the strided convolutions.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from layerviz_callbacks import Probe, sinks, views
from layerviz_callbacks.demo.digits import load_digits
from layerviz_callbacks.torch import attach

SIDE, PATCH, DIGIT = 28, 4, 16  # pixels: of an image, of a patch, of the digit in it
WIDTH, HEADS, DEPTH = 64, 4, 3


class DirectAttention(nn.Module):
    """What nn.MultiheadAttention does, as many write it: one matrix, scaled_dot_product_attention."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens):
        sizes = (*tokens.shape[:2], 3, HEADS, WIDTH // HEADS)
        query, key, value = self.qkv(tokens).reshape(sizes).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(query, key, value)
        return self.out(attended.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention, then a small perceptron, each normalised first and around a shortcut."""

    def __init__(self, *, direct):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = (
            DirectAttention() if direct else nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        )
        self.perceptron = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.direct = direct

    def forward(self, tokens):
        x = self.norm1(tokens)
        attended = self.attention(x) if self.direct else self.attention(x, x, x, need_weights=False)[0]
        tokens = tokens + attended
        return tokens + self.perceptron(self.norm2(tokens))


class VisionTransformer(nn.Module):
    """Patches and a class token through blocks of attention (Dosovitskiy et al. 2020, arXiv:2010.11929).

    Two small convolutions make the patches, which learns faster than one large (Xiao et al. 2021,
    arXiv:2106.14881).
    """

    def __init__(self, *, direct):
        super().__init__()
        self.patches = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, WIDTH, 3, PATCH // 2, 1)
        )
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, WIDTH))
        self.places = nn.Parameter(0.02 * torch.randn(1, 1 + (SIDE // PATCH) ** 2, WIDTH))
        self.blocks = nn.Sequential(*[Block(direct=direct) for _ in range(DEPTH)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], 1) + self.places
        return self.head(self.norm(self.blocks(tokens))[:, 0])


def photographs():
    """Two photographs in grey from 0 to 1: the parts to train on, and those that are held out."""
    photos = [image.mean(axis=2) / 255 for image in load_sample_images().images]
    return [photo[:, :427] for photo in photos], [photo[:, 427:] for photo in photos]


def scenes(digits, photos, random):
    """Each digit twice as large, in white ink, at a random place of a random piece of a photograph."""
    images = np.empty((len(digits), 1, SIDE, SIDE), "float32")
    for place, digit in enumerate(digits):
        photo = photos[random.integers(len(photos))]
        row, column = (random.integers(size - SIDE) for size in photo.shape)
        images[place, 0] = 0.6 * photo[row : row + SIDE, column : column + SIDE]
        row, column = random.integers(SIDE - DIGIT + 1, size=2)
        part = images[place, 0, row : row + DIGIT, column : column + DIGIT]
        np.maximum(part, np.kron(digit, np.ones((2, 2))), out=part)
    return torch.from_numpy(images)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--direct", action="store_true", help="attention in the model's own code")
    parser.add_argument("--log-dir", default="logs/vit_attention", help="for TensorBoard")
    parser.add_argument("--out", type=Path, help="a folder for PNG files as well")
    parser.add_argument("--quick", action="store_true", help="a few training steps only")
    options = parser.parse_args()
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    digits, (photos, other_photos) = load_digits(), photographs()
    held_out, labels = scenes(digits.held_out_images, other_photos, random), digits.held_out_labels
    inks, targets = digits.train_images, torch.from_numpy(digits.train_labels)
    if options.quick:
        options.epochs, inks, targets = 1, inks[:256], targets[:256]
    model = VisionTransformer(direct=options.direct)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    steps = options.epochs * -(-len(inks) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.15)
    low, high = held_out.flatten(1).quantile(torch.tensor([0.2, 0.7]), dim=1)
    lively = (high - low).numpy()  # of each digit, the scene with the most contrast in its photograph
    shown = [int(np.where(labels == digit, lively, -1).argmax()) for digit in (3, 4, 7)]
    probe = Probe(held_out[shown], names=[f"digit {labels[place]}" for place in shown], targets=labels[shown])
    drawn = [
        views.Attention(contrast="head"),
        views.Saliency(method="smoothgrad", every_n_epochs=8),
        views.Predictions(every_n_epochs=4),
    ]
    places = [sinks.TensorBoard(options.log_dir), *([sinks.Folder(options.out)] if options.out else [])]
    with attach(model, probe, log_dir=places, views=drawn, every_n_epochs=4) as record:
        for epoch in range(1, options.epochs + 1):
            model.train()
            for batch in torch.from_numpy(random.permutation(len(inks))).split(64):
                loss = cross_entropy(model(scenes(inks[batch], photos, random)), targets[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            model.eval()
            with torch.no_grad():
                right = (model(held_out).argmax(1).numpy() == labels).mean()
            record(epoch, accuracy=right)
            print(f"epoch {epoch}/{options.epochs}: {right:.0%} of the held-out digits right", flush=True)
    print(f"Pictures: {', '.join(place.location for place in places)}")
    print(f"tensorboard --logdir {options.log_dir} --samples_per_plugin=images=100")


if __name__ == "__main__":
    main()
