"""What is not HTTP/1.1 is refused: a table of requests, and what becomes of them.

A server that guesses what a malformed message means will guess otherwise than the proxy before it, and that
difference is a smuggled request. RFC 9112 names the cases; where it allows leniency, we don't take it.
"""

from collections.abc import Iterator

import pytest

from harness import RawClient, Response, Server
from harness.scripted import writes

GET = b"GET / HTTP/1.1\r\nhost: a\r\n"
POST = b"POST /echo HTTP/1.1\r\nhost: a\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
REFUSED = {400}
REFUSED_OR_UNKNOWN = {400, 501}
WRONG_VERSION = {400, 505}
COMPLAINT = r"WARNING.*Invalid HTTP request received\."


@pytest.fixture(scope="module")
def bare() -> Iterator[Server]:
    with Server("http_bare:app") as server:
        yield server


def outcome(client: RawClient, request: bytes) -> Response | None:
    """The answer to a request that may be refused before it is all sent; None for a mere close."""
    try:
        client.send(request)
    except ConnectionError:
        pass
    try:
        return client.read_response()
    except (EOFError, ConnectionResetError):
        return None


WRONG_HOSTS = (
    *("a b", "a\tb", "a,b", "a/b", "/", "a?b", "a#b", "u@a", "http://a", "a\\b", "<a>", 'a"b', "caf\xe9"),
    *("a:b", "a:80:80", "a:-1", "::1", "[::1", "[a]b"),
)
HOSTS = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", REFUSED),
    "no host in an absolute target": (b"GET http://a/ HTTP/1.1\r\n\r\n", REFUSED),
    "two hosts": (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", REFUSED),
    "the same host twice": (b"GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n", REFUSED),
    "two hosts over 1.0": (b"GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", REFUSED),
    "an empty and a full host": (b"GET / HTTP/1.1\r\nhost:\r\nhost: b\r\n\r\n", REFUSED),
    **{
        f"host {host!r}": (b"GET / HTTP/1.1\r\nhost: %s\r\n\r\n" % host.encode("latin-1"), REFUSED)
        for host in WRONG_HOSTS
    },
}

