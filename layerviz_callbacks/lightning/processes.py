"""The processes that train one model together: the first one records, all run the probe."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from layerviz_callbacks.errors import DifferentiationError, LayerVizError
from layerviz_callbacks.explaining import Derivative, Differentiate
from layerviz_callbacks.messages import logger
from layerviz_callbacks.reader import LayerEntry, Reader
from layerviz_callbacks.request import Request
from layerviz_callbacks.snapshot import Snapshot


@dataclass(frozen=True)
class Processes:
    """How many processes train together, and which of them this is.

    Attributes:
        rank: counted from 0; the process 0 is the one that records.
        count: 1 where a single process trains.
    """

    rank: int
    count: int

    @property
    def first(self) -> bool:
        """This is the process that records."""
        return self.rank == 0

    def from_first(self, value: Any) -> Any:
        """The first process's value, in every process; all must call it."""
        if self.count == 1:
            return value
        held = [value if self.first else None]
        torch.distributed.broadcast_object_list(held, src=0)
        return held[0]

    def from_all(self, value: Any) -> list[Any]:
        """The values of all processes, in every process; all must call it."""
        if self.count == 1:
            return [value]
        held = [None] * self.count
        torch.distributed.all_gather_object(held, value)
        return held

    def first_where_it_travels(self, value: Any) -> Any:
        """The first process's value; each process's own where it cannot be sent (a class in a function)."""
        travels = True
        if self.first and self.count > 1:
            try:
                pickle.dumps(value)
            except Exception as error:  # noqa: BLE001  what a batch of the user's own kind raises is unknown
                logger().debug("The probe of the first process cannot be sent: %s", error)
                travels = False
        travels, sent = self.from_first((travels, value if travels else None))
        return sent if travels else value

    def agreed(self, make: Callable[[], Any], *, token: Callable[[Any], Any]) -> Any:
        """Make something in every process; where one fails, or makes another thing, all raise.

        Args:
            make: run in every process.
            token: what must be equal in all processes.

        Raises:
            LayerVizError: a process failed; this one's own error where it was this one.
        """
        made, error = None, None
        try:
            made = make()
        except Exception as raised:  # noqa: BLE001  raised again below, when the others know of it
            error = raised
        tokens = self.from_all((_Told.of(error), None if error else token(made)))
        if error is not None:
            raise error
        for rank, (told, _) in enumerate(tokens):
            if told is not None:
                raise told.error(rank)
        if any(other != tokens[0] for other in tokens):
            found = "; ".join(f"process {rank}: {token}" for rank, (_, token) in enumerate(tokens))
            raise LayerVizError(
                f"The processes would show the model the probe in different ways ({found}), and could wait "
                "for each other for ever. Say how: LayerVizCallback(forward=lambda module, batch: "
                "module(batch[0]))."
            )
        return made


@dataclass(frozen=True)
class _Told:
    """An error on its way to another process."""

    kind: type[LayerVizError]
    text: str

    @classmethod
    def of(cls, error: BaseException | None) -> _Told | None:
        if error is None:
            return None
        if type(error).__module__ == LayerVizError.__module__ and isinstance(error, LayerVizError):
            return cls(type(error), str(error))
        return cls(LayerVizError, f"{type(error).__name__}: {error}")

    def error(self, rank: int) -> LayerVizError:
        return self.kind(f"Process {rank} stopped the recording: {self.text}")


@dataclass(frozen=True)
class _Read:
    request: Request


@dataclass(frozen=True, eq=False)
class _Differentiated:
    inputs: dict[str, np.ndarray]
    layer: str
    output: str


@dataclass(frozen=True)
class _Done:
    told: _Told | None


class JointReader:
    """A reader for processes that train one model together: what the first one reads, all read.

    A sharded model gathers its weights from all processes in its forward pass, and any model may exchange
    tensors there: a process that ran it alone would wait for ever. What is read when is for the first
    process to say, as only there views are switched off and folders vanish; the others follow its orders
    until it says that it is done. So no two processes can ever disagree about what comes next. With a single
    process all this is nothing but the reader itself.

    Args:
        reader: reads the model in this process.
        processes: those that train together.
    """

    def __init__(self, reader: Reader, processes: Processes) -> None:
        self.model = reader.model
        self._reader = reader
        self._processes = processes
        self._told = False

    def entries(self) -> list[LayerEntry]:
        """The layers of the model."""
        return self._reader.entries()

    def read(self, request: Request) -> Snapshot:
        """Read here and in all other processes; for the first process, inside `together`."""
        self._processes.from_first(_Read(request))
        return self._reader.read(request)

    @contextmanager
    def differentiating(self) -> Iterator[Differentiate]:
        """Differentiate here and in all other processes; for the first process, inside `together`."""
        with self._reader.differentiating() as differentiate:

            def jointly(
                inputs: Mapping[str, np.ndarray],
                weights: Callable[[tuple[int, ...]], np.ndarray],
                *,
                layer: str = "",
                output: str = "",
            ) -> Derivative:
                self._processes.from_first(_Differentiated(dict(inputs), layer, output))
                return differentiate(inputs, weights, layer=layer, output=output)

            yield jointly

    def together(self, action: Callable[[], object]) -> None:
        """Run an action in the first process and read along in the others; all must call it.

        Raises:
            LayerVizError: in the other processes, where the action raised in the first.
        """
        if self._processes.first:
            self._lead(action)
        else:
            self._follow()

    def _lead(self, action: Callable[[], object]) -> None:
        error: BaseException | None = None
        try:
            action()
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._processes.from_first(_Done(_Told.of(error)))

    def _follow(self) -> None:
        while True:
            order = self._processes.from_first(None)
            if isinstance(order, _Done):
                if order.told is not None:
                    raise order.told.error(0)
                return
            try:
                self._obey(order)
            except DifferentiationError:
                pass  # the first process meets the same, and tells it
            except Exception as error:  # noqa: BLE001  the first process waits for the next order, not for this one
                self._tell(error)

    def _obey(self, order: _Read | _Differentiated) -> None:
        """The same passes as in the first process; what comes of them is for that one."""
        if isinstance(order, _Read):
            self._reader.read(order.request)
            return
        with self._reader.differentiating() as differentiate:
            differentiate(order.inputs, _no_weights, layer=order.layer, output=order.output)

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            logger().error(
                "Process %s could not run the probe along with the first one, and training goes on "
                "(told once): %s: %s", self._processes.rank, type(error).__name__, error, exc_info=error,
            )  # fmt: skip


def _no_weights(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, np.float32)
