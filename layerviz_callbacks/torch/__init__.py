"""The door for PyTorch: `attach` for any training loop, `inspect` for a trained model.

Example:
    >>> from layerviz_callbacks.torch import attach
    >>> with attach(model, x_val[:4], log_dir="runs/a") as record:     # doctest: +SKIP
    ...     for epoch in range(10):
    ...         train_one_epoch(model)
    ...         record(epoch + 1)
"""

from __future__ import annotations

from layerviz_callbacks.torch.attachment import Attachment, attach
from layerviz_callbacks.torch.inspection import inspect
from layerviz_callbacks.torch.reader import TorchReader
from layerviz_callbacks.torch.verifying import verify

__all__ = ["Attachment", "TorchReader", "attach", "inspect", "verify"]
