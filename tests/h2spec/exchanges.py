"""h2spec's `http2` 8: requests in frames."""

from h2spec.case import GET, POSTING, X_TEST, case, post, trailers
from h2spec.outcomes import connection_error, stream_error
from harness.http2_client import head
from harness.http2_frames import (
    END_HEADERS,
    END_STREAM,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    WHOLE,
    block,
    data,
    frame,
    headers,
)

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
