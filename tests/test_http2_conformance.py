"""What h2spec asks of a server, case by case: what is sent, and what RFC 9113 and RFC 7541 have come of it.

The sections are h2spec's, which are those of RFC 7540 (`http2`), of RFC 7541 (`hpack`) and its own (`generic`).
"""

from collections.abc import Callable, Iterator

import pytest
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from harness import Server
from harness.http2_client import Http2Client, head
from harness.http2_frames import (
    ACK,
    COMPRESSION_ERROR,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE,
    FRAME_SIZE_ERROR,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST,
    MAX_WINDOW,
    PADDED,
    PING,
    PRIORITISED,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    UNKNOWN,
    WHOLE,
    WINDOW_UPDATE,
    block,
    continuation,
    data,
    dependency,
    frame,
    goaway,
    headers,
    literal,
    ping,
    priority,
    reset,
    settings,
    window_update,
)

MAX_STREAMS = 10

Step = bytes | Callable[[Http2Client], None]
Outcome = Callable[[Http2Client], None]

UNKNOWN_CODE = 0xFF
MARK = b"the mark"

# ---- what comes of it


def frames(client: Http2Client) -> Iterator[Frame]:
    """What the server sends, to the end of the connection."""
    try:
        while True:
            yield client.read()
    except (EOFError, ConnectionError):
        return


def until(client: Http2Client, wanted: Callable[[Frame], bool]) -> Frame:
    for each in frames(client):
        if wanted(each):
            return each
    raise AssertionError(f"the connection was closed; GOAWAY: {client.goaways}")


def is_answer(each: Frame, payload: bytes) -> bool:
    return isinstance(each, PingFrame) and "ACK" in each.flags and each.opaque_data == payload


def until_indifferent(client: Http2Client) -> Iterator[Frame]:
    """Frames until the connection ends, or it is plain that nothing more comes of what was sent.

    Two pings: an error of a stream may be written behind the answer to the first.
    """
    for _ in range(2):
        try:
            client.socket.sendall(ping(MARK))
        except ConnectionError:
            # What was sent before the end is still there to be read.
            pass
        for each in frames(client):
            if is_answer(each, MARK):
                break
            yield each
        else:
            return
    raise AssertionError("the server goes on as if nothing had been wrong")


def connection_error(*codes: int) -> Outcome:
    """GOAWAY with one of the codes; a connection that ends without one is as good (section 5.4.1)."""

    def outcome(client: Http2Client) -> None:
        for each in until_indifferent(client):
            if isinstance(each, GoAwayFrame):
                assert each.error_code in codes
                client.read_until_close()
                return

    return outcome


def stream_error(*codes: int) -> Outcome:
    """RST_STREAM with one of the codes, or the same as an error of the connection (section 5.4.2)."""

    def outcome(client: Http2Client) -> None:
        for each in until_indifferent(client):
            if isinstance(each, GoAwayFrame | RstStreamFrame) and each.error_code != 0:
                assert each.error_code in codes
                return

    return outcome


def answered(client: Http2Client) -> None:
    until(client, lambda each: isinstance(each, HeadersFrame) and each.stream_id == 1)
    assert client.streams[1].status == 200


def ended(client: Http2Client) -> None:
    until(client, lambda each: client.streams[1].ended)


def alive(client: Http2Client) -> None:
    client.socket.sendall(ping(MARK))
    until(client, lambda each: is_answer(each, MARK))


def pong(client: Http2Client) -> None:
    until(client, lambda each: isinstance(each, PingFrame) and "ACK" in each.flags)


def only_the_second_ping(client: Http2Client) -> None:
    answer = until(client, lambda each: isinstance(each, PingFrame))
    assert is_answer(answer, b"question")


def acknowledged(client: Http2Client) -> None:
    until(client, lambda each: isinstance(each, SettingsFrame) and "ACK" in each.flags)


def closed(client: Http2Client) -> None:
    client.read_until_close()


def goaway_came(client: Http2Client) -> None:
    client.read_until_close()
    assert [each.error_code for each in client.goaways] == [PROTOCOL_ERROR]


