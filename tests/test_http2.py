"""HTTP/2: what applications see of it, its limits, and how its connections end."""

import ast
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from harness import Server
from harness.authority import Authority
from harness.http2_client import Http2Client, head
from harness.replacing import lose_no_request
from harness.scripted import Scripted, body, start

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 5, 6, 7, 8, 9
ENHANCE_YOUR_CALM = 11

INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS = 4, 3

STREAM_WINDOW = 256 * 1024
READ_AHEAD = 64 * 1024

ROOM_FOR_A_FLOOD = 4 * 1024 * 1024
"""What a worker may grow by, in bytes of its own, while it is flooded."""


@pytest.fixture
def connect() -> Iterator[Callable[..., Http2Client]]:
    """Opens connections that are closed after the test."""
    opened: list[Http2Client] = []

    def connect(server: Server, **options) -> Http2Client:
        assert not isinstance(server.address, str)
        opened.append(Http2Client(server.address, **options))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()


def scope(client: Http2Client, path: str = "/", more: list[tuple[str, str]] | None = None) -> dict:
    response = client.get(path, more)
    assert response.status == 200
    return ast.literal_eval(response.body.decode())["scope"]


# ---- what applications see


def test_the_scope_of_a_request(server, connect):
    client = connect(server("http_scope:app"))
    seen = scope(client, "/a%20b?c=d", [("x-one", "1"), ("te", "trailers"), ("X-Two".lower(), "2")])
    assert seen["http_version"] == "2"
    assert seen["method"] == "GET"
    assert seen["scheme"] == "http"
    assert (seen["path"], seen["raw_path"], seen["query_string"]) == ("/a b", b"/a%20b", b"c=d")
    assert seen["headers"] == [
        (b"host", b"test.example"),
        (b"x-one", b"1"),
        (b"te", b"trailers"),
        (b"x-two", b"2"),
    ]


def test_cookie_crumbs_are_joined(server, connect):
    seen = scope(connect(server("http_scope:app")), "/", [("cookie", "a=1"), ("cookie", "b=2"), ("x", "y")])
    assert (b"cookie", b"a=1; b=2") in seen["headers"]
    assert [name for name, _ in seen["headers"]].count(b"cookie") == 1


def test_requests_share_a_connection_and_are_answered_out_of_order(server, connect):
    scripted = Scripted(server("http_script:app"))
    late = scripted.script(("wait", "go"), start(200), body(b"late"))
    client = connect(scripted.server)
    first = client.request("GET", "/", list(late.headers.items()))
    soon = scripted.script(start(200), body(b"soon"))
    assert client.get("/", list(soon.headers.items())).body == b"soon"
    late.signal("go")
    assert client.response(first).body == b"late"


def test_the_servers_own_fields_come_first(server, connect):
    client = connect(server("http_scope:app", "--header", "X-Own: yes"))
    names = [name for name, _ in client.get("/").headers]
    assert names == [":status", "date", "server", "x-own", "content-type", "content-length"]


def test_fields_about_the_connection_are_not_sent(server, connect):
    scripted = Scripted(server("http_script:app"))
    fields = [(b"connection", b"close, x"), (b"Keep-Alive", b"1"), (b"transfer-encoding", b"chunked")]
    fields += [(b"upgrade", b"x"), (b"proxy-connection", b"x"), (b"X-Kept", b"yes")]
    script = scripted.script(start(200, *fields), body(b"a", more=True), body(b"b"))
    response = connect(scripted.server).get("/", list(script.headers.items()))
    assert response.body == b"ab"
    assert [name for name, _ in response.headers if name not in ("date", "server")] == [":status", "x-kept"]


def test_a_head_request_gets_no_body(server, connect):
    client = connect(server("hello:app"))
    number = client.request("HEAD")
    assert client.response(number).body == b""
    assert client.streams[number].header("content-length") == "13"


def test_bodies_pass_both_ways_beyond_the_windows(server, connect):
    client = connect(server("http_bare:app"))
    for size in (0, 1, 16_384, 65_536, 200_000):
        data = os.urandom(size)
        number = client.request("POST", "/echo", end=False)
        client.data(number, data, end=True)
        assert client.response(number).body == data


