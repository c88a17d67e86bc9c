"""Models of legacy Keras 2 (`tf_keras`), read behind the same door; imported only where a model is one."""

from __future__ import annotations

from layerviz_callbacks.keras.legacy.reader import LegacyReader

__all__ = ["LegacyReader"]
