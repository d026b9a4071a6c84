"""The servers, each with the settings that its own documentation recommends.

All of them: one worker, access log off, warnings and worse logged, on 127.0.0.1.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from comparison.environment import APPS, CERTIFICATE, KEY, VENV, VENV_PYTHON
from comparison.workloads import Workload

IDLE_KEEP_ALIVE_SECONDS = 120
"""How long servers are told to hold idle connections while those are weighed."""

IDLE_CONNECTION_LIMIT = 8192
"""The backlog and connection limit, where a server has one, while connections are weighed."""

HOW_TO_BUILD = "build it with `cargo build --release` or name --binary"

HTTP = {"http": ()}
"""A server that is measured without TLS and HTTP/2."""

Command = Callable[[str, int], list[str]]
"""The command line for an application (`module:attribute`) and a port."""


@dataclass(frozen=True, slots=True)
class Server:
    """One configuration of one server."""

    name: str
    family: str
    """The group within which the best of several configurations is chosen."""
    command: Command
    hold_idle: tuple[str, ...] = ()
    """Further arguments that make it hold many idle connections for a while."""
    only: tuple[str, ...] = ()
    """Names of the only workloads that it can serve; all of its interfaces' when empty."""
    interfaces: tuple[str, ...] = ("asgi",)
    """The interfaces of applications that it serves."""
    transports: dict[str, tuple[str, ...]] = field(default_factory=lambda: HTTP)
    """The protocols of clients that it speaks, and the further arguments that it needs for that."""
    websockets: bool = True
    missing: Callable[[], str | None] = lambda: None
    """Says why it cannot be run here; None when it can."""
    note: str = ""
    """Notes on the configuration for the reader."""

    def serves(self, workload: Workload) -> bool:
        """Whether this server can run the workload at all."""
        return (
            workload.interface in self.interfaces
            and workload.transport in self.transports
            and (workload.client != "websocket" or self.websockets)
            and (not self.only or workload.name in self.only)
        )

    def serve(self, workload: Workload, port: int) -> list[str]:
        """Return the command line that serves a workload."""
        return [*self.command(workload.app, port), *self.transports[workload.transport]]


OURS = "lowmem-serve"
"""The family that the others are compared with, and the name of its default configuration."""

FLOOR = "floor"
"""The family of what is no server, and in no ratio: `floors.py`."""


def all_servers(binary: Path) -> list[Server]:
    """Return every configuration; `binary` is the lowmem-serve executable."""
    return [
        *(_lowmem(binary, loop) for loop in ("auto", "asyncio", "uvloop")),
        _uvicorn(),
        *(_granian(loop) for loop in ("asyncio", "uvloop", "rloop")),
        _granian_wsgi(),
        _hypercorn(),
        _gunicorn(),
        _gunicorn_wsgi("sync"),
        _gunicorn_wsgi("gthread"),
        _fastpysgi(),
        _node(),
    ]


NOT_BY_DEFAULT = {"lowmem-serve-asyncio", "lowmem-serve-uvloop"}
"""Configurations that only run when they are asked for."""


def named(names: list[str], servers: list[Server]) -> list[Server]:
    """Return the servers whose name, or family, starts with one of the names."""
    chosen = []
    for name in names:
        exact = [server for server in servers if server.name == name]
        matches = exact or [server for server in servers if server.name.startswith(name)]
        if not matches:
            known = ", ".join(server.name for server in servers)
            raise ValueError(f"no such server: {name} (known: {known})")
        chosen += [match for match in matches if exact or match.name not in NOT_BY_DEFAULT]
    return [server for server in servers if server in chosen]


def _installed(script: str) -> str:
    return str(VENV / "bin" / script)


def _lowmem(binary: Path, loop: str) -> Server:
    def command(app: str, port: int) -> list[str]:
        return [
            *(str(binary), app, "--python", str(VENV_PYTHON), "--app-dir", str(APPS)),
            *("--host", "127.0.0.1", "--port", str(port), "--loop", loop),
            *("--no-access-log", "--log-level", "warning"),
        ]

    return Server(
        name=OURS if loop == "auto" else f"{OURS}-{loop}",
        family=OURS,
        command=command,
        hold_idle=("--timeout-keep-alive", str(IDLE_KEEP_ALIVE_SECONDS)),
        interfaces=("asgi", "wsgi"),
        transports={
            "http": (),
            "tls": ("--ssl-certfile", str(CERTIFICATE), "--ssl-keyfile", str(KEY)),
            "h2c": (),
        },
        missing=lambda: None if binary.exists() else f"{binary} does not exist: {HOW_TO_BUILD}",
        note=f"--loop {loop}",
    )


