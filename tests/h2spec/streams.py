"""h2spec's `http2` 4 and 5: frames as such, and the states of streams."""

from h2spec.case import ASKED, GET, NO_WINDOW, POSTING, X_TEST, case, with_block
from h2spec.outcomes import alive, answered, closed, connection_error, ended, goaway_came, pong, stream_error
from harness.http2_frames import (
    COMPRESSION_ERROR,
    END_STREAM,
    FRAME_SIZE,
    FRAME_SIZE_ERROR,
    PRIORITISED,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    UNKNOWN,
    WHOLE,
    block,
    continuation,
    data,
    dependency,
    frame,
    headers,
    ping,
    priority,
    reset,
    window_update,
)

MAX_STREAMS = 10

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
