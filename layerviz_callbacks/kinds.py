"""The kinds of layers, told from the names of their classes in any framework."""

from __future__ import annotations

import re
from collections.abc import Iterable

_BY_CLASS_NAME = {
    "parameter": r"^(Parameter|Variable|ResourceVariable)$",
    "recurrent": r"LSTM|GRU|RNN|Recurrent|Bidirectional",
    "resampling": r"Up[Ss]ampl|Resiz|Rescal|PixelShuffle|PixelUnshuffle|^Interpolate",
    "attention": r"Attention",
    "embedding": r"Embedding",
    "convolution": r"Conv",
    "pooling": r"Pool",
    "normalization": r"Norm",
    "dropout": r"Dropout|DropPath|StochasticDepth",
    "activation": (
        r"Activation|(?<!Bi)(ReLU|ReLu|ELU|GLU|SiLU|Mish|Swish|Sigmoid|Tanh|tanh|Soft|Threshold|Hardshrink)"
    ),
    "dense": r"Dense|[Ll]inear",
}
BLOCK = "block"
KINDS = (*_BY_CLASS_NAME, BLOCK)
"""The kinds: what `layers="kind:..."` takes, beside the names of classes."""

_SAYS_NOTHING = frozenset({"object", "Layer", "Module", "Operation", "KerasSaveable", "Tensor", "TensorBase"})


def kind_names(classes: Iterable[str], *, container: bool = False) -> tuple[str, ...]:
    """Every word that `layers="kind:..."` finds a layer by: its kind, then the names of its classes.

    Args:
        classes: the name of the layer's class, then those of its base classes.
        container: it only holds other layers: a block, whatever its class is called.

    Example:
        >>> kind_names(["MyConv", "Conv2d", "Module"])
        ('convolution', 'MyConv', 'Conv2d')
        >>> kind_names(["ConvBlock"], container=True)
        ('block', 'ConvBlock')
    """
    told = [name for name in classes if name not in _SAYS_NOTHING]
    if container:
        return (BLOCK, *told)
    for name in told:
        for kind, pattern in _BY_CLASS_NAME.items():
            if re.search(pattern, name):
                return (kind, *told)
    return tuple(told)
