"""Hooks of growth in Python: every outcome that is promised, and what the daemon counts of it.

Owns: claims about `hooks` and `decider` of the blocking half against a daemon of their own. Law: what is
waited for is a message or a condition; each claim says what it adds to `grow_hook_events_total`.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from daemon import BOUND, Daemon, eventually

import linmem
from linmem import Cancelled, Question, Told, Withdrawn, aio
from linmem.reasons import GrowDenied, HookNotFound, MemoryNotFound

#: A connection of its own: others wait before they try an address anew that refused them.
OWN = [("grpc.use_local_subchannel_pool", 1)]
PHASES = {
    "allowed": "pre", "denied": "pre", "timeout": "pre", "absent": "pre", "withdrawn": "pre",
    "late": "pre", "duplicate": "pre", "unknown": "pre", "told": "post",
}


@pytest.fixture(scope="module")
def daemon():
    with Daemon() as own:
        yield own


@pytest.fixture
def counted(daemon):
    """Checks that a claim adds so many of each outcome and no other."""

    def now():
        return {
            outcome: daemon.metric("grow_hook_events_total", phase=phase, outcome=outcome)
            for outcome, phase in PHASES.items()
        }

    @contextmanager
    def counts(**added):
        before = now()
        wanted = {outcome: before[outcome] + added.get(outcome, 0) for outcome in PHASES}
        yield
        eventually(lambda: now() == wanted, f"wanted {added} more than {before}, have {now()}")

    return counts


def denied(call, cause, hook_id):
    with pytest.raises(GrowDenied) as refused:
        call()
    metadata = refused.value.metadata
    assert (metadata["cause"], metadata["hook_id"]) == (cause, hook_id), metadata
    return refused.value


def committed(client):
    return next(one.used for one in client.server_info().quotas if one.resource == "committed_bytes")


def hear(answers, kind):
    heard = answers.next()
    assert isinstance(heard, kind), heard
    return heard


def test_a_function_vetoes_growth_beyond_a_size(client, counted):
    with counted(allowed=2, told=2, denied=1), client.create_hook("cap", label_selector="capped"):
        seen = []

        @client.on_grow("cap")
        def at_most_four(question):
            seen.append(question)
            return True if question.requested_pages <= 4 else f"{question.requested_pages} > 4"

        with at_most_four, client.create(pages=1, maximum_pages=64, labels=["capped"]) as memory:
            before = committed(client)
            assert memory.grow(3) == 1
            assert "5 > 4" in denied(lambda: memory.grow(1), "DENIED", "cap").message
            assert memory.pages() == 4 and committed(client) - before == 3 * linmem.PAGE
            asked = seen[1]
            assert (asked.memory_id, asked.uid, asked.labels) == (memory.id, memory.uid, {"capped": ""})
            assert (asked.previous_pages, asked.requested_pages, asked.maximum_pages) == (1, 4, 64)
            assert 0 < asked.answer_within <= 1
            assert seen[0].previous_pages == 0


def test_a_decider_that_says_nothing_is_a_timeout_and_its_late_answer_changes_nothing(client, counted):
    with client.create_hook("mute", answer_timeout=0.2) as hook:
        with hook.answers() as answers, ThreadPoolExecutor() as pool, counted(timeout=1, late=1):
            begin = time.monotonic()
            growing = pool.submit(client.create, "never", pages=1)
            asked = hear(answers, Question)
            refused = denied(growing.result, "TIMEOUT", "mute")
            assert 0.2 <= time.monotonic() - begin < BOUND
            assert refused.retry is linmem.Retry.AFTER_CHANGE
            assert hear(answers, Withdrawn).id == asked.id
            answers.answer(asked, True)
            with pytest.raises(MemoryNotFound):
                client.memory("never").info()


def test_an_answer_too_late_twice_or_to_nothing_is_counted_and_ignored(client, counted):
    added = counted(allowed=1, told=1, unknown=1, duplicate=1)
    with client.create_hook("odd") as hook:
        with hook.answers() as answers, ThreadPoolExecutor() as pool, added:
            making = pool.submit(client.create, pages=1)
            asked = hear(answers, Question)
            answers.answer(99, False)
            answers.answer(asked, True)
            assert hear(answers, Told) == Told(asked.id, True)
            answers.answer(asked, False)
            with making.result(BOUND) as memory:
                assert memory.pages() == 1


def test_without_a_decider_fail_closed_grows_nothing(client, counted):
    with client.create(pages=1) as memory:
        with counted(absent=1), client.create_hook("closed"):
            denied(lambda: memory.grow(1), "ABSENT", "closed")
            assert memory.pages() == 1


def test_without_a_decider_fail_open_grows_and_so_it_does_in_time(client, counted):
    with client.create(pages=1) as memory:
        with counted(absent=1), client.create_hook("open", failure_policy="fail_open"):
            assert memory.grow(1) == 1
        hook = client.create_hook("slow", failure_policy="fail_open", answer_timeout=0.1)
        with counted(timeout=1), hook, hook.answers():
            assert memory.grow(1) == 2
        assert memory.pages() == 3


def test_the_last_decider_that_goes_leaves_its_question_to_the_policy(client, counted):
    with client.create(pages=1) as memory, counted(absent=1), client.create_hook("gone") as hook:
        with ThreadPoolExecutor() as pool:
            answers = hook.answers()
            growing = pool.submit(memory.grow, 1)
            hear(answers, Question)
            answers.close()
            denied(growing.result, "ABSENT", "gone")


async def test_a_caller_that_goes_takes_its_question_with_it(daemon, client, counted):
    with client.create(pages=1, maximum_pages=64) as memory, client.create_hook("patient") as hook:
        before = committed(client)
        # Counted while the stream is open: closed at once, it would take its last answer along.
        with hook.answers() as answers, counted(withdrawn=1, late=1):
            async with aio.connect(daemon.endpoint) as caller:
                import asyncio

                growing = asyncio.create_task(caller.memory(memory.id).grow(8))
                asked = await asyncio.to_thread(hear, answers, Question)
                assert committed(client) - before == 8 * linmem.PAGE, "it is paid for"
                growing.cancel()
                with pytest.raises((asyncio.CancelledError, Cancelled)):
                    await growing
            assert hear(answers, Withdrawn).id == asked.id
            answers.answer(asked, True)
            eventually(lambda: committed(client) == before, "the charge never came back")
        assert memory.pages() == 1


def test_while_one_growth_waits_others_grow_and_this_one_is_read_and_written(client, counted):
    with client.create(pages=1, maximum_pages=9, labels=["held"]) as held, client.create(pages=1) as free:
        hook = client.create_hook("held", label_selector="held", answer_timeout=10)
        asked, release = threading.Event(), threading.Event()
        with counted(allowed=1, told=1), hook, ThreadPoolExecutor() as pool:

            @client.on_grow("held")
            def decide(question):
                asked.set()
                return release.wait(BOUND)

            with decide:
                growing = pool.submit(held.grow, 2)
                assert asked.wait(BOUND)
                assert hook.info().open_questions == 1
                for size in range(1, 6):
                    assert free.grow(1) == size
                held[0:4] = b"here"
                assert held[0:4] == b"here" and len(held) == linmem.PAGE
                assert not growing.done()
                release.set()
                assert growing.result(BOUND) == 1 and held.pages() == 3


def test_one_decider_answers_many_questions_side_by_side(client):
    together = threading.Barrier(3, timeout=BOUND)
    with client.create_hook("many", answer_timeout=10), ThreadPoolExecutor() as pool:

        @client.on_grow("many")
        def decide(question):
            together.wait()

        with decide:
            making = [pool.submit(client.create, pages=1) for _ in range(3)]
            for made in making:
                made.result(BOUND).delete()


def test_a_function_that_raises_has_not_answered(client, counted, caplog):
    with counted(timeout=1), client.create_hook("broken", answer_timeout=0.1):

        @client.on_grow("broken")
        def decide(question):
            raise RuntimeError("no idea")

        with decide:
            denied(lambda: client.create(pages=1), "TIMEOUT", "broken")
        assert "no answer to a question of hook broken" in caplog.text


def test_a_decider_ends_when_its_hook_does(client):
    hook = client.create_hook("ends")
    decider = client.on_grow("ends")(lambda question: True)
    hook.delete()
    assert decider.wait(BOUND) and isinstance(decider.error, HookNotFound)
    decider.close()
    with pytest.raises(HookNotFound):
        client.on_grow("ends")(lambda question: True)


def test_a_decider_comes_back_after_a_restart():
    with Daemon() as first:
        client = linmem.connect(first.endpoint, timeout=BOUND)
        client.create_hook("again")
        decider = client.on_grow("again")(lambda question: "never")
        first.kill()
    with Daemon(listen=first.grpc) as second, client, decider:
        with linmem.connect(second.endpoint, options=OWN) as other:
            other.create_hook("again")
            # The hooks of RPCs end with the daemon: until the new one is there the decider is refused.
            eventually(lambda: decider.wait(0) or other.hook("again").info().streams)
            if decider.error is None:
                denied(lambda: other.create(pages=1), "DENIED", "again")
            else:
                assert isinstance(decider.error, HookNotFound)
