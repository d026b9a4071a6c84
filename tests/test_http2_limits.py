"""HTTP/2: what a client may not do, and what it cannot make a worker hold."""

import contextlib
from pathlib import Path

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from harness import Server
from harness.http2_client import Http2Client, head
from harness.http2_frames import (
    CANCEL,
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
)
from harness.scripted import Scripted, body, start

ROOM_FOR_A_FLOOD = 4 * 1024 * 1024
"""What a worker may grow by, in bytes of its own, while it is flooded."""


# ---- limits


def test_requests_beyond_the_limit_are_refused_and_may_come_again(server, connect):
    scripted = Scripted(server("http_script:app", "--http2-max-streams", "2"))
    script = scripted.script(("wait", "go"), start(200), body(b"done"))
    client = connect(scripted.server)
    first, second, third = (client.request("GET", "/", list(script.headers.items())) for _ in range(3))
    assert client.response(third).reset == REFUSED_STREAM
    assert client.settings[MAX_CONCURRENT_STREAMS] == 2
    script.signal("go")
    assert client.response(first).body == client.response(second).body == b"done"


def test_the_limit_of_open_requests_counts_streams(server, connect):
    scripted = Scripted(server("http_script:app", "--limit-concurrency", "1"))
    script = scripted.script(("receive",), ("receive",))
    client = connect(scripted.server)
    client.request("GET", "/", list(script.headers.items()))
    response = client.get("/")
    assert (response.status, response.header("retry-after")) == (503, "1")


def test_a_head_too_large_is_a_431(server, connect):
    client = connect(server("hello:app", "--max-head-size", "4096"))
    number = client.request("GET", "/", [("x-large", "x" * 6000)])
    response = client.response(number)
    assert response.status == 431


def test_a_body_too_large_is_a_413_announced_or_not(server, connect):
    client = connect(server("http_bare:app", "--max-body-size", "1M"))
    client.read_until(WindowUpdateFrame)
    announced = client.request("POST", "/echo", [("content-length", "1048577")], end=False)
    assert client.response(announced).status == 413
    unannounced = client.request("POST", "/echo", end=False)
    client.data(unannounced, b"x" * 200_000)
    while client.streams[unannounced].status_or_none != 413:
        client.data(unannounced, b"x" * client.windows.pop(unannounced, 0))
        client.read()
    assert client.get("/").status == 200


def test_a_body_has_its_time(server, connect):
    client = connect(server("http_bare:app", "--timeout-body-read", "0.5"))
    number = client.request("POST", "/echo", end=False)
    client.data(number, b"begun")
    assert client.response(number).status == 408
    assert client.get("/").status == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([(":method", "GET"), (":scheme", "http"), (":path", "/")], 400),
        ([*head(), ("host", "another.example")], 400),
        ([(":method", "CONNECT"), (":authority", "test.example:80")], 501),
    ],
)
def test_what_http1_refuses_is_refused_here_too(server, connect, fields, status):
    client = connect(server("hello:app"))
    assert client.response(client.open(fields)).status == status
    assert client.get("/").status == 200


