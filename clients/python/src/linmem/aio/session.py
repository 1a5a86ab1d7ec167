"""A session, of asyncio: groups of operations as a pipeline over one stream.

Owns: `Session` and `Attached` of the asyncio half. Law: `pipeline`'s; what is asked goes out at once, and
its answer is an `asyncio.Future`. A session that broke is not opened again by itself: what had
happened is not known.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar

from typing_extensions import Self

from linmem import methods, pipeline
from linmem.aio.calls import Bytes, Calls
from linmem.aio.io import Duplex
from linmem.errors import LinmemError, ProtocolBroken
from linmem.op import Operation, Result
from linmem.packed import Packed
from linmem.pipeline import Answer, Notice, Pipeline, Reading, SessionWoken
from linmem.times import duration
from linmem.v1 import session_pb2 as pb

T = TypeVar("T")
OnNotice = Callable[[Notice], None]
logger = logging.getLogger("linmem")


class Asked(asyncio.Future[T]):
    """The answer to one message of a session, once it is there."""

    tag = 0
    """The message's own."""


class Session:
    """A session with a daemon. Used as a context manager, everything that was asked is answered before
    the end."""

    def __init__(
        self,
        duplex: Duplex[pb.OpenSessionRequest, pb.OpenSessionResponse],
        started: pb.SessionStarted,
        on_notice: OnNotice | None,
    ) -> None:
        self.started = started
        """What it may do."""
        self.go_away: pb.SessionGoAway | None = None
        """The daemon's word that it takes no more, once it said so."""
        self._duplex = duplex
        self._on_notice = on_notice
        self._books: Pipeline[Asked[Any]] = Pipeline()
        self._unsent: asyncio.Queue[pb.OpenSessionRequest | None] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]

    @classmethod
    async def open(cls, calls: Calls, on_notice: OnNotice | None = None) -> Self:
        """Opens one; `on_notice` hears of attached memories, between two steps of the loop."""
        duplex = calls.wire.duplex(methods.OPEN_SESSION, calls.metadata, calls.timeout)
        await duplex.send(pb.OpenSessionRequest(start=pb.SessionStart()))
        first = await duplex.receive()
        if first is None or first.WhichOneof("message") != "started":
            duplex.cancel()
            raise ProtocolBroken("a session that does not start")
        return cls(duplex, first.started, on_notice)

    def attach(
        self, memory: Bytes | str, *, read_only: bool = False, uid: str | None = None
    ) -> Attached:
        """Attaches a memory. What is asked of it at once goes along; `ready` says what came of it."""
        if isinstance(memory, str):
            memory_id = memory
        else:
            memory_id, uid = memory.id, uid or memory.uid
        handle = self._books.handle()
        future = self._ask(
            lambda tag: pb.OpenSessionRequest(
                attach=pb.SessionAttach(
                    tag=tag, handle=handle, memory_id=memory_id, uid=uid, read_only=read_only
                )
            ),
            pipeline.attached,
            "attached",
        )
        return Attached(self, handle, future)

    def _ask(
        self, message: Callable[[int], pb.OpenSessionRequest], reading: Reading, outcome: str
    ) -> Asked[Any]:
        future: Asked[Any] = Asked()
        # Nobody need wait for it.
        future.add_done_callback(_seen)
        future.tag = self._books.ask(future, reading, outcome)
        self._unsent.put_nowait(message(future.tag))
        return future

    async def _read(self) -> None:
        error: LinmemError | None = None
        try:
            while (message := await self._duplex.receive()) is not None:
                self._hear(message)
        except LinmemError as broken:
            error = broken
        finally:
            self._books.end(error)
            self._unsent.put_nowait(None)

    async def _write(self) -> None:
        while (message := await self._unsent.get()) is not None:
            await self._duplex.send(message)
        await self._duplex.done()

    def _hear(self, message: pb.OpenSessionResponse) -> None:
        arm = message.WhichOneof("message")
        if arm == "result":
            self._books.settle(message.result)
        elif arm == "notice" and self._on_notice is not None:
            try:
                self._on_notice(pipeline.notice(message.notice))
            except Exception:
                logger.exception("a notice was not taken")
        elif arm == "go_away":
            self.go_away = message.go_away
            self._books.go_away(message.go_away)

    async def close(self) -> None:
        """Asks no more and waits until everything has been answered, parked waits among it: cancel
        those that nobody will wake."""
        self._unsent.put_nowait(None)
        await asyncio.wait(self._tasks)
        self.cancel()

    def cancel(self) -> None:
        """Ends it at once; what waits is told so."""
        self._duplex.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_failure: object) -> None:
        if kind is None:
            await self.close()
        else:
            self.cancel()
            await asyncio.wait(self._tasks)


def _seen(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


class Attached:
    """A memory that is attached to a session. Its groups run and answer in order."""

    def __init__(self, session: Session, handle: int, ready: Asked[tuple[str, int]]) -> None:
        self.session = session
        self.handle = handle
        """Its name in the session's messages and notices."""
        self.ready = ready
        """The memory's uid and its size in pages, or why it was not attached."""

    def execute(self, operations: Sequence[Operation]) -> Asked[list[Result]]:
        """Carries a list out, whole or not at all."""
        return self._group(True, operations, pipeline.answers, "list")

    def execute_each(self, operations: Sequence[Operation]) -> Asked[list[Answer]]:
        """Carries a list out, each operation by itself: a failure stands in its operation's place."""
        return self._group(False, operations, pipeline.answers, "list")

    def execute_one(self, operation: Operation) -> Asked[Result]:
        """Carries one operation out."""
        return self._group(True, operation, pipeline.single, "single")

    def execute_packed(self, packed: Packed) -> Asked[list[Result]]:
        """Carries columns out, whole or not at all."""
        return self._group(True, packed, pipeline.unpacked(packed), "packed")

    def wait(
        self,
        address: int,
        expected: int,
        width: Literal[4, 8] = 4,
        timeout: float | timedelta | None = None,
    ) -> Asked[SessionWoken]:
        """Waits at an address of a shared memory; holds nothing up. See `cancel_wait`."""
        handle, ttl = self.handle, duration(timeout)
        bits = expected & ((1 << (8 * width)) - 1)
        return self.session._ask(
            lambda tag: pb.OpenSessionRequest(
                wait=pb.SessionWait(
                    tag=tag, handle=handle, address=address, width=width, expected=bits, timeout=ttl
                )
            ),
            pipeline.woken,
            "waited",
        )

    def cancel_wait(self, wait: Asked[SessionWoken]) -> Asked[None]:
        """Ends a wait, whose result is then `cancelled`, unless it had another already."""
        return self.session._ask(
            lambda tag: pb.OpenSessionRequest(
                cancel=pb.SessionCancel(tag=tag, wait_tag=wait.tag)
            ),
            pipeline.nothing,
            "done",
        )

    def detach(self) -> Asked[None]:
        """Takes it back, after what was asked before."""
        handle = self.handle
        return self.session._ask(
            lambda tag: pb.OpenSessionRequest(detach=pb.SessionDetach(tag=tag, handle=handle)),
            pipeline.nothing,
            "done",
        )

    def _group(
        self,
        atomic: bool,
        what: Operation | Sequence[Operation] | Packed,
        reading: Reading,
        outcome: str,
    ) -> Asked[Any]:
        handle = self.handle
        return self.session._ask(
            lambda tag: pipeline.group(tag, handle, atomic, what), reading, outcome
        )