def _uvicorn() -> Server:
    def command(app: str, port: int) -> list[str]:
        return [
            *(_installed("uvicorn"), app, "--host", "127.0.0.1", "--port", str(port)),
            *("--loop", "uvloop", "--http", "httptools"),
            *("--no-access-log", "--log-level", "warning"),
        ]

    hold_idle = ("--timeout-keep-alive", str(IDLE_KEEP_ALIVE_SECONDS))
    tls = ("--ssl-certfile", str(CERTIFICATE), "--ssl-keyfile", str(KEY))
    return Server(
        name="uvicorn",
        family="uvicorn",
        command=command,
        hold_idle=hold_idle,
        transports={"http": (), "tls": tls},
        note="uvloop, httptools",
    )


def _granian(loop: str) -> Server:
    def command(app: str, port: int) -> list[str]:
        return [
            *(_installed("granian"), app, "--interface", "asgi", "--loop", loop),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--no-access-log", "--log-level", "warning"),
        ]

    # Its timeout for a request head is also what ends an idle connection; 60 s is its maximum.
    # Its back-pressure counts connections.
    limit = str(IDLE_CONNECTION_LIMIT)
    hold_idle = ("--http1-header-read-timeout", "60000", "--backlog", limit)
    return Server(
        name=f"granian-{loop}",
        family="granian",
        command=command,
        hold_idle=(*hold_idle, "--backpressure", limit),
        transports={
            "http": (),
            "tls": ("--ssl-certificate", str(CERTIFICATE), "--ssl-keyfile", str(KEY)),
            "h2c": (),
        },
        missing=_missing_rloop if loop == "rloop" else lambda: None,
        note=f"--loop {loop}",
    )


def _missing_rloop() -> str | None:
    found = any(VENV.glob("lib/python3*/site-packages/rloop"))
    return None if found else "rloop is not available for this Python"


def _granian_wsgi() -> Server:
    def command(app: str, port: int) -> list[str]:
        return [
            *(_installed("granian"), app, "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
            *("--no-access-log", "--log-level", "warning"),
        ]

    return Server("granian-wsgi", "granian", command, interfaces=("wsgi",), note="--interface wsgi")


def _hypercorn() -> Server:
    def command(app: str, port: int) -> list[str]:
        return [
            *(_installed("hypercorn"), app, "--bind", f"127.0.0.1:{port}"),
            *("--worker-class", "uvloop", "--workers", "1", "--log-level", "warning"),
        ]

    hold_idle = ("--keep-alive", str(IDLE_KEEP_ALIVE_SECONDS), "--backlog", "4096")
    tls = ("--certfile", str(CERTIFICATE), "--keyfile", str(KEY))
    return Server(
        name="hypercorn",
        family="hypercorn",
        command=command,
        hold_idle=hold_idle,
        transports={"http": (), "tls": tls, "h2c": ()},
        note="uvloop",
    )


def _gunicorn() -> Server:
    def command(app: str, port: int) -> list[str]:
        return [
            *(_installed("gunicorn"), app, "--bind", f"127.0.0.1:{port}"),
            *("--worker-class", "asgi", "--asgi-loop", "uvloop", "--workers", "1"),
            *("--log-level", "warning", "--no-control-socket"),
        ]

    hold_idle = ("--keep-alive", str(IDLE_KEEP_ALIVE_SECONDS))
    limit = ("--worker-connections", str(IDLE_CONNECTION_LIMIT))
    note = "-k asgi, uvloop, control socket off"
    return Server("gunicorn", "gunicorn", command, (*hold_idle, *limit), note=note)


def _gunicorn_wsgi(worker: str) -> Server:
    # As many threads as ours starts at most; its documentation names no number for one worker.
    threads = ("--threads", "10") if worker == "gthread" else ()

    def command(app: str, port: int) -> list[str]:
        return [
            *(_installed("gunicorn"), app, "--bind", f"127.0.0.1:{port}", "--worker-class", worker),
            *("--workers", "1", *threads, "--log-level", "warning", "--no-control-socket"),
        ]

    note = f"-k {worker}{' --threads 10' if threads else ''}, control socket off"
    return Server(f"gunicorn-{worker}", "gunicorn", command, interfaces=("wsgi",), note=note)


def _fastpysgi() -> Server:
    def command(app: str, port: int) -> list[str]:
        return [_installed("fastpysgi"), app, "--host", "127.0.0.1", "--port", str(port)]

    return Server("fastpysgi", "fastpysgi", command, websockets=False, note="defaults")


def _node() -> Server:
    def command(app: str, port: int) -> list[str]:
        return ["node", str(APPS / "hello.mjs"), str(port), str(IDLE_KEEP_ALIVE_SECONDS)]

    return Server(
        name="node",
        family="node",
        command=command,
        only=("hello",),
        websockets=False,
        missing=lambda: None if shutil.which("node") else "node is not on PATH",
        note="node:http, not Python",
    )
