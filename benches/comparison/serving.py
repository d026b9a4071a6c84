"""One running server: started on a free port, ready, and ended with its whole tree."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import weigh
from comparison.environment import APPS
from comparison.workloads import Workload

READY_WITHIN_SECONDS = 20.0
ANSWER_WITHIN_SECONDS = 2.0
STOP_WITHIN_SECONDS = 5.0
POLL_SECONDS = 0.001
"""Between two attempts to connect to a server that has no listener yet."""

LOG_TAIL_BYTES = 1500


class NotServing(Exception):
    """The server did not start, answered wrongly, or died."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that has answered its first request."""

    pid: int
    port: int
    ready_seconds: float
    """From just before the spawn to the first complete head of a 200 response."""
    fault: str | None
    """The fault in the rest of that first answer; None when there was none."""


@contextlib.contextmanager
def running(
    command: Callable[[int], list[str]],
    workload: Workload,
    cpus: set[int] | None = None,
    patience: float = 1.0,
) -> Iterator[Running]:
    """Run the server, whose command is made for a port, until the block ends; on these CPUs only, when given.

    One that is slowed down on purpose gets `patience` times the usual time to start, answer and stop.
    """
    with reserved_port() as port, tempfile.TemporaryFile() as log:
        begin = time.monotonic()
        process = start(command(port), APPS, {}, log, cpus)
        try:
            yield _wait_until_ready(process, port, workload, begin, patience)
            if process.poll() is not None:
                raise NotServing(f"ended by itself with exit code {process.returncode}")
        except NotServing as error:
            raise NotServing(f"{error}{tail(log)}") from error
        finally:
            end(process, patience)


def start(
    command: list[str], apps: Path, variables: dict[str, str], log: IO[bytes], cpus: set[int] | None = None
) -> subprocess.Popen[bytes]:
    """Start a server among its applications; on these CPUs only, when given."""
    environment = os.environ | {"PYTHONPATH": str(apps)} | variables
    environment.pop("VIRTUAL_ENV", None)
    return subprocess.Popen(
        command,
        cwd=apps,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # finds its orphans again when it is ended
        preexec_fn=None if cpus is None else lambda: os.sched_setaffinity(0, cpus),
    )


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A TCP port of 127.0.0.1 that a server can listen on, and that no other process gets meanwhile.

    It is held by a socket that is bound and does not listen. Beside that Linux lets another be bound and
    listen if both have SO_REUSEADDR, as every server's has; who asks for any port, to listen or to
    connect from, gets a different one.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def end(process: subprocess.Popen[bytes], patience: float = 1.0) -> None:
    """Ask the server to stop, then kill by pid whatever is left of its tree or session."""
    tree = set(weigh.process_tree(process.pid))
    members = {(stat.pid, stat.started) for stat in weigh.all_processes() if stat.pid in tree}
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience * STOP_WITHIN_SECONDS)
    for stat in weigh.all_processes():
        if stat.session == process.pid or (stat.pid, stat.started) in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(stat.pid, signal.SIGKILL)
    process.wait()


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, workload: Workload, begin: float, patience: float
) -> Running:
    """Ask until there is an answer: a refused connection is tried again, a wrong answer not."""
    within = patience * READY_WITHIN_SECONDS
    deadline = begin + within
    while process.poll() is None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise NotServing(f"not ready within {within:.0f} s")
        connection = _connection(workload, port, remaining)
        with contextlib.closing(connection):
            try:
                connection.request(workload.method, "/", workload.body or None)
                response = connection.getresponse()
            except (OSError, http.client.HTTPException):
                time.sleep(POLL_SECONDS)
                continue
            ready_seconds = time.monotonic() - begin
            if response.status != 200:
                raise NotServing(f"first answer: {response.status} {response.reason}")
            if connection.sock is not None:  # None once the answer has said Connection: close
                connection.sock.settimeout(patience * ANSWER_WITHIN_SECONDS)
            fault = _fault(response, workload.right_answer)
            return Running(process.pid, port, ready_seconds, fault)
    raise NotServing(f"exit code {process.returncode} before it was ready")


def _connection(workload: Workload, port: int, timeout: float) -> http.client.HTTPConnection:
    """Return what asks for the first answer; a server of HTTP/2 is asked in HTTP/1.1."""
    if workload.transport != "tls":
        return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout, context=trusting)


def _fault(response: http.client.HTTPResponse, wanted: bytes) -> str | None:
    try:
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return f"the first answer did not end: {type(error).__name__}"
    return None if body == wanted else f"the first answer is wrong: {body[:80]!r}"


def tail(log: IO[bytes]) -> str:
    """Return the end of a server's log as the end of a message about it; empty when it has said nothing."""
    size = os.fstat(log.fileno()).st_size
    text = os.pread(log.fileno(), LOG_TAIL_BYTES, max(0, size - LOG_TAIL_BYTES)).decode(errors="replace")
    return f"; its log ends:\n{text.rstrip()}" if text.strip() else ""
