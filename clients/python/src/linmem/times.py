"""Seconds, as google.protobuf has them.

Owns: the two ways. Law: to the microsecond. Knows no clock.
"""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration


def duration(seconds: float | timedelta | None) -> Duration | None:
    """A Duration of so many seconds; None stays None."""
    if seconds is None:
        return None
    made = Duration()
    made.FromTimedelta(seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds))
    return made
