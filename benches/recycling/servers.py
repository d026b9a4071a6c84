"""The servers' command lines.

All of them: access log off, idle connections kept longer than the load holds them, and the same
grace period, so that the differences are those of recycling.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from comparison.environment import BENCHES, VENV, VENV_PYTHON
from recycling.scenarios import OURS, Scenario

APPLICATION = "exchanges:app"
APPS = BENCHES / "recycling" / "apps"

KEEP_ALIVE_SECONDS = 60
"""Granian's maximum. No connection of the load is idle for so long."""

GRACE_SECONDS = 6
"""Streams and uploads end in half of it; the event stream has to be told to end."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server to recycle."""

    name: str
    command: Callable[[int, int], list[str]]
    """The command line for a port and a number of workers."""
    least_workers: int = 1


def all_servers(binary: Path, python: Path) -> list[Server]:
    """Return all; `binary` is the lowmem-serve executable, `python` the interpreter that it embeds."""
    return [
        Server(OURS, functools.partial(_lowmem, binary, python)),
        Server("granian", _granian),
        Server("gunicorn", _gunicorn),
        Server("uvicorn", _uvicorn, least_workers=2),
    ]


def named(names: list[str], servers: list[Server]) -> list[Server]:
    """Return the servers whose name begins with one of the names."""
    for name in names:
        if not any(server.name.startswith(name) for server in servers):
            known = ", ".join(server.name for server in servers)
            raise ValueError(f"no such server: {name} (known: {known})")
    return [server for server in servers if server.name.startswith(tuple(names))]


def command_line(server: Server, scenario: Scenario, port: int) -> list[str]:
    """Return the whole command."""
    workers = max(server.least_workers, scenario.workers)
    return [*server.command(port, workers), *scenario.flags.get(server.name, ())]


def missing_flags(binary: Path, flags: tuple[str, ...]) -> list[str]:
    """Return those of lowmem-serve's flags that the executable does not know yet."""
    text = subprocess.run([binary, "--help"], capture_output=True, text=True).stdout
    known = set(text.replace("[", " ").replace("=", " ").replace(",", " ").split())
    return [flag for flag in flags if flag.startswith("--") and flag not in known]


def _lowmem(binary: Path, python: Path, port: int, workers: int) -> list[str]:
    return [
        *(str(binary), APPLICATION, "--python", str(python), "--app-dir", str(APPS)),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)),
        *("--timeout-keep-alive", str(KEEP_ALIVE_SECONDS)),
        *("--timeout-graceful-shutdown", str(GRACE_SECONDS), "--no-access-log"),
    ]


def _granian(port: int, workers: int) -> list[str]:
    return [
        *(str(VENV / "bin" / "granian"), APPLICATION, "--interface", "asgi", "--loop", "uvloop"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)),
        # Its timeout for a request head is also what ends an idle connection.
        *("--http1-header-read-timeout", str(KEEP_ALIVE_SECONDS * 1000)),
        *("--workers-kill-timeout", str(GRACE_SECONDS), "--no-access-log"),
    ]


def _gunicorn(port: int, workers: int) -> list[str]:
    return [
        *(str(VENV / "bin" / "gunicorn"), APPLICATION, "--worker-class", "asgi", "--asgi-loop", "uvloop"),
        *("--bind", f"127.0.0.1:{port}", "--workers", str(workers), "--no-control-socket"),
        *("--keep-alive", str(KEEP_ALIVE_SECONDS), "--graceful-timeout", str(GRACE_SECONDS)),
    ]


def _uvicorn(port: int, workers: int) -> list[str]:
    return [
        *(str(VENV_PYTHON), "-m", "uvicorn", APPLICATION, "--loop", "uvloop", "--http", "httptools"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)),
        *("--timeout-keep-alive", str(KEEP_ALIVE_SECONDS)),
        *("--timeout-graceful-shutdown", str(GRACE_SECONDS), "--no-access-log"),
    ]
