"""The life of a connection: reuse, pipelining, time limits, odd segments, and the ways to leave."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from harness import RawClient, Server
from harness.raw_client import encode_request
from harness.scripted import Scripted, body, start, writes

GET = encode_request("GET", "/")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# What a limit of one second may take on a busy machine, and yet not be mistaken for a default of 30 s or more.
SOON = 25
SERVER = Callable[..., Server]


@pytest.fixture(scope="module")
def bare() -> Iterator[Server]:
    with Server("http_bare:app") as server:
        yield server


def echo(data: bytes) -> bytes:
    return encode_request("POST", "/echo", body=data)


def chunked_echo(data: bytes) -> bytes:
    return encode_request("POST", "/echo", {"transfer-encoding": "chunked"}) + b"%x\r\n%s\r\n0\r\n\r\n" % (
        len(data),
        data,
    )


def assert_silent(client: RawClient, seconds: float) -> None:
    """Nothing comes and nothing closes for so long: the only thing a test can wait for in vain."""
    client.socket.settimeout(seconds)
    with pytest.raises(TimeoutError):
        client.socket.recv(1)
    client.socket.settimeout(SOON)


# Reuse and pipelining


def test_a_connection_serves_many_requests(bare: Server) -> None:
    with bare.connect() as client:
        for number in range(200):
            data = b"%d" % number
            assert client.request("POST", "/echo", body=data).body == data


def test_pipelined_requests_are_answered_in_order(bare: Server) -> None:
    with bare.connect() as client:
        client.send(b"".join(echo(b"%d" % n) if n % 2 else chunked_echo(b"%d" % n) for n in range(10)))
        assert [client.read_response().body for _ in range(10)] == [b"%d" % n for n in range(10)]


def test_a_slow_request_holds_up_those_behind_it(scripted: Scripted) -> None:
    slow = scripted.script(("mark",), ("wait", "go"), start(), body(b"slow"))
    fast = scripted.script(start(), body(b"fast"))
    with scripted.server.connect() as client:
        client.send(slow.encode() + fast.encode())
        slow.reached(1)
        slow.signal("go")
        assert client.read_response().body == b"slow"
        assert client.read_response().body == b"fast"


def test_pipelined_methods_keep_their_own_framing(bare: Server) -> None:
    with bare.connect() as client:
        client.send(encode_request("HEAD", "/") + GET + encode_request("HEAD", "/") + echo(b"x"))
        assert client.read_response("HEAD").body == b""
        assert client.read_response().body == b"hello"
        assert client.read_response("HEAD").body == b""
        assert client.read_response().body == b"x"


def test_a_flood_of_pipelined_requests_is_answered_whole(bare: Server) -> None:
    with bare.connect() as client:
        client.send(GET * 300)
        assert [client.read_response().body for _ in range(300)] == [b"hello"] * 300


def test_nothing_behind_a_close_is_served(bare: Server) -> None:
    with bare.connect() as client:
        client.send(encode_request("GET", "/", {"connection": "close"}) + echo(b"late"))
        assert client.read_response().body == b"hello"
        assert client.is_closed_by_server()


def test_a_thousand_connections_after_one_another(bare: Server) -> None:
    for _ in range(1_000):
        assert bare.get("/").body == b"hello"


def test_two_hundred_connections_at_once(bare: Server) -> None:
    with ExitStack() as open_ones:
        clients = [open_ones.enter_context(bare.connect()) for _ in range(200)]
        for number, client in enumerate(clients):
            client.send(echo(b"%d" % number))
        for number, client in enumerate(clients):
            assert client.read_response().body == b"%d" % number


def test_slow_requests_hold_up_no_other_connection(scripted: Scripted) -> None:
    slow = [scripted.script(("mark",), ("wait", "go"), start(), body(b"slow")) for _ in range(20)]
    with ExitStack() as open_ones:
        clients = [open_ones.enter_context(scripted.server.connect()) for _ in slow]
        for client, script in zip(clients, slow, strict=True):
            client.send(script.encode())
            script.reached(1)
        assert scripted.answer(start(), body(b"fast")).body == b"fast"
        for client, script in zip(clients, slow, strict=True):
            script.signal("go")
            assert client.read_response().body == b"slow"


# Odd segments


def test_a_request_may_come_byte_by_byte(bare: Server) -> None:
    with bare.connect() as client:
        for byte in chunked_echo(b"hello"):
            client.send(bytes([byte]))
        assert client.read_response().body == b"hello"


@pytest.mark.parametrize("encoded", [echo(b"hello"), chunked_echo(b"hello")], ids=["length", "chunked"])
def test_a_request_may_be_cut_anywhere(bare: Server, encoded: bytes) -> None:
    """The second half is sent when the server has surely read the first: after an answer on another connection."""
    with bare.connect() as other:
        for cut in range(1, len(encoded)):
            with bare.connect() as client:
                client.send(encoded[:cut])
                assert other.get("/").status == 200
                client.send(encoded[cut:])
                assert client.read_response().body == b"hello", f"cut after {encoded[:cut]!r}"


def test_a_pipeline_may_be_cut_anywhere(bare: Server) -> None:
    encoded = echo(b"one") + chunked_echo(b"two") + GET
    for cut in range(1, len(encoded), 3):
        with bare.connect() as client:
            client.send(encoded[:cut])
            client.send(encoded[cut:])
            assert [client.read_response().body for _ in range(3)] == [b"one", b"two", b"hello"]


# Time limits


def test_an_idle_connection_is_closed_after_the_keep_alive_time(server: SERVER) -> None:
    with server("http_bare:app", "--timeout-keep-alive", "1").connect(timeout=SOON) as client:
        began = time.monotonic()
        assert client.get("/").body == b"hello"
        assert client.is_closed_by_server()
        assert time.monotonic() - began > 0.5


def test_the_keep_alive_time_begins_anew_after_each_response(server: SERVER) -> None:
    with server("http_bare:app", "--timeout-keep-alive", "3").connect(timeout=SOON) as client:
        for _ in range(4):
            assert client.get("/").body == b"hello"
            assert_silent(client, 1)
        assert client.get("/").body == b"hello"
        assert client.is_closed_by_server()


def test_the_keep_alive_time_does_not_run_during_a_request(server: SERVER) -> None:
    running = server("http_script:app", "--timeout-keep-alive", "1")
    script = Scripted(running).script(
        ("wait", "go"), start(), body(b"one", more=True), ("wait", "on"), body(b"two")
    )
    with running.connect(timeout=SOON) as client:
        client.send(script.encode())
        assert_silent(client, 2)
        script.signal("go")
        assert client.read_head().status == 200
        assert client.read_chunk() == b"one"
        assert_silent(client, 2)
        script.signal("on")
        assert client.read_chunk() == b"two"


def test_the_keep_alive_time_does_not_run_while_a_body_is_awaited(server: SERVER) -> None:
    with server("http_bare:app", "--timeout-keep-alive", "1").connect(timeout=SOON) as client:
        client.send(echo(b"hello")[:-2])
        assert_silent(client, 2)
        client.send(b"lo")
        assert client.read_response().body == b"hello"


def test_a_new_connection_may_be_idle_longer_than_the_keep_alive_time(server: SERVER) -> None:
    """As with Uvicorn; the time for its head limits it."""
    with server("http_bare:app", "--timeout-keep-alive", "1").connect(timeout=SOON) as client:
        assert_silent(client, 2)
        assert client.get("/").body == b"hello"


@pytest.mark.parametrize(
    "sent", [b"", b"GE", GET[:-2], b"\r\n"], ids=["nothing", "method", "all but the end", "line"]
)
def test_a_head_that_does_not_come_is_not_awaited_for_ever(server: SERVER, sent: bytes) -> None:
    running = server("http_bare:app", "--timeout-header-read", "1")
    began = time.monotonic()
    with running.connect(timeout=SOON) as client:
        client.send(sent)
        received = client.read_until_close()
        assert time.monotonic() - began > 0.5
        assert received == b"" or received.startswith(b"HTTP/1.1 408 ")


def test_a_head_that_trickles_is_not_awaited_for_ever(server: SERVER) -> None:
    with server("http_bare:app", "--timeout-header-read", "1").connect() as client:
        received, deadline = None, time.monotonic() + SOON
        client.socket.settimeout(0.2)
        client.send(GET[:-2])
        while received is None and time.monotonic() < deadline:
            try:
                client.send(b"x: 1\r\n")
                received = client.socket.recv(1024)
            except TimeoutError:
                pass
            except ConnectionError:
                received = b""
        assert received is not None, "a trickle keeps the connection"
        assert received == b"" or received.startswith(b"HTTP/1.1 408 ")


def test_the_second_head_has_its_time_too(server: SERVER) -> None:
    flags = "--timeout-header-read", "1", "--timeout-keep-alive", "60"
    with server("http_bare:app", *flags).connect(timeout=SOON) as client:
        assert client.get("/").body == b"hello"
        client.send(b"GET / HT")
        received = client.read_until_close()
        assert received == b"" or received.startswith(b"HTTP/1.1 408 ")


def test_the_time_for_a_head_does_not_run_while_idle_or_in_a_request(server: SERVER) -> None:
    flags = "--timeout-header-read", "1", "--timeout-keep-alive", "60"
    with server("http_bare:app", *flags).connect(timeout=SOON) as client:
        client.send(echo(b"hello")[:-2])
        assert_silent(client, 2)
        client.send(b"lo")
        assert client.read_response().body == b"hello"
        assert_silent(client, 2)
        assert client.get("/").body == b"hello"


def test_a_slow_head_harms_no_other_connection(server: SERVER) -> None:
    running = server("http_bare:app", "--timeout-header-read", "10")
    with ExitStack() as open_ones:
        for _ in range(50):
            open_ones.enter_context(running.connect()).send(GET[:-2])
        assert running.get("/").body == b"hello"


# The ways to leave


def test_a_client_that_half_closes_gets_its_answer_or_is_gone(scripted: Scripted) -> None:
    """Uvicorn takes the end of the client's data for its leaving. Either is right, but not something between."""
    script = scripted.script(("receive",), ("wait", "go"), start(), body(b"done"))
    with scripted.server.connect() as client:
        client.send(script.encode())
        script.reached(1)
        client.half_close()
        script.signal("go")
        received = client.read_until_close()
    assert script.journal()[1:] == [None, None, None]
    assert received == b"" or b"done" in received