def test_trailers_end_a_body_and_are_ignored(server, connect):
    client = connect(server("http_bare:app"))
    number = client.request("POST", "/echo", end=False)
    client.data(number, b"body")
    trailers = client.encoder.encode([("x-sum", "1")])
    client.send(HeadersFrame(number, trailers, flags=["END_HEADERS", "END_STREAM"]))
    assert client.response(number).body == b"body"


def test_a_client_that_waits_is_told_to_continue_when_its_body_is_wanted(server, connect):
    client = connect(server("http_bare:app"))
    number = client.request("POST", "/echo", [("expect", "100-continue")], end=False)
    client.read_until(HeadersFrame)
    assert [dict(each)[":status"] for each in client.streams[number].interim] == ["100"]
    client.data(number, b"body", end=True)
    assert client.response(number).body == b"body"


def test_nobody_is_told_to_continue_whose_body_is_not_wanted(server, connect):
    client = connect(server("hello:app"))
    number = client.request("POST", "/", [("expect", "100-continue")], end=False)
    assert client.response(number).status == 200
    assert client.streams[number].interim == []


def test_a_reset_stream_is_a_disconnect(server, connect):
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(("receive",), ("receive",), start(200), body(b"nobody"))
    client = connect(scripted.server)
    number = client.request("GET", "/", list(script.headers.items()))
    script.reached(1)
    client.send(RstStreamFrame(number, error_code=CANCEL))
    assert [entry and entry["type"] for entry in script.journal()[:2]] == ["http.request", "http.disconnect"]
    assert client.get("/reached/none/0").status == 200


def test_a_lost_connection_is_a_disconnect(server, connect):
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(("receive",), ("receive",))
    client = connect(scripted.server)
    client.request("GET", "/", list(script.headers.items()))
    script.reached(1)
    client.close()
    assert script.journal()[1]["type"] == "http.disconnect"


def test_an_error_before_the_response_is_a_500_and_one_in_it_a_reset(server, connect):
    scripted = Scripted(server("http_script:app"))
    client = connect(scripted.server)
    before = scripted.script(("raise", "oh"))
    response = client.get("/", list(before.headers.items()))
    assert (response.status, response.body) == (500, b"Internal Server Error")
    within = scripted.script(start(200), body(b"part", more=True), ("raise", "oh"))
    response = client.get("/", list(within.headers.items()))
    assert (response.ended, response.reset) == (False, INTERNAL_ERROR)
    assert client.get("/reached/none/0").status == 200


def test_a_body_shorter_than_announced_is_a_reset(server, connect):
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(start(200, (b"content-length", b"9")), body(b"short", more=True), body())
    response = connect(scripted.server).get("/", list(script.headers.items()))
    assert response.reset == INTERNAL_ERROR


def test_the_access_log_has_the_version(server, connect):
    started = server("hello:app")
    connect(started).get("/x")
    assert started.stdout.wait_for_line(r'"GET /x HTTP/2" 200')


# ---- back-pressure


def test_sending_waits_for_the_clients_windows(server, connect):
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(start(200), ("fill", 16_384, 4_000_000), ("settle",), body(b""))
    client = connect(scripted.server, settings={INITIAL_WINDOW_SIZE: 0})
    number = client.request("GET", "/", list(script.headers.items()))
    filled = script.reached(2)[1]
    assert filled < 600_000
    client.send(SettingsFrame(settings={INITIAL_WINDOW_SIZE: 1_000_000}), WindowUpdateFrame(0, 8_000_000))
    assert len(client.response(number).body) >= filled


