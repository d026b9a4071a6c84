"""Limits on clients: sizes, times and numbers, each with the answer that names it."""

import socket
import time
from contextlib import ExitStack

import pytest

from harness import RawClient, Server, command_line, run
from harness.journal import until
from harness.raw_client import encode_request
from harness.scripted import Scripted, body, start

SHORT = "1"
"""Seconds of a limit that a test waits for."""


def answer(server: Server, sent: bytes, method: str = "GET") -> int:
    with server.connect() as client:
        client.send(sent)
        return client.read_response(method).status


def hold(server: Server, stack: ExitStack) -> RawClient:
    """A request that is served until its connection is closed."""
    client = stack.enter_context(server.connect())
    client.send(encode_request("GET", "/until-gone"))
    return client


def crowd(server: Server, stack: ExitStack, limit: int) -> tuple[list[RawClient], RawClient]:
    """As many requests in progress as there may be connections, and one more, which has to wait."""
    held = [hold(server, stack) for _ in range(limit)]
    server.stdout.wait_for_line("request of a patient client began", times=limit)
    waiting = stack.enter_context(server.connect())
    waiting.send(encode_request("GET", "/"))
    server.stderr.wait_for_line("Connection limit reached")
    return held, waiting


# --- heads


def test_a_head_may_be_as_large_as_allowed_and_no_larger(server) -> None:
    started = server("hello:app", "--max-head-size", "4096")
    assert started.get("/", {"a": "x" * 3900}).status == 200
    assert started.get("/", {"a": "x" * 4096}).status == 431


def test_a_head_may_have_so_many_fields(server) -> None:
    fields = [("a", "b")] * 127
    started = server("hello:app")
    assert started.get("/", fields).status == 200
    assert started.get("/", [*fields, ("a", "b")]).status == 431
    few = server("hello:app", "--max-headers", "2")
    assert few.get("/", fields[:1]).status == 200
    assert few.get("/", fields[:2]).status == 431
    many = server("hello:app", "--max-headers", "1000")
    assert many.get("/", fields * 7).status == 200


def test_a_target_may_be_so_long(server) -> None:
    default = server("hello:app")
    assert default.get("/" + "x" * 32_767).status == 200
    assert default.get("/" + "x" * 32_768).status == 414
    short = server("hello:app", "--max-target-size", "100")
    assert short.get("/?" + "x" * 98).status == 200
    assert short.get("/?" + "x" * 99).status == 414


def test_a_target_without_an_end_is_refused_before_it_has_filled_the_head(server) -> None:
    started = server("hello:app", "--max-target-size", "1000")
    assert answer(started, b"GET /" + b"x" * 2000) == 414


def test_a_slow_head_is_answered_408(server) -> None:
    started = server("hello:app", "--timeout-header-read", SHORT)
    assert answer(started, b"GET / HTTP/1.1\r\nhost: a\r\n") == 408


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--max-headers", "0"),
        ("--max-headers", "10001"),
        ("--limit-connections", "0"),
        ("--limit-concurrency", "0"),
        ("--timeout-body-read", "0"),
        ("--timeout-write", "soon"),
        ("--max-body-size", "many"),
    ],
)
def test_a_limit_that_makes_no_sense_is_wrong_usage(flag: str, value: str) -> None:
    ended = run("hello:app", flag, value)
    assert ended.returncode == 2
    assert flag in ended.stderr


# --- bodies


@pytest.fixture
def scripted(server):
    return lambda *flags: Scripted(server("http_script:app", *flags))


def chunks(*sizes: int) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (size, b"x" * size) for size in sizes)


def test_a_body_that_says_it_is_too_large_never_reaches_the_application(server) -> None:
    started = server("mirror:app", "--max-body-size", "1K")
    assert started.post("/body", b"x" * 1024).status == 200
    head = b"POST /until-gone HTTP/1.1\r\nhost: a\r\ncontent-length: 1025\r\nexpect: 100-continue\r\n\r\n"
    # Not even 100 Continue comes before it.
    assert answer(started, head, "POST") == 413
    assert "patient client" not in started.stdout.text


