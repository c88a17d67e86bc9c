"""Hears the products, softmaxes and exponentials of a pass, whichever backend Keras runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from layerviz_callbacks.keras.attention_hearing import AttentionHearing


@contextmanager
def operations_heard(hearing: AttentionHearing) -> Iterator[None]:
    """Hear the operations of this thread while the scope is open."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from layerviz_callbacks.keras.attention_tensorflow import tensorflow_heard

        with tensorflow_heard(hearing):
            yield
    elif backend == "torch":
        from layerviz_callbacks.keras.attention_torch import torch_heard

        with torch_heard(hearing):
            yield
    elif backend == "jax":
        from layerviz_callbacks.keras.attention_jax import jax_heard

        with jax_heard(hearing):
            yield
    else:
        yield
