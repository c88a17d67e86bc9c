"""Small PyTorch models, and everything about a training that must not change."""

import random

import numpy as np
import torch
from torch import nn

from layerviz_callbacks.request import Request
from layerviz_callbacks.torch import TorchReader


class ConvNet(nn.Module):
    """BatchNorm, dropout and an activation in place: all that is easily disturbed."""

    def __init__(self, *, inplace=True):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=inplace)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(4 * 6 * 6, 3)

    def forward(self, x):
        return self.head(self.drop(self.act(self.norm(self.conv(x)))).flatten(1))


def images(count=12, seed=1):
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.rand(count, 1, 8, 8, generator=generator)
    return pictures, torch.randint(0, 3, (count,), generator=generator)


def seed_all(seed=0):
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002


def process_state():
    """The global random generators and switches."""
    return {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002
        "fastpath": torch.backends.mha.get_fastpath_enabled(),
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "autocast": torch.is_autocast_cache_enabled(),
    }


def read_all(model, probe):
    reader = TorchReader(model, probe)
    names = frozenset(entry.name for entry in reader.entries())
    return reader.read(Request(weights=names, outputs=names))


def same(one, other):
    """Whether two nested results are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