def test_chunks_are_counted(server) -> None:
    started = server("mirror:app", "--max-body-size", "1K")
    head = b"POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    assert answer(started, head + chunks(1000, 24) + b"0\r\n\r\n") == 200
    assert answer(started, head + chunks(1000, 25)) == 413


def test_a_response_that_has_begun_is_cut_when_its_request_grows_too_large(scripted) -> None:
    server = scripted("--max-body-size", "10")
    script = server.script(start(200), body(b"begun", more=True), ("receive",), ("receive",))
    with server.server.connect() as client:
        client.send(script.encode("POST", [("transfer-encoding", "chunked")]) + chunks(5))
        assert client.read_head().status == 200
        assert client.read_chunk() == b"begun"
        client.send(chunks(6))
        assert client.is_closed_by_server()
    assert script.journal()[-1]["type"] == "http.disconnect"


def test_a_body_that_stops_coming_is_answered_408(scripted) -> None:
    server = scripted("--timeout-body-read", SHORT)
    script = server.script(("receive",), ("receive",))
    with server.server.connect() as client:
        client.send(script.encode("POST", [("content-length", "10")]) + b"12345")
        assert client.read_response().status == 408
    assert script.journal()[-1]["type"] == "http.disconnect"


def test_a_body_that_keeps_coming_has_all_the_time_it_wants(server) -> None:
    limit = 2.5
    started = server("mirror:app", "--timeout-body-read", str(limit))
    with started.connect() as client:
        client.send(b"POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 14\r\n\r\n")
        # A pause is far from the limit, on a busy machine too; all of them are beyond it.
        client.socket.settimeout(limit / 12)
        for _ in range(14):
            with pytest.raises(TimeoutError):
                client.socket.recv(1)
            client.send(b"x")
        client.socket.settimeout(10)
        assert client.read_response().status == 200


def test_an_application_that_takes_its_time_is_not_a_slow_client(scripted) -> None:
    server = scripted("--timeout-body-read", SHORT)
    script = server.script(("wait", "go"), ("receive",), start(200), body(b"done"))
    with server.server.connect() as client:
        client.send(script.encode("POST", data=b"x" * 200_000))
        client.socket.settimeout(float(SHORT) * 2)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(10)
        script.signal("go")
        assert client.read_response().status == 200


# --- requests in flight


def test_more_requests_than_allowed_are_told_to_come_back(server) -> None:
    started = server("mirror:app", "--limit-concurrency", "2")
    with ExitStack() as stack:
        first = hold(started, stack)
        hold(started, stack)
        started.stdout.wait_for_line("request of a patient client began", times=2)
        refused = started.get("/")
        assert (refused.status, refused.header("retry-after")) == (503, "1")
        started.stderr.wait_for_line("Exceeded concurrency limit")
        first.close()
        until(lambda: started.get("/").status == 200)


def test_idle_connections_are_no_requests(server) -> None:
    started = server("mirror:app", "--limit-concurrency", "1")
    with ExitStack() as stack:
        for _ in range(5):
            assert stack.enter_context(started.connect()).get("/").status == 200


# --- connections


def test_connections_beyond_the_limit_wait_and_are_served(server) -> None:
    started = server("mirror:app", "--limit-connections", "3")
    with ExitStack() as stack:
        held, waiting = crowd(started, stack, 3)
        waiting.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            waiting.socket.recv(1)
        waiting.socket.settimeout(10)
        held[0].close()
        assert waiting.read_response().status == 200


def test_the_longest_idle_connection_makes_room(server) -> None:
    started = server("mirror:app", "--limit-connections", "2", "--timeout-keep-alive", "60")
    with ExitStack() as stack:
        clients = [stack.enter_context(started.connect()) for _ in range(2)]
        for client in clients:
            assert client.get("/").status == 200
        third = stack.enter_context(started.connect())
        assert third.get("/").status == 200
        assert clients[0].is_closed_by_server()
        assert clients[1].get("/").status == 200


