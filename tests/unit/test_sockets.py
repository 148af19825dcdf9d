"""A unit test that reaches for a network fails; one that only waits in an event loop does not."""

import asyncio
import socket

import pytest
from pytest_socket import SocketBlockedError

pytestmark = pytest.mark.unit


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
def test_unit_test_cannot_open_a_socket():
    with pytest.raises(SocketBlockedError):
        socket.create_connection(("127.0.0.1", 1))


def test_event_loops_still_run():
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert asyncio.run(answer()) == 42
