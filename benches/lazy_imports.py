"""What `--lazy-imports` saves: memory and the time of a start, with it and without, interleaved.

    python benches/lazy_imports.py --binary target/release/lowmem-serve --python .venv/bin/python \\
        --app app:app --app-dir examples/quart_app --lazy auto --lazy auto,app --peer uvicorn --peer granian

Every round starts each configuration once, asks it for `--path`, lets it rest and weighs its tree. With
`--use PATH` it is weighed again after that path has been asked for, too. Figures are medians.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from weigh import Weight, weigh_tree

REST_SECONDS = 1.0
READY_SECONDS = 60.0


@dataclass
class Configuration:
    """A server's command, and what was measured of it."""

    name: str
    command: list[str]
    ready: list[float] = field(default_factory=list)
    idle: list[Weight] = field(default_factory=list)
    used: list[Weight] = field(default_factory=list)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ask(port: int, path: str) -> bytes:
    """Return the head of the answer; empty while nobody listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=READY_SECONDS) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n".encode())
            answer = b""
            while part := client.recv(65536):
                answer += part
            return answer
    except ConnectionError:
        return b""


def measure(configuration: Configuration, port: int, options: argparse.Namespace) -> None:
    """Start the server once, weigh it, and stop it."""
    started = time.perf_counter()
    command = [word.replace("PORT", str(port)) for word in configuration.command]
    # Without a cache on disk, what is measured is the compiler.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    package = Path(__file__).resolve().parents[1] / "python" / "lowmem_serve"
    environment = {**kept, "LOWMEM_SERVE_PACKAGE": str(package)}
    with subprocess.Popen(
        command,
        cwd=options.app_dir,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            while not (answer := ask(port, options.path)).startswith(b"HTTP/1.1 200"):
                if time.perf_counter() - started > READY_SECONDS or process.poll() is not None:
                    raise SystemExit(f"{configuration.name} does not answer 200: {answer[:200]!r}")
                time.sleep(0.001)
            configuration.ready.append(time.perf_counter() - started)
            time.sleep(REST_SECONDS)
            configuration.idle.append(weigh_tree(process.pid))
            if options.use:
                used = ask(port, options.use)
                if not used.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"{configuration.name}: {options.use} answers {used[:200]!r}")
                time.sleep(REST_SECONDS)
                configuration.used.append(weigh_tree(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def configurations(options: argparse.Namespace) -> list[Configuration]:
    """Return what was asked for: ours without and with lazy imports, and others beside it."""
    bin_directory = Path(options.python).parent
    ours = [str(Path(options.binary).resolve()), options.app, "--port", "PORT", "--no-access-log"]
    ours += ["--python", options.python]
    chosen = [Configuration("lowmem-serve", ours)]
    for words in options.lazy:
        chosen.append(Configuration(f"--lazy-imports {words}", [*ours, "--lazy-imports", words]))
    peers = {
        "uvicorn": ["uvicorn", options.app, "--port", "PORT", "--no-access-log", "--log-level", "warning"],
        "granian": ["granian", "--interface", "asgi", options.app, "--port", "PORT", "--no-access-log"],
    }
    for peer in options.peer:
        words = peers[peer]
        chosen.append(Configuration(peer, [str(bin_directory / words[0]), *words[1:]]))
    return chosen


def mebibytes(weights: list[Weight], figure: str) -> float:
    """Return the median of a figure in MiB."""
    return statistics.median(getattr(weight, figure) for weight in weights) / 1024


def report(chosen: list[Configuration]) -> None:
    """Print the table."""
    print("| | ready, ms | PSS, MiB | private dirty, MiB | after use: PSS | private dirty |")
    print("|---|---|---|---|---|---|")
    for each in chosen:
        ready = statistics.median(each.ready) * 1000
        cells = [f"{ready:.0f}", *(f"{mebibytes(each.idle, name):.1f}" for name in ("pss", "private_dirty"))]
        if each.used:
            cells += [f"{mebibytes(each.used, name):.1f}" for name in ("pss", "private_dirty")]
        else:
            cells += ["–", "–"]
        print(f"| {each.name} | {' | '.join(cells)} |")


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--binary", default="target/release/lowmem-serve")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--app", default="app:app")
    parser.add_argument("--app-dir", default=".", type=Path)
    parser.add_argument("--lazy", action="append", default=[])
    parser.add_argument("--peer", action="append", default=[], choices=("uvicorn", "granian"))
    parser.add_argument("--path", default="/")
    parser.add_argument("--use")
    parser.add_argument("--rounds", default=5, type=int)
    options = parser.parse_args()
    chosen = configurations(options)
    # The first start of each fills the caches on disk.
    for each in chosen:
        measure(each, free_port(), options)
    for each in chosen:
        each.ready, each.idle, each.used = [], [], []
    for _ in range(options.rounds):
        for each in chosen:
            measure(each, free_port(), options)
    report(chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