def test_a_client_may_not_send_more_than_its_request_is_read(server, connect):
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(("wait", "read"), ("drain",), start(200), body(b"all"))
    client = connect(scripted.server)
    size = STREAM_WINDOW + READ_AHEAD + 50_000
    more = [*script.headers.items(), ("content-length", str(size))]
    # The server opens the connection's window beyond what it begins with.
    client.read_until(WindowUpdateFrame)
    number = client.request("POST", "/", more, end=False)
    client.data(number, b"x" * STREAM_WINDOW)
    client.send(PingFrame(opaque_data=b"all read"))
    while "ACK" not in client.read_until(PingFrame).flags:
        pass
    # What has gone to the application's side of the worker may be granted again, and no more.
    assert client.windows.get(number, 0) <= READ_AHEAD + 16_384
    script.signal("read")
    while client.windows.get(number, 0) < size - STREAM_WINDOW:
        client.read()
    client.data(number, b"x" * (size - STREAM_WINDOW), end=True)
    assert client.response(number).body == b"all"
    assert script.journal()[1] == (size, "http.request")


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
    client = connect(server("http_bare:app", "--timeout-body-read", "0.3"))
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
    rollup = Path(f"/proc/{server.worker_pids()[0]}/smaps_rollup").read_text()
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
def test_a_flood_takes_no_memory_and_hurts_nobody_else(server, connect, flood):
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
    for _ in range(200):
        number = client.request("GET", "/", list(script.headers.items()))
        client.send(RstStreamFrame(number, error_code=CANCEL))
    client.read_until_close()
    assert client.goaways[-1].error_code == ENHANCE_YOUR_CALM
    # Each one that was started has received its request.
    assert len(script.reached(0)) <= 10
    script.signal("go")


# ---- ends


def test_a_drain_lets_a_response_end_and_says_goaway_then(server, connect):
    scripted = Scripted(server("http_script:app"))
    script = scripted.script(start(200), body(b"begun ", more=True), ("wait", "go"), body(b"ended"))
    client = connect(scripted.server)
    with scripted.server.connect() as control:
        number = client.request("GET", "/", list(script.headers.items()))
        client.read_until(DataFrame)
        # A request on its way keeps its connection through the drain.
        go = f"GET /set/{script.headers['x-id']}-go HTTP/1.1\r\nhost: a\r\n"
        control.send(go.encode())
        scripted.server.send_signal(signal.SIGTERM)
        scripted.server.stderr.wait_for_line("Shutting down")
        control.send(b"\r\n")
        assert client.response(number).body == b"begun ended"
        assert client.goaways == []
        client.read_until_close()
    last = client.goaways[-1]
    assert (last.error_code, last.last_stream_id) == (NO_ERROR, number)
    assert scripted.server.wait() == 0


def test_a_connection_that_is_never_idle_hears_goaway_after_a_while(server, connect):
    scripted = Scripted(server("http_script:app", "--timeout-graceful-shutdown", "4"))
    script = scripted.script(
        start(200), body(b"begun ", more=True), ("receive",), ("receive",), body(b"ended")
    )
    client = connect(scripted.server)
    number = client.request("GET", "/", list(script.headers.items()))
    client.read_until(DataFrame)
    scripted.server.send_signal(signal.SIGTERM)
    warning = client.read_until(GoAwayFrame)
    assert (warning.error_code, warning.last_stream_id) == (NO_ERROR, 2**31 - 1)
    # Near the end of the grace period the application hears that its client is gone.
    assert client.response(number).body == b"begun ended"
    assert scripted.server.wait() == 0


def test_an_idle_connection_is_told_to_go_after_its_time(server, connect):
    client = connect(server("hello:app", "--timeout-keep-alive", "0.3"))
    assert client.get("/").status == 200
    client.read_until_close()
    assert client.goaways[-1].error_code == NO_ERROR
    assert client.goaways[-1].last_stream_id == 1


def test_a_connection_in_use_is_not_idle(server, connect):
    """Its requests are answered at once, so that it is never seen with one open."""
    client = connect(server("hello:app", "--timeout-keep-alive", "0.3", "--no-access-log"))
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert client.get("/").status == 200
    assert client.goaways == []


def test_a_preface_without_a_sequel_has_its_time(server):
    started = server("hello:app", "--timeout-header-read", "0.3")
    with started.connect() as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        client.read_until_close()
    with started.connect() as client:
        client.send(b"PRI * HT")
        assert client.read_response().status == 408


