"""The connection between a training and its drawing process: pipes, and arrays in shared memory.

See `layerviz_callbacks.drawing.pickling` for why pickles are safe here.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from layerviz_callbacks.drawing.pickling import dumps

_AT_ONCE = 512
"""So many arrays are handed to the system in one call; Linux takes 1024."""
_HEADER = struct.Struct("<QQ?")  # bytes of the pickle, number of arrays, whether those are in shared memory


class Line:
    """One end of the connection: messages in both directions, each sent and received as a whole.

    Args:
        incoming: the file descriptor of a pipe to read.
        outgoing: that of a pipe to write.
        memory_in: that of an unnamed file in memory, in which the other end leaves arrays; None: arrays come
            through the pipe.
        memory_out: that of another one, in which arrays are left for the other end.
    """

    def __init__(
        self, incoming: int, outgoing: int, *, memory_in: int | None = None, memory_out: int | None = None
    ) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._memory_in, self._memory_out = memory_in, memory_out

    def send(self, message: Any) -> None:
        """Send a message; the one before must have been answered, as its arrays are written over.

        Raises:
            UnsendableError: it holds something that cannot travel; nothing was sent.
            OSError: the other end is gone.
        """
        buffers: list[memoryview] = []
        pickled = dumps(message, buffers)
        shared = self._memory_out is not None
        header = _HEADER.pack(len(pickled), len(buffers), shared)
        sizes = struct.pack(f"<{len(buffers)}Q", *(buffer.nbytes for buffer in buffers))
        if self._memory_out is not None:
            _write_memory(self._memory_out, buffers)
            buffers = []
        for part in [memoryview(header + sizes + pickled), *buffers]:
            while part:
                part = part[os.write(self._outgoing, part) :]

    def receive(self) -> Any:
        """Wait for a message. Its arrays are in memory of their own, and may be written to.

        Raises:
            EOFError: the other end is gone.
        """
        length, count, shared = _HEADER.unpack(self._read(_HEADER.size))
        rest = self._read(8 * count + length)
        sizes = struct.unpack_from(f"<{count}Q", rest)
        held = np.empty(sum(sizes), np.uint8).data
        buffers = []
        start = 0
        for size in sizes:
            buffers.append(held[start : start + size])
            start += size
        if shared and self._memory_in is not None:
            _read_memory(self._memory_in, held)
        else:
            _fill(held, lambda part: _read_into(self._incoming, part))
        return pickle.loads(memoryview(rest)[8 * count :], buffers=buffers)

    def _read(self, size: int) -> bytearray:
        held = bytearray(size)
        _fill(memoryview(held), lambda part: _read_into(self._incoming, part))
        return held


def _write_memory(memory: int, buffers: list[memoryview]) -> None:
    """Write buffers one behind the other: in one call to the system, which lets other threads run."""
    waiting, offset = list(buffers), 0
    while waiting:
        written = os.pwritev(memory, waiting[:_AT_ONCE], offset)
        offset += written
        while waiting and written >= waiting[0].nbytes:
            written -= waiting.pop(0).nbytes
        if waiting:
            waiting[0] = waiting[0][written:]


def _read_memory(memory: int, held: memoryview) -> None:
    offset = 0

    def read_on(part: memoryview) -> int:
        nonlocal offset
        done = os.preadv(memory, [part], offset)
        offset += done
        return done

    _fill(held, read_on)


def _read_into(descriptor: int, part: memoryview) -> int:
    if hasattr(os, "readv"):
        return os.readv(descriptor, [part])
    data = os.read(descriptor, len(part))  # Windows
    part[: len(data)] = data
    return len(data)


def _fill(held: memoryview, read: Callable[[memoryview], int]) -> None:
    while held:
        done = read(held)
        if not done:
            raise EOFError("the other end is gone")
        held = held[done:]
