"""What the tests share: one daemon, and a client of each half.

Owns: the fixtures. Law: a test leaves no memory, hook, segment or set behind. Has no claims of its own.
"""

import pytest
from daemon import Daemon

import linmem
from linmem import aio


@pytest.fixture(scope="session")
def daemon():
    with Daemon() as running:
        yield running


@pytest.fixture
def client(daemon):
    with linmem.connect(daemon.endpoint, timeout=60) as connected:
        yield connected
        left = [one.memory_id for one in connected.memories()]
        left += [one.hook_id for one in connected.hooks()]
        left += [one.segment_id for one in connected.segments()]
        left += [one.set_id for one in connected.sets()]
        assert left == [], "left behind"


@pytest.fixture
async def aclient(daemon):
    async with aio.connect(daemon.endpoint, timeout=60) as connected:
        yield connected
        assert [one.memory_id async for one in connected.memories()] == [], "left behind"


@pytest.fixture
def memory(client):
    """A memory of two pages that may have eight."""
    with client.create(pages=2, maximum_pages=8) as made:
        yield made