def test_http_1_alone_knows_no_preface(server):
    with server("hello:app", "--http", "1").connect() as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert client.read_response().status == 505


def test_http_2_alone_answers_nothing_else(server, connect):
    started = server("hello:app", "--http", "2")
    assert connect(started).get("/").status == 200
    with started.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert b"HTTP/1.1" not in client.read_until_close()


def test_an_upgrade_from_http_1_is_not_taken(server):
    with server("http_scope:app").connect() as client:
        upgrade = {"connection": "upgrade, http2-settings", "upgrade": "h2c", "http2-settings": "AAMAAABk"}
        response = client.get("/", upgrade)
        assert response.status == 200
        assert ast.literal_eval(response.text)["scope"]["http_version"] == "1.1"


def test_uvicorns_words_for_http_are_taken(server, connect):
    started = server("hello:app", "--http", "httptools", "--http2")
    assert started.stderr.wait_for_line("--http httptools is ignored")
    assert connect(started).get("/").status == 200


# ---- over TLS, with real clients


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_alpn_chooses(server, authority):
    started = server("http_scope:app", *authority.flags)
    for offered, version in ((True, "2"), (False, "1.1")):
        with httpx.Client(http2=offered, verify=authority.trusting(), trust_env=False) as client:
            seen = ast.literal_eval(client.get(f"https://127.0.0.1:{started.port}/").text)["scope"]
            assert (seen["http_version"], seen["scheme"]) == (version, "https")
            assert seen["extensions"]["tls"]["tls_version"] == 0x0304


def test_large_bodies_over_tls(server, authority):
    started = server("http_bare:app", *authority.flags)
    data = os.urandom(3_000_000)
    with httpx.Client(http2=True, verify=authority.trusting(), trust_env=False) as client:
        response = client.post(f"https://127.0.0.1:{started.port}/echo", content=data)
        assert response.http_version == "HTTP/2"
        assert response.content == data


@pytest.mark.parametrize("encrypted", [False, True])
def test_replacing_workers_loses_no_request(server, authority, encrypted):
    started = server("hello:app", "--no-access-log", *(authority.flags if encrypted else ()))
    context = authority.trusting()
    # Without http1 httpx speaks HTTP/2 with prior knowledge.
    options = {"http1": encrypted, "http2": True, "verify": context, "trust_env": False}
    url = f"{'https' if encrypted else 'http'}://127.0.0.1:{started.port}/"
    lose_no_request(started, lambda: httpx.Client(**options), url, "HTTP/2")


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_speaks_it_in_both_ways(server, authority):
    plain = server("hello:app")
    command = ["curl", "-sS", "-w", " %{http_version}"]
    url = f"http://127.0.0.1:{plain.port}/"
    said = subprocess.run([*command, "--http2-prior-knowledge", url], capture_output=True, text=True)
    assert said.stdout == "Hello, world! 2", said.stderr
    started = server("hello:app", *authority.flags)
    url = f"https://127.0.0.1:{started.port}/"
    said = subprocess.run([*command, "--cacert", authority.roots, url], capture_output=True, text=True)
    assert said.stdout == "Hello, world! 2", said.stderr


@pytest.mark.skipif(not shutil.which("h2load"), reason="needs h2load")
def test_h2load_gets_every_answer(server):
    started = server("hello:app", "--no-access-log")
    url = f"http://127.0.0.1:{started.port}/"
    said = subprocess.run(
        ["h2load", "-n", "2000", "-c", "4", "-m", "32", url], capture_output=True, text=True
    )
    assert "2000 succeeded, 0 failed" in said.stdout, said.stdout


def test_a_client_that_leaves_in_the_middle_of_a_frame_is_no_news(server, connect):
    started = server("hello:app")
    client = connect(started)
    client.socket.sendall(b"\x00\x00\x10\x01")
    client.socket.shutdown(socket.SHUT_RDWR)
    assert connect(started).get("/").status == 200
    assert "Traceback" not in started.stderr.text
