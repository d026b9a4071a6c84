"""Write down which functions of the workers' shared object serving takes, for the linker to put together.

A worker's functions lie as the compiler left them, and the few hundred that serving takes would be on
nearly all of its pages. Serves some requests under callgrind and prints a linker script that gathers
what was called. Hashes are left out of the names, so that another build has the same; a name that no
longer exists matches nothing, and a new function is only as far away as it was: to be run again once
functions that serving takes have moved to another module or been renamed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

REPOSITORY = Path(__file__).resolve().parent.parent
BINARY = REPOSITORY / "target" / "release" / "lowmem-serve"
PYTHON = "/usr/bin/python3"
READY_WITHIN_SECONDS = 120.0
"""Under callgrind everything takes some fifty times longer."""

POLL_SECONDS = 0.1
CONNECTIONS = 20
ROUNDS = 3
BETWEEN_ROUNDS_SECONDS = 1.5
"""Idle connections rest meanwhile, and are woken afterwards."""

GET = b"GET /a HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello"

HEAD = """\
/* The functions that serving plain HTTP/1.1 takes, next to each other: they are then on as few pages as
   can be, which is memory and time. Written by scripts/serving_code.py, which says more. */
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
    parser = argparse.ArgumentParser(
        description="Prints a linker script with the functions that serving plain HTTP/1.1 takes.",
        epilog="CARGO_PROFILE_RELEASE_STRIP=none cargo build --release --workspace, then"
        " python scripts/serving_code.py > serving.ld && mv serving.ld src/worker/bridge/."
        " Needs valgrind. Exits with 1 when it cannot tell.",
    )
    parser.add_argument("binary", nargs="?", type=Path, default=BINARY, help="a build with its names kept")
    parser.add_argument("--python", default=PYTHON, help="one that is linked statically [%(default)s]")
    arguments = parser.parse_args()
    for tool in ("valgrind", "callgrind_control"):
        if not shutil.which(tool):
            _fail(f"needs {tool}: install valgrind")
    if not arguments.binary.is_file():
        _fail(f"{arguments.binary} is not there: build it (--help says how), or name another")
    with tempfile.TemporaryDirectory() as folder:
        called = _called(_profile(arguments.binary, arguments.python, Path(folder)))
    patterns = sorted({_pattern(name) for name in called})
    if not patterns:
        _fail("no function has a name: build with CARGO_PROFILE_RELEASE_STRIP=none")
    lines = (f"    *(.text.{pattern} .text.unlikely.{pattern})\n" for pattern in patterns)
    print(HEAD, *lines, TAIL, sep="", end="")
    return 0


def _fail(why: str) -> NoReturn:
    sys.exit(f"serving_code.py: {why}")


def _profile(binary: Path, python: str, folder: Path) -> Path:
    """Serve under callgrind; return what it wrote of the time between ready and the end of the load."""
    port = _free_port()
    command = [
        *("valgrind", "--tool=callgrind", "--demangle=no", "--trace-children=yes"),
        f"--callgrind-out-file={folder}/%p",
        *(str(binary), "--python", python, "hello:app", "--port", str(port), "--no-access-log"),
        *("--app-dir", str(REPOSITORY / "benches" / "apps")),
    ]
    with (folder / "log").open("w+") as log:
        with subprocess.Popen(command, stderr=log) as server:
            try:
                worker = _ready_worker(server, folder / "log")
                _control("--zero", worker)
                _load(port)
                _control("--dump", worker)
            finally:
                server.send_signal(signal.SIGTERM)
    profile = folder / f"{worker}.1"
    if not profile.is_file():
        _fail(f"callgrind has written nothing of the worker {worker}")
    return profile


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


def _control(order: str, pid: int) -> None:
    subprocess.run(["callgrind_control", order, str(pid)], check=True, capture_output=True)


def _load(port: int) -> None:
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    for _ in range(ROUNDS):
        for connection in connections:
            for request in (GET, POST):
                connection.sendall(request)
                connection.recv(65536)
        time.sleep(BETWEEN_ROUNDS_SECONDS)
    for connection in connections:
        connection.close()
    time.sleep(BETWEEN_ROUNDS_SECONDS)


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
