"""Machine instructions for a request, counted by callgrind: another load on the machine changes nothing.

Two servers answer a different number of requests each; the difference between what they executed is
that of the requests, and starting and stopping cancel out.
"""

from __future__ import annotations

import os
import re
import socket
import tempfile
from pathlib import Path

from comparison import serving, workloads
from gating.python import Python

FEW, MANY = 500, 2500

PATIENCE = 20.0
"""How many times longer than usual a server may take under callgrind, which makes it so much slower,
on a machine that may be slow itself. One that is killed while it stops writes no count."""

ANSWER_WITHIN_SECONDS = 60.0
"""Then the server is taken to hang."""

WORKLOADS = ("hello", "echo")
TOTAL = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def figures(binary: Path, python: Python) -> dict[str, float]:
    """Return the instructions that the worker executes for a request of each workload."""
    # Set iteration and dictionary collisions are the same each time.
    os.environ["PYTHONHASHSEED"] = "0"
    found = {}
    for workload in workloads.named(list(WORKLOADS)):
        found[f"instructions, {workload.name}"] = per_request(binary, python, workload)
    return found


def per_request(binary: Path, python: Python, workload: workloads.Workload, *flags: str) -> float:
    """Return the instructions that the worker of a server with these flags executes for a request."""
    few, many = (_executed(binary, python, workload, count, flags) for count in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def _executed(
    binary: Path, python: Python, workload: workloads.Workload, requests: int, flags: tuple[str, ...]
) -> int:
    with tempfile.TemporaryDirectory() as folder:

        def command(port: int) -> list[str]:
            return [
                *("valgrind", "--tool=callgrind", "--trace-children=yes"),
                f"--callgrind-out-file={folder}/%p",
                *(str(binary), "--python", str(python.path), workload.app),
                *("--port", str(port), "--no-access-log", *flags),
            ]

        with serving.running(command, workload, patience=PATIENCE) as instance:
            if instance.fault:
                raise serving.NotServing(instance.fault)
            _ask(instance.port, workload, requests)
        # The worker has executed more than the supervisor.
        return max(_total(path) for path in Path(folder).iterdir())


def _ask(port: int, workload: workloads.Workload, requests: int) -> None:
    head = f"{workload.method} / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if workload.body:
        head += f"Content-Length: {workload.body_bytes}\r\n"
    request = f"{head}\r\n".encode() + workload.body
    ending = b"\r\n\r\n" + workload.right_answer
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_WITHIN_SECONDS) as connection:
        for _ in range(requests):
            connection.sendall(request)
            answer = b""
            while not answer.endswith(ending):
                piece = connection.recv(65536)
                if not piece:
                    raise serving.NotServing(f"the connection was closed after {answer!r}")
                answer += piece


def _total(path: Path) -> int:
    found = TOTAL.search(path.read_text(errors="replace"))
    if not found:
        raise serving.NotServing("callgrind wrote no total: did the server end by itself?")
    return int(found[1])