def with_descriptors(count: int) -> list[str]:
    """The server, where a process may have so many descriptors."""
    return ["sh", "-c", f'ulimit -n {count}; exec "$@"', "sh", *command_line()]


def test_a_worker_without_descriptors_goes_on_accepting_when_there_are_some(server) -> None:
    flags = ("--limit-connections", "1000", "--no-access-log")
    started = server("mirror:app", *flags, command=with_descriptors(64))
    with ExitStack() as stack:
        held = [hold(started, stack) for _ in range(80)]
        started.stderr.wait_for_line("Cannot accept connections: Too many open files")
        for client in held:
            client.close()
        assert started.get("/").status == 200
    assert len(started.stderr.matches("Cannot accept connections")) == 1


def test_idle_connections_give_their_descriptors_to_new_ones(server) -> None:
    flags = ("--limit-connections", "1000", "--timeout-keep-alive", "60")
    started = server("mirror:app", *flags, command=with_descriptors(64))
    with ExitStack() as stack:
        for _ in range(150):
            assert stack.enter_context(started.connect(timeout=40)).get("/").status == 200


@pytest.mark.parametrize(("descriptors", "connections"), [(96, 48), (160, 96)])
def test_by_default_some_descriptors_are_left_to_the_application(
    server, descriptors: int, connections: int
) -> None:
    started = server("mirror:app", command=with_descriptors(descriptors))
    with ExitStack() as stack:
        held, waiting = crowd(started, stack, connections)
        held[0].socket.shutdown(socket.SHUT_RDWR)
        assert waiting.read_response().status == 200


def silent(started: Server, stack: ExitStack, count: int, beginning: bytes = b"GET / HT") -> list[RawClient]:
    """Clients that connect and say nothing, and then one that begins to say something."""
    clients = [stack.enter_context(started.connect(timeout=40)) for _ in range(count)]
    clients[-1].send(beginning)
    return clients


@pytest.mark.parametrize("encrypted", [False, True])
def test_silent_connections_make_room_the_oldest_first(server, authority, encrypted: bool) -> None:
    flags = authority.flags if encrypted else ()
    tls = authority.trusting() if encrypted else None
    started = server("mirror:app", "--limit-connections", "20", *flags)
    with ExitStack() as stack:
        clients = silent(started, stack, 20, b"\x16\x03\x01" if encrypted else b"GET / HT")
        begun = time.monotonic()
        new = stack.enter_context(started.connect(timeout=40, tls=tls))
        assert new.get("/").status == 200
        assert time.monotonic() - begun < 20, "a head may take 30 s"
        assert clients[0].is_closed_by_server()
        for other in (clients[1], clients[-1]):
            other.socket.settimeout(0.1)
            with pytest.raises(TimeoutError):
                other.socket.recv(1)


def test_half_heads_make_room_when_nothing_else_is_left(server) -> None:
    started = server("mirror:app", "--limit-connections", "2")
    with ExitStack() as stack:
        clients = [stack.enter_context(started.connect()) for _ in range(2)]
        for client in clients:
            client.send(b"GET / HT")
        assert stack.enter_context(started.connect(timeout=40)).get("/").status == 200
        assert clients[0].is_closed_by_server()


def test_idle_connections_of_http_2_make_room(server, connect) -> None:
    started = server("mirror:app", "--limit-connections", "2", "--timeout-keep-alive", "60")
    clients = [connect(started) for _ in range(2)]
    for client in clients:
        assert client.get("/").status == 200
    assert started.get("/").status == 200
    clients[0].read_until_close()
    assert clients[0].goaways[-1].last_stream_id == 1


def test_silent_connections_give_their_descriptors_to_new_ones(server) -> None:
    flags = ("--limit-connections", "1000", "--no-access-log")
    started = server("mirror:app", *flags, command=with_descriptors(64))
    with ExitStack() as stack:
        silent(started, stack, 80)
        begun = time.monotonic()
        assert stack.enter_context(started.connect(timeout=40)).get("/").status == 200
        assert time.monotonic() - begun < 20, "a head may take 30 s"
