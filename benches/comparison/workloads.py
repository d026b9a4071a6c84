"""The applications that are served, and the requests to them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """An application in benches/apps and the request that is made to it."""

    name: str
    app: str
    """`module:attribute`."""
    about: str
    answer: bytes | None = b"Hello, world!"
    """The whole body of a right answer; None for the request's own."""
    method: str = "GET"
    body_bytes: int = 0
    connections: int = 64
    interface: str = "asgi"
    """The interface of the application: asgi or wsgi."""
    transport: str = "http"
    """The protocol of the client: http, tls (HTTP/1.1 on it), or h2c (HTTP/2 by prior knowledge)."""
    client: str = "wrk"
    """The load generator: wrk, h2load or websocket."""
    streams: int = 1
    """Requests at once on an HTTP/2 connection."""

    @property
    def body(self) -> bytes:
        """The request's body."""
        return b"x" * self.body_bytes

    @property
    def right_answer(self) -> bytes:
        """The whole body of a right answer."""
        return self.body if self.answer is None else self.answer


WORKLOADS = (
    Workload("hello", "hello:app", "bare ASGI, 13 bytes of text"),
    Workload("quart", "quart_hello:app", "Quart route that returns text"),
    Workload(
        name="fastapi",
        app="fastapi_json:app",
        about="FastAPI route that returns JSON",
        answer=b'{"message":"Hello, world!"}',
    ),
    Workload("django", "django_hello:app", "Django asynchronous view"),
    Workload("echo", "bodies:echo", "POST 1 KB, echoed whole", None, "POST", 1024),
    # 16 connections: 64 times 1 MB in flight would measure the machine's memory bus.
    Workload(
        name="upload",
        app="bodies:upload",
        about="POST 1 MB, counted",
        answer=b"1048576",
        method="POST",
        body_bytes=1024**2,
        connections=16,
    ),
    Workload(
        name="stream",
        app="bodies:stream",
        about="POST 64 KB, sent back as it arrives, in pieces of at most 8 KB",
        answer=None,
        method="POST",
        body_bytes=64 * 1024,
    ),
    Workload("wsgi", "wsgi_hello:app", "bare WSGI, 13 bytes of text", interface="wsgi"),
    Workload("flask", "flask_hello:app", "Flask route that returns text", interface="wsgi"),
    Workload("tls", "hello:app", "hello over TLS", transport="tls"),
    Workload(
        name="h2",
        app="hello:app",
        about="hello over HTTP/2 by prior knowledge, one stream a connection",
        transport="h2c",
        client="h2load",
    ),
    Workload(
        name="h2-32",
        app="hello:app",
        about="hello over HTTP/2 by prior knowledge, 32 streams on each of 8 connections",
        connections=8,
        transport="h2c",
        client="h2load",
        streams=32,
    ),
    Workload(
        name="websocket",
        app="websocket_echo:app",
        about="32 bytes echoed over each of 64 WebSockets, one message on its way at a time",
        client="websocket",
    ),
)

DEFAULT = ("hello", "quart", "fastapi")
"""Names of the workloads that run when none are named."""

WEBSOCKET_APP = "websocket_echo:app"
"""Served while idle WebSockets are weighed."""


def named(names: list[str]) -> list[Workload]:
    """Return the workloads of these names, in the order of WORKLOADS; ValueError on others."""
    known = {workload.name for workload in WORKLOADS}
    if unknown := sorted(set(names) - known):
        raise ValueError(f"no such workload: {', '.join(unknown)} (known: {_list(known)})")
    return [workload for workload in WORKLOADS if workload.name in names]


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))
