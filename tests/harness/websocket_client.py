"""A WebSocket client that sends what it is told to, right or wrong, and reads strictly (RFC 6455)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from harness.raw_client import Headers, RawClient, Response, encode_request

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
CONTINUATION = 0x0

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
PROOF = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The proof for that key, both from RFC 6455, section 1.3."""

HANDSHAKE: Headers = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", KEY),
]


@dataclass(slots=True, frozen=True)
class Frame:
    opcode: int
    payload: bytes
    last: bool = True
    reserved: int = 0

    @property
    def code(self) -> int | None:
        """The code and reason of a close frame, if it has any."""
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None

    @property
    def reason(self) -> str:
        return self.payload[2:].decode()


def encode(
    opcode: int,
    payload: bytes = b"",
    *,
    last: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\x11\x22\x33\x44",
    length: int | None = None,
) -> bytes:
    """A frame. `reserved` are the three reserved bits, `length` what it says instead of the truth."""
    length = len(payload) if length is None else length
    first = (0x80 if last else 0) | reserved << 4 | opcode
    masked = 0x80 if mask is not None else 0
    if length < 126:
        head = struct.pack("!BB", first, masked | length)
    elif length < 65_536:
        head = struct.pack("!BBH", first, masked | 126, length)
    else:
        head = struct.pack("!BBQ", first, masked | 127, length)
    if mask is None:
        return head + payload
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    hidden = int.from_bytes(payload) ^ int.from_bytes(key)
    return head + mask + hidden.to_bytes(len(payload))


def encode_close(code: int | None = None, reason: str = "") -> bytes:
    return encode(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())


class WebSocketClient(RawClient):
    """One connection, which becomes a WebSocket by `open`."""

    def open(self, target: str = "/", headers: Headers | dict[str, str] | None = None) -> Response:
        """Sends the handshake and checks that it is accepted."""
        response = self.ask(target, headers)
        assert response.status == 101, response
        assert response.header("upgrade") == "websocket"
        assert response.header("connection") == "Upgrade"
        assert response.header("sec-websocket-accept") == PROOF
        return response

    def ask(self, target: str = "/", headers: Headers | dict[str, str] | None = None) -> Response:
        """Sends the handshake, whatever the answer."""
        more = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        self.send(encode_request("GET", target, [*HANDSHAKE, *more]))
        return self.read_response()

    def say(self, text: str) -> None:
        self.send(encode(TEXT, text.encode()))

    def leave(self, code: int | None = 1000, reason: str = "") -> None:
        """Sends a close frame and checks that it is answered in kind, and that the server hangs up."""
        self.send(encode_close(code, reason))
        assert self.read_close() == (code, reason)
        assert self.read_until_close() == b""

    def read_frame(self) -> Frame:
        first, second = self.read_exactly(2)
        assert not second & 0x80, "a server's frames are not masked"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.read_exactly(2))
            assert length > 125
        elif length == 127:
            (length,) = struct.unpack("!Q", self.read_exactly(8))
            assert length > 65_535
        return Frame(first & 0x0F, self.read_exactly(length), bool(first & 0x80), first >> 4 & 0x7)

    def read_text(self) -> str:
        frame = self.read_frame()
        assert (frame.opcode, frame.last, frame.reserved) == (TEXT, True, 0), frame
        return frame.payload.decode()

    def read_close(self) -> tuple[int | None, str]:
        """The code and the reason of the close frame that must come next."""
        frame = self.read_frame()
        assert (frame.opcode, frame.last, frame.reserved) == (CLOSE, True, 0), frame
        return frame.code, frame.reason

    def is_failed_with(self) -> int | None:
        """The code of the close frame after which the server hangs up; messages before it are passed over."""
        while (frame := self.read_frame()).opcode != CLOSE:
            pass
        assert self.read_until_close() == b""
        return frame.code
