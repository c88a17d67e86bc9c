"""The door for Keras 3, on TensorFlow, JAX or PyTorch, and for legacy Keras 2 (`tf_keras`).

Example:
    >>> from layerviz_callbacks.keras import LayerVizCallback                           # doctest: +SKIP
    >>> model.fit(x, y, callbacks=[LayerVizCallback(x_val[:4], log_dir="logs")])        # doctest: +SKIP
"""

from __future__ import annotations

from layerviz_callbacks.keras.callback import LayerVizCallback
from layerviz_callbacks.keras.inspection import inspect
from layerviz_callbacks.keras.reader import KerasReader
from layerviz_callbacks.keras.verifying import verify

__all__ = ["KerasReader", "LayerVizCallback", "inspect", "verify"]