@pytest.mark.parametrize(
    "fields",
    [
        [*head(), ("Upper-Case", "x")],
        [*head(), ("connection", "close")],
        [*head(), ("transfer-encoding", "chunked")],
        [*head(), ("te", "gzip")],
        [("x", "before"), *head()],
        [*head(), (":unknown", "x")],
        [*head(), (":path", "/again")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a")],
        [(":method", "GET"), (":path", "/"), (":authority", "a")],
        [*head("GET", "")],
    ],
)
def test_malformed_requests_are_errors_of_the_stream_or_the_connection(server, connect, fields):
    started = server("http_script:app", "--no-access-log")
    client = connect(started)
    number = client.open(fields)
    try:
        assert client.response(number).reset == PROTOCOL_ERROR
    except EOFError:
        assert client.goaways[-1].error_code == PROTOCOL_ERROR
    assert connect(started).get("/reached/none/0").status == 200


def test_a_body_at_odds_with_its_announced_length_is_a_stream_error(server, connect):
    client = connect(server("http_bare:app"))
    number = client.request("POST", "/echo", [("content-length", "5")], end=False)
    client.data(number, b"four", end=True)
    assert client.response(number).reset == PROTOCOL_ERROR
    assert client.get("/").status == 200


def oversized(client: Http2Client) -> None:
    client.socket.sendall(b"\x00\x40\x01\x00\x00\x00\x00\x00\x01" + b"x" * 16_385)


def interleaved(client: Http2Client) -> None:
    client.send(HeadersFrame(1, client.encoder.encode(head()), flags=["END_STREAM"]), PingFrame())


def undecodable(client: Http2Client) -> None:
    client.send(HeadersFrame(1, b"\xff\xff\xff\xff\xff\xff", flags=["END_HEADERS", "END_STREAM"]))


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (lambda client: client.socket.sendall(b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x"), PROTOCOL_ERROR),
        (lambda client: client.send(DataFrame(1, b"x")), PROTOCOL_ERROR),
        (lambda client: client.send(RstStreamFrame(1)), PROTOCOL_ERROR),
        (lambda client: client.send(WindowUpdateFrame(1, 1)), PROTOCOL_ERROR),
        (lambda client: client.send(ContinuationFrame(1, b"")), PROTOCOL_ERROR),
        (
            lambda client: client.send(SettingsFrame(settings={INITIAL_WINDOW_SIZE: 2**31})),
            FLOW_CONTROL_ERROR,
        ),
        (lambda client: client.send(*[WindowUpdateFrame(0, 2**31 - 1)] * 2), FLOW_CONTROL_ERROR),
        (
            lambda client: client.socket.sendall(b"\x00\x00\x07\x06\x00\x00\x00\x00\x001234567"),
            FRAME_SIZE_ERROR,
        ),
        (
            lambda client: client.socket.sendall(b"\x00\x00\x05\x04\x00\x00\x00\x00\x0012345"),
            FRAME_SIZE_ERROR,
        ),
        (oversized, FRAME_SIZE_ERROR),
        (interleaved, PROTOCOL_ERROR),
        (undecodable, COMPRESSION_ERROR),
    ],
)
def test_what_breaks_the_protocol_ends_the_connection(server, connect, wrong, code):
    client = connect(server("hello:app"))
    client.read_until(SettingsFrame)
    wrong(client)
    client.read_until_close()
    assert client.goaways and client.goaways[-1].error_code == code


def test_unknown_frames_and_priorities_are_ignored(server, connect):
    client = connect(server("hello:app"))
    client.socket.sendall(b"\x00\x00\x02\xfa\x00\x00\x00\x00\x00hi")
    client.send(PriorityFrame(1, depends_on=3, stream_weight=10))
    assert client.get("/").status == 200


# ---- floods


def own_memory(server: Server) -> int:
    """What a worker has written to, in bytes."""
    rollup = Path(f"/proc/{server.only_worker()}/smaps_rollup").read_text()
    return (
        sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_Dirty")) * 1024
    )


def rapid_resets(client: Http2Client) -> None:
    for number in range(1, 20_001, 2):
        client.send(
            HeadersFrame(number, client.encoder.encode(head()), flags=["END_HEADERS", "END_STREAM"]),
            RstStreamFrame(number, error_code=CANCEL),
        )


def continuations(client: Http2Client) -> None:
    client.send(HeadersFrame(1, client.encoder.encode(head())))
    piece = client.encoder.encode([("x-flood", "y" * 1000)]) * 10
    for _ in range(5_000):
        client.send(ContinuationFrame(1, piece))


def empty_continuations(client: Http2Client) -> None:
    client.send(HeadersFrame(1, client.encoder.encode(head())))
    frame = ContinuationFrame(1, b"").serialize() * 1000
    for _ in range(200):
        client.socket.sendall(frame)


def settings(client: Http2Client) -> None:
    frame = SettingsFrame(settings={INITIAL_WINDOW_SIZE: 65_535}).serialize() * 100
    for _ in range(1_000):
        client.socket.sendall(frame)


def pings(client: Http2Client) -> None:
    frame = PingFrame(opaque_data=b"12345678").serialize() * 100
    for _ in range(1_000):
        client.socket.sendall(frame)


def empty_data(client: Http2Client) -> None:
    client.request("POST", "/", end=False)
    frame = DataFrame(1, b"").serialize() * 100
    for _ in range(1_000):
        client.socket.sendall(frame)


def header_bomb(client: Http2Client) -> None:
    """One entry of the dynamic table, named thousands of times."""
    client.encoder.encode([("x-bomb", "y" * 3_900)])
    first = client.encoder.encode([*head(), ("x-bomb", "y" * 3_900)])
    for number in range(1, 401, 2):
        block = first if number == 1 else client.encoder.encode(head())
        client.send(HeadersFrame(number, block + b"\xbe" * 12_000, flags=["END_HEADERS", "END_STREAM"]))


@pytest.mark.parametrize(
    "flood",
    [rapid_resets, continuations, empty_continuations, settings, pings, empty_data, header_bomb],
)
def test_a_flood_takes_no_memory_and_hurts_no_other_client(server, connect, flood):
    started = server("hello:app", "--no-access-log")
    connect(started).get("/")
    before = own_memory(started)
    attacker = connect(started)
    attacker.socket.settimeout(3)
    try:
        flood(attacker)
    except (ConnectionError, TimeoutError):
        # Cut off, or not read any more: both are answers to a flood.
        pass
    assert own_memory(started) - before < ROOM_FOR_A_FLOOD
    assert connect(started).get("/").status == 200


def test_resets_do_not_start_more_applications_than_twice_the_limit(server, connect):
    scripted = Scripted(server("http_script:app", "--http2-max-streams", "5", "--no-access-log"))
    script = scripted.script(("receive",), ("wait", "go"))
    client = connect(scripted.server)
    with contextlib.suppress(ConnectionError):
        # The server may have closed before the last of them.
        for _ in range(200):
            number = client.request("GET", "/", list(script.headers.items()))
            client.send(RstStreamFrame(number, error_code=CANCEL))
    client.read_until_close()
    assert client.goaways[-1].error_code == ENHANCE_YOUR_CALM
    # Each one that was started has received its request.
    assert len(script.reached(0)) <= 10
    script.signal("go")
