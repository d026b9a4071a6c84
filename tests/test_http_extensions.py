"""ASGI's "Early Hints" (103) and "HTTP Trailers" extensions, over HTTP/1.1 and HTTP/2."""

from pathlib import Path

import pytest

from harness import RawClient, Server

APP = """
HINT = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]}
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")], "trailers": True}
BODY = {"type": "http.response.body", "body": b"body"}
TRAILERS = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True}
LAST = {"type": "http.response.trailers", "headers": [(b"x-time", b"2")]}

MESSAGES = {
    "/hint": [HINT, {**START, "trailers": False}, BODY],
    "/many": [HINT] * 3 + [{**START, "trailers": False}, BODY],
    "/trailers": [START, BODY, TRAILERS, LAST],
    "/pieces": [START, {**BODY, "body": b"bo", "more_body": True}, {**BODY, "body": b"dy"}, LAST],
    "/empty": [START, BODY, {"type": "http.response.trailers"}],
    "/late-hint": [{**START, "trailers": False}, HINT],
    "/no-links": [{"type": "http.response.early_hint"}],
    "/split": [{**HINT, "links": [b"a\\r\\nb: c"]}],
    "/early-trailers": [START, LAST],
    "/no-promise": [{**START, "trailers": False}, BODY, LAST],
    "/body-again": [START, BODY, BODY],
    "/forbidden": [START, BODY, {**LAST, "headers": [(b"Content-Length", b"4")]}],
    "/missing": [START, BODY],
}


async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/announced":
        body = ",".join(sorted(scope["extensions"])).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return await send({"type": "http.response.body", "body": body})
    try:
        for message in MESSAGES[scope["path"]]:
            await send(message)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
        raise
"""

LINKS = [("link", "</a.css>; rel=preload"), ("link", "</b.js>; rel=preload")]
NAVIGATES = b"sec-fetch-mode: navigate\r\n"
TAKES = b"te: gzip, trailers\r\n"


@pytest.fixture
def started(server, tmp_path: Path) -> Server:
    (tmp_path / "extended.py").write_text(APP)
    return server("extended:app", cwd=tmp_path)


def exchange(
    started: Server, path: str, fields: bytes = b"", version: bytes = b"1.1", method: bytes = b"GET"
):
    """All that comes of one request after which the connection closes."""
    with started.connect() as client:
        ask(client, path, fields + b"connection: close\r\n", version, method)
        received = b""
        while piece := client.socket.recv(65536):
            received += piece
    return received


def ask(client: RawClient, path: str, fields: bytes, version: bytes = b"1.1", method: bytes = b"GET") -> None:
    client.send(b"%s %s HTTP/%s\r\nhost: a\r\n%s\r\n" % (method, path.encode(), version, fields))


def test_a_browser_that_navigates_is_given_hints(started: Server) -> None:
    received = exchange(started, "/hint", NAVIGATES)
    hint, _, rest = received.partition(b"\r\n\r\n")
    assert hint.split(b"\r\n") == [
        b"HTTP/1.1 103 Early Hints",
        b"link: </a.css>; rel=preload",
        b"link: </b.js>; rel=preload",
    ]
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n") and rest.endswith(b"\r\n\r\nbody")
    assert exchange(started, "/many", NAVIGATES).count(b" 103 Early Hints\r\n") == 3


@pytest.mark.parametrize(("fields", "version"), [(b"", b"1.1"), (NAVIGATES, b"1.0")])
def test_other_clients_of_http1_are_given_the_response_alone(
    started: Server, fields: bytes, version: bytes
) -> None:
    assert exchange(started, "/hint", fields, version).startswith(b"HTTP/1.1 200 OK\r\n")


def test_the_connection_goes_on_after_hints_and_trailers(started: Server) -> None:
    with started.connect() as client:
        for _ in range(2):
            ask(client, "/trailers", TAKES)
            client.read_head()
            end = b"4\r\nbody\r\n0\r\nx-sum: 1\r\nx-time: 2\r\n\r\n"
            assert client.read_exactly(len(end)) == end


