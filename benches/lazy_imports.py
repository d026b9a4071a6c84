"""What `--lazy-imports` saves: memory and the time of a start, with it and without, interleaved.

    python benches/lazy_imports.py --binary target/release/lowmem-serve --python .venv/bin/python \\
        --app app:app --app-dir examples/quart_app --lazy auto --lazy auto,app --peer uvicorn --peer granian

Every round starts each configuration once, asks it for `--path`, lets it rest and weighs its tree. With
`--use PATH` it is weighed again after that path has been asked for, too. Figures are medians.

Exit codes: 0 measured, 2 not started or not answered, with the reason.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from comparison import command, environment, serving
from comparison.tables import aligned
from weigh import Weight, weigh_tree

REST_SECONDS = 1.0
READY_SECONDS = 60.0
POLL_SECONDS = 0.001
PORT = "PORT"
"""Stands for the port in a command."""


@dataclass(slots=True)
class Configuration:
    """A server's command, and what was measured of it."""

    name: str
    command: list[str]
    ready: list[float] = field(default_factory=list)
    idle: list[Weight] = field(default_factory=list)
    used: list[Weight] = field(default_factory=list)


def main() -> int:
    """Measure, and print a table."""
    options = _parse()
    # Without a cache on disk, what is measured is the compiler.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["LOWMEM_SERVE_PACKAGE"] = str(environment.BENCHES.parent / "python" / "lowmem_serve")
    chosen = _configurations(options)
    try:
        # The first start of each fills the caches on disk.
        for each in chosen:
            _measure(each, options)
            each.ready, each.idle, each.used = [], [], []
        for _ in range(options.rounds):
            for each in chosen:
                _measure(each, options)
    except (serving.NotServing, OSError) as error:
        print(f"lazy_imports.py: {error}", file=sys.stderr)
        return 2
    print(aligned(TITLES, [_cells(each) for each in chosen]))
    return 0


def _parse() -> argparse.Namespace:
    parser = command.parser(__doc__)
    parser.add_argument("--app", default="app:app", help="(default: app:app)")
    parser.add_argument("--app-dir", default=".", type=Path, help="where the application is")
    parser.add_argument("--lazy", action="append", default=[], help="a value of --lazy-imports; repeatable")
    parser.add_argument("--peer", action="append", default=[], choices=PEERS, help="repeatable")
    parser.add_argument("--path", default="/", help="asked for until it answers 200 (default: /)")
    parser.add_argument("--use", metavar="PATH", help="asked for, too, before a second weighing")
    parser.add_argument("--rounds", default=5, type=int, help="(default: 5)")
    return parser.parse_args()


PEERS = {
    "uvicorn": ("--no-access-log", "--log-level", "warning"),
    "granian": ("--interface", "asgi", "--no-access-log"),
}
"""Their flags. They are taken from the environment that --python belongs to."""


def _configurations(options: argparse.Namespace) -> list[Configuration]:
    """Return what was asked for: ours without and with lazy imports, and others beside it."""
    # Absolute, but not resolved: a virtual environment is known by its link.
    python = options.python.absolute()
    served = [options.app, "--port", PORT]
    ours = [str(options.binary), *served, "--no-access-log", "--python", str(python)]
    chosen = [Configuration("lowmem-serve", ours)]
    chosen += [
        Configuration(f"--lazy-imports {words}", [*ours, "--lazy-imports", words]) for words in options.lazy
    ]
    chosen += [
        Configuration(peer, [str(python.parent / peer), *served, *PEERS[peer]]) for peer in options.peer
    ]
    return chosen


def _measure(configuration: Configuration, options: argparse.Namespace) -> None:
    """Start the server once, weigh it, and stop it."""
    with serving.reserved_port() as port, tempfile.TemporaryFile() as log:
        words = [word.replace(PORT, str(port)) for word in configuration.command]
        begin = time.monotonic()
        process = serving.start(words, options.app_dir.resolve(), {}, log)
        try:
            while (status := _ask(port, options.path)) != 200:
                if status or process.poll() is not None or time.monotonic() > begin + READY_SECONDS:
                    raise serving.NotServing(_failure(configuration, options.path, status))
                time.sleep(POLL_SECONDS)
            configuration.ready.append(time.monotonic() - begin)
            time.sleep(REST_SECONDS)
            configuration.idle.append(weigh_tree(process.pid))
            if options.use:
                if (status := _ask(port, options.use)) != 200:
                    raise serving.NotServing(_failure(configuration, options.use, status))
                time.sleep(REST_SECONDS)
                configuration.used.append(weigh_tree(process.pid))
        except serving.NotServing as error:
            raise serving.NotServing(f"{error}{serving.tail(log)}") from error
        finally:
            serving.end(process)


def _ask(port: int, path: str) -> int | None:
    """Return the status of the answer; None while no server listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return response.status


def _failure(configuration: Configuration, path: str, status: int | None) -> str:
    return f"{configuration.name}: {path} is answered {status or 'by nobody'}"


TITLES = ["", "ready, ms", "PSS, MiB", "private dirty, MiB", "after use: PSS", "private dirty"]


def _cells(configuration: Configuration) -> list[str]:
    cells = [configuration.name, f"{statistics.median(configuration.ready) * 1000:.0f}"]
    for weights in (configuration.idle, configuration.used):
        for figure in ("pss", "private_dirty"):
            kib = [getattr(weight, figure) for weight in weights]
            cells.append(f"{statistics.median(kib) / 1024:.1f}" if kib else "–")
    return cells


if __name__ == "__main__":
    sys.exit(main())
