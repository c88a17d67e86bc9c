"""A plain PyTorch loop on real scanned digits, pictured after each epoch.

python examples/pytorch_loop.py [log_dir]
"""

import sys

import torch
from torch import nn

from layerviz_callbacks import Probe
from layerviz_callbacks.demo.digits import load_digits
from layerviz_callbacks.torch import attach

EPOCHS = 5


def main():
    log_dir = sys.argv[1] if len(sys.argv) > 1 else "logs/pytorch_loop"
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.from_numpy(digits.train_images[:, None])
    labels = torch.from_numpy(digits.train_labels)
    held_out = torch.from_numpy(digits.held_out_images[:, None])
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    probe = Probe(held_out[:4], names=[f"digit {digit}" for digit in digits.held_out_labels[:4]])
    with attach(model, probe, log_dir=log_dir) as record:
        for epoch in range(EPOCHS):
            model.train()
            for batch in torch.randperm(len(images)).split(32):
                loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                right = (model(held_out).argmax(1).numpy() == digits.held_out_labels).mean()
            record(epoch + 1, accuracy=right)
            print(f"epoch {epoch + 1}/{EPOCHS}: {right:.1%} of the held-out digits right")
    print(f"tensorboard --logdir {log_dir}")


if __name__ == "__main__":
    main()
