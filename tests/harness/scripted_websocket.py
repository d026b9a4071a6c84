"""WebSockets whose application follows a script: its messages, and clients that were accepted or answered."""

import zlib
from typing import Any

from harness import Server
from harness.scripted import Script, Scripted, body
from harness.websocket_client import WebSocketClient

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
OFFER = {"sec-websocket-extensions": "permessage-deflate; client_max_window_bits"}

SCOPE = {
    "type": "websocket",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "scheme": "ws",
    "path": "/root/a b",
    "raw_path": b"/root/a%20b",
    "query_string": b"x=1",
    "root_path": "/root",
    "subprotocols": ["one", "two"],
    "state": {},
    "extensions": {"websocket.http.response": {}},
}
"""What `/a%20b?x=1` with these subprotocols and the root path `/root` is asked with, whatever the version of HTTP."""


def send(text: Any) -> dict[str, Any]:
    return {"type": "websocket.send", "text": text}


def close(code: int = 1000, reason: str = "") -> dict[str, Any]:
    return {"type": "websocket.close", "code": code, "reason": reason}


def deny(status: int, *headers: Any) -> dict[str, Any]:
    return {"type": "websocket.http.response.start", "status": status, "headers": list(headers)}


def denial(data: bytes, more: bool = False) -> dict[str, Any]:
    return {**body(data, more), "type": "websocket.http.response.body"}


def received(text: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": text}


def disconnected(code: int, reason: str = "") -> dict[str, Any]:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-12)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(data: bytes) -> bytes:
    return zlib.decompressobj(wbits=-12).decompress(data + b"\0\0\xff\xff")


def connect(server: Server) -> WebSocketClient:
    return WebSocketClient(server.address)


def opened(scripted: Scripted, *steps: Any, headers: Any = ()) -> tuple[WebSocketClient, Script]:
    """A client whose handshake the application has accepted before these steps."""
    script = scripted.script(("receive",), ACCEPT, *steps)
    client = connect(scripted.server)
    client.open("/", [*script.headers.items(), *dict(headers).items()])
    return client, script


def asked(scripted: Scripted, *steps: Any) -> tuple[WebSocketClient, Any, list[Any]]:
    """A client, the answer to its handshake, and the journal of the application that gave it."""
    script = scripted.script(*steps)
    client = connect(scripted.server)
    response = client.ask("/", script.headers)
    return client, response, script.journal()
