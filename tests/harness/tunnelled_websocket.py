"""A WebSocket within a stream of HTTP/2 (RFC 8441), over a client that hides nothing."""

from harness.http2_client import Http2Client, Pairs, Stream
from harness.websocket_client import WebSocketClient


class TunnelledWebSocket(WebSocketClient):
    """The same frames as over HTTP/1.1, in DATA frames of one stream; `ask` opens it."""

    def __init__(self, client: Http2Client, path: str = "/", more: Pairs | None = None) -> None:
        self.http2 = client
        self._at = 0
        fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "test.example"),
            ("sec-websocket-version", "13"),
        ]
        self.number = client.open([*fields, *(more or [])], end=False)

    @property
    def stream(self) -> Stream:
        return self.http2.streams[self.number]

    def answer(self) -> Stream:
        """The received stream, once the handshake is answered."""
        while not self.stream.headers and self.stream.reset is None:
            self.http2.read()
        return self.stream

    def send(self, data: bytes) -> None:
        self.http2.data(self.number, data)

    def end(self) -> None:
        self.http2.data(self.number, b"", end=True)

    def read_exactly(self, length: int) -> bytes:
        while len(self.stream.body) < self._at + length:
            if self.stream.ended or self.stream.reset is not None:
                raise EOFError("the stream has ended")
            self.http2.read()
        data = self.stream.body[self._at : self._at + length]
        self._at += length
        return data

    def read_until_close(self) -> bytes:
        """The rest of the stream, until the server ends its side."""
        body = self.http2.response(self.number).body
        rest, self._at = body[self._at :], len(body)
        assert self.stream.ended
        return rest

    def close(self) -> None:
        self.http2.close()