def one_byte(client: Http2Client) -> None:
    """Of the body, as much as the window takes."""
    found = until(client, lambda each: isinstance(each, DataFrame))
    assert isinstance(found, DataFrame) and found.data == client.streams[1].body[-1:]
    assert "END_STREAM" not in found.flags


def some_body(client: Http2Client) -> None:
    until(client, lambda each: isinstance(each, DataFrame))


# ---- what is sent


GET = block(head())
POST = block(head("POST", "/echo"))
X_TEST = block([("x-test", "ok")])

ASKED = headers(1, GET)
POSTING = headers(1, POST, END_HEADERS)
"""A request whose body follows."""

NO_WINDOW = settings((INITIAL_WINDOW_SIZE, 0))
"""Keeps a response from ending."""

HUFFMAN_TEST = b"\x85\xf2\xb2\x4a\x84\xff"
"""The name `x-test`."""

HUFFMAN_AGENT = b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93"
"""The name `user-agent`."""

HUFFMAN_VALUE = b"\x84\x9c\x48\xac\xa4"


def get(*more: tuple[str, str]) -> bytes:
    return headers(1, block([*head(), *more]))


def with_block(fragment: bytes) -> bytes:
    """A request whose field block ends in this."""
    return headers(1, GET + fragment)


def post(*more: tuple[str, str]) -> bytes:
    return headers(1, block([*head("POST", "/echo"), *more]), END_HEADERS)


def trailers(fields: bytes, flags: int) -> bytes:
    return headers(1, fields, flags)


def case(name: str, *steps: Step, then: Outcome):
    return pytest.param(steps, then, id=name)


GENERIC = [
    case("2 PRIORITY on an idle stream", priority(1), then=alive),
    case(
        "2 WINDOW_UPDATE on a half-closed stream",
        NO_WINDOW,
        ASKED,
        window_update(1, 1),
        then=one_byte,
    ),
    case(
        "2 PRIORITY on a half-closed stream",
        NO_WINDOW,
        ASKED,
        priority(1),
        window_update(1, 1),
        then=one_byte,
    ),
    case("2 RST_STREAM on a half-closed stream", NO_WINDOW, ASKED, reset(1), then=alive),
    case("2 PRIORITY on a closed stream", ASKED, ended, priority(1), then=alive),
    case("3.1 one DATA frame", POSTING, data(1, b"test", END_STREAM), then=answered),
    case("3.1 two DATA frames", POSTING, data(1, b"test"), data(1, b"test", END_STREAM), then=answered),
    case(
        "3.1 a DATA frame with padding",
        POSTING,
        data(1, b"\x06test" + bytes(6), END_STREAM | PADDED),
        then=answered,
    ),
    case("3.2 HEADERS", ASKED, then=answered),
    case("3.2 HEADERS with padding", headers(1, b"\x08" + GET + bytes(8), WHOLE | PADDED), then=answered),
    case("3.2 HEADERS with a priority", headers(1, dependency() + GET, WHOLE | PRIORITISED), then=answered),
    case("3.3 PRIORITY with weight 1", priority(1, weight=0), ASKED, then=answered),
    case("3.3 PRIORITY with weight 256", priority(1, weight=255), ASKED, then=answered),
    case("3.3 PRIORITY with a dependency", priority(3, on=1, weight=0), ASKED, then=answered),
    case("3.3 PRIORITY that is exclusive", priority(1, weight=0, exclusive=True), ASKED, then=answered),
    case("3.3 PRIORITY on a later stream than the next request's", priority(3), ASKED, then=answered),
    case("3.4 RST_STREAM", POSTING, reset(1), then=alive),
    case(
        "3.5 SETTINGS with every parameter",
        settings(
            (HEADER_TABLE_SIZE, 4096),
            (ENABLE_PUSH, 1),
            (MAX_CONCURRENT_STREAMS, 100),
            (INITIAL_WINDOW_SIZE, 65_535),
            (MAX_FRAME_SIZE, FRAME_SIZE),
            (MAX_HEADER_LIST, 100),
        ),
        then=acknowledged,
    ),
    case("3.7 PING", then=alive),
    case("3.8 GOAWAY", goaway(), then=closed),
    case("3.9 WINDOW_UPDATE of the connection", window_update(0, 1), then=alive),
    case("3.9 WINDOW_UPDATE of a stream", ASKED, window_update(1, 1), then=answered),
    case("3.10 one CONTINUATION", headers(1, GET[:5], END_STREAM), continuation(1, GET[5:]), then=answered),
    case(
        "3.10 two CONTINUATIONs",
        headers(1, GET[:5], END_STREAM),
        continuation(1, GET[5:10], 0),
        continuation(1, GET[10:]),
        then=answered,
    ),
    case("4 GET", ASKED, then=answered),
    case("4 HEAD", headers(1, block(head("HEAD"))), then=answered),
    case("4 POST", POSTING, data(1, b"test", END_STREAM), then=answered),
    case(
        "4 POST with trailers",
        post(("trailer", "x-test")),
        data(1, b"test"),
        trailers(X_TEST, WHOLE),
        then=answered,
    ),
    case("5 an indexed field", with_block(b"\xba"), then=answered),
    *[
        case(f"5 a literal {indexing}, {name}{how}", with_block(bytes([kind]) + fragment), then=answered)
        for kind, indexing in ((0x40, "with indexing"), (0x00, "without indexing"), (0x10, "never indexed"))
        for name, how, fragment in (
            ("name of the table", "", literal("user-agent", "h2spec")[1:]),
            ("name of the table", " in Huffman's code", HUFFMAN_AGENT + HUFFMAN_VALUE),
            ("new name", "", literal("x-test", "h2spec")[1:]),
            ("new name", " in Huffman's code", HUFFMAN_TEST + HUFFMAN_VALUE),
        )
    ],
    case("5 a change of the table's size", headers(1, b"\x20" + GET), then=answered),
    case("5 two changes of the table's size", headers(1, b"\x20\x3f\xe1\x1f" + GET), then=answered),
]