@pytest.mark.parametrize("path", ["/trailers", "/pieces", "/empty"])
def test_trailers_follow_a_chunked_body(started: Server, path: str) -> None:
    head, _, rest = exchange(started, path, TAKES).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head and b"content-length" not in head
    body, _, trailers = rest.partition(b"0\r\n")
    assert body == (b"2\r\nbo\r\n2\r\ndy\r\n" if path == "/pieces" else b"4\r\nbody\r\n")
    fields = {"/trailers": b"x-sum: 1\r\nx-time: 2\r\n", "/pieces": b"x-time: 2\r\n", "/empty": b""}
    assert trailers == fields[path] + b"\r\n"


@pytest.mark.parametrize(
    ("fields", "version", "method"),
    [(b"", b"1.1", b"GET"), (TAKES, b"1.0", b"GET"), (TAKES, b"1.1", b"HEAD")],
)
def test_clients_that_take_no_trailers_are_sent_none(
    started: Server, fields: bytes, version: bytes, method: bytes
) -> None:
    head, _, body = exchange(started, "/trailers", fields, version, method).partition(b"\r\n\r\n")
    assert b"HTTP/1.1 200 OK" in head and b"x-sum" not in head + body
    if method == b"GET":
        assert b"content-length: 4" in head and body == b"body"


def test_what_is_announced_is_what_reaches_the_client(started: Server, connect) -> None:
    def announced(*arguments: bytes) -> bytes:
        return exchange(started, "/announced", *arguments).partition(b"\r\n\r\n")[2]

    assert announced() == b""
    assert announced(NAVIGATES + TAKES, b"1.0") == b""
    assert announced(NAVIGATES) == b"http.response.early_hint"
    assert announced(TAKES) == b"http.response.trailers"
    client = connect(started)
    assert client.get("/announced").body == b"http.response.early_hint"
    both = client.get("/announced", [("te", "trailers")])
    assert both.body == b"http.response.early_hint,http.response.trailers"


def test_both_over_http2(started: Server, connect) -> None:
    client = connect(started)
    found = client.get("/hint")
    assert found.interim == [[(":status", "103"), *LINKS]]
    assert (found.status, found.body) == (200, b"body")
    for path, trailers in (("/trailers", [("x-sum", "1"), ("x-time", "2")]), ("/pieces", [("x-time", "2")])):
        found = client.get(path, [("te", "trailers")])
        assert found.body == b"body" and found.headers == trailers and found.ended
        found = client.get(path)
        assert (found.status, found.body) == (200, b"body") and found.ended
    assert client.get("/empty", [("te", "trailers")]).body == b"body"


def test_another_implementation_understands_both(started: Server) -> None:
    h2 = pytest.importorskip("h2.connection")
    events = pytest.importorskip("h2.events")
    with started.connect() as client:
        connection = h2.H2Connection()
        connection.initiate_connection()
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a")]
        connection.send_headers(1, [*fields, (":path", "/hint")], end_stream=True)
        trailers = [(":path", "/trailers"), ("te", "trailers")]
        connection.send_headers(3, [*fields, *trailers], end_stream=True)
        client.send(connection.data_to_send())
        seen: dict[type, list] = {}
        while len(seen.get(events.StreamEnded, [])) < 2:
            for event in connection.receive_data(client.socket.recv(65536)):
                seen.setdefault(type(event), []).append(event)
    [hint] = seen[events.InformationalResponseReceived]
    assert hint.stream_id == 1 and (b":status", b"103") in [(bytes(n), bytes(v)) for n, v in hint.headers]
    [found] = seen[events.TrailersReceived]
    assert (found.stream_id, len(found.headers)) == (3, 2)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/late-hint", "RuntimeError .*early_hint' sent, after response already started"),
        ("/no-links", 'ValueError http.response.early_hint has no "links"'),
        ("/split", "ValueError Invalid HTTP header value"),
        ("/early-trailers", "RuntimeError .*but got 'http.response.trailers'"),
        ("/no-promise", "RuntimeError .*after response already completed"),
        ("/body-again", "RuntimeError Expected ASGI message 'http.response.trailers'"),
        ("/forbidden", "ValueError This header cannot be a trailer"),
    ],
)
def test_wrong_use_raises_in_the_application(started: Server, path: str, error: str) -> None:
    exchange(started, path, NAVIGATES + TAKES)
    started.stdout.wait_for_line(error)


def test_a_response_without_the_trailers_that_it_promised_is_cut(started: Server, connect) -> None:
    assert not exchange(started, "/missing", TAKES).endswith(b"0\r\n\r\n")
    assert connect(started).get("/missing", [("te", "trailers")]).reset is not None
