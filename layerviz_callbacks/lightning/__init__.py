"""The door for Lightning: `LayerVizCallback`, for `lightning.pytorch` and for `pytorch_lightning`.

Example:
    >>> from layerviz_callbacks.lightning import LayerVizCallback
    >>> trainer = Trainer(callbacks=[LayerVizCallback()])              # doctest: +SKIP
"""

from __future__ import annotations

from layerviz_callbacks.lightning.callback import LayerVizCallback
from layerviz_callbacks.lightning.verifying import verify
from layerviz_callbacks.torch import inspect

__all__ = ["LayerVizCallback", "inspect", "verify"]