FRAMES = [
    case("4.1 an unknown type", frame(UNKNOWN, 0, 0, bytes(8)), then=alive),
    case("4.1 an undefined flag", ping(flags=0x16), then=pong),
    case("4.1 the reserved bit", ping(flags=0x16, stream=1 << 31), then=pong),
    case("4.2 DATA of 2^14 bytes", POSTING, data(1, bytes(FRAME_SIZE), END_STREAM), then=answered),
    case(
        "4.2 DATA of one byte more",
        POSTING,
        data(1, bytes(FRAME_SIZE + 1), END_STREAM),
        then=stream_error(FRAME_SIZE_ERROR),
    ),
    case(
        "4.2 HEADERS of more than 2^14 bytes",
        with_block(block([("x-long", "x" * 100)]) * 160),
        then=connection_error(FRAME_SIZE_ERROR),
    ),
    case("4.3 a block that can't be decoded", headers(1, b"\x40"), then=connection_error(COMPRESSION_ERROR)),
    case(
        "4.3 PRIORITY within a field block",
        headers(1, GET, 0),
        priority(1),
        continuation(1, X_TEST),
        then=connection_error(PROTOCOL_ERROR),
    ),
    case(
        "4.3 another stream's HEADERS within a field block",
        headers(1, GET, 0),
        headers(3, GET),
        continuation(1, X_TEST),
        then=connection_error(PROTOCOL_ERROR),
    ),
    case("5.5 an extension's frame", frame(UNKNOWN, 0, 0, bytes(8)), then=alive),
    case(
        "5.5 an extension's frame within a field block",
        headers(1, GET, END_STREAM),
        frame(UNKNOWN, 0, 0, bytes(8)),
        then=connection_error(PROTOCOL_ERROR),
    ),
]