def test_a_half_close_at_once_gets_its_answer_or_is_gone(bare: Server) -> None:
    with bare.connect() as client:
        client.send(GET)
        client.half_close()
        received = client.read_until_close()
    assert received == b"" or b"hello" in received


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET, echo(b"hello")[:-2], GET * 50], ids=len)
def test_a_client_that_resets_harms_no_other(bare: Server, sent: bytes) -> None:
    client = bare.connect()
    client.send(sent)
    client.cut()
    assert bare.get("/").body == b"hello"


@pytest.mark.parametrize("sent", [b"", b"GET / HT", echo(b"hello")[:-2]], ids=["nothing", "head", "body"])
def test_a_client_that_leaves_early_is_no_error(bare: Server, sent: bytes) -> None:
    with bare.connect() as client:
        client.send(sent)
    assert bare.get("/").body == b"hello"
    assert not bare.stderr.matches("ERROR|Traceback|panicked")


# The limit of concurrency


def test_beyond_the_limit_of_concurrency_is_a_503(server: SERVER) -> None:
    """With a limit of 5 Uvicorn, which counts the connection itself, holds 4; counting requests holds 5."""
    running = server("http_bare:app", "--limit-concurrency", "5")
    waiting = encode_request("POST", "/echo", {"expect": "100-continue", "content-length": "2"})
    with ExitStack() as open_ones:
        held = [open_ones.enter_context(running.connect()) for _ in range(4)]
        for client in held:
            client.send(waiting)
            assert client.read_exactly(len(CONTINUE)) == CONTINUE
        fifth = open_ones.enter_context(running.connect())
        fifth.send(waiting)
        fifth_status = fifth.read_head().status
        assert fifth_status in (100, 503)
        with running.connect() as refused, writes(running.stderr, r"WARNING.*Exceeded concurrency limit\."):
            response = refused.get("/")
            assert (response.status, response.body) == (503, b"Service Unavailable")
            assert response.header("content-type") == "text/plain; charset=utf-8"
            assert response.header("connection") == "close"
            assert refused.is_closed_by_server()
        for client in [*held, *([fifth] if fifth_status == 100 else [])]:
            client.send(b"ok")
            assert client.read_response().body == b"ok"
    assert running.get("/").body == b"hello"


# Upgrades


@pytest.mark.parametrize(
    "headers",
    [
        {
            "connection": "Upgrade, HTTP2-Settings",
            "upgrade": "h2c",
            "http2-settings": "AAMAAABkAAQCAAAAAAIAAAAA",
        },
        {"connection": "upgrade", "upgrade": "nonsense/7"},
    ],
    ids=["h2c", "nonsense"],
)
def test_an_upgrade_that_is_not_supported_is_served_as_plain_http(
    bare: Server, headers: dict[str, str]
) -> None:
    with bare.connect() as client, writes(bare.stderr, r"WARNING.*Unsupported upgrade request\."):
        response = client.get("/", headers)
        assert (response.status, response.body) == (200, b"hello")
        assert response.header("upgrade") is None


def test_an_upgrade_header_without_its_connection_option_is_no_upgrade(bare: Server) -> None:
    before = len(bare.stderr.matches("Unsupported upgrade"))
    with bare.connect() as client:
        assert client.get("/", {"upgrade": "h2c"}).body == b"hello"
        assert client.get("/").body == b"hello"
    assert len(bare.stderr.matches("Unsupported upgrade")) == before
