"""The few things made last, kept for the next time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Recent(Generic[Thing]):
    """Keeps what was made for the keys that were used last, so that it is not made again.

    Args:
        limit: how many are kept at most.

    Example:
        >>> recent = Recent(limit=1)
        >>> recent.get("a", lambda: 1), recent.get("a", lambda: 2), recent.get("b", lambda: 3)
        (1, 1, 3)
    """

    def __init__(self, limit: int = 8) -> None:
        self._limit = limit
        self._things: OrderedDict[Hashable, Thing] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Thing]) -> Thing:
        """What is kept for this key; where there is nothing, what `make` makes."""
        if key not in self._things:
            self._things[key] = make()
        self._things.move_to_end(key)
        while len(self._things) > self._limit:
            self._things.popitem(last=False)
        return self._things[key]

    def __len__(self) -> int:
        return len(self._things)