IDLE = [
    case(f"5.1 idle: {name}", sent, then=connection_error(PROTOCOL_ERROR))
    for name, sent in (
        ("DATA", data(1, b"test", END_STREAM)),
        ("RST_STREAM", reset(1)),
        ("WINDOW_UPDATE", window_update(1, 100)),
        ("CONTINUATION", continuation(1, GET)),
    )
]

# A stream that the client has ended. What it sends on it then is an error of that stream, unless the
# frame could not stand there on any stream.
AFTER_THE_END = (
    ("DATA", data(1, b"test", END_STREAM), (STREAM_CLOSED,)),
    ("HEADERS", ASKED, (STREAM_CLOSED,)),
    ("CONTINUATION", continuation(1, X_TEST), (STREAM_CLOSED, PROTOCOL_ERROR)),
)

STATES = [
    *IDLE,
    *[
        case(f"5.1 half-closed: {name}", NO_WINDOW, ASKED, sent, then=stream_error(*codes))
        for name, sent, codes in AFTER_THE_END
    ],
    *[
        case(f"5.1 closed by RST_STREAM: {name}", POSTING, reset(1), sent, then=stream_error(*codes))
        for name, sent, codes in AFTER_THE_END
    ],
    *[
        case(f"5.1 closed: {name}", ASKED, ended, sent, then=stream_error(*codes))
        for name, sent, codes in AFTER_THE_END
    ],
    case("5.1.1 an even number", headers(2, GET), then=connection_error(PROTOCOL_ERROR)),
    case(
        "5.1.1 a number below the last",
        headers(5, GET),
        headers(3, GET),
        then=connection_error(PROTOCOL_ERROR),
    ),
    case(
        "5.1.1 the last number again",
        headers(5, GET),
        headers(5, GET),
        then=stream_error(STREAM_CLOSED),
    ),
    case(
        "5.1.2 more streams than are allowed",
        NO_WINDOW,
        b"".join(headers(number, GET) for number in range(1, 2 * MAX_STREAMS + 2, 2)),
        then=stream_error(PROTOCOL_ERROR, REFUSED_STREAM),
    ),
    case(
        "5.3.1 HEADERS that depend on their own stream",
        headers(1, dependency(on=1) + GET, WHOLE | PRIORITISED),
        then=stream_error(PROTOCOL_ERROR),
    ),
    case(
        "5.3.1 PRIORITY that depends on its own stream", priority(1, on=1), then=stream_error(PROTOCOL_ERROR)
    ),
    case("5.4.1 an error of the connection ends it", ping(stream=3), then=closed),
    case("5.4.1 GOAWAY comes before the end", ping(stream=3), then=goaway_came),
]

