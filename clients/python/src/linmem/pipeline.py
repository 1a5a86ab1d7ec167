"""The books of a session: which tag waits for what.

Owns: `Pipeline`, tags and handles and the reading of results, for futures of either half. Law: every tag
has one result, whoever waits for it; where the stream ends, or the daemon said that it never began,
everything that still waits is told so. It sends nothing and has no lock: its owner does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from linmem import op
from linmem.errors import LinmemError, ProtocolBroken, SessionOver, refusal
from linmem.op import Operation, Result
from linmem.packed import Packed
from linmem.v1 import operation_pb2, session_pb2, wait_pb2

SessionWoken = Literal["ok", "not_equal", "timed_out", "cancelled"]
Answer = Result | LinmemError
"""Of a group that is not atomic: an operation's result, or why it alone failed."""

WOKEN: dict[int, SessionWoken] = {
    wait_pb2.WAIT_OUTCOME_OK: "ok",
    wait_pb2.WAIT_OUTCOME_NOT_EQUAL: "not_equal",
    wait_pb2.WAIT_OUTCOME_TIMED_OUT: "timed_out",
    wait_pb2.WAIT_OUTCOME_CANCELLED: "cancelled",
}


class Settable(Protocol):
    """A future, of threads or of asyncio."""

    def done(self) -> bool:
        """Whether it has come to its end."""

    def set_result(self, result: Any, /) -> None:
        """Ends it well."""

    def set_exception(self, exception: Any, /) -> None:
        """Ends it otherwise."""


F = TypeVar("F", bound=Settable)
Reading = Callable[[session_pb2.SessionResult], Any]


@dataclass(frozen=True)
class Notice:
    """Something happened to an attached memory."""

    handle: int
    grown_to_pages: int | None
    """Its new size, where it has grown."""
    detached: LinmemError | None
    """Why it is gone, and the handle with it."""


def notice(message: session_pb2.SessionNotice) -> Notice:
    """A notice of the daemon's."""
    if message.WhichOneof("notice") == "detached":
        return Notice(message.handle, None, refusal(message.detached))
    return Notice(message.handle, message.grown_to_pages, None)


def single(result: session_pb2.SessionResult) -> Result:
    """Of one operation."""
    return op.result(result.single)


def answers(result: session_pb2.SessionResult) -> list[Answer]:
    """Of a list."""
    found: list[Answer] = [op.result(one) for one in result.list.results]
    return _failed(found, result)


def unpacked(packed: Packed) -> Callable[[session_pb2.SessionResult], list[Answer]]:
    """Of columns."""

    def read(result: session_pb2.SessionResult) -> list[Answer]:
        try:
            found: list[Answer] = [*packed.results(result.packed.data)]
        except ValueError as error:
            raise ProtocolBroken(str(error)) from None
        return _failed(found, result)

    return read


def _failed(found: list[Answer], result: session_pb2.SessionResult) -> list[Answer]:
    for one in result.failures:
        if one.index >= len(found):
            raise ProtocolBroken("a failure of an operation that was not asked for")
        found[one.index] = refusal(one.status)
    return found


def woken(result: session_pb2.SessionResult) -> SessionWoken:
    """Of a wait."""
    return WOKEN.get(result.waited.outcome, "ok")


def attached(result: session_pb2.SessionResult) -> tuple[str, int]:
    """Of an attach: the memory's uid, and its size in pages."""
    return result.attached.uid, result.attached.size_pages


def nothing(_result: session_pb2.SessionResult) -> None:
    """Of a detach or a cancel."""


def group(
    tag: int, handle: int, atomic: bool, what: Operation | Sequence[Operation] | Packed
) -> session_pb2.OpenSessionRequest:
    """The message of a group, in the form that it was given in."""
    message = session_pb2.SessionGroup(tag=tag, handle=handle, atomic=atomic)
    if isinstance(what, Packed):
        message.packed.CopyFrom(what.message())
    elif isinstance(what, Operation):
        message.single.CopyFrom(what)
    else:
        message.list.CopyFrom(operation_pb2.OperationList(operations=what))
    return session_pb2.OpenSessionRequest(group=message)


class Pipeline(Generic[F]):
    """What a session has asked and not been answered yet."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[F, Reading, str]] = {}
        self._next_tag = 0
        self._next_handle = 0
        self.over: LinmemError | None = None
        """Why nothing is answered any more."""

    def handle(self) -> int:
        """A handle of its own."""
        self._next_handle += 1
        return self._next_handle

    def ask(self, future: F, reading: Reading, outcome: str) -> int:
        """A tag for what is about to be sent, or raises why nothing can be."""
        if self.over is not None:
            raise self.over
        self._next_tag += 1
        self._waiting[self._next_tag] = (future, reading, outcome)
        return self._next_tag

    def settle(self, result: session_pb2.SessionResult) -> None:
        """Gives a result to who waits for its tag."""
        future, reading, outcome = self._waiting.pop(result.tag, (None, nothing, ""))
        if future is None or future.done():
            return
        arm = result.WhichOneof("outcome")
        if arm == "error":
            future.set_exception(refusal(result.error))
        elif arm != outcome:
            future.set_exception(ProtocolBroken(f"{outcome} was due, not {arm}"))
        else:
            try:
                future.set_result(reading(result))
            except LinmemError as error:
                future.set_exception(error)

    def go_away(self, message: session_pb2.SessionGoAway) -> None:
        """Tells those whose tags were never begun; nothing can be asked any more."""
        reason = message.reason or "the daemon takes no more"
        last = message.last_accepted_tag if message.HasField("last_accepted_tag") else 0
        self.over = SessionOver(reason, never_begun=True)
        for tag in [tag for tag in self._waiting if tag > last]:
            self._tell(tag, SessionOver(reason, never_begun=True))

    def end(self, error: LinmemError | None) -> None:
        """The stream is over: nobody that still waits is answered."""
        self.over = self.over or error or SessionOver("the session has ended", never_begun=True)
        for tag in list(self._waiting):
            self._tell(tag, error or SessionOver("the session ended without an answer"))

    def _tell(self, tag: int, error: LinmemError) -> None:
        future, _reading, _outcome = self._waiting.pop(tag)
        if not future.done():
            future.set_exception(error)
