"""The asyncio half does what the blocking half does.

Owns: claims about `linmem.aio`. Law: what is written once is tested once, in the other files; here is
what differs, and one claim for every kind of thing. No task outlives its test.
"""

import asyncio
import inspect

import numpy as np
import pytest
from daemon import BOUND, Daemon

import linmem
from linmem import PAGE, Compacted, Happened, Packed, Question, SessionOver, SnapshotEnd, Started, aio, op
from linmem.errors import LinmemError
from linmem.reasons import GrowDenied, MemoryNotFound, OutOfBounds


def test_both_halves_have_the_same_names():
    # `Asked` is a future of either kind.
    for name in set(aio.__all__) - {"Asked"}:
        blocking, awaited = getattr(linmem, name), getattr(aio, name)
        assert inspect.getdoc(blocking) or name == "connect"
        if inspect.isclass(blocking):
            public = {one for one in dir(blocking) if not one.startswith("_")}
            here = {one for one in dir(awaited) if not one.startswith("_")}
            # Python awaits neither `bytes` nor an assignment, and a decider begins.
            assert here - public <= {"begin", "set", "tobytes"}, (name, here - public)
            assert public <= here, (name, public - here)


async def test_bytes_numbers_strings_and_arrays(aclient):
    async with await aclient.create(pages=2, maximum_pages=4) as memory:
        await memory.set(slice(0, 5), b"hello")
        await memory.set(-1, 9)
        assert await memory[0:5] == b"hello" and await memory[-1] == 9
        assert await memory[4::-2] == b"olh" and len(await memory.tobytes()) == 2 * PAGE
        await memory.set(slice(0, 6, 2), b"HLO")
        assert await memory[:5] == b"HeLlO"
        with pytest.raises(IndexError):
            await memory[2 * PAGE]
        await memory.store("f64", 8, 0.5)
        assert await memory.load("f64", 8) == 0.5 and await memory.unpack_from("<d", 8) == (0.5,)
        assert await memory.atomic_add(16, 3, 8) == 0 and await memory.atomic_load(16, 8) == 3
        await memory.write_cstring(32, b"text")
        assert await memory.read_cstring(32) == b"text"
        await memory.write_prefixed(32, b"more", 2)
        assert await memory.read_prefixed(32, 2) == b"more"
        await memory.put_ndarray(64, np.arange(12, dtype="<u2").reshape(3, 4))
        assert (await memory.ndarray(66, (3, 2), "<u2", (8, 4)) == [[1, 3], [5, 7], [9, 11]]).all()
        assert await memory.execute([op.read(0, 2), op.size()]) == [b"He", 2]
        assert await memory.execute_packed(Packed().read(0, 2).size()) == [b"He", 2]
        assert await memory.grow(1) == 2 and await memory.pages() == 3
        with pytest.raises(OutOfBounds):
            await memory.read(3 * PAGE, 1)


async def test_streams_of_any_length_and_of_any_source(aclient):
    async def source():
        for number in range(3):
            yield bytes([number]) * PAGE

    async def broken():
        yield b"first"
        raise RuntimeError("the source broke")

    async with await aclient.create(pages=80) as memory:
        assert (await memory.upload(source())).bytes_written == 3 * PAGE
        data = b"".join(bytes([number]) * PAGE for number in range(80))
        await memory.set(slice(None), data)
        assert await memory.tobytes() == data
        chunks = [chunk async for chunk in memory.download(0, 3 * PAGE, chunk_bytes=PAGE)]
        assert chunks == [data[at : at + PAGE] for at in (0, PAGE, 2 * PAGE)]
        with pytest.raises(RuntimeError, match="the source broke"):
            await memory.upload(broken())
        with pytest.raises(OutOfBounds) as refused:
            await memory.upload(source(), 78 * PAGE)
        assert refused.value.number("bytes_written") == 2 * PAGE


async def test_calls_run_side_by_side(aclient):
    made = await asyncio.gather(*(aclient.create(pages=1) for _ in range(20)))
    await asyncio.gather(*(one.write(0, one.id.encode()) for one in made))
    read = await asyncio.gather(*(one.read(0, len(one.id)) for one in made))
    assert read == [one.id.encode() for one in made]
    listed = [one.memory_id async for one in aclient.memories()]
    assert sorted(one.id for one in made) == listed
    await asyncio.gather(*(one.delete() for one in made))


async def test_who_waits_is_woken(aclient):
    async with await aclient.create(pages=1, maximum_pages=1, shared=True) as flags:
        parked = asyncio.create_task(flags.wait(0, 0))

        async def wake():
            while not await flags.notify(0):
                pass

        await asyncio.wait_for(wake(), BOUND)
        assert await asyncio.wait_for(parked, BOUND) == "ok"


