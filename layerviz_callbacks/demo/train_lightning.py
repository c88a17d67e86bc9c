"""The demo's convnet in Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layerviz_callbacks import views
from layerviz_callbacks.demo.digits import LABELS, LEARNING_RATE, Digits
from layerviz_callbacks.sinks import Folder, TensorBoard


def train_lightning(digits: Digits, *, out: Path, epochs: int) -> float:
    """Train with the callback; return the accuracy on the held-out digits."""
    import torch
    from lightning.pytorch import LightningModule, Trainer, seed_everything
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from layerviz_callbacks.lightning import LayerVizCallback

    class DigitNet(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
            self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
            self.pool = nn.MaxPool2d(2)
            self.dropout = nn.Dropout(0.2)
            self.hidden = nn.Linear(32 * 4 * 4, 64)
            self.head = nn.Linear(64, 10)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = torch.relu(self.conv2(torch.relu(self.conv1(images))))
            hidden: torch.Tensor = self.hidden(self.dropout(self.pool(maps).flatten(1)))
            scores: torch.Tensor = self.head(torch.relu(hidden))
            return scores

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            images, labels = batch
            return nn.functional.cross_entropy(self(images), labels)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            images, labels = batch
            self.log("val_accuracy", (self(images).argmax(1) == labels).float().mean(), prog_bar=True)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)

    def loader(images: Any, labels: Any, *, shuffle: bool) -> DataLoader:
        data = TensorDataset(torch.from_numpy(images[:, None]), torch.from_numpy(labels))
        return DataLoader(data, batch_size=32, shuffle=shuffle)

    seed_everything(0, verbose=False)
    model = DigitNet()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[
            LayerVizCallback(
                digits.probe(channel_axis=1),
                log_dir=[TensorBoard(out / "logs" / "lightning"), Folder(out / "pictures" / "lightning")],
                views=[*views.default_views(), views.GradCAM(), views.Predictions(labels=LABELS)],
            )
        ],
    )
    held_out = loader(digits.held_out_images, digits.held_out_labels, shuffle=False)
    trainer.fit(model, loader(digits.train_images, digits.train_labels, shuffle=True), held_out)
    model.eval()
    with torch.no_grad():
        answers = model(torch.from_numpy(digits.held_out_images[:, None])).argmax(1).numpy()
    return float((answers == digits.held_out_labels).mean())
