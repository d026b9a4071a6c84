"""Write down which functions of the workers' shared object serving takes, for the linker to put together.

A worker's functions lie as the compiler left them, and the few hundred that serving takes would be on
nearly all of its pages. Serves some requests under callgrind and prints a linker script that gathers
what was called: first what plain HTTP/1.1 takes, then what each further kind of application or protocol
takes beside it, so that a worker has no more than its own on its pages. Hashes are left out of the
names, so that another build has the same; a name that no longer exists matches nothing, and a new
function is only as far away as it was: to be run again once functions that serving takes have moved to
another module or been renamed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

REPOSITORY = Path(__file__).resolve().parent.parent
BINARY = REPOSITORY / "target" / "release" / "lowmem-serve"
BENCHES = REPOSITORY / "benches"
ENVIRONMENT = BENCHES / ".venv"
CERTIFICATE, KEY = ENVIRONMENT / "localhost.pem", ENVIRONMENT / "localhost-key.pem"
PYTHON = "/usr/bin/python3"
READY_WITHIN_SECONDS = 240.0
"""Under callgrind everything takes some fifty times longer."""

POLL_SECONDS = 0.1
ANSWER_WITHIN_SECONDS = 60.0
CONNECTIONS = 20
ROUNDS = 3
BETWEEN_ROUNDS_SECONDS = 1.5
"""Idle connections rest meanwhile, and are woken afterwards."""

HTTP = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello",
)
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT = b"\x81\x85\0\0\0\0hello"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
"""With empty SETTINGS."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The requests to a worker."""

    takes: str
    """For the comment above its functions."""
    application: str
    opening: bytes = b""
    """The first bytes of each connection."""
    messages: Callable[[int], tuple[bytes, ...]] = lambda _: HTTP
    """The bytes of each round; every one is answered."""
    is_encrypted: bool = False


def _http2(round_number: int) -> tuple[bytes, ...]:
    """HEADERS that end stream and headers: GET / of 127.0.0.1 over http, from HPACK's static table."""
    fields = b"\x82\x86\x84\x41\x09127.0.0.1"
    stream = 2 * round_number + 1
    return (len(fields).to_bytes(3) + b"\x01\x05" + stream.to_bytes(4) + fields,)


WORKLOADS = (
    Workload("plain HTTP/1.1", "hello:app"),
    Workload("Quart", "quart_hello:app"),
    Workload("FastAPI", "fastapi_json:app"),
    Workload("Django", "django_hello:app"),
    Workload("WSGI", "wsgi_hello:app"),
    Workload("WebSockets", "websocket_echo:app", UPGRADE, lambda _: (TEXT,)),
    Workload("HTTP/2", "hello:app", PREFACE, _http2),
    Workload("TLS", "hello:app", is_encrypted=True),
)

HEAD = """\
/* The functions that serving takes, next to each other: they are then on as few pages as can be, which
   is memory and time. Written by scripts/serving_code.py, which says more. */
SECTIONS
{
  .text.serving :
  {
"""
TAIL = """\
  }
}
INSERT BEFORE .text;
"""


def main() -> int:
    """Print the linker script."""
    arguments = _arguments()
    print(HEAD, end="")
    known: set[str] = set()
    for workload in WORKLOADS:
        with tempfile.TemporaryDirectory() as folder:
            called = _called(_profile(workload, arguments, Path(folder)))
        patterns = {_pattern(name) for name in called}
        if not patterns:
            _fail("no function has a name: build with CARGO_PROFILE_RELEASE_STRIP=none")
        print(f"    /* {workload.takes} */")
        for pattern in sorted(patterns - known):
            print(f"    *(.text.{pattern} .text.unlikely.{pattern})")
        known |= patterns
    print(TAIL, end="")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Prints a linker script with the functions that serving takes.",
        epilog="CARGO_PROFILE_RELEASE_STRIP=none cargo build --release --workspace, then"
        " python scripts/serving_code.py > serving.ld && mv serving.ld crates/bridge/."
        " Needs valgrind, and the environment of the benches. Exits with 1 when it cannot tell.",
    )
    parser.add_argument("binary", nargs="?", type=Path, default=BINARY, help="a build with its names kept")
    parser.add_argument("--python", default=PYTHON, help="one that is linked statically [%(default)s]")
    parser.add_argument(
        "--packages",
        type=Path,
        default=next(ENVIRONMENT.glob("lib/python3*/site-packages"), None),
        help="where Quart, FastAPI and Django are, for this Python [the environment of the benches]",
    )
    arguments = parser.parse_args()
    for tool in ("valgrind", "callgrind_control"):
        if not shutil.which(tool):
            _fail(f"needs {tool}: install valgrind")
    if not arguments.binary.is_file():
        _fail(f"{arguments.binary} is not there: build it (--help says how), or name another")
    if arguments.packages is None or not CERTIFICATE.is_file():
        _fail("needs Quart, FastAPI, Django and a certificate: benches/compare.py --self-check prepares them")
    return arguments


