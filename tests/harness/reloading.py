"""The reloads of a server, as its log shows them."""

from __future__ import annotations

from harness.server import Server


def workers(server: Server) -> list[int]:
    """The live ones; not the template."""
    started = {int(found[1]) for found in server.stderr.matches(r"Started server process \[(\d+)\]")}
    return [pid for pid in server.worker_pids() if pid in started]


def reloads(server: Server) -> list[str]:
    return [
        found[1]
        for found in server.stderr.matches(r"(?:inotify|polling) detected changes in (.*)\. Reloading\.\.\.")
    ]


def wait_for_reload(server: Server, times: int = 1) -> None:
    server.stderr.wait_for_line(r"Reloaded in [\d.]+ s", times=times)
