"""What a decider hears and says.

Owns: the messages of an answering stream as Python values, and who may come back. Law: a question is
answered once, by whoever holds it. It opens no stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

import grpc

from linmem.errors import Cancelled, ConnectionLost, DeadlineExceeded, LinmemError, Refused, Retry
from linmem.v1 import hook_service_pb2 as pb

FailurePolicy = Literal["fail_closed", "fail_open"]
"""What decides where no decider does."""

POLICIES: dict[FailurePolicy, pb.FailurePolicy.ValueType] = {
    "fail_closed": pb.FAILURE_POLICY_FAIL_CLOSED,
    "fail_open": pb.FAILURE_POLICY_FAIL_OPEN,
}

Verdict = bool | str | None
"""What a decider returns: True or None allows, False denies, a text denies for that reason."""


@dataclass(frozen=True)
class Question:
    """A growth, or a creation, that waits for an answer. It is paid for; nothing of it has happened."""

    id: int
    """Its number on its stream."""
    memory_id: str
    """The memory."""
    uid: str
    """Its uid."""
    labels: Mapping[str, str]
    """Its labels."""
    previous_pages: int
    """Its size; 0 where it is being created."""
    requested_pages: int
    """Its size after the growth."""
    maximum_pages: int
    """The most that it may ever have."""
    deadline: datetime
    """When the hook's failure policy decides, by the daemon's clock."""
    answer_within: float
    """Seconds from the question to that moment."""


@dataclass(frozen=True)
class Withdrawn:
    """A question needs no answer any more: denied elsewhere, its caller gone, or its time over."""

    id: int


@dataclass(frozen=True)
class Told:
    """What became of a growth that this stream allowed."""

    id: int
    grown: bool


Heard = Question | Withdrawn | Told
"""What a stream of answers hears."""


def heard(message: pb.AnswerGrowHookResponse) -> Heard | None:
    """A message of the daemon's; None for one that this client does not know."""
    arm = message.WhichOneof("message")
    if arm == "question":
        asked = message.question
        return Question(
            asked.question_id,
            asked.memory_id,
            asked.uid,
            dict(asked.labels),
            asked.previous_pages,
            asked.requested_pages,
            asked.maximum_pages,
            asked.deadline.ToDatetime(timezone.utc),
            asked.answer_within.ToTimedelta().total_seconds(),
        )
    if arm == "withdrawal":
        return Withdrawn(message.withdrawal.question_id)
    if arm == "told":
        return Told(message.told.question_id, message.told.grown)
    return None


def answer(question_id: int, verdict: Verdict) -> pb.AnswerGrowHookRequest:
    """The message for a verdict."""
    allowed = verdict is None or verdict is True
    said = pb.GrowAnswer(
        question_id=question_id,
        verdict=pb.GROW_VERDICT_ALLOW if allowed else pb.GROW_VERDICT_DENY,
        reason=verdict if isinstance(verdict, str) else "",
    )
    return pb.AnswerGrowHookRequest(answer=said)


def may_come_back(error: LinmemError | None) -> bool:
    """Whether a decider whose stream ended so may open another."""
    if error is None or isinstance(error, (Cancelled, DeadlineExceeded)):
        return True
    if isinstance(error, ConnectionLost):
        return error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN)
    return isinstance(error, Refused) and error.retry is Retry.SAME
