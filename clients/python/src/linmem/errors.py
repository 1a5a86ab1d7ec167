"""What can go wrong with a call: a closed family of exceptions, made from google.rpc details.

Owns: the classes and `failure`, which alone makes them. Law: a failure that carries the daemon's
ErrorInfo keeps its reason, its numbers and its retry word as sent and is a `Refused`; anything else
says that the outcome is unknown. A reason that this client does not know is a plain `Refused`. It words
no advice and repeats no call.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "linmemd"
#: Failures that quarantine the memory instead of leaving it unchanged.
QUARANTINING = frozenset({"HARDWARE_FAULT", "CORRUPTED", "INTERNAL_FAULT"})


class Retry(enum.Enum):
    """Whether and how to try again, in the daemon's word."""

    SAME = "SAME"
    """The same call, later."""
    AFTER_CHANGE = "AFTER_CHANGE"
    """Once something has changed: room, a grant, a label."""
    AT_HIGHER_LEVEL = "AT_HIGHER_LEVEL"
    """The whole sequence that this call was part of, from its read."""
    NEVER = "NEVER"
    """It cannot succeed."""
    UNKNOWN = "UNKNOWN"
    """Nobody can tell."""


@dataclass(frozen=True)
class FieldViolation:
    """A field that was refused, and why."""

    field: str
    """Its path in the request."""
    description: str
    """What is wrong with it."""


class LinmemError(Exception):
    """Everything that this client raises about a call."""


class OutcomeUnknown(LinmemError):
    """Nobody said what became of the call: it happened whole or not at all."""


class ConnectionLost(OutcomeUnknown):
    """The daemon could not be reached, or the connection broke, or something between answered."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}" if message else code.name)
        self.code = code
        """gRPC's code."""


class DeadlineExceeded(OutcomeUnknown):
    """The caller's deadline passed, and nobody said that nothing had happened."""


class Cancelled(OutcomeUnknown):
    """The call was cancelled on this side."""


class SessionOver(OutcomeUnknown):
    """A session ended before this was answered."""

    def __init__(self, message: str, *, never_begun: bool = False) -> None:
        super().__init__(message)
        self.never_begun = never_begun
        """Whether the daemon said that it never began what was asked."""


class BytesCorrupted(LinmemError):
    """Bytes arrived that are not those that were sent."""

    def __init__(self, offset: int, expected: int, found: int) -> None:
        super().__init__(f"at offset {offset}: expected {expected:08x}, found {found:08x}")
        self.offset = offset
        """Where the checked bytes begin, in the memory."""
        self.expected = expected
        """CRC-32C as announced."""
        self.found = found
        """CRC-32C of what arrived."""


class ProtocolBroken(LinmemError):
    """The answer is not one that the call can have."""


class StringTooLong(LinmemError, ValueError):
    """A string has no end within its bound, or a length beyond it."""


class Refused(LinmemError):
    """The daemon answered, and said no. Its subclasses are named for the daemon's reasons."""

    REASON: ClassVar[str] = ""
    """The daemon's word for the class: its name, in the words' own spelling."""

    def __init_subclass__(cls) -> None:
        cls.REASON = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        metadata: Mapping[str, str],
        retry_after: float | None = None,
        field_violations: Iterable[FieldViolation] = (),
    ) -> None:
        violations = tuple(field_violations)
        told = [f" ({v.field}: {v.description})" for v in violations if v.description not in message]
        super().__init__(f"{reason}: {message}{''.join(told)}")
        self.code = code
        """gRPC's code."""
        self.reason = reason
        """The daemon's word for what happened: `MEMORY_NOT_FOUND`."""
        self.message = message
        """What happened, for people."""
        self.metadata = dict(metadata)
        """The numbers and names of the failure, as sent."""
        word = self.metadata.get("retry", "UNKNOWN")
        self.retry = Retry(word) if word in Retry.__members__ else Retry.UNKNOWN
        """Whether and how to try again."""
        self.call_id = self.metadata.get("call_id")
        """The call's name in the daemon's log."""
        self.retry_after = retry_after
        """Seconds before the same call may succeed, where the daemon said so."""
        self.field_violations = violations
        """The fields that were refused."""
        self.changed_nothing = reason not in QUARANTINING
        """Whether nothing changed. On a stream this is said of the message that failed."""

    def number(self, key: str) -> int | None:
        """A number of the metadata: `limit`, `used`, `size_bytes`, `bytes_written`."""
        text = self.metadata.get(key, "")
        return int(text) if text.isdecimal() else None


@dataclass(frozen=True)
class _Details:
    info: error_details_pb2.ErrorInfo | None
    retry_after: float | None
    violations: tuple[FieldViolation, ...]


def refusal(status: status_pb2.Status) -> LinmemError:
    """The exception for a status that came as a message, as in a session's results."""
    return _made(_code(status.code), status.message, status)


def failure(error: grpc.RpcError) -> LinmemError:
    """The exception for a call that failed, whoever made it fail."""
    if not isinstance(error, grpc.Call) and not isinstance(error, grpc.aio.AioRpcError):
        return ConnectionLost(grpc.StatusCode.UNKNOWN, str(error))
    trailers: Any = error.trailing_metadata()
    status = status_pb2.Status()
    for key, value in trailers or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:
                pass
    return _made(error.code(), error.details() or "", status)


def _code(number: int) -> grpc.StatusCode:
    return next((c for c in grpc.StatusCode if c.value[0] == number), grpc.StatusCode.UNKNOWN)


def _made(code: grpc.StatusCode, message: str, status: status_pb2.Status) -> LinmemError:
    details = _details(status)
    if details.info is None:
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(message)
        if code == grpc.StatusCode.CANCELLED:
            return Cancelled(message)
        return ConnectionLost(code, message)
    from linmem.reasons import REASONS

    info = details.info
    kind = REASONS.get(info.reason, Refused)
    metadata = dict(info.metadata)
    return kind(code, info.reason, message, metadata, details.retry_after, details.violations)


def _details(status: status_pb2.Status) -> _Details:
    info, retry_after = None, None
    violations: list[FieldViolation] = []
    for one in status.details:
        if one.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            found = error_details_pb2.ErrorInfo()
            if one.Unpack(found) and found.domain == DOMAIN:
                info = found
        elif one.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            one.Unpack(retry)
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        elif one.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            one.Unpack(bad)
            violations += [FieldViolation(v.field, v.description) for v in bad.field_violations]
    return _Details(info, retry_after, tuple(violations))