async def test_a_session_answers_its_groups_waits_and_cancels(aclient):
    async with await aclient.create(pages=1, maximum_pages=1, shared=True) as memory:
        async with await aclient.session() as session:
            attached = session.attach(memory)
            sums = [attached.execute_one(op.atomic_rmw("add", 0, 1)) for _ in range(300)]
            each = attached.execute_each([op.read(PAGE, 1), op.read(0, 4)])
            assert await asyncio.gather(*sums) == list(range(300))
            failed, read = await each
            assert isinstance(failed, OutOfBounds) and read == (300).to_bytes(4, "little")
            assert await attached.execute_packed(Packed().size()) == [1]
            woken, parked = attached.wait(8, 0), attached.wait(16, 0)
            # A wait is parked beside the groups, not before those sent after it.
            while await attached.execute([op.notify(8)]) == [0]:
                pass
            assert await asyncio.wait_for(woken, BOUND) == "ok"
            await attached.cancel_wait(parked)
            assert await parked == "cancelled" and (await attached.ready)[0] == memory.uid
            with pytest.raises(MemoryNotFound):
                await session.attach("absent").ready
            await attached.detach()
        with pytest.raises(LinmemError):
            attached.execute_one(op.size())


async def test_a_session_that_is_cancelled_tells_who_waits(aclient):
    async with await aclient.create(pages=1, maximum_pages=1, shared=True) as memory:
        session = await aclient.session()
        parked = session.attach(memory).wait(0, 0)
        session.cancel()
        with pytest.raises(LinmemError):
            await asyncio.wait_for(parked, BOUND)
        await session.close()


async def test_a_drain_ends_a_session_and_a_watch():
    with Daemon() as own:
        async with aio.connect(f"unix://{own.socket}") as client:
            session = await client.session()
            events = client.events(patience=0.01)
            assert isinstance(await anext(events), Started)
            await client.drain()
            with pytest.raises((linmem.reasons.Draining, linmem.ConnectionLost)):
                async for _item in events:
                    pass
            await asyncio.wait_for(session.close(), BOUND)
            assert session.go_away is not None and session.go_away.drain
            with pytest.raises(SessionOver):
                session.attach("m")
        assert await asyncio.to_thread(own.process.wait, BOUND) == 0


async def test_events_resume_and_tell_of_the_gap_of_a_restart():
    with Daemon() as first:
        client = aio.connect(first.endpoint)
        events = client.events(snapshot=True, patience=BOUND)
        assert isinstance(await anext(events), Started)
        assert isinstance(await anext(events), SnapshotEnd)
        await (await client.create("short")).delete()
        assert [(await anext(events)).kind for _ in range(2)] == ["created", "deleted"]
        first.kill()
        with Daemon(listen=first.grpc):
            async with client, events:
                items = [await anext(events) for _ in range(3)]
                assert [type(item) for item in items] == [Compacted, Started, SnapshotEnd]


async def test_a_watch_ends_with_its_task_and_by_close(aclient):
    async with aclient.events() as events:
        await anext(events)
        waiting = asyncio.create_task(anext(events))
        done, _pending = await asyncio.wait([waiting], timeout=0.01)
        assert not done
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    events = aclient.events()
    await anext(events)
    listening = asyncio.create_task(_all(events))
    events.close()
    assert await asyncio.wait_for(listening, BOUND) == []


async def _all(events):
    return [item async for item in events if isinstance(item, Happened)]


async def test_a_coroutine_decides_about_growth_side_by_side(aclient):
    hook = await aclient.create_hook("aio", label_selector="hooked", answer_timeout=10)
    together = asyncio.Event()
    asked = []

    @aclient.on_grow("aio")
    async def decide(question):
        asked.append(question.memory_id)
        if len(asked) == 2:
            together.set()
        await together.wait()
        return "too large" if question.requested_pages > 2 else None

    async with hook, decide:
        made = await asyncio.gather(*(aclient.create(pages=1, labels=["hooked"]) for _ in range(2)))
        with pytest.raises(GrowDenied, match="too large"):
            await made[0].grow(2)
        assert await made[1].grow(1) == 1
        await asyncio.gather(*(one.delete() for one in made))


async def test_a_stream_of_answers_hears_and_answers(aclient):
    async with await aclient.create_hook("raw") as hook, await hook.answers() as answers:
        growing = asyncio.create_task(aclient.create(pages=1))
        question = await answers.next()
        assert isinstance(question, Question) and (await hook.info()).open_questions == 1
        await answers.answer(question, True)
        told = await answers.next()
        assert told == linmem.Told(question.id, True)
        await (await growing).delete()
        await answers.done()
        assert [heard async for heard in answers] == []


async def test_views_segments_and_sets(aclient):
    async with await aclient.create(pages=1) as memory:
        async with await memory.view(0, 4) as view:
            await memory.write(0, b"seen")
            assert await view.refresh() and view.data == b"seen"
        await aclient.put_segment(b"bytes", "s")
        await memory.init("s", 1, 8, 3)
        assert await memory[8:11] == b"yte"
        assert [one.segment_id async for one in aclient.segments()] == ["s"]
        await aclient.drop_segment("s")
    made = await aclient.create_set([linmem.client.memory_pb2.MemorySpec(initial_pages=1)])
    assert await aclient.members(made)[0][0] == 0
    await aclient.delete_set(made.set_id)
