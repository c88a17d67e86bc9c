"""Attention of Keras 2 models: what `keras.ops` has, in TensorFlow, whatever backend Keras 3 runs on."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow

from layerviz_callbacks.keras.attention import Asked
from layerviz_callbacks.keras.attention_hearing import AttentionHearing


class TensorFlowOperations:
    """The functions that hearing attention needs."""

    @staticmethod
    def cast(tensor: Any, dtype: str) -> Any:
        """The tensor in another type."""
        return tensorflow.cast(tensor, dtype)

    @staticmethod
    def shape(tensor: Any) -> Any:
        """The sizes of its axes."""
        return tuple(tensor.shape)

    stack = staticmethod(tensorflow.stack)
    transpose = staticmethod(tensorflow.transpose)
    reshape = staticmethod(tensorflow.reshape)
    abs = staticmethod(tensorflow.abs)
    sum = staticmethod(tensorflow.reduce_sum)
    mean = staticmethod(tensorflow.reduce_mean)
    min = staticmethod(tensorflow.reduce_min)
    max = staticmethod(tensorflow.reduce_max)
    all = staticmethod(tensorflow.reduce_all)
    any = staticmethod(tensorflow.reduce_any)
    logical_and = staticmethod(tensorflow.logical_and)
    logical_or = staticmethod(tensorflow.logical_or)


def hearing_of(asked: Asked) -> AttentionHearing:
    """Hears the attention of an eager pass."""
    return AttentionHearing(
        asked,
        ops=TensorFlowOperations,
        copied=lambda tensor: np.array(tensor.numpy()),
        has_value=lambda tensor: hasattr(tensor, "numpy"),
        heard_here=tensorflow.executing_eagerly,
    )
