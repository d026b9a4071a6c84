"""One side of a connection of HTTP/2, without I/O: what it owes its peer, it gives by itself.

On hyperframe and hpack, which the package h2 is made of: h2 itself takes a connection for over as soon as
there is a GOAWAY, and what is in flight on it would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, SettingsFrame, WindowUpdateFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

HEADER_BYTES = 9
"""Of a frame (RFC 9113, section 4.1)."""

REFUSED_STREAM = 7
"""RFC 9113, section 7: the application has not seen the request."""


class Wire:
    """A client's side: it answers SETTINGS and PING, and opens windows for what it has read."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._encoder, self._decoder = Encoder(), Decoder()
        self._unread = bytearray()
        self._next_stream = 1
        self._write(PREFACE + SettingsFrame().serialize())

    def ask(self, head: list[tuple[str, str]], body: bytes = b"") -> int:
        """Send a request; returns the number of its stream."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        frame = HeadersFrame(stream, self._encoder.encode(head), flags=["END_HEADERS"])
        if body:
            self._send(frame, DataFrame(stream, body, flags=["END_STREAM"]))
        else:
            frame.flags.add("END_STREAM")
            self._send(frame)
        return stream

    def frames(self, data: bytes) -> Iterator[Frame]:
        """Return the frames that have come whole with these bytes."""
        self._unread += data
        while len(self._unread) >= HEADER_BYTES:
            frame, length = Frame.parse_frame_header(memoryview(bytes(self._unread[:HEADER_BYTES])))
            if len(self._unread) < HEADER_BYTES + length:
                return
            frame.parse_body(memoryview(bytes(self._unread[HEADER_BYTES : HEADER_BYTES + length])))
            del self._unread[: HEADER_BYTES + length]
            self._answer(frame)
            yield frame

    def fields(self, frame: Frame) -> dict[str, str]:
        """Return the fields of a head. Each must be read, also one of no interest: it changes the table."""
        return dict(self._decoder.decode(frame.data)) if isinstance(frame, HeadersFrame) else {}

    def _answer(self, frame: Frame) -> None:
        match frame:
            case SettingsFrame() if "ACK" not in frame.flags:
                self._send(SettingsFrame(flags=["ACK"]))
            case PingFrame() if "ACK" not in frame.flags:
                self._send(PingFrame(opaque_data=frame.opaque_data, flags=["ACK"]))
            case DataFrame() if size := frame.flow_controlled_length:
                self._send(WindowUpdateFrame(0, size), WindowUpdateFrame(frame.stream_id, size))

    def _send(self, *frames: Frame) -> None:
        self._write(b"".join(frame.serialize() for frame in frames))
