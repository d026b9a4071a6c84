"""HTTP/2 frames as bytes, well-formed or not: whatever a field may hold can be said (RFC 9113 sections 4 and 6)."""

from collections.abc import Iterable

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
UNKNOWN = 0x16

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITISED = 0x20
WHOLE = END_STREAM | END_HEADERS

(
    HEADER_TABLE_SIZE,
    ENABLE_PUSH,
    MAX_CONCURRENT_STREAMS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST,
) = range(1, 7)

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED = range(6)
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(6, 12)

MAX_WINDOW = 2**31 - 1
FRAME_SIZE = 2**14
"""Bytes that a frame's payload may have until more is agreed on."""


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def literal(name: str, value: str, kind: int = 0x00) -> bytes:
    """A field as HPACK's literal with a new name, without Huffman's code (RFC 7541 section 6.2)."""
    encoded = [text.encode() for text in (name, value)]
    assert all(len(text) < 127 for text in encoded), "a longer length takes more than one byte"
    return bytes([kind]) + b"".join(bytes([len(text)]) + text for text in encoded)


def block(fields: Iterable[tuple[str, str]]) -> bytes:
    """A field block that leaves the decoder's table as it was: blocks may stand in any order."""
    return b"".join(literal(name, value) for name, value in fields)


def dependency(on: int = 0, weight: int = 255, exclusive: bool = False) -> bytes:
    return (on | exclusive << 31).to_bytes(4) + bytes([weight])


def headers(stream: int, fragment: bytes, flags: int = WHOLE) -> bytes:
    return frame(HEADERS, flags, stream, fragment)


def continuation(stream: int, fragment: bytes, flags: int = END_HEADERS) -> bytes:
    return frame(CONTINUATION, flags, stream, fragment)


def data(stream: int, payload: bytes, flags: int = 0) -> bytes:
    return frame(DATA, flags, stream, payload)


def priority(stream: int, on: int = 0, weight: int = 255, exclusive: bool = False) -> bytes:
    return frame(PRIORITY, 0, stream, dependency(on, weight, exclusive))


def reset(stream: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, code.to_bytes(4))


def settings(*values: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(key.to_bytes(2) + value.to_bytes(4) for key, value in values))


def ping(payload: bytes = b"12345678", flags: int = 0, stream: int = 0) -> bytes:
    return frame(PING, flags, stream, payload)


def goaway(last: int = 0, code: int = NO_ERROR, stream: int = 0) -> bytes:
    return frame(GOAWAY, 0, stream, last.to_bytes(4) + code.to_bytes(4))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4))
