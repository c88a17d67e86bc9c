"""A layer whose arrays are read from a file when they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from layerviz_callbacks.snapshot import Layer


class _Lazy:
    """An attribute that is read once, when it is first looked at."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type | None = None) -> Any:
        if layer is None:
            return None  # the default of the class
        value = layer.__dict__[self.name] = layer.__dict__["_read"](self.name)
        return value


class StoredLayer(Layer):
    """A `Layer` like any other; each of its arrays is read when it is first looked at, and kept.

    A copy of it, by `dataclasses.replace` or a pickle, has read all of them.
    """

    kernel: Any = _Lazy()
    kernel_taken: Any = _Lazy()
    weights: Any = _Lazy()
    output: Any = _Lazy()
    output_taken: Any = _Lazy()
    attention: Any = _Lazy()
    gradients: Any = _Lazy()
    patterns: Any = _Lazy()

    @classmethod
    def lazily(cls, facts: Mapping[str, Any], read: Callable[[str], Any]) -> StoredLayer:
        """A layer with these facts.

        Args:
            facts: what is no array, by attribute.
            read: reads the attribute of that name.
        """
        layer = cls.__new__(cls)
        layer.__dict__.update(facts)
        layer.__dict__["_read"] = read
        return layer

    def __reduce__(self) -> tuple[Any, ...]:
        return Layer, tuple(getattr(self, field.name) for field in fields(Layer))


def read_whole(layer: Layer) -> Layer:
    """The same layer with every array read."""
    return Layer(*(getattr(layer, field.name) for field in fields(Layer)))


LAZY = tuple(name for name, value in vars(StoredLayer).items() if isinstance(value, _Lazy))
"""The attributes that are read when they are looked at."""
