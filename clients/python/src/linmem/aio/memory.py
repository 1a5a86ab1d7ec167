"""One linear memory.

Owns: `Memory`: what is asked about a memory as a whole, and of its ranges without their bytes. Law: it
is bound to one uid from the moment that it is known, so that a name never reaches another memory. Its
bytes are `indexing`, `transfer`, `strings`, `atoms` and `arrays`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Literal

from google.protobuf.field_mask_pb2 import FieldMask
from typing_extensions import Self

from linmem import methods
from linmem.aio.arrays import Arrays
from linmem.aio.atoms import Atoms
from linmem.aio.indexing import Indexing
from linmem.aio.resources import View
from linmem.aio.strings import Strings
from linmem.errors import Refused
from linmem.reasons import MemoryNotFound
from linmem.times import duration
from linmem.v1 import memory_pb2, segment_pb2, share_pb2, stats_pb2, view_pb2, wait_pb2
from linmem.v1 import memory_service_pb2 as pb

Allowed = Literal["none", "read", "read_write"]
Woken = Literal["ok", "not_equal", "timed_out"]

PROTECTIONS: dict[Allowed, pb.Protection.ValueType] = {
    "none": pb.PROTECTION_NONE,
    "read": pb.PROTECTION_READ,
    "read_write": pb.PROTECTION_READ_WRITE,
}


class Memory(Indexing, Strings, Atoms, Arrays):
    """A linear memory. Used as a context manager, it is deleted at the end."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await self.delete(allow_missing=True)

    async def info(self, *, full: bool = False) -> memory_pb2.Memory:
        """What it is now; with `full` also its resident bytes and what the kernel gave."""
        view = memory_pb2.MEMORY_VIEW_FULL if full else memory_pb2.MEMORY_VIEW_BASIC
        request = pb.GetMemoryRequest(memory_id=self.id, uid=self.uid, view=view)
        return (await self.calls.call(methods.GET_MEMORY, request)).memory

    async def bind(self) -> Self:
        """Learns its uid, so that from here on this is that memory and no other."""
        self.uid = (await self.info()).uid
        return self

    async def size(self) -> int:
        """Its size now, in bytes."""
        return (await self.info()).size_bytes

    async def pages(self) -> int:
        """Its size now, in pages of 64 KiB."""
        return (await self.info()).size_pages

    async def stats(self) -> memory_pb2.MemoryStats:
        """What has happened to it, since its creation or `reset_stats`."""
        return (await self.info()).stats

    async def reset_stats(self) -> memory_pb2.MemoryStats:
        """Begins its statistics anew."""
        request = stats_pb2.ResetMemoryStatsRequest(memory_id=self.id, uid=self.uid)
        return (await self.calls.call(methods.RESET_MEMORY_STATS, request)).memory.stats

    async def grow(self, delta_pages: int, *, expected_pages: int | None = None) -> int:
        """Adds zeroed pages; its size before, in pages. With `expected_pages` only if that is its size,
        else SizeMismatch."""
        request = pb.GrowMemoryRequest(
            memory_id=self.id, uid=self.uid, delta_pages=delta_pages, expected_pages=expected_pages
        )
        return (await self.calls.call(methods.GROW_MEMORY, request)).previous_pages

    async def delete(self, *, etag: str | None = None, allow_missing: bool = False) -> None:
        """Ends it; its bytes are wiped and its charge is back when this returns."""
        request = pb.DeleteMemoryRequest(
            memory_id=self.id, uid=self.uid, etag=etag, allow_missing=allow_missing
        )
        await self.calls.call(methods.DELETE_MEMORY, request)

    async def exists(self) -> bool:
        """Whether it is still there: this very memory, where its uid is known."""
        try:
            await self.info()
        except Refused as refused:
            if isinstance(refused, MemoryNotFound) or refused.reason == "UID_MISMATCH":
                return False
            raise
        return True

    async def update(
        self,
        *,
        display_name: str | None = None,
        labels: Mapping[str, str] | None = None,
        lease: float | timedelta | None = None,
        end_lease: bool = False,
        etag: str | None = None,
    ) -> memory_pb2.Memory:
        """Changes what is given and nothing else: the name for people, all labels, the lease in
        seconds. With `etag` only if that is still its etag, else EtagMismatch."""
        given = {
            "display_name": display_name is not None,
            "labels": labels is not None,
            "lease_ttl": lease is not None or end_lease,
        }
        request = pb.UpdateMemoryRequest(
            memory_id=self.id,
            uid=self.uid,
            etag=etag,
            display_name=display_name or "",
            labels=labels or {},
            lease_ttl=None if end_lease else duration(lease),
            update_mask=FieldMask(paths=[path for path, there in given.items() if there]),
        )
        return (await self.calls.call(methods.UPDATE_MEMORY, request)).memory

    async def keep_alive(self) -> datetime:
        """Starts its lease anew; when it now runs out."""
        request = pb.KeepAliveMemoryRequest(memory_id=self.id, uid=self.uid)
        answer = await self.calls.call(methods.KEEP_ALIVE_MEMORY, request)
        return answer.expire_time.ToDatetime(timezone.utc)

    async def fill(self, offset: int, length: int, value: int = 0) -> None:
        """Sets every byte of a range, of any length, to one value."""
        request = pb.FillMemoryRequest(
            memory_id=self.id, uid=self.uid, offset=offset, length=length, value=value
        )
        await self.calls.call(methods.FILL_MEMORY, request)

    async def copy(
        self, source: int, destination: int, length: int, *, to: Memory | None = None
    ) -> None:
        """Copies a range, of any length, within the memory or `to` another. Nobody sees half of it."""
        target = to or self
        request = pb.CopyMemoryRequest(
            source_memory_id=self.id,
            source_uid=self.uid,
            source_offset=source,
            destination_memory_id=target.id,
            destination_uid=target.uid,
            destination_offset=destination,
            length=length,
        )
        await self.calls.call(methods.COPY_MEMORY, request)

    async def init(self, segment_id: str, source: int, destination: int, length: int) -> None:
        """Copies a part of a segment into the memory: memory.init."""
        request = segment_pb2.InitMemoryRequest(
            memory_id=self.id,
            uid=self.uid,
            segment_id=segment_id,
            source_offset=source,
            destination_offset=destination,
            length=length,
        )
        await self.calls.call(methods.INIT_MEMORY, request)

    async def discard(self, offset: int, length: int) -> int:
        """Makes a range zero and gives its RAM back to the host; how many bytes went back."""
        request = pb.DiscardMemoryRequest(
            memory_id=self.id, uid=self.uid, offset=offset, length=length
        )
        return (await self.calls.call(methods.DISCARD_MEMORY, request)).discarded_bytes

    async def protect(self, offset: int, length: int, allowed: Allowed) -> None:
        """Sets what may be done with a range from the next operation on."""
        request = pb.ProtectMemoryRequest(
            memory_id=self.id,
            uid=self.uid,
            offset=offset,
            length=length,
            protection=PROTECTIONS[allowed],
        )
        await self.calls.call(methods.PROTECT_MEMORY, request)

    async def set_volatile(self, offset: int, length: int, volatile: bool = True) -> bool:
        """Lets the bytes of a range go while the host is short of memory, or has them stay; whether any
        of them had gone."""
        kind = pb.VOLATILITY_VOLATILE if volatile else pb.VOLATILITY_NONVOLATILE
        request = pb.SetVolatilityRequest(
            memory_id=self.id, uid=self.uid, offset=offset, length=length, volatility=kind
        )
        return (await self.calls.call(methods.SET_VOLATILITY, request)).was_purged

    async def verify(self) -> pb.VerificationReport:
        """Checks it as far as its spec's verification says."""
        request = pb.VerifyMemoryRequest(memory_id=self.id, uid=self.uid)
        return (await self.calls.call(methods.VERIFY_MEMORY, request)).report

    async def wait(
        self,
        address: int,
        expected: int,
        width: Literal[4, 8] = 4,
        timeout: float | timedelta | None = None,
    ) -> Woken:
        """Waits on an address of a shared memory until it is notified, if the bytes there are the
        expected number. Without a timeout until the client's deadline, or for ever."""
        request = wait_pb2.WaitOnAddressRequest(
            memory_id=self.id,
            uid=self.uid,
            address=address,
            width=width,
            expected=expected & ((1 << (8 * width)) - 1),
            timeout=duration(timeout),
        )
        outcome = (await self.calls.call(methods.WAIT_ON_ADDRESS, request)).outcome
        if outcome == wait_pb2.WAIT_OUTCOME_NOT_EQUAL:
            return "not_equal"
        return "timed_out" if outcome == wait_pb2.WAIT_OUTCOME_TIMED_OUT else "ok"

    async def notify(self, address: int, count: int | None = None) -> int:
        """Wakes those who wait on an address, in order of arrival; how many were woken."""
        request = wait_pb2.NotifyAddressRequest(
            memory_id=self.id, uid=self.uid, address=address, count=count
        )
        return (await self.calls.call(methods.NOTIFY_ADDRESS, request)).woken_count

    async def view(
        self, offset: int, length: int, ttl: float | timedelta | None = None
    ) -> View:
        """Opens a read-only window on a range, which tells what changed."""
        request = view_pb2.OpenViewRequest(
            memory_id=self.id, uid=self.uid, offset=offset, length=length, ttl=duration(ttl)
        )
        return View(self.calls, await self.calls.call(methods.OPEN_VIEW, request))

    async def share(
        self, tenant: str, *, write: bool = False, expires: datetime | None = None
    ) -> share_pb2.Share:
        """Gives another tenant a share, for reading or for writing too, until it `expires` (a moment
        with its time zone) or is revoked. The other tenant mounts it by its `share_id`."""
        request = share_pb2.ShareMemoryRequest(
            memory_id=self.id,
            uid=self.uid,
            grantee_tenant=tenant,
            access=share_pb2.SHARE_ACCESS_READ_WRITE if write else share_pb2.SHARE_ACCESS_READ,
        )
        if expires is not None:
            if expires.tzinfo is None:
                raise ValueError("expires has no time zone")
            request.expire_time.FromDatetime(expires)
        return (await self.calls.call(methods.SHARE_MEMORY, request)).share


def labels_of(labels: Mapping[str, str] | Iterable[str] | None) -> dict[str, str]:
    """Labels, of which those that are only named have an empty value."""
    if labels is None:
        return {}
    return dict(labels) if isinstance(labels, Mapping) else dict.fromkeys(labels, "")