def _fail(why: str) -> NoReturn:
    sys.exit(f"serving_code.py: {why}")


def _profile(workload: Workload, arguments: argparse.Namespace, folder: Path) -> Path:
    """Serve under callgrind; return what it wrote from when the start's code was given back."""
    port = _free_port()
    command = [
        *("valgrind", "--tool=callgrind", "--demangle=no", "--trace-children=yes"),
        *("--zero-before=*startup*forget_each*", f"--callgrind-out-file={folder}/%p"),
        *(str(arguments.binary), "--python", arguments.python, workload.application),
        *("--app-dir", str(BENCHES / "apps"), "--port", str(port), "--no-access-log"),
    ]
    if workload.is_encrypted:
        command += ["--ssl-certfile", str(CERTIFICATE), "--ssl-keyfile", str(KEY)]
    environment = {**os.environ, "PYTHONPATH": str(arguments.packages)}
    with (folder / "log").open("w+") as log, _running(command, environment, log) as server:
        worker = _ready_worker(server, folder / "log")
        _load(port, workload)
        subprocess.run(["callgrind_control", "--dump", str(worker)], check=True, capture_output=True)
    profile = folder / f"{worker}.1"
    if not profile.is_file():
        _fail(f"callgrind has written nothing of the worker {worker}")
    return profile


@contextmanager
def _running(
    command: list[str], environment: dict[str, str], log: IO[str]
) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stderr=log, env=environment) as server:
        try:
            yield server
        finally:
            server.send_signal(signal.SIGTERM)


def _ready_worker(server: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until the server serves; return its worker's pid."""
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while "running on" not in log.read_text():
        if server.poll() is not None or time.monotonic() > deadline:
            said = [line for line in log.read_text().splitlines() if not line.startswith("==")]
            _fail("\n".join(["the server did not start", *said]))
        time.sleep(POLL_SECONDS)
    return _child(server.pid)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _load(port: int, workload: Workload) -> None:
    connections = [_connection(port, is_encrypted=workload.is_encrypted) for _ in range(CONNECTIONS)]
    if workload.opening:
        _ask(connections, (workload.opening,))
    for number in range(ROUNDS):
        _ask(connections, workload.messages(number))
        time.sleep(BETWEEN_ROUNDS_SECONDS)
    for connection in connections:
        connection.close()
    time.sleep(BETWEEN_ROUNDS_SECONDS)


def _connection(port: int, *, is_encrypted: bool) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), ANSWER_WITHIN_SECONDS)
    if is_encrypted:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = context.wrap_socket(connection)
    return connection


def _ask(connections: list[socket.socket], messages: tuple[bytes, ...]) -> None:
    for connection in connections:
        for message in messages:
            connection.sendall(message)
            if not connection.recv(65536):
                _fail(f"a connection was closed after {message!r}")


def _called(profile: Path) -> set[str]:
    """The functions of ours that have executed anything, by their names for the linker."""
    functions: dict[str, str] = {}
    called = set()
    for line in profile.read_text(errors="replace").splitlines():
        # Each name stands with its number once, and then the number alone.
        if found := re.fullmatch(r"(c?)fn=\((\d+)\)(?: (.*))?", line):
            callee, number, name = found.groups()
            functions.setdefault(number, name)
            if not callee and functions[number].startswith(("_Z", "_R")):
                called.add(functions[number])
    return called


def _pattern(name: str) -> str:
    """The name in any build: recursion marks, copies, and the hashes of crates and instances differ."""
    name = re.sub(r"'\d+$", "", name)
    name = re.sub(r"\.(llvm\.)?\d+$", "", name)
    name = re.sub(r"17h[0-9a-f]{16}E$", "17h*", name)
    if name.startswith("_R"):
        name = re.sub(r"Cs[0-9A-Za-z]+_", "Cs*_", name) + "*"
    return name


if __name__ == "__main__":
    sys.exit(main())
