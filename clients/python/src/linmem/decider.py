"""A function that decides about growth, kept on a stream by threads.

Owns: `Decider` of the blocking half. Law: it comes back after every end of its stream but one that says
that it may not; a function that raises has answered nothing, so that the hook's time-out decides, and is
logged. Questions are answered side by side, up to `workers` of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from typing_extensions import Self

from linmem.calls import Calls
from linmem.deciding import Question, Verdict, may_come_back
from linmem.errors import LinmemError
from linmem.hooks import Answers

Decide = Callable[[Question], Verdict]
logger = logging.getLogger("linmem")
#: The shortest pause before a decider comes back, in seconds.
SHORTEST_PAUSE = 0.02


class Decider:
    """Answers every question of a hook as its function says, until `close` or until the hook is gone.
    From when it is made on it is asked."""

    def __init__(self, calls: Calls, hook_id: str, decide: Decide, workers: int = 8) -> None:
        self.hook_id = hook_id
        self.error: LinmemError | None = None
        """Why it decides no more, where that was not by `close`."""
        self._calls = calls
        self._decide = decide
        self._closed = threading.Event()
        self._pool = ThreadPoolExecutor(workers, f"linmem-decider-{hook_id}")
        self._answers = Answers(calls, hook_id).begin()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"linmem-{hook_id}")
        self._thread.start()

    def _run(self) -> None:
        policy = self._calls.retry
        pause = first = max(policy.first_pause, SHORTEST_PAUSE)
        while not self._closed.is_set():
            ended: LinmemError | None = None
            try:
                for heard in self._answers:
                    pause = first
                    if isinstance(heard, Question):
                        self._pool.submit(self._answer, self._answers, heard)
            except LinmemError as error:
                ended = error
            while not self._closed.is_set():
                if not may_come_back(ended):
                    self.error = ended
                    return
                if self._closed.wait(pause):
                    return
                pause = min(pause * 2, max(policy.longest_pause, first))
                try:
                    self._answers = Answers(self._calls, self.hook_id).begin()
                    break
                except LinmemError as error:
                    ended = error

    def _answer(self, answers: Answers, question: Question) -> None:
        try:
            answers.answer(question, self._decide(question))
        except Exception:
            logger.exception("no answer to a question of hook %s", self.hook_id)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it decides no more; whether it does not."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Decides no more. What it has not answered goes to another decider of the hook, or the failure
        policy decides."""
        self._closed.set()
        self._answers.close()
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()
