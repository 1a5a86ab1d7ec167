"""A client of linmemd, the daemon that serves linear memories over gRPC.

    >>> import linmem
    >>> client = linmem.connect("http://127.0.0.1:7420")
    >>> memory = client.create("demo", pages=1)
    >>> memory[0:5] = b"hello"

Owns: what is public of the blocking half; `linmem.aio` is the same, awaited. Law: a failure of the
daemon's is an exception named for its reason (`linmem.reasons`), and a call is repeated only where that
can do no harm (`linmem.RetryPolicy`). The messages and stubs of the protos are in `linmem.v1`.
"""

from linmem import errors, op, reasons
from linmem.client import Client, connect
from linmem.decider import Decider
from linmem.deciding import Question, Told, Withdrawn
from linmem.errors import (
    BytesCorrupted,
    Cancelled,
    ConnectionLost,
    DeadlineExceeded,
    FieldViolation,
    LinmemError,
    OutcomeUnknown,
    ProtocolBroken,
    Refused,
    Retry,
    SessionOver,
    StringTooLong,
)
from linmem.events import Events
from linmem.hooks import Answers, Hook
from linmem.memory import Memory
from linmem.methods import SERVICE_CONFIG
from linmem.packed import Packed
from linmem.pipeline import Notice
from linmem.resources import View
from linmem.retry import RetryPolicy
from linmem.session import Asked, Attached, Session
from linmem.transfer import Uploaded
from linmem.watching import (
    Compacted,
    Happened,
    Item,
    Lost,
    Position,
    Present,
    Progress,
    SnapshotAgain,
    SnapshotEnd,
    Started,
)

PAGE = 65_536
"""A page of linear memory, in bytes."""

__all__ = [
    "PAGE", "SERVICE_CONFIG", "Answers", "Asked", "Attached", "BytesCorrupted", "Cancelled",
    "Client", "Compacted", "ConnectionLost", "DeadlineExceeded", "Decider", "Events",
    "FieldViolation", "Happened", "Hook", "Item", "LinmemError", "Lost", "Memory", "Notice",
    "OutcomeUnknown", "Packed", "Position", "Present", "Progress", "ProtocolBroken", "Question",
    "Refused", "Retry", "RetryPolicy", "Session", "SessionOver", "SnapshotAgain", "SnapshotEnd",
    "Started", "StringTooLong", "Told", "Uploaded", "View", "Withdrawn", "connect", "errors", "op",
    "reasons",
]
