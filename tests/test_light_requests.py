"""Requests of an application that needs no asyncio are served without it, and go on once it is imported."""

import os
import signal
import sys
from typing import Any

import pytest

from harness import REPOSITORY, RawClient, Server
from harness.raw_client import encode_request

sys.path.insert(0, str(REPOSITORY / "benches"))
import weigh


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


def test_an_object_that_cannot_be_awaited_is_a_clear_error(light: Server) -> None:
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
    output = light.stdout.wait_for_end()
    assert "was told: http.disconnect" in output
    assert "cleaned up after None" in output
    assert "Traceback" not in light.stderr.wait_for_end()


def force_quit(started: Server) -> None:
    """The second signal: there is no time to tell anybody."""
    started.send_signal(signal.SIGINT)
    started.stderr.wait_for_line("Waiting for connections to close")
    started.interrupt_again()


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
    started.stderr.wait_for_end()
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

    weights = [serve(300)]
    # What is left behind is so each time; pages of files come and go as the machine likes.
    for _ in range(4):
        weights.append(serve(1500))
        if weights[-1] - weights[-2] < 300:
            return
    raise AssertionError(f"it grows and grows: {weights}")
