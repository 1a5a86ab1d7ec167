"""Events as they happen, over as many streams as it takes.

Owns: `Events`. Law: `watching`'s, and: a lost watch is got back with patience, and what nobody can get
back is raised; the next step then tries anew from the same place. Keeps no events.
"""

from __future__ import annotations

import time

import grpc
from typing_extensions import Self

from linmem import methods
from linmem.aio.calls import Calls
from linmem.aio.io import Incoming, sleep
from linmem.errors import ConnectionLost, LinmemError
from linmem.retry import Attempts
from linmem.v1 import event_service_pb2 as pb
from linmem.watching import Item, Place, Position


class Events:
    """An iterator of what happens. It goes on whatever becomes of the connection; `close` ends it."""

    def __init__(self, calls: Calls, place: Place, patience: float) -> None:
        self._calls = calls
        self._place = place
        self._patience = patience
        self._attempts = Attempts(calls.retry, calls.timeout)
        self._stream: Incoming[pb.WatchEventsResponse] | None = None
        self._lost_since: float | None = None
        self._closed = False

    @property
    def position(self) -> Position | None:
        """Where a watch that takes this one's place would go on (`resume`), once there is one."""
        return self._place.position

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        while not self._closed:
            try:
                item = await self._step()
                if item is not None:
                    return item
            except LinmemError as error:
                self._stream = None
                if self._closed:
                    break
                gap = self._place.broken(error)
                if gap is not None:
                    return gap
                pause = self._pause(error)
                await sleep(pause)
        raise StopAsyncIteration

    async def _step(self) -> Item | None:
        if self._stream is None:
            left, metadata = self._attempts.start(), self._calls.metadata
            request = self._place.request()
            self._stream = self._calls.wire.incoming(
                methods.WATCH_EVENTS, request, metadata, left
            )
        message = await self._stream.receive()
        if message is None:
            raise ConnectionLost(grpc.StatusCode.UNAVAILABLE, "the watch ended")
        self._lost_since = None
        self._attempts.progressed()
        return self._place.item(message)

    def _pause(self, error: LinmemError) -> float:
        now = time.monotonic()
        if self._lost_since is None:
            self._lost_since = now
        if now - self._lost_since >= self._patience:
            self._lost_since = None
            raise error
        return self._attempts.pause_after(error, harmless=True, counted=False)

    def close(self) -> None:
        """Ends the watch, also for one who waits in it."""
        self._closed = True
        if self._stream is not None:
            self._stream.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_failure: object) -> None:
        self.close()