DEFINITIONS = [
    case("6.1 DATA without a stream", data(0, b"test"), then=connection_error(PROTOCOL_ERROR)),
    case(
        "6.1 DATA on a stream that is not open",
        headers(1, POST),
        data(1, b"test", END_STREAM),
        then=stream_error(STREAM_CLOSED),
    ),
    case(
        "6.1 DATA with more padding than it has room for",
        post(("content-length", "4")),
        data(1, b"\x06test", END_STREAM | PADDED),
        then=connection_error(PROTOCOL_ERROR),
    ),
    case(
        "6.2 HEADERS without their end, then PRIORITY",
        headers(1, GET, 0),
        priority(1),
        continuation(1, X_TEST),
        then=connection_error(PROTOCOL_ERROR),
    ),
    case(
        "6.2 HEADERS without their end, then another stream's",
        headers(1, GET, 0),
        headers(3, GET),
        continuation(1, X_TEST),
        then=connection_error(PROTOCOL_ERROR),
    ),
    case("6.2 HEADERS without a stream", headers(0, GET), then=connection_error(PROTOCOL_ERROR)),
    case(
        "6.2 HEADERS with more padding than they have room for",
        headers(1, bytes([len(GET) + 2]) + GET, WHOLE | PADDED),
        then=stream_error(PROTOCOL_ERROR),
    ),
    case("6.3 PRIORITY without a stream", priority(0), then=connection_error(PROTOCOL_ERROR)),
    case(
        "6.3 PRIORITY of four bytes",
        ASKED,
        frame(PRIORITY, 0, 1, b"\x80\x00\x00\x01"),
        then=stream_error(FRAME_SIZE_ERROR),
    ),
    case("6.3 PRIORITY on a later stream than the next request's", priority(3), ASKED, then=answered),
    case("6.4 RST_STREAM without a stream", reset(0), then=connection_error(PROTOCOL_ERROR)),
    case("6.4 RST_STREAM on an idle stream", reset(1), then=connection_error(PROTOCOL_ERROR)),
    case(
        "6.4 RST_STREAM of three bytes",
        ASKED,
        frame(RST_STREAM, 0, 1, bytes(3)),
        then=connection_error(FRAME_SIZE_ERROR),
    ),
    case(
        "6.5 an acknowledgement with a payload",
        frame(SETTINGS, ACK, 0, b"\x00"),
        then=connection_error(FRAME_SIZE_ERROR),
    ),
    case(
        "6.5 SETTINGS on a stream",
        frame(SETTINGS, 0, 1, b"\x00\x03\x00\x00\x00\x64"),
        then=connection_error(PROTOCOL_ERROR),
    ),
    case(
        "6.5 SETTINGS whose length is no multiple of six",
        frame(SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x64\x00\x02"),
        then=connection_error(PROTOCOL_ERROR, FRAME_SIZE_ERROR),
    ),
    *[
        case(f"6.5.2 {name}", settings((key, value)), then=connection_error(code))
        for name, key, value, code in (
            ("ENABLE_PUSH neither 0 nor 1", ENABLE_PUSH, 2, PROTOCOL_ERROR),
            ("INITIAL_WINDOW_SIZE of 2^31", INITIAL_WINDOW_SIZE, MAX_WINDOW + 1, FLOW_CONTROL_ERROR),
            ("MAX_FRAME_SIZE below 2^14", MAX_FRAME_SIZE, FRAME_SIZE - 1, PROTOCOL_ERROR),
            ("MAX_FRAME_SIZE of 2^24", MAX_FRAME_SIZE, 2**24, PROTOCOL_ERROR),
        )
    ],
    case("6.5.2 an unknown parameter", settings((0xFF, 1)), then=alive),
    case(
        "6.5.3 the last of two values counts",
        settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)),
        acknowledged,
        ASKED,
        then=one_byte,
    ),
    case("6.5.3 SETTINGS are acknowledged", settings((ENABLE_PUSH, 0)), then=acknowledged),
    case("6.7 PING is answered with its own payload", then=alive),
    case(
        "6.7 an answer is not answered",
        ping(b"answered", ACK),
        ping(b"question"),
        then=only_the_second_ping,
    ),
    case("6.7 PING on a stream", ping(stream=1), then=connection_error(PROTOCOL_ERROR)),
    case("6.7 PING of six bytes", frame(PING, payload=bytes(6)), then=connection_error(FRAME_SIZE_ERROR)),
    case("6.8 GOAWAY on a stream", goaway(stream=1), then=connection_error(PROTOCOL_ERROR)),
    case(
        "6.9 an increment of 0 for the connection",
        window_update(0, 0),
        then=connection_error(PROTOCOL_ERROR),
    ),
    case(
        "6.9 an increment of 0 for a stream",
        POSTING,
        window_update(1, 0),
        then=stream_error(PROTOCOL_ERROR),
    ),
    case(
        "6.9 WINDOW_UPDATE of three bytes",
        frame(WINDOW_UPDATE, payload=b"\x00\x00\x01"),
        then=connection_error(FRAME_SIZE_ERROR),
    ),
    case(
        "6.9.1 no more is sent than the window takes",
        settings((INITIAL_WINDOW_SIZE, 1)),
        acknowledged,
        ASKED,
        then=one_byte,
    ),
    case(
        "6.9.1 the connection's window beyond 2^31-1",
        window_update(0, MAX_WINDOW) * 2,
        then=connection_error(FLOW_CONTROL_ERROR),
    ),
    case(
        "6.9.1 a stream's window beyond 2^31-1",
        POSTING,
        window_update(1, MAX_WINDOW) * 2,
        then=stream_error(FLOW_CONTROL_ERROR),
    ),
    case(
        "6.9.2 a new INITIAL_WINDOW_SIZE changes the windows of open streams",
        NO_WINDOW,
        acknowledged,
        ASKED,
        settings((INITIAL_WINDOW_SIZE, 1)),
        acknowledged,
        then=one_byte,
    ),
    case(
        "6.9.2 a window may become negative",
        settings((INITIAL_WINDOW_SIZE, 3)),
        acknowledged,
        ASKED,
        some_body,
        settings((INITIAL_WINDOW_SIZE, 2)),
        acknowledged,
        window_update(1, 2),
        then=one_byte,
    ),
    case(
        "6.9.2 INITIAL_WINDOW_SIZE of 2^31",
        settings((INITIAL_WINDOW_SIZE, MAX_WINDOW + 1)),
        then=connection_error(FLOW_CONTROL_ERROR),
    ),
    case(
        "6.10 two CONTINUATIONs",
        headers(1, GET, END_STREAM),
        continuation(1, X_TEST, 0),
        continuation(1, X_TEST),
        then=answered,
    ),
    case(
        "6.10 CONTINUATION without the end, then another frame",
        headers(1, POST, 0),
        continuation(1, X_TEST, 0),
        data(1, b"test", END_STREAM),
        then=connection_error(PROTOCOL_ERROR),
    ),
    case(
        "6.10 CONTINUATION without a stream",
        headers(1, GET, END_STREAM),
        continuation(0, X_TEST),
        then=connection_error(PROTOCOL_ERROR),
    ),
    case(
        "6.10 CONTINUATION behind whole HEADERS",
        ASKED,
        continuation(1, X_TEST),
        then=connection_error(PROTOCOL_ERROR),
    ),
    case(
        "6.10 CONTINUATION behind the last CONTINUATION",
        headers(1, GET, END_STREAM),
        continuation(1, X_TEST) * 2,
        then=connection_error(PROTOCOL_ERROR),
    ),
    case(
        "6.10 CONTINUATION behind DATA",
        headers(1, POST, 0),
        data(1, b"test", END_STREAM),
        continuation(1, X_TEST),
        then=connection_error(PROTOCOL_ERROR),
    ),
    case("7 GOAWAY with an unknown code", goaway(code=UNKNOWN_CODE), then=closed),
    case("7 RST_STREAM with an unknown code", POSTING, reset(1, UNKNOWN_CODE), then=alive),
]

