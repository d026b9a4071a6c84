"""With `--loop auto` there is no asyncio until somebody imports it; wherever that is, all works at once."""

import os
import signal
import sys
from typing import Any

import pytest

from harness import REPOSITORY, RawClient, Server
from harness.raw_client import encode_request

sys.path.insert(0, str(REPOSITORY / "benches"))
import weigh

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


# --- an application that needs no asyncio


@pytest.fixture
def light(server: Any) -> Server:
    return server("lazy_light:app", "--timeout-graceful-shutdown", "1")


def is_lazy(server: Server) -> bool:
    return server.get("/is_imported").json() is False


def listening(server: Server, route: str = "listen") -> RawClient:
    """A connection whose request waits in receive()."""
    client = server.connect()
    client.send(
        f"POST /{route} HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n".encode()
    )
    assert client.read_head().status == 100
    return client


def streaming(server: Server, query: str = "") -> RawClient:
    """A connection whose request waits in send()."""
    client = server.connect()
    client.send(encode_request("GET", f"/stream?{query}"))
    assert client.read_head().status == 200
    return client


def read_stream(client: RawClient) -> tuple[int, bytes]:
    """How much came before the last chunk, and that."""
    chunks = []
    while chunk := client.read_chunk():
        chunks.append(chunk)
    return sum(map(len, chunks[:-1])), chunks[-1]


def test_asyncio_is_not_imported_by_serving(light: Server) -> None:
    for route in ("use_contextmanagers", "yield_none", "return_a_value"):
        assert light.get(f"/{route}").status == 200
    with streaming(light) as client:
        assert read_stream(client) == (10_000_000, b"never")
    assert light.get("/fail_later").status == 500
    assert is_lazy(light)
    assert light.terminate() == 0
    assert "Finished server process" in light.stderr.wait_for_end()


def test_a_worker_without_asyncio_weighs_less(server: Any) -> None:
    def weight(started: Server) -> int:
        assert started.get("/is_imported").status == 200
        return weigh.weigh_process(started.worker_pids()[0]).private_dirty

    without, with_it = server("lazy_light:app"), server("lazy_light:app")
    assert with_it.get("/import_it").json() is True
    assert weight(without) < 0.8 * weight(with_it)


def test_context_does_not_leak(light: Server) -> None:
    assert [light.get("/mark_context").json() for _ in range(3)] == ["unset"] * 3


def test_context_set_before_the_coroutine_is_made_does_not_leak(server: Any) -> None:
    started = server("lazy_light:marks_before_it_awaits")
    assert [started.get("/").json() for _ in range(3)] == ["unset"] * 3


@pytest.mark.parametrize("route", ["fail", "fail_later", "import_and_fail"])
def test_an_exception_without_asyncio_is_a_500_and_logged_once(light: Server, route: str) -> None:
    assert light.get(f"/{route}").status == 500
    light.stderr.wait_for_line("LookupError: ")
    assert light.get("/is_imported").status == 200
    assert len(light.stderr.matches("Exception in ASGI application")) == 1


@pytest.mark.parametrize("query", ["", "?import"])
def test_a_value_that_is_returned_is_complained_of(server: Any, query: str) -> None:
    started = server("lazy_light:returns_something")
    assert started.get(f"/{query}").status == 200
    started.stderr.wait_for_line(r"ASGI callable should return None, but returned '\('a', 'tuple'\)'")


def test_an_object_that_nobody_can_await_is_a_clear_error(light: Server) -> None:
    assert light.get("/yield_an_object").status == 500
    light.stderr.wait_for_line("RuntimeError: .*yielded.*an object")
    light.stdout.wait_for_line("the coroutine was closed")


def test_yielding_none_gives_others_a_turn(light: Server) -> None:
    assert light.get("/yield_none").json() == [None, None]
    with light.connect() as spinning:
        spinning.send(encode_request("GET", "/spin_until_flag"))
        light.stdout.wait_for_line("spins")
        assert light.get("/set_flag").json() is True
        assert spinning.read_response().json() is True


def test_a_light_request_hears_that_its_client_is_gone(light: Server) -> None:
    with light.connect() as client:
        client.send(encode_request("GET", "/wait_for_the_end"))
        light.stdout.wait_for_line("listens")
    light.stdout.wait_for_line("disconnected$")
    assert is_lazy(light)


def test_a_light_request_is_told_of_the_end_of_the_grace_period(light: Server) -> None:
    with light.connect() as client:
        client.send(encode_request("GET", "/never_end"))
        light.stdout.wait_for_line("was told: http.request")
        assert light.terminate() == 0
    assert "was told: http.disconnect" in light.stdout
    assert "cleaned up after None" in light.stdout
    assert "Traceback" not in light.stderr


