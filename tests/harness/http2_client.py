"""An HTTP/2 client that hides nothing: frames go out as given, and what comes back is read one by one."""

import ssl
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TypeVar

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from harness.connection import PATIENCE, Connection

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Pairs = list[tuple[str, str]]

F = TypeVar("F", bound=Frame)


@dataclass
class Stream:
    """The received part of one stream."""

    interim: list[Pairs] = field(default_factory=list)
    headers: Pairs = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None
    """The error code of RST_STREAM."""

    @property
    def status_or_none(self) -> int | None:
        return self.status if self.headers else None

    @property
    def status(self) -> int:
        return int(dict(self.headers)[":status"])

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)


class Http2Client(Connection):
    """One connection. It answers SETTINGS and, unless told otherwise, PING, and opens windows for what it
    has read."""

    def __init__(
        self,
        address: tuple[str, int],
        timeout: float = PATIENCE,
        tls: ssl.SSLContext | None = None,
        settings: dict[int, int] | None = None,
        opens_windows: bool = True,
        answers_pings: bool = True,
        name: str = "localhost",
    ) -> None:
        if tls:
            tls.set_alpn_protocols(["h2"])
        super().__init__(address, timeout, tls, name)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.streams: defaultdict[int, Stream] = defaultdict(Stream)
        self.goaways: list[GoAwayFrame] = []
        self.windows: dict[int, int] = {}
        """The sum of the grants on top of the initial windows."""
        self.settings: dict[int, int] = {}
        self._opens_windows = opens_windows
        self._answers_pings = answers_pings
        self._next_stream = 1
        self.socket.sendall(PREFACE + SettingsFrame(settings=settings or {}).serialize())

    def send(self, *frames: Frame) -> None:
        self.socket.sendall(b"".join(frame.serialize() for frame in frames))

    def open(self, headers: Pairs, end: bool = True, huffman: bool = True) -> int:
        """A request's head as one HEADERS frame; the stream's number."""
        number = self._next_stream
        self._next_stream += 2
        flags = ["END_HEADERS", *(["END_STREAM"] if end else [])]
        self.send(HeadersFrame(number, self.encoder.encode(headers, huffman), flags=flags))
        return number

    def request(
        self, method: str = "GET", path: str = "/", more: Pairs | None = None, end: bool = True
    ) -> int:
        return self.open([*head(method, path), *(more or [])], end)

    def data(self, stream: int, data: bytes, end: bool = False) -> None:
        """DATA frames without regard for windows."""
        pieces = [data[at : at + 16_384] for at in range(0, len(data), 16_384)] or [b""]
        frames = [DataFrame(stream, piece) for piece in pieces]
        if end:
            frames[-1].flags.add("END_STREAM")
        self.send(*frames)

    def get(self, path: str = "/", more: Pairs | None = None) -> Stream:
        return self.response(self.request("GET", path, more))

    def response(self, stream: int) -> Stream:
        """The received stream, once it has ended or been reset."""
        found = self.streams[stream]
        while not found.ended and found.reset is None:
            self.read()
        return found

    def read_until(self, kind: type[F]) -> F:
        """The next frame of a kind."""
        while not isinstance(frame := self.read(), kind):
            pass
        return frame

    def read_until_close(self) -> None:
        try:
            while True:
                self.read()
        except (EOFError, ConnectionError):
            pass

    def read(self) -> Frame:
        """The next frame, whatever it is."""
        frame, length = Frame.parse_frame_header(memoryview(self._exactly(9)))
        frame.parse_body(memoryview(self._exactly(length)))
        self._note(frame)
        return frame

    def _exactly(self, length: int) -> bytes:
        received = b""
        while len(received) < length:
            piece = self.socket.recv(length - len(received))
            if not piece:
                raise EOFError("the server closed the connection")
            received += piece
        return received

    def _note(self, frame: Frame) -> None:
        match frame:
            case SettingsFrame() if "ACK" not in frame.flags:
                self.settings.update(frame.settings)
                self.send(SettingsFrame(flags=["ACK"]))
            case PingFrame() if "ACK" not in frame.flags and self._answers_pings:
                self.send(PingFrame(opaque_data=frame.opaque_data, flags=["ACK"]))
            case WindowUpdateFrame():
                granted = self.windows.get(frame.stream_id, 0)
                self.windows[frame.stream_id] = granted + frame.window_increment
            case GoAwayFrame():
                self.goaways.append(frame)
            case HeadersFrame():
                self._headers(frame)
            case DataFrame():
                stream = self.streams[frame.stream_id]
                stream.body += frame.data
                stream.ended |= "END_STREAM" in frame.flags
                if self._opens_windows and frame.data:
                    grant = len(frame.data)
                    self.send(WindowUpdateFrame(0, grant), WindowUpdateFrame(frame.stream_id, grant))
            case RstStreamFrame():
                self.streams[frame.stream_id].reset = frame.error_code

    def _headers(self, frame: HeadersFrame) -> None:
        assert "END_HEADERS" in frame.flags, "no response here has so many fields"
        stream = self.streams[frame.stream_id]
        headers = [(str(name), str(value)) for name, value in self.decoder.decode(frame.data)]
        if dict(headers).get(":status", "").startswith("1"):
            stream.interim.append(headers)
        else:
            stream.headers = headers
        stream.ended |= "END_STREAM" in frame.flags


def head(method: str = "GET", path: str = "/", authority: str = "test.example") -> Pairs:
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority)]
