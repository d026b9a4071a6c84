"""Programs that do the system calls of a row and nothing else: what a server cannot be faster than.

They are no servers: they take whatever arrives for the request that the load generator sends. Their sources
are in benches/floors.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from comparison.environment import BENCHES
from comparison.servers import FLOOR, Server

SOURCES = BENCHES / "floors"
BUILT = BENCHES / "results" / "floors"


@dataclass(frozen=True, slots=True)
class Source:
    """A program in C, and the libraries that it is linked with."""

    file: Path
    libraries: tuple[str, ...] = ()

    @property
    def executable(self) -> Path:
        """Where it is when it has been compiled."""
        return BUILT / self.file.stem

    def missing(self) -> str | None:
        """Compile it unless that has been done since it was changed; say why that is not possible."""
        newest = max(path.stat().st_mtime for path in (self.file, SOURCES / "floor.h"))
        if self.executable.exists() and self.executable.stat().st_mtime > newest:
            return None
        compiler = shutil.which("cc")
        if not compiler:
            return "no C compiler: cc is not on PATH"
        BUILT.mkdir(parents=True, exist_ok=True)
        command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(self.executable), str(self.file)]
        done = subprocess.run([*command, *self.libraries], capture_output=True, text=True)
        if done.returncode:
            reason = next((line for line in done.stderr.splitlines() if "error" in line), "cc failed")
            return f"{self.file.name} cannot be compiled: {reason.strip()}"
        return None


EPOLL = Source(SOURCES / "epoll.c")
URING = Source(SOURCES / "uring.c", ("-luring",))


def all_floors() -> list[Server]:
    """Return every floor, as what is measured beside the servers."""
    return [
        _compiled("floor-epoll", EPOLL, "C, one recv and one send a request, parses nothing"),
        _compiled("floor-uring", URING, "the same by io_uring"),
        Server(
            name="floor-python",
            family=FLOOR,
            command=_python,
            only=("upload", "stream"),
            websockets=False,
            note="Python over epoll, receives into one buffer, answers in one piece",
        ),
    ]


def _compiled(name: str, source: Source, note: str) -> Server:
    return Server(
        name=name,
        family=FLOOR,
        command=lambda _, port: [str(source.executable), str(port)],
        only=("hello",),
        websockets=False,
        missing=source.missing,
        note=note,
    )


def _python(app: str, port: int) -> list[str]:
    workload = app.rpartition(":")[2]
    return [sys.executable, "-I", "-S", str(SOURCES / "bodies.py"), workload, str(port)]
