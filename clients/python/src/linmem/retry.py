"""When a call is made again, and after how long.

Owns: `RetryPolicy`, and `Attempts`, the count of one call. Law: a call is repeated only if its failure
promised that nothing happened and said SAME, or if a second effect is impossible (no side effects, or a
request_id); never past the caller's deadline and never more often than the policy says. It makes no
calls and does not sleep.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import ClassVar

import grpc

from linmem.errors import ConnectionLost, DeadlineExceeded, LinmemError, Refused, Retry


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently a call is repeated. Times are in seconds."""

    attempts: int = 4
    """Attempts in all, the first included."""
    first_pause: float = 0.05
    """The pause after the first attempt where the daemon names none; doubled each time."""
    longest_pause: float = 2.0
    """The longest pause of this client's own."""
    longest_retry_after: float = 30.0
    """The longest pause that the daemon may ask for; a longer one ends the call with its failure."""

    NONE: ClassVar[RetryPolicy]
    """Every failure is the caller's at once."""

    def pause(self, made: int, asked: float | None, jitter: float) -> float | None:
        """The pause after attempt number `made`: what the daemon asked for or the doubling one,
        stretched by up to a quarter, so that those who failed together do not come back together."""
        if asked is None:
            asked = min(self.first_pause * 2.0 ** min(made - 1, 16), self.longest_pause)
        elif asked > self.longest_retry_after:
            return None
        return asked * (1 + jitter / 4)


RetryPolicy.NONE = RetryPolicy(attempts=1)


def may_repeat(error: LinmemError, *, harmless: bool) -> bool:
    """Whether a call that failed so may be made again; `harmless`: a second arrival does nothing that
    the first did not."""
    if isinstance(error, Refused):
        return error.changed_nothing and error.retry is Retry.SAME
    return harmless and isinstance(error, ConnectionLost) and error.code in BROKEN


#: What a broken connection, or a proxy before the daemon, answers.
BROKEN = (grpc.StatusCode.UNAVAILABLE,)


class Attempts:
    """The attempts of one call."""

    def __init__(self, policy: RetryPolicy, timeout: float | None) -> None:
        self.policy = policy
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.made = 0

    def start(self) -> float | None:
        """Counts an attempt; the seconds that are left for it, where there is a deadline."""
        self.made += 1
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("no time was left for an attempt")
        return left

    def progressed(self) -> None:
        """Something new was had, so that the count starts anew."""
        self.made = 0

    def pause_after(self, error: LinmemError, *, harmless: bool, counted: bool = True) -> float:
        """The seconds until the next attempt is due; raises the error where there is none. A caller
        that counts the time instead of the attempts says so by `counted`."""
        if self.policy.attempts <= 1 or not may_repeat(error, harmless=harmless):
            raise error
        if counted and self.made >= self.policy.attempts:
            raise error
        asked = error.retry_after if isinstance(error, Refused) else None
        pause = self.policy.pause(max(self.made, 1), asked, random.random())
        if pause is None:
            raise error
        if self.deadline is not None and time.monotonic() + pause >= self.deadline:
            raise error
        return pause
