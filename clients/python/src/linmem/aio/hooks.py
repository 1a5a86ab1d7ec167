"""Hooks of growth: one stream of answers, and the hook as a resource.

Owns: `Answers` and `Hook`. Law: a stream has no deadline of its own, and answers in whatever order its
owner likes. Who keeps a stream open for a function that decides is `decider`.
"""

from __future__ import annotations

from typing_extensions import Self

from linmem import deciding, methods
from linmem.aio.calls import Calls
from linmem.aio.io import Duplex
from linmem.deciding import Heard, Question, Verdict
from linmem.errors import ProtocolBroken
from linmem.v1 import hook_service_pb2 as pb


class Answers:
    """One open stream that answers a hook's questions. Closed, what it has not answered goes to another
    stream of the hook, or the failure policy decides."""

    def __init__(self, calls: Calls, hook_id: str) -> None:
        self.hook_id = hook_id
        self._duplex: Duplex[pb.AnswerGrowHookRequest, pb.AnswerGrowHookResponse]
        self._duplex = calls.wire.duplex(methods.ANSWER_GROW_HOOK, calls.metadata, None)

    async def begin(self) -> Self:
        """Names the hook; from when this returns on questions come here."""
        try:
            await self._duplex.send(pb.AnswerGrowHookRequest(hook_id=self.hook_id))
            first = await self._duplex.receive()
            if first is None or first.WhichOneof("message") != "started":
                raise ProtocolBroken("a stream that did not begin with `started`")
        except BaseException:
            self._duplex.cancel()
            raise
        return self

    async def next(self) -> Heard | None:
        """What is heard next; None when the stream has ended well."""
        while True:
            message = await self._duplex.receive()
            if message is None:
                return None
            heard = deciding.heard(message)
            if heard is not None:
                return heard

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Heard:
        heard = await self.next()
        if heard is None:
            raise StopAsyncIteration
        return heard

    async def answer(self, question: Question | int, verdict: Verdict) -> None:
        """Answers a question: True or None allows, False denies, a text denies for that reason. One
        that is answered late, or twice, is counted by the daemon and otherwise ignored."""
        number = question.id if isinstance(question, Question) else question
        await self._duplex.send(deciding.answer(number, verdict))

    async def done(self) -> None:
        """Answers no more; the stream ends well."""
        await self._duplex.done()

    def close(self) -> None:
        """Ends the stream at once."""
        self._duplex.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_failure: object) -> None:
        self.close()


class Hook:
    """A hook of growth: who is asked before memories grow. Used as a context manager, it is deleted at
    the end."""

    def __init__(self, calls: Calls, hook_id: str) -> None:
        self.calls = calls
        self.id = hook_id
        """Its name within the tenant."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    async def info(self) -> pb.GrowHook:
        """What it is, its open streams and its open questions."""
        request = pb.GetGrowHookRequest(hook_id=self.id)
        return (await self.calls.call(methods.GET_GROW_HOOK, request)).hook

    async def answers(self) -> Answers:
        """Opens a stream that answers its questions."""
        return await Answers(self.calls, self.id).begin()

    async def delete(self, *, allow_missing: bool = False) -> None:
        """Ends it; growth goes on without it."""
        request = pb.DeleteGrowHookRequest(hook_id=self.id, allow_missing=allow_missing)
        await self.calls.call(methods.DELETE_GROW_HOOK, request)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await self.delete(allow_missing=True)