EXCHANGES = [
    case(
        "8.1 trailers without END_STREAM",
        POSTING,
        data(1, b"test"),
        trailers(X_TEST, END_HEADERS),
        then=stream_error(PROTOCOL_ERROR),
    ),
    case(
        "8.1.2.1 a pseudo-field as trailer",
        POSTING,
        data(1, b"test"),
        trailers(block([(":method", "POST")]), WHOLE),
        then=stream_error(PROTOCOL_ERROR),
    ),
    *[
        case(name, headers(1, block(fields)), then=stream_error(PROTOCOL_ERROR))
        for name, fields in (
            ("8.1.2 a name in capitals", [*head(), ("X-TEST", "ok")]),
            ("8.1.2.1 an unknown pseudo-field", [*head(), (":test", "ok")]),
            ("8.1.2.1 a response's pseudo-field", [*head(), (":status", "200")]),
            ("8.1.2.1 a pseudo-field behind another", [("x-test", "ok"), *head()]),
            ("8.1.2.2 Connection", [*head(), ("connection", "keep-alive")]),
            ("8.1.2.2 TE that is not trailers", [*head(), ("te", "trailers, deflate")]),
            ("8.1.2.3 an empty :path", head(path="")),
            ("8.1.2.3 no :method", head()[1:]),
            ("8.1.2.3 no :scheme", [head()[0], *head()[2:]]),
            ("8.1.2.3 no :path", [*head()[:2], head()[3]]),
            ("8.1.2.3 two :method", [*head(), (":method", "GET")]),
            ("8.1.2.3 two :scheme", [*head(), (":scheme", "http")]),
            ("8.1.2.3 two :path", [*head(), (":path", "/")]),
        )
    ],
    case(
        "8.1.2.6 a content-length that one DATA frame exceeds",
        post(("content-length", "1")),
        data(1, b"test", END_STREAM),
        then=stream_error(PROTOCOL_ERROR),
    ),
    case(
        "8.1.2.6 a content-length that two DATA frames exceed",
        post(("content-length", "1")),
        data(1, b"test"),
        data(1, b"test", END_STREAM),
        then=stream_error(PROTOCOL_ERROR),
    ),
    case(
        "8.2 PUSH_PROMISE",
        frame(PUSH_PROMISE, END_HEADERS, 1, (3).to_bytes(4) + GET),
        then=connection_error(PROTOCOL_ERROR),
    ),
]

