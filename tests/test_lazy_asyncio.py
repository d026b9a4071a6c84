"""With `--loop auto` there is no asyncio until somebody imports it; wherever that is, all works at once."""

import re
import signal
from typing import Any

import pytest

from harness import RawClient, Server
from harness.raw_client import encode_request

EARLY = ("at app import", "in lifespan startup", "in an earlier thread")
LATE = ("before any await", "after receive()", "in a thread of the request")

IN_THE_REQUEST = ("before any await", "after receive()")


@pytest.fixture(params=[*EARLY, *LATE])
def place(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def started(server: Any, place: str) -> Server:
    return server("lazy:app", "--timeout-graceful-shutdown", "1", env={"LAZY_PLACE": place})


def begin(started: Server, place: str, truth: str) -> RawClient:
    """A connection on which the truth has been asked for."""
    client = started.connect()
    if place != "after receive()":
        client.send(encode_request("GET", f"/{truth}"))
        return client
    head = f"POST /{truth} HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n"
    client.send(head.encode())
    # The application waits in receive() from here on.
    assert client.read_head().status == 100
    client.send(b"body")
    return client


def ask(started: Server, place: str, truth: str) -> Any:
    with begin(started, place, truth) as client:
        response = client.read_response()
    assert response.status == 200, started.output
    was_lazy, answer = response.json()
    assert was_lazy == (place in LATE), "asyncio was imported elsewhere than this test is about"
    return answer


TRUTHS = {
    "current_task": [True, True, False, 0],
    "running_loop": [True, True, False],
    "sleep": True,
    "child_tasks": [2, [4, 6], 8],
    "task_group": [42, "one fails", 0],
    "timeouts": [2, "timeout", "no time at all", "wait_for"],
    "timeout_first": "timeout",
    "wait_for_cancels": [True],
    "threads": [[True, "set before the import"], 42],
    "callbacks": ["first", "from nearby", "second", "third"],
    "reader": "hello",
    "streams": "HELLO\n",
    "subprocess": ["HELLO", 0],
    "cancel_itself": [["a message"], 0],
    "cancel_itself_while_a_child_is_awaited": ["the child", 0],
    "cancel_itself_and_then_await_a_child": True,
    "shield": [False, 42],
    "context": ["set before the import", "set before the import", "set after"],
    "anyio_works": ["asyncio", True, 42],
    "anyio_cancels_first": True,
    "anyio_scope_of_this_task_cancelled_by_another": [True, 0],
    "receive_that_is_given_up": [False, True],
    "loop_in_a_thread": [42, 2, True],
    "policy": [True, False],
    "describe_itself": {
        "repr": True,
        "is a coroutine": True,
        "state": "CORO_RUNNING",
        "stack": True,
        "name": "app",
    },
    "descriptors": True,
}
"""What each says in the very request that imports asyncio."""


@pytest.mark.parametrize("truth", TRUTHS)
def test_asyncio_works_in_the_very_request_that_imports_it(started: Server, place: str, truth: str) -> None:
    assert ask(started, place, truth) == TRUTHS[truth]
    assert "Traceback" not in started.output
