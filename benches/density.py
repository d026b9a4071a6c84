"""Memory against the number of applications: lowmem-serve with all of them, and servers with one each.

    make density                                         a table, and the picture docs/density.svg
    python benches/density.py --counts 20                a table of one row
    python benches/density.py --python PYTHON            with the packages of another environment

The applications are small Quart applications with a module each, in one virtual environment: benches/.venv, which is
made if it is not there, or that of --python, which must have quart and the other servers that should be measured. Each
is asked for one page, then all idle for --settle seconds, and PSS is summed over the whole process trees.
--own-environments gives each a virtual environment of its own (a copy of the packages), so that no file of them is shared.

Exit codes: 0 measured, 2 not measured, with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from comparison import environment
from weigh import process_tree, weigh_tree

REPOSITORY = Path(__file__).resolve().parent.parent

APPLICATION = """
from quart import Quart

app = Quart(__name__)
TABLE = {{number: str(number) for number in range(200)}}


@app.get("/")
async def index():
    return "application {number}: " + TABLE[{number}]
"""

START_SECONDS = 120.0
"""For all of them; a start takes half a second, and busy machines several."""


REST_SECONDS = 5.0
"""Between two generations of workers less time goes by."""


class CannotMeasure(Exception):
    """Why there is no figure."""


class Place:
    """A directory with so many applications, and where each listens."""

    def __init__(self, directory: Path, count: int, python: Path, own_environments: bool) -> None:
        self.directory = directory
        self.names = [f"app{number}" for number in range(count)]
        self.pythons = {}
        for number, name in enumerate(self.names):
            (directory / name).mkdir()
            (directory / name / f"{name}.py").write_text(APPLICATION.format(number=number))
            self.pythons[name] = _environment(directory / name, python) if own_environments else python

    def socket(self, name: str) -> Path:
        """Where an application listens."""
        return self.directory / f"{name}.sock"


def main() -> int:
    """Measure, print a table and draw a picture."""
    arguments = _parse()
    if arguments.python is None:
        try:
            environment.prepare_venv(upgrade=False)
        except environment.CannotPrepare as error:
            print(f"density.py: {error}", file=sys.stderr)
            return 2
        environment.borrow_packages()
        arguments.python = environment.VENV_PYTHON
    results: dict[str, dict[int, float]] = {name: {} for name in arguments.only}
    try:
        for count in arguments.counts:
            for name in arguments.only:
                results[name][count] = _measured(name, count, arguments)
                print(f"{name}, {count}: {results[name][count]:.1f} MB", file=sys.stderr)
    except CannotMeasure as error:
        print(f"density.py: {error}", file=sys.stderr)
        return 2
    print("| applications |" + "".join(f" {name} |" for name in results))
    print("|---:|" + "---:|" * len(results))
    for count in arguments.counts:
        print(f"| {count} |" + "".join(f" {figures[count]:,.1f} |" for figures in results.values()))
    print(f"\n{_versions(arguments.python)}")
    if arguments.picture:
        _draw(results, arguments.picture)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    numbers = lambda text: [int(number) for number in text.split(",")]  # noqa: E731
    parser.add_argument("--counts", type=numbers, default=[1, 2, 5, 10, 23], help="(default: 1,2,5,10,23)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SERVERS))
    parser.add_argument("--python", type=Path, help="with quart and the servers (default: benches/.venv)")
    parser.add_argument("--settle", type=float, default=3.0, help="idle seconds before weighing (default: 3)")
    parser.add_argument("--own-environments", action="store_true")
    parser.add_argument("--picture", type=Path, help="an SVG file; needs matplotlib")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(SERVERS):
        parser.error(f"--only: no {', '.join(sorted(unknown))}; there are {', '.join(SERVERS)}")
    return arguments


def _versions(python: Path) -> str:
    """The Python and the packages that were measured, in a line."""
    code = (
        "import importlib.metadata, platform\n"
        "names = {each.metadata['Name'].lower(): each.version for each in importlib.metadata.distributions()}\n"
        "print('CPython', platform.python_version(), *(f', {name} {names[name]}' for name in "
        "('quart', 'uvicorn', 'granian') if name in names))"
    )
    printed = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    return printed.strip().replace(" ,", ",")


def _environment(directory: Path, python: Path) -> Path:
    """A virtual environment of its own with the same packages."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run([python, "-m", "venv", "--without-pip", directory / "venv"], check=True)
    (own,) = (directory / "venv" / "lib").glob("python*/site-packages")
    shutil.copytree(packages, own, dirs_exist_ok=True, symlinks=True)
    return directory / "venv" / "bin" / "python"