HPACK = [
    case(name, sent, then=connection_error(COMPRESSION_ERROR))
    for name, sent in (
        ("2.3.3 an index beyond both tables", with_block(b"\xfe")),
        ("2.3.3 a literal whose name is beyond both tables", with_block(b"\x7e\x00")),
        ("4.2 a change of the table's size behind a field", with_block(b"\x21")),
        ("5.2 more than 7 bits of padding", with_block(b"\x00" + HUFFMAN_TEST + b"\x84\x49\x50\x9f\xff")),
        ("5.2 padding of zeros", with_block(b"\x00" + HUFFMAN_TEST + b"\x83\x49\x50\x90")),
        (
            "5.2 the end-of-string symbol",
            with_block(b"\x00" + HUFFMAN_TEST + b"\x87\xff\xff\xff\xfd\x25\x42\x7f"),
        ),
        ("6.1 index 0", with_block(b"\x80")),
        # 4097, which is one more than SETTINGS_HEADER_TABLE_SIZE has been.
        ("6.3 a table larger than allowed", headers(1, b"\x3f\xe2\x1f" + GET)),
    )
]


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with Server("http_bare:app", "--no-access-log", "--http2-max-streams", str(MAX_STREAMS)) as server:
        yield server


@pytest.fixture
def client(running: Server) -> Iterator[Http2Client]:
    """A connection on which both sides' settings have been acknowledged."""
    assert not isinstance(running.address, str)
    with Http2Client(running.address, timeout=5, opens_windows=False) as client:
        client.read_until(SettingsFrame)
        acknowledged(client)
        yield client


def follow(client: Http2Client, steps: tuple[Step, ...], then: Outcome) -> None:
    for step in steps:
        if callable(step):
            step(client)
        else:
            client.socket.sendall(step)
    then(client)


@pytest.mark.parametrize(("steps", "then"), GENERIC)
def test_generic(client: Http2Client, steps: tuple[Step, ...], then: Outcome) -> None:
    follow(client, steps, then)


@pytest.mark.parametrize(("steps", "then"), [*FRAMES, *STATES, *DEFINITIONS, *EXCHANGES])
def test_http2(client: Http2Client, steps: tuple[Step, ...], then: Outcome) -> None:
    follow(client, steps, then)


@pytest.mark.parametrize(("steps", "then"), HPACK)
def test_hpack(client: Http2Client, steps: tuple[Step, ...], then: Outcome) -> None:
    follow(client, steps, then)


def test_the_first_frame_of_the_server_is_its_settings(running: Server) -> None:
    """Section 3.5, and generic 1."""
    assert not isinstance(running.address, str)
    with Http2Client(running.address, settings={INITIAL_WINDOW_SIZE: 65_535}) as client:
        first = client.read()
        assert isinstance(first, SettingsFrame) and "ACK" not in first.flags


def test_whatever_is_no_preface_ends_the_connection(running: Server) -> None:
    """Section 3.5. It is no head of HTTP/1.1 either."""
    with running.connect() as client:
        client.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
        assert client.read_response("GET").status == 400
        assert client.is_closed_by_server()
