"""Which channels of a layer are drawn: the first, the strongest, or those of a list."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Literal

from layerviz_callbacks.errors import ArgumentError, did_you_mean
from layerviz_callbacks.views.words import listed

Channels = str | tuple[int, ...]
"""What `channels=` may be once it is checked: "first", "strongest", or numbers."""

_WORDS = ("first", "strongest")
_ALLOWED = "Allowed: 'first', 'strongest', or a list of channel numbers from 0 on, such as [0, 5, 12]."


def check_channels(given: object) -> Channels:
    """Return `given` as it is used, a list as a tuple of numbers.

    Raises:
        ArgumentError: it is neither a known word nor a list of different numbers from 0 on.

    Example:
        >>> check_channels([0, 5])
        (0, 5)
    """
    if isinstance(given, str):
        if given not in _WORDS:
            raise ArgumentError(
                f"channels={given!r} is not an option. {_ALLOWED}{did_you_mean(given, _WORDS)}"
            )
        return given
    if isinstance(given, bool) or not hasattr(given, "__iter__"):
        raise ArgumentError(f"channels={given!r} is not a list. {_ALLOWED}")
    numbers = tuple(_number(number, given) for number in given)
    if not numbers:
        raise ArgumentError(f"channels={given!r} is empty: nothing would be drawn. {_ALLOWED}")
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise ArgumentError(f"channels={given!r} holds {listed(twice)} twice. Name each channel once.")
    return numbers


def _number(number: object, given: object) -> int:
    try:
        whole = operator.index(number)  # type: ignore[arg-type]
    except TypeError:
        whole = -1
    if whole < 0 or isinstance(number, bool):
        raise ArgumentError(f"channels={given!r} holds {number!r}, which is no channel number. {_ALLOWED}")
    return whole


def refusal_of(channels: Channels, total: int) -> str:
    """Why nothing of a layer with `total` channels is drawn; empty where something is."""
    if isinstance(channels, str) or min(channels) < total:
        return ""
    has = "1 channel: 0" if total == 1 else f"{total} channels: 0 to {total - 1}"
    return f"none of channels=[{listed(channels)}] is there; it has {has}"


def drawn_count(channels: Channels, total: int, limit: int) -> int:
    """How many channels of `total` are to be drawn; `limit` does not hold for a list."""
    if isinstance(channels, str):
        return min(total, limit)
    return sum(channel < total for channel in channels)


def numbers_of(
    channels: Channels, total: int, count: int, *, parts: int = 1
) -> tuple[tuple[int, ...] | None, int | None]:
    """The fields `channels` and `strongest` of a cut that takes `count` channels of each of `parts` parts.

    Args:
        channels: the option.
        total: how many channels a part has.
        count: how many of them there is room for.
        parts: how many equal parts, such as gates, one after the other.

    Example:
        >>> numbers_of("first", 8, 2, parts=2), numbers_of("strongest", 8, 2)
        (((0, 1, 8, 9), None), (None, 2))
    """
    if channels == "strongest":
        return None, count
    if channels == "first":
        units: Sequence[int] = range(count)
    else:
        units = [int(channel) for channel in channels if int(channel) < total][:count]
    if len(units) == total and list(units) == list(range(total)):
        return None, None
    return tuple(part * total + unit for part in range(parts) for unit in units), None


def order_words(
    channels: Channels, drawn: Sequence[int], total: int, *, by: Literal["mean magnitude", "L2 norm"]
) -> list[str]:
    """What a sheet says of the channels that it draws; nothing where they are the first ones.

    Args:
        channels: the option.
        drawn: the numbers of the channels that are drawn.
        total: how many the layer has.
        by: what makes a channel strong.
    """
    words = []
    if channels == "strongest":
        words.append(f"strongest first, by {by}: channels {listed(drawn)}")
    elif list(drawn) != list(range(len(drawn))):
        words.append(f"channels {listed(drawn)}")
    if not isinstance(channels, str):
        absent = [channel for channel in channels if channel >= total]
        if absent:
            words.append(f"no channel {listed(absent)} among its {total}")
    return words
