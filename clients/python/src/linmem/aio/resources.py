"""Views, and pages of lists.

Owns: `View`, a window that tells what changed, and `pages`. Law: a view tells of every change since the
bytes that its owner last had, also where an answer was lost. Makes no memories.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

from google.protobuf.message import Message
from typing_extensions import Self

from linmem import methods
from linmem.aio.calls import Calls
from linmem.errors import ProtocolBroken
from linmem.methods import Method
from linmem.v1 import view_pb2

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)

#: The longest page that a daemon gives.
PAGE_SIZE = 1000


async def pages(calls: Calls, method: Method[Q, A], request: Q) -> AsyncIterator[A]:
    """Every page of a list."""
    token = ""
    while True:
        asked = type(request)()
        asked.CopyFrom(request)
        asked.page_size = PAGE_SIZE  # type: ignore[attr-defined]
        asked.page_token = token  # type: ignore[attr-defined]
        page = await calls.call(method, asked)
        yield page
        next_token: str = page.next_page_token  # type: ignore[attr-defined]
        if not next_token:
            return
        if next_token == token:
            raise ProtocolBroken("the same next_page_token twice")
        token = next_token


class View:
    """A read-only window on a range of a memory. Used as a context manager, it is closed at the end."""

    def __init__(self, calls: Calls, opened: view_pb2.OpenViewResponse) -> None:
        self.calls = calls
        self.id = opened.view.view_id
        """Its name, the daemon's choice."""
        self.description = opened.view
        """What it is of, and when its lease runs out."""
        self.data = opened.data
        """The bytes that it last showed."""
        self.version = opened.version
        """Of these bytes."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await self.close(allow_missing=True)

    async def refresh(self) -> bool:
        """Looks again and starts its lease anew; whether `data` has changed."""
        request = view_pb2.RefreshViewRequest(
            view_id=self.id, only_if_changed=True, version=self.version
        )
        answer = await self.calls.call(methods.REFRESH_VIEW, request)
        if answer.changed:
            self.data = answer.data
        self.version = answer.version
        self.description.expire_time.CopyFrom(answer.expire_time)
        return answer.changed

    async def close(self, *, allow_missing: bool = False) -> None:
        """Ends it."""
        request = view_pb2.CloseViewRequest(view_id=self.id, allow_missing=allow_missing)
        await self.calls.call(methods.CLOSE_VIEW, request)
