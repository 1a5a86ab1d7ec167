"""What a watch gives out, and where it goes on.

Owns: the items of an event stream and `Place`, its position. Law: a watch goes on with the first event
that it has not given out; what cannot be resumed is an item (`Compacted`, `SnapshotAgain`), never
silence. It opens nothing and keeps no events.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from linmem.errors import LinmemError, ProtocolBroken
from linmem.reasons import SequenceCompacted
from linmem.v1 import event_service_pb2 as pb

EventName = Literal[
    "created", "grown", "grow_denied", "grow_failed", "deleted", "expired", "quarantined", "purged",
    "shared", "attached",
]
"""What can happen to a memory."""


@dataclass(frozen=True)
class Position:
    """Where a watch can go on: the run of the daemon, and the first event wanted."""

    boot_id: str
    sequence: int


@dataclass(frozen=True)
class Started:
    """A stream has begun, the first or one in its place."""

    position: Position


@dataclass(frozen=True)
class Present:
    """A memory of the snapshot."""

    event: pb.Event


@dataclass(frozen=True)
class SnapshotEnd:
    """The snapshot is whole."""

    position: Position


@dataclass(frozen=True)
class Happened:
    """Something happened to a memory."""

    event: pb.Event

    @property
    def kind(self) -> str:
        """What: `created`, `grown`, `deleted`, ..."""
        return name(self.event.kind)


@dataclass(frozen=True)
class Progress:
    """Everything before this was given out, if it matched."""

    position: Position


@dataclass(frozen=True)
class Lost:
    """A gap: this watcher was too slow for the events from `first` to `last`."""

    first: int
    last: int


@dataclass(frozen=True)
class Compacted:
    """A gap: the events to go on with are gone, or of another run of the daemon. A watch with a
    snapshot begins anew with one, and what it gave out before is void; another goes on here."""

    position: Position


@dataclass(frozen=True)
class SnapshotAgain:
    """The stream was lost within its snapshot, which begins anew: what it gave out before is void."""


Item = Started | Present | SnapshotEnd | Happened | Progress | Lost | Compacted | SnapshotAgain
"""What a watch gives out."""


def name(kind: int) -> str:
    """A kind's name here; of one that is newer than this client its number."""
    names = ("unspecified", *get_args(EventName))
    return names[kind] if kind < len(names) else str(kind)


class Place:
    """Where a watch is."""

    def __init__(
        self,
        label_selector: str,
        kinds: Iterable[EventName],
        snapshot: bool,
        resume: Position | None,
    ) -> None:
        self.label_selector = label_selector
        self.kinds = [pb.EventKind.Value(f"EVENT_KIND_{kind.upper()}") for kind in kinds]
        self.snapshot = snapshot
        self.position = resume
        """Where one that takes this watch's place would go on; None where there is no such place."""
        self._run = ""
        self._in_snapshot = False

    def request(self) -> pb.WatchEventsRequest:
        """What a stream from here on is asked with."""
        resume = None
        if self.position is not None:
            resume = pb.EventPosition(
                boot_id=self.position.boot_id, sequence=self.position.sequence
            )
        return pb.WatchEventsRequest(
            label_selector=self.label_selector,
            kinds=self.kinds,
            resume=resume,
            snapshot=self.snapshot and resume is None,
        )

    def item(self, message: pb.WatchEventsResponse) -> Item | None:
        """What is given out for a message; None for one that is newer than this client."""
        arm = message.WhichOneof("message")
        if arm == "started":
            position = Position(message.started.boot_id, message.started.next_sequence)
            self._run = position.boot_id
            # Within a snapshot there is nothing to go on with.
            self._in_snapshot = self.snapshot and self.position is None
            if not self._in_snapshot:
                self.position = position
            return Started(position)
        if arm == "event" and message.event.sequence == 0:
            return Present(message.event)
        if arm == "event":
            self._passed(message.event.sequence + 1)
            return Happened(message.event)
        if arm == "snapshot_end":
            self._in_snapshot = False
            self.position = Position(self._run, message.snapshot_end.next_sequence)
            return SnapshotEnd(self.position)
        if arm == "progress":
            self._passed(message.progress.next_sequence)
            return Progress(Position(self._run, message.progress.next_sequence))
        if arm == "lost":
            self._passed(message.lost.last + 1)
            return Lost(message.lost.first, message.lost.last)
        return None

    def broken(self, error: LinmemError) -> Item | None:
        """The gap that a failure means, where it means one; the next stream begins after it."""
        if isinstance(error, SequenceCompacted):
            sequence, boot_id = error.number("sequence"), error.metadata.get("boot_id")
            if sequence is None or boot_id is None:
                raise ProtocolBroken("a SEQUENCE_COMPACTED that does not say where") from error
            position = Position(boot_id, sequence)
            self.position = None if self.snapshot else position
            return Compacted(position)
        if self._in_snapshot:
            self._in_snapshot = False
            return SnapshotAgain()
        return None

    def _passed(self, next_sequence: int) -> None:
        if self.position is not None:
            self.position = Position(self._run, next_sequence)
