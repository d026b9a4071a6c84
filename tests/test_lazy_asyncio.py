"""With `--loop auto` there is no asyncio until somebody imports it; wherever that is, all works at once."""

from typing import Any

import pytest

from harness import RawClient, Server
from harness.raw_client import encode_request

EARLY = ("at app import", "in lifespan startup", "in an earlier thread")
LATE = ("before any await", "after receive()", "in a thread of the request")


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
    "task_group": [42, "one fails"],
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
    "import_machinery": {
        "finders": [],
        "loaders": ["SourceFileLoader", "SourceFileLoader"],
        "source": True,
        "reloaded": True,
        "current": True,
    },
    "descriptors": True,
}
"""What each says in the very request that imports asyncio."""


@pytest.mark.parametrize("truth", TRUTHS)
def test_asyncio_works_in_the_very_request_that_imports_it(started: Server, place: str, truth: str) -> None:
    assert ask(started, place, truth) == TRUTHS[truth]
    assert "Traceback" not in started.output


# --- the same request, further on


def test_a_body_that_arrives_later_reaches_a_task(started: Server, place: str) -> None:
    with started.connect() as client:
        client.send(b"POST /receive_in_a_task HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\nearly")
        if place != "after receive()":
            client.send(b"")
        started.stdout.wait_for_line("receives in a task")
        client.send(b"-thing!")
        assert client.read_response().json()[1] in ("early", "-thing!")


def test_requests_meet_at_an_event_a_queue_and_a_lock(started: Server, place: str) -> None:
    with begin(started, place, "wait_at_the_door") as at_the_door:
        started.stdout.wait_for_line("at the door")
        with started.connect() as taking:
            taking.send(encode_request("POST", "/take_a_thing", body=b""))
            started.stdout.wait_for_line("waits for a thing")
            assert started.post("/bring").json()[1] is True
            assert at_the_door.read_response().json()[1] == "open"
            assert taking.read_response().json()[1] == "a thing"


def test_context_of_one_request_is_not_that_of_the_next(started: Server, place: str) -> None:
    assert ask(started, place, "context") == TRUTHS["context"]
    assert started.post("/context", b"body").json()[1] == TRUTHS["context"]


@pytest.mark.parametrize("truth", ["fail", "fail_at_once"])
def test_an_exception_is_a_500_and_logged_once(started: Server, place: str, truth: str) -> None:
    with begin(started, place, truth) as client:
        assert client.read_response().status == 500
    started.stderr.wait_for_line("LookupError: ")
    assert started.post("/sleep", b"body").json()[1] is True
    assert len(started.stderr.matches("Exception in ASGI application")) == 1


def test_a_task_that_cancels_itself_and_returns_is_cancelled(started: Server, place: str) -> None:
    with begin(started, place, "cancel_itself_and_return") as client:
        assert client.read_response().text == "answered"
    assert started.stdout.wait_for_line("ended: (.*)")[1] == "cancelled"


def test_a_generator_left_open_is_closed_at_the_end(started: Server, place: str) -> None:
    assert ask(started, place, "leave_a_generator_open") == 1
    assert started.terminate() == 0
    assert "the generator was closed" in started.stdout.wait_for_end()


def test_a_request_is_cancelled_when_the_grace_period_ends(started: Server, place: str) -> None:
    with begin(started, place, "never_end"):
        started.stdout.wait_for_line("waits forever")
        assert started.terminate() == 0
    assert "cleaned up after CancelledError" in started.stdout.wait_for_end()
    started.stderr.wait_for_end()
    assert len(started.stderr.matches("Task cancelled, timeout graceful shutdown exceeded")) == 1


def test_a_request_hears_that_its_client_is_gone(started: Server, place: str) -> None:
    with begin(started, place, "disconnect") as client:
        if place != "after receive()":
            started.stdout.wait_for_line("listens")
        client.send(b"GET")
    started.stdout.wait_for_line("disconnected in Task")


def test_debug_mode_works(server: Any, place: str) -> None:
    debugged = server("lazy:app", env={"LAZY_PLACE": place, "PYTHONASYNCIODEBUG": "1"})
    assert ask(debugged, place, "debug_mode") == [True, 42, 2]


@pytest.mark.parametrize("truth", ["cancel_itself", "timeouts", "anyio_works", "task_group", "shield"])
def test_debug_mode_changes_nothing(server: Any, truth: str) -> None:
    debugged = server("lazy:app", env={"LAZY_PLACE": "before any await", "PYTHONASYNCIODEBUG": "1"})
    assert ask(debugged, "before any await", truth) == TRUTHS[truth]