def _measured(name: str, count: int, arguments: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory(prefix="density-") as temporary:
        place = Place(Path(temporary), count, arguments.python.absolute(), arguments.own_environments)
        with SERVERS[name](place) as pids:
            _ask_all(place)
            # The worker that was asked may have been replaced by a fork of a template, which has answered nothing.
            _come_to_rest(pids)
            _ask_all(place)
            time.sleep(arguments.settle)
            return sum(weigh_tree(root).pss for root in pids) / 1024


def _ask_all(place: Place) -> None:
    for application in place.names:
        _ask(place.socket(application))


def _come_to_rest(roots: list[int]) -> None:
    """Wait until no process has begun or ended for a while: templates are made, and workers replaced."""
    until = time.monotonic() + START_SECONDS
    before, since = set[int](), time.monotonic()
    while time.monotonic() - since < REST_SECONDS:
        now = {pid for root in roots for pid in process_tree(root)}
        if now != before:
            before, since = now, time.monotonic()
        if time.monotonic() > until:
            raise CannotMeasure("processes are still started and replaced")
        time.sleep(0.2)


def _ask(path: Path) -> None:
    """One page, as soon as the application is there."""
    until = time.monotonic() + START_SECONDS
    while True:
        connection = http.client.HTTPConnection("localhost", timeout=START_SECONDS)
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(START_SECONDS)
            connection.sock.connect(str(path))
            connection.request("GET", "/")
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                return
        except OSError as error:
            if time.monotonic() > until:
                raise CannotMeasure(f"{path.name}: {error}") from error
        finally:
            connection.close()
        time.sleep(0.1)


@contextlib.contextmanager
def _running(commands: list[tuple[list[str], Path]]) -> Iterator[list[int]]:
    variables = os.environ | {"LOWMEM_SERVE_PACKAGE": str(REPOSITORY / "python" / "lowmem_serve")}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command, directory in commands:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=directory,
                    env=variables,
                    stdout=subprocess.DEVNULL,
                    stderr=(directory / "server.log").open("wb"),
                )
            except OSError as error:
                raise CannotMeasure(f"{command[0]}: {error}") from error
            started.append(process)
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(60)


def ours(settings: str = "") -> Callable[[Place], contextlib.AbstractContextManager[list[int]]]:
    """One server with all of them, and these settings before the tables."""

    def run(place: Place) -> contextlib.AbstractContextManager[list[int]]:
        tables = [
            f'[apps.{name}]\napp = "{name}:app"\ndirectory = "{name}"\npython = "{place.pythons[name]}"\n'
            f'bind = ["unix:{place.socket(name)}"]\n'
            for name in place.names
        ]
        file = place.directory / "fleet.toml"
        file.write_text("access-log = false\n" + settings + "\n".join(tables))
        server = os.environ.get("LOWMEM_SERVE_BIN") or str(REPOSITORY / "target/release/lowmem-serve")
        return _running([([server, "--config", str(file)], place.directory)])

    return run


def _alone(place: Place) -> contextlib.AbstractContextManager[list[int]]:
    server = os.environ.get("LOWMEM_SERVE_BIN") or str(REPOSITORY / "target/release/lowmem-serve")
    arguments = ["--no-access-log", "--uds"]
    return _each(
        place, lambda name: [server, "--python", str(place.pythons[name]), f"{name}:app", *arguments]
    )


def _uvicorn(place: Place) -> contextlib.AbstractContextManager[list[int]]:
    arguments = ["--no-access-log", "--uds"]
    return _each(place, lambda name: [str(place.pythons[name]), "-m", "uvicorn", f"{name}:app", *arguments])


def _granian(place: Place) -> contextlib.AbstractContextManager[list[int]]:
    arguments = ["--interface", "asgi", "--uds"]
    return _each(place, lambda name: [str(place.pythons[name]), "-m", "granian", f"{name}:app", *arguments])


def _each(place: Place, command: Callable[[str], list[str]]) -> contextlib.AbstractContextManager[list[int]]:
    return _running(
        [([*command(name), str(place.socket(name))], place.directory / name) for name in place.names]
    )


def _draw(results: dict[str, dict[int, float]], file: Path) -> None:
    try:
        import matplotlib

        matplotlib.use("svg")
        from matplotlib import pyplot
    except ImportError as error:
        raise SystemExit(f"density.py: {error}; the picture needs matplotlib") from error
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, figures in results.items():
        axes.plot(list(figures), list(figures.values()), marker="o", label=name)
    axes.set_xlabel("applications")
    axes.set_ylabel("memory of all processes, PSS, MB")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(file)


SERVERS: dict[str, Callable[[Place], contextlib.AbstractContextManager[list[int]]]] = {
    "lowmem-serve": ours(),
    "lowmem-serve (lazy imports)": ours('lazy-imports = "auto"\n'),
    "lowmem-serve (a server each)": _alone,
    "uvicorn": _uvicorn,
    "granian": _granian,
}


if __name__ == "__main__":
    sys.exit(main())
