"""An HTTP/1.1 client that hides nothing: bytes go out as given, and what comes back is read strictly."""

import json
import re
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

from harness.connection import PATIENCE, Connection

Headers = list[tuple[str, str]]

STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-5]\d\d) ([\t \x21-\x7e\x80-\xff]*)")
HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]+)(?:;[^\r\n]*)?")


@dataclass(slots=True)
class Response:
    version: str
    status: int
    reason: str
    headers: Headers
    """In the order and the spelling of the wire."""
    body: bytes = b""
    trailers: Headers = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for each, value in self.headers if each.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The value of a header that may come once at the most."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_chunked(self) -> bool:
        return (self.header("transfer-encoding") or "").lower() == "chunked"


class RawClient(Connection):
    """One connection, encrypted with `tls`."""

    def __init__(
        self,
        address: tuple[str, int] | str,
        timeout: float = PATIENCE,
        tls: ssl.SSLContext | None = None,
        name: str = "localhost",
    ) -> None:
        super().__init__(address, timeout, tls, name)
        self._buffer = bytearray()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | Headers | None = None,
        body: bytes | None = None,
    ) -> Response:
        """One exchange on this connection."""
        self.send(encode_request(method, target, headers, body))
        return self.read_response(method)

    def get(self, target: str, headers: dict[str, str] | Headers | None = None) -> Response:
        return self.request("GET", target, headers)

    def read_response(self, method: str = "GET") -> Response:
        """The next response as a whole (a 1xx counts as one). `method` is the one it answers."""
        response = self.read_head()
        if method == "HEAD" or response.status in (204, 304) or response.status < 200:
            return response
        if response.is_chunked:
            chunks = []
            while chunk := self.read_chunk():
                chunks.append(chunk)
            response.body = b"".join(chunks)
            response.trailers = self._read_headers()
        elif (length := response.header("content-length")) is not None:
            response.body = self.read_exactly(int(length))
        else:
            response.body = self.read_until_close()
        return response

    def read_head(self) -> Response:
        """The status line and the headers of the next response; its body is left to be read."""
        line = self._read_line()
        status = STATUS_LINE.fullmatch(line)
        assert status, f"not a status line: {line!r}"
        version, code, reason = (group.decode("latin-1") for group in status.groups())
        response = Response(version, int(code), reason, self._read_headers())
        assert_framing(response)
        return response

    def read_chunk(self) -> bytes:
        """One chunk of a chunked body; b"" for the last one, whose trailers are left to be read."""
        line = self._read_line()
        size = CHUNK_SIZE.fullmatch(line)
        assert size, f"not a chunk size: {line!r}"
        length = int(size[1], 16)
        if not length:
            return b""
        data = self.read_exactly(length)
        assert self._read_line() == b"", "a chunk is longer than it said"
        return data

    def read_exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._fill(f"{length} bytes")
        return self._take(length)

    def read_until_close(self) -> bytes:
        """All that is still to come. A reset is not a close and raises."""
        while data := self.socket.recv(65536):
            self._buffer += data
        return self._take(len(self._buffer))

    def is_closed_by_server(self) -> bool:
        """Waits for the end of the connection: true when it came, and nothing before it."""
        try:
            return self.read_until_close() == b""
        except ConnectionResetError:
            return True

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def _read_headers(self) -> Headers:
        headers = []
        while line := self._read_line():
            header = HEADER.fullmatch(line)
            assert header, f"not a header: {line!r}"
            headers.append((header[1].decode("latin-1"), header[2].decode("latin-1")))
        return headers

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._fill("a line")
        line = self._take(end)
        del self._buffer[:2]
        assert b"\n" not in line and b"\r" not in line, f"a bare CR or LF in {line!r}"
        return line

    def _take(self, length: int) -> bytes:
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        return data

    def _fill(self, wanted: str) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"the server closed before {wanted}; unread: {bytes(self._buffer)!r}")
        self._buffer += data


def encode_request(
    method: str,
    target: str,
    headers: dict[str, str] | Headers | None = None,
    body: bytes | None = None,
) -> bytes:
    """A request with Host and Content-Length, unless the headers bring their own."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
    names = {name.lower() for name, _ in pairs}
    if "host" not in names:
        pairs.insert(0, ("host", "test.example"))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        pairs.append(("content-length", str(len(body))))
    head = "".join([f"{method} {target} HTTP/1.1\r\n", *(f"{n}: {v}\r\n" for n, v in pairs), "\r\n"])
    return head.encode("latin-1") + (body or b"")


def assert_framing(response: Response) -> None:
    """RFC 9112 section 6: one way to tell where the body ends."""
    length = response.header("content-length")
    encoding = response.header("transfer-encoding")
    assert length is None or encoding is None, f"two framings: {response.headers}"
    assert length is None or length.isdecimal(), f"not a length: {length!r}"
    if response.status < 200 or response.status == 204:
        assert length is None and encoding is None, f"a {response.status} has no body: {response.headers}"
