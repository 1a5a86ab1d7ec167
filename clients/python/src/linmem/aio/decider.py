"""A function that decides about growth, kept on a stream by a task.

Owns: `Decider` of the asyncio half. Law: that of `linmem.decider`: it comes back, and a function that
raises has answered nothing. Every question has a task of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

from typing_extensions import Self

from linmem.aio.calls import Calls
from linmem.aio.hooks import Answers
from linmem.deciding import Question, Verdict, may_come_back
from linmem.errors import LinmemError

Decide = Callable[[Question], Verdict | Awaitable[Verdict]]
logger = logging.getLogger("linmem")
#: The shortest pause before a decider comes back, in seconds.
SHORTEST_PAUSE = 0.02


class Decider:
    """Answers every question of a hook as its function says, until `close` or until the hook is gone.
    It is asked from `begin` on, or within `async with`. The function may be a coroutine function."""

    def __init__(self, calls: Calls, hook_id: str, decide: Decide) -> None:
        self.hook_id = hook_id
        self.error: LinmemError | None = None
        """Why it decides no more, where that was not by `close`."""
        self._calls = calls
        self._decide = decide
        self._asked: set[asyncio.Task[None]] = set()
        self._answers = Answers(calls, hook_id)
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def begin(self) -> Self:
        """From when this returns on it is asked."""
        await self._answers.begin()
        self._task = asyncio.create_task(self._run())
        return self

    async def _run(self) -> None:
        policy = self._calls.retry
        pause = first = max(policy.first_pause, SHORTEST_PAUSE)
        while not self._closed:
            ended: LinmemError | None = None
            try:
                async for heard in self._answers:
                    pause = first
                    if isinstance(heard, Question):
                        task = asyncio.create_task(self._answer(self._answers, heard))
                        self._asked.add(task)
                        task.add_done_callback(self._asked.discard)
            except LinmemError as error:
                ended = error
            while not self._closed:
                if not may_come_back(ended):
                    self.error = ended
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, max(policy.longest_pause, first))
                self._answers = Answers(self._calls, self.hook_id)
                try:
                    await self._answers.begin()
                    break
                except LinmemError as error:
                    ended = error

    async def _answer(self, answers: Answers, question: Question) -> None:
        try:
            said = self._decide(question)
            verdict = await said if inspect.isawaitable(said) else said
            await answers.answer(question, verdict)
        except Exception:
            logger.exception("no answer to a question of hook %s", self.hook_id)

    async def wait(self) -> None:
        """Waits until it decides no more."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Decides no more. What it has not answered goes to another decider of the hook, or the failure
        policy decides."""
        self._closed = True
        self._answers.close()
        tasks = [*self._asked, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def __aenter__(self) -> Self:
        return self if self._task is not None else await self.begin()

    async def __aexit__(self, *_failure: object) -> None:
        await self.close()