METHODS_AND_LINES = {
    "nothing like it": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", REFUSED),
    "noise": (b"hello, server\r\n\r\n", REFUSED),
    "only a method": (b"GET\r\nhost: a\r\n\r\n", REFUSED),
    "no target": (b"GET HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "HTTP/0.9 style": (b"GET /\r\n\r\n", REFUSED),
    "method no token": (b"GE(T / HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "method with colon": (b"GET: / HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "method with NUL": (b"GE\0T / HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "method beyond ASCII": (b"G\xcbT / HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "space before the method": (b" GET / HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "two spaces before the target": (b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "two spaces after the target": (b"GET /  HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "space after the version": (b"GET / HTTP/1.1 \r\nhost: a\r\n\r\n", REFUSED),
    "tab for a space": (b"GET\t/\tHTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "space in the target": (b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "tab in the target": (b"GET /a\tb HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "NUL in the target": (b"GET /a\0b HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "control in the target": (b"GET /a\x01b HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "DEL in the target": (b"GET /a\x7fb HTTP/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "version in lower case": (b"GET / http/1.1\r\nhost: a\r\n\r\n", REFUSED),
    "version without a minor": (b"GET / HTTP/1\r\nhost: a\r\n\r\n", WRONG_VERSION),
    "version with two digits": (b"GET / HTTP/1.10\r\nhost: a\r\n\r\n", WRONG_VERSION),
    "version zero padded": (b"GET / HTTP/01.1\r\nhost: a\r\n\r\n", WRONG_VERSION),
    "version with a comma": (b"GET / HTTP/1,1\r\nhost: a\r\n\r\n", REFUSED),
    "version 0.9": (b"GET / HTTP/0.9\r\nhost: a\r\n\r\n", WRONG_VERSION),
    "version 2.0": (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", WRONG_VERSION),
    "version 3.1": (b"GET / HTTP/3.1\r\nhost: a\r\n\r\n", WRONG_VERSION),
    "another protocol": (b"GET / ICY/1.1\r\nhost: a\r\n\r\n", REFUSED),
}

HEADERS = {
    "bare LF everywhere": (b"GET / HTTP/1.1\nhost: a\n\n", REFUSED),
    "bare LF after the request line": (b"GET / HTTP/1.1\nhost: a\r\n\r\n", REFUSED),
    "bare LF after a header": (GET + b"x: 1\ny: 2\r\n\r\n", REFUSED),
    "bare LF at the end of the head": (GET + b"x: 1\r\n\n", REFUSED),
    "CR CR LF": (GET + b"x: 1\r\r\n\r\n", REFUSED),
    "bare CR in a value": (GET + b"x: 1\r2\r\n\r\n", REFUSED),
    "bare CR after the request line": (b"GET / HTTP/1.1\rhost: a\r\n\r\n", REFUSED),
    "NUL in a value": (GET + b"x: 1\x002\r\n\r\n", REFUSED),
    "NUL in a name": (GET + b"x\0y: 1\r\n\r\n", REFUSED),
    "space before the colon": (GET + b"x : 1\r\n\r\n", REFUSED),
    "tab before the colon": (GET + b"x\t: 1\r\n\r\n", REFUSED),
    "space before the colon of a length": (POST + b"content-length : 5\r\n\r\nhello", REFUSED),
    "space in a name": (GET + b"x y: 1\r\n\r\n", REFUSED),
    "parenthesis in a name": (GET + b"x(y: 1\r\n\r\n", REFUSED),
    "name beyond ASCII": (GET + b"caf\xe9: 1\r\n\r\n", REFUSED),
    "empty name": (GET + b": 1\r\n\r\n", REFUSED),
    "no colon": (GET + b"x\r\n\r\n", REFUSED),
    "folded line": (GET + b"x: 1\r\n 2\r\n\r\n", REFUSED),
    "folded line by tab": (GET + b"x: 1\r\n\t2\r\n\r\n", REFUSED),
    "folded line of nothing": (GET + b"x: 1\r\n \r\n\r\n", REFUSED),
    "space before the first header": (b"GET / HTTP/1.1\r\n x: 1\r\nhost: a\r\n\r\n", REFUSED),
    "tab before the first header": (b"GET / HTTP/1.1\r\n\tx: 1\r\nhost: a\r\n\r\n", REFUSED),
}

LENGTHS = {
    **{
        f"length {length!r}": (POST + b"content-length: %s\r\n\r\nhello" % length.encode(), REFUSED)
        for length in [
            "",
            "+5",
            "-1",
            "0x5",
            "5.0",
            "5 5",
            "5, 5",
            "5, 6",
            "5,",
            "five",
            "5a",
            "1e1",
            "\u0665",
            "'5'",
        ]
    },
    "length 2^64": (POST + b"content-length: 18446744073709551616\r\n\r\n", {400, 413}),
    "length 2^64 + 5": (POST + b"content-length: 18446744073709551621\r\n\r\nhello", {400, 413}),
    "endless length": (POST + b"content-length: " + b"9" * 100 + b"\r\n\r\n", {400, 413}),
    "two lengths": (POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!", REFUSED),
    "length of GET in words": (GET + b"content-length: five\r\n\r\n", REFUSED),
}

ENCODINGS = {
    **{
        f"encoding {encoding!r}": (
            POST + b"transfer-encoding: %s\r\n\r\n0\r\n\r\n" % encoding.encode(),
            expected,
        )
        for encoding, expected in {
            "chunked, chunked": REFUSED,
            "chunked, gzip": REFUSED_OR_UNKNOWN,
            "gzip, chunked": REFUSED_OR_UNKNOWN,
            "gzip": REFUSED_OR_UNKNOWN,
            "identity": REFUSED_OR_UNKNOWN,
            "identity, chunked": REFUSED_OR_UNKNOWN,
            "xchunked": REFUSED_OR_UNKNOWN,
            "chunkedx": REFUSED_OR_UNKNOWN,
            "chunked;q=1": REFUSED_OR_UNKNOWN,
            '"chunked"': REFUSED_OR_UNKNOWN,
            "chunked chunked": REFUSED_OR_UNKNOWN,
            "\x0bchunked": REFUSED_OR_UNKNOWN,
            "": REFUSED_OR_UNKNOWN,
        }.items()
    },
    "chunked on two lines": (POST + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", REFUSED),
    "gzip and chunked on two lines": (
        POST + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        REFUSED_OR_UNKNOWN,
    ),
    "encoding and length": (
        POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        REFUSED,
    ),
    "length and encoding": (
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        REFUSED,
    ),
    "length zero and encoding": (
        POST + b"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        REFUSED,
    ),
    "unknown encoding and length": (
        POST + b"content-length: 5\r\ntransfer-encoding: x\r\n\r\nhello",
        REFUSED_OR_UNKNOWN,
    ),
    "chunked over 1.0": (
        b"POST /echo HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        REFUSED,
    ),
}

BROKEN_CHUNKS = {
    "no size": b"\r\nhello\r\n",
    "size no number": b"xyz\r\nhello\r\n",
    "size with plus": b"+5\r\nhello\r\n",
    "size with minus": b"-5\r\nhello\r\n",
    "size with 0x": b"0x5\r\nhello\r\n",
    "size with underscore": b"0_5\r\nhello\r\n",
    "space before the size": b" 5\r\nhello\r\n",
    "space in the size": b"0 5\r\nhello\r\n",
    "size beyond 64 bits": b"10000000000000005\r\nhello\r\n",
    "size far beyond 64 bits": b"f" * 40 + b"\r\nhello\r\n",
    "bare LF after the size": b"5\nhello\r\n",
    "bare CR after the size": b"5\rhello\r\n",
    "bare LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "nothing after the data": b"5\r\nhello0\r\n\r\n",
    "data longer than the size": b"5\r\nhello!\r\n0\r\n\r\n",
    "data shorter than the size": b"6\r\nhello\r\n0\r\n\r\n",
    "bare LF in an extension": b"5;a\nb\r\nhello\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n",
    "endless extension": b"5;" + b"a" * 200_000 + b"\r\nhello\r\n",
    "bare LF after the last size": b"0\n\r\n",
    "bare LF at the very end": b"0\r\n\n",
    "trailer without a colon": b"0\r\nnonsense\r\n\r\n",
    "trailer with a space before the colon": b"0\r\nx : 1\r\n\r\n",
    "trailer folded": b"0\r\nx: 1\r\n 2\r\n\r\n",
    "request in place of the end": b"0\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
}

TABLE = {
    **HOSTS,
    **METHODS_AND_LINES,
    **HEADERS,
    **LENGTHS,
    **ENCODINGS,
    **{f"chunk: {name}": (CHUNKED + chunks, REFUSED) for name, chunks in BROKEN_CHUNKS.items()},
}


@pytest.mark.parametrize(("request_bytes", "expected"), TABLE.values(), ids=TABLE.keys())
def test_a_malformed_request_is_refused(bare: Server, request_bytes: bytes, expected: set[int]) -> None:
    with bare.connect() as client, writes(bare.stderr, COMPLAINT):
        response = outcome(client, request_bytes)
        assert response is not None and response.status in expected, response
        assert response.header("connection") == "close"
        assert client.is_closed_by_server()
    assert bare.get("/").body == b"hello"


@pytest.mark.parametrize(
    "request_bytes",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", GET + b"x : 1\r\n\r\n", CHUNKED + b"x\r\n"],
    ids=["garbage", "no host", "header", "chunk"],
)
def test_the_refusal_has_the_words_of_uvicorn(bare: Server, request_bytes: bytes) -> None:
    with bare.connect() as client:
        response = outcome(client, request_bytes)
    assert response is not None
    assert response.header("content-type") == "text/plain; charset=utf-8"
    assert response.body == b"Invalid HTTP request received."


@pytest.mark.parametrize(
    "host",
    [
        "a",
        "A.Example.",
        "a-b_c.example:8000",
        "127.0.0.1:80",
        "[::1]",
        "[2001:db8::1]:8000",
        "a:",
        "xn--caf-dma.fr",
        "",
    ],
)
def test_a_right_host_is_welcome(bare: Server, host: str) -> None:
    assert bare.get("/", {"host": host}).body == b"hello"


def test_http_1_0_needs_no_host(bare: Server) -> None:
    with bare.connect() as client:
        response = outcome(client, b"GET / HTTP/1.0\r\n\r\n")
    assert response is not None and response.body == b"hello"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n" + GET + b"\r\n",
        GET + b"x:1\r\n\r\n",
        GET + b"x:\t 1 \t\r\n\r\n",
        GET + b"x:\r\n\r\n",
        GET + b"!#$%&'*+-.^_`|~0aZ: 1\r\n\r\n",
        GET + b'x: "quoted", (comment) \xe9\r\n\r\n',
        POST.replace(b"/echo", b"/") + b"Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
        POST.replace(b"/echo", b"/") + b"content-length: 005\r\n\r\nhello",
    ],
    ids=["leading line", "no space", "spaces", "empty", "every name", "any value", "Chunked", "zeros"],
)
def test_what_is_unusual_but_right_is_served(bare: Server, request_bytes: bytes) -> None:
    with bare.connect() as client:
        client.send(request_bytes)
        assert client.read_response().body == b"hello"
        assert client.get("/").body == b"hello"


def test_a_line_left_over_after_a_body_is_forgiven(bare: Server) -> None:
    """Old clients sent one (RFC 9112 section 2.2)."""
    with bare.connect() as client:
        client.send(POST + b"content-length: 5\r\n\r\nhello\r\n" + GET + b"\r\n")
        assert client.read_response().body == b"hello"
        assert client.read_response().body == b"hello"


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (GET + b"x: " + b"v" * 200_000 + b"\r\n\r\n", {431}),
        (GET + b"n" * 200_000 + b": 1\r\n\r\n", {431}),
        (GET + b"".join(b"x-%d: %s\r\n" % (n, b"v" * 2_000) for n in range(90)) + b"\r\n", {431}),
        (GET + b"".join(b"x-%d: v\r\n" % n for n in range(1_000)) + b"\r\n", {431}),
        (b"GET /" + b"t" * 200_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", {414, 431}),
        (b"GET /?" + b"q" * 200_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", {414, 431}),
        (b"M" * 200_000 + b" / HTTP/1.1\r\nhost: a\r\n\r\n", {400, 414, 431, 501}),
        (GET + b"x: " + b"v" * 200_000, {431}),
    ],
    ids=["value", "name", "all together", "many", "target", "query", "method", "unfinished"],
)
def test_an_oversized_head_is_refused(bare: Server, request_bytes: bytes, expected: set[int]) -> None:
    with bare.connect() as client:
        response = outcome(client, request_bytes)
        assert response is not None and response.status in expected, response
        assert client.is_closed_by_server()
    assert bare.get("/").body == b"hello"


def test_endless_trailers_are_refused(bare: Server) -> None:
    with bare.connect() as client:
        response = outcome(client, CHUNKED + b"0\r\n" + b"x: 1\r\n" * 200_000)
        assert response is not None and response.status in (400, 431)
        assert client.is_closed_by_server()
    assert bare.get("/").body == b"hello"


def test_endless_empty_lines_are_not_read_for_ever(bare: Server) -> None:
    with bare.connect() as client:
        response = outcome(client, b"\r\n" * 200_000)
        assert response is None or response.status in (400, 431)
        assert client.is_closed_by_server()


def test_a_good_request_is_answered_before_the_bad_one_behind_it_is_refused(bare: Server) -> None:
    with bare.connect() as client, writes(bare.stderr, COMPLAINT):
        client.send(GET + b"\r\n" + GET + b"x : 1\r\n\r\n" + GET + b"\r\n")
        assert client.read_response().body == b"hello"
        assert client.read_response().status == 400
        assert client.is_closed_by_server()


@pytest.mark.parametrize("chunks", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS.keys())
def test_chunks_that_break_in_the_middle_are_refused_whatever_the_application_does(
    bare: Server, chunks: bytes
) -> None:
    with bare.connect() as client:
        client.send(CHUNKED + b"5\r\nfirst\r\n")
        response = outcome(client, chunks)
        assert response is not None and response.status == 400
        assert client.is_closed_by_server()


def test_a_broken_request_is_not_logged_as_the_applications_error(bare: Server) -> None:
    before = len(bare.stderr.matches("ERROR"))
    with bare.connect() as client, writes(bare.stderr, COMPLAINT):
        client.send(CHUNKED + b"5\r\nfirst\r\n")
        assert bare.get("/").body == b"hello"
        client.send(b"nonsense\r\n")
        assert client.read_response().status == 400
    assert bare.get("/").body == b"hello"
    assert len(bare.stderr.matches("ERROR")) == before


@pytest.mark.parametrize("chunks", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS.keys())
def test_chunks_that_break_after_the_response_has_begun_cut_it(bare: Server, chunks: bytes) -> None:
    with bare.connect() as client:
        client.send(CHUNKED.replace(b"/echo", b"/early"))
        assert client.read_head().status == 200
        assert client.read_chunk() == b"begun "
        try:
            client.send(chunks)
            received = client.read_until_close()
        except ConnectionError:
            received = b""
        assert b"HTTP/1.1" not in received
        assert not received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("chunks", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS.keys())
def test_chunks_that_break_unread_are_never_the_next_request(bare: Server, chunks: bytes) -> None:
    with bare.connect() as client:
        response = outcome(client, CHUNKED.replace(b"/echo", b"/deaf") + chunks + GET + b"\r\n")
        assert response is None or response.status in (200, 400)
        try:
            received = client.read_until_close()
        except ConnectionError:
            received = b""
        assert b"200 OK" not in received