def force_quit(started: Server) -> None:
    """The second signal: there is no time to tell anybody."""
    started.send_signal(signal.SIGINT)
    started.stderr.wait_for_line("Waiting for connections to close")
    started.send_signal(signal.SIGINT)
    started.wait()


@pytest.mark.parametrize("is_imported", [False, True], ids=["without asyncio", "imported while it waited"])
def test_a_light_request_is_closed_when_there_is_no_time_left(server: Any, is_imported: bool) -> None:
    started = server("lazy_light:app", "--timeout-graceful-shutdown", "20")
    with started.connect() as client:
        client.send(encode_request("GET", "/never_end"))
        started.stdout.wait_for_line("was told: http.request")
        if is_imported:
            assert started.get("/import_it").json() is True
        force_quit(started)
    output = started.stdout.wait_for_end()
    assert "the generator was closed" in output
    assert "cleaned up after <class" in output
    assert len(started.stderr.matches("Task cancelled, timeout graceful shutdown exceeded")) == 1


def test_a_light_request_is_closed_in_its_own_context(server: Any) -> None:
    started = server("lazy_light:app", "--timeout-graceful-shutdown", "20")
    with started.connect() as client:
        client.send(encode_request("GET", "/never_end"))
        started.stdout.wait_for_line("was told: http.request")
        force_quit(started)
    assert "in the context of the request: set" in started.stdout.wait_for_end()
    assert "different Context" not in started.stderr.wait_for_end()


def test_what_waits_while_asyncio_is_imported_goes_on_as_a_task(light: Server) -> None:
    with listening(light) as listener, streaming(light) as streamer:
        assert light.get("/import_it").json() is True
        listener.send(b"body")
        assert listener.read_response().json() == ["body", True]
        assert read_stream(streamer) == (20_000_000, b"true")


def test_a_timer_of_a_request_that_became_a_task_comes_due(light: Server) -> None:
    """Nothing else happens that would wake the loop."""
    with listening(light) as listener:
        assert light.get("/import_it").json() is True
        light.get("/is_imported")
        listener.send(b"body")
        assert listener.read_response().json() == ["body", True]


def test_a_stream_begun_before_the_import_goes_on_after_it(light: Server) -> None:
    with streaming(light, "import") as client:
        assert is_lazy(light)
        assert read_stream(client) == (20_000_000, b"true")


def test_what_waits_is_told_of_the_disconnect_though_asyncio_was_imported_meanwhile(light: Server) -> None:
    with light.connect() as client:
        client.send(encode_request("GET", "/wait_for_the_end"))
        light.stdout.wait_for_line("listens")
        assert light.get("/import_it").json() is True
    light.stdout.wait_for_line("disconnected, asyncio$")


def test_asyncio_may_be_imported_by_a_signal_handler_while_the_server_is_idle(light: Server) -> None:
    assert is_lazy(light)
    os.kill(light.worker_pids()[0], signal.SIGUSR2)
    light.stdout.wait_for_line("asyncio was imported by a signal handler")
    assert light.get("/is_a_task").json() is True


def test_asyncio_may_be_imported_by_a_thread_while_the_server_is_idle(server: Any) -> None:
    reading, writing = os.pipe()
    try:
        started = server("lazy_light:app", env={"LAZY_SIGNAL": str(reading)}, pass_fds=[reading])
    finally:
        os.close(reading)
    assert started.get("/import_it_in_a_thread_later").json() is True
    os.close(writing)
    started.stdout.wait_for_line("imported in a thread")
    assert started.get("/is_a_task").json() is True


def test_looking_for_asyncio_is_not_importing_it(light: Server) -> None:
    assert light.get("/look_for_it_and_then_use_it").json() == ["asyncio", True, True]


@pytest.mark.parametrize(("route", "answer"), [("use_anyio", True), ("use_sniffio", "asyncio")])
def test_libraries_that_import_asyncio_only_when_they_find_it_find_it(
    light: Server, route: str, answer: object
) -> None:
    assert light.get(f"/{route}").json() == answer


@pytest.mark.parametrize("route", ["leave", "leave_later", "import_and_leave"])
def test_an_exit_from_a_light_request_is_a_500_and_logged_once(light: Server, route: str) -> None:
    with light.connect() as client:
        client.send(encode_request("POST", f"/{route}", body=b"body"))
        assert client.read_response().status == 500
    light.stderr.wait_for_line("SystemExit: 7")
    assert light.get("/is_imported").status == 200
    assert len(light.stderr.matches("Exception in ASGI application")) == 1


def test_thousands_of_waiting_requests_leave_nothing_behind(light: Server) -> None:
    def serve(times: int) -> int:
        for _ in range(times):
            with listening(light, "wait_for_body") as client:
                client.send(b"body")
                assert client.read_response().json() == "body"
        return weigh.weigh_process(light.worker_pids()[0]).rss

    before = serve(300)
    assert serve(1500) - before < 300
