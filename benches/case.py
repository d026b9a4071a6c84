"""The case of docs/case.md: a training site before and after, weighed after the same load.

    python benches/case.py --python .venv/bin/python             a table; some minutes
    python benches/case.py --python .venv/bin/python --json case.json --picture case.svg

The environment must have what examples/case/requirements.txt names, and granian. The data and the load have
fixed seeds. Figures are PSS of the whole process trees in MB of 1024², one run. --courses and --requests
make it smaller.

Exit codes: 0 measured, 2 not measured, with the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from comparison import command, environment, serving
from comparison.tables import aligned
from weigh import weigh_tree

CASE = environment.BENCHES.parent / "examples" / "case"
SEED = 21
REST_SECONDS = 2.0
WITHIN_SECONDS = 300.0
"""For an index to be made, a server to start, or the application to fall asleep."""


@dataclass(frozen=True, slots=True)
class Step:
    """A state of the site, and what it weighed."""

    name: str
    web: float
    """After the load, MB."""
    indexer: float
    """Between two runs, beyond the server itself."""


def main() -> int:
    """Measure, print a table, and write what was asked for."""
    parser = command.parser(__doc__)
    parser.add_argument("--courses", type=int, default=3000)
    parser.add_argument("--words", type=int, default=2000, help="of each transcript")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="needs matplotlib")
    options = parser.parse_args()
    # Without a cache on disk, what is measured is the compiler.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    package = environment.BENCHES.parent / "python"
    os.environ |= {"LOWMEM_SERVE_PACKAGE": str(package / "lowmem_serve")}
    try:
        with tempfile.TemporaryDirectory(prefix="case-") as work:
            steps = list(_steps(options, Path(work)))
    except (serving.NotServing, OSError, subprocess.SubprocessError) as error:
        print(f"case.py: {error}", file=sys.stderr)
        return 2
    first = steps[0]
    cells = [[step.name, f"{step.web:.1f}", f"{step.indexer:.1f}", _ratio(first, step)] for step in steps]
    print(aligned(["", "web, MB PSS", "indexer, MB PSS", "both, of the first"], cells))
    if options.json:
        options.json.write_text(json.dumps([asdict(step) for step in steps], indent=2) + "\n")
    if options.picture:
        _draw(steps, options.picture)
    return 0


def _ratio(first: Step, step: Step) -> str:
    return f"{(first.web + first.indexer) / (step.web + step.indexer):.1f}×"


def _steps(options: argparse.Namespace, work: Path) -> Iterator[Step]:
    python, binary = str(options.python.absolute()), str(options.binary.absolute())
    data = {"CASE_DB": str(work / "case.sqlite3"), "CASE_INDEX": str(work / "index.sqlite3")}
    variables = data | {"LOWMEM_STATE_DIR": str(work / "state"), "LOWMEM_CACHE_DIR": str(work / "cache")}
    size = ["--courses", str(options.courses), "--words", str(options.words)]
    generate = [sys.executable, str(CASE / "generate.py"), data["CASE_DB"], *size]
    subprocess.run(generate, check=True, timeout=WITHIN_SECONDS)

    before, after = CASE / "before", CASE / "after"
    # Each step has its own flags, and none of what the last state's file sets.
    empty = work / "empty.toml"
    empty.touch()
    ours = [binary, "training:app", "--config", str(empty), "--python", python, "--no-access-log"]
    granian = [str(Path(python).parent / "granian"), "--interface", "wsgi", "--workers", "2", "training:app"]
    lazy = [*ours, "--lazy-imports", "auto,training,store"]
    job = ["--job", "reindex=indexer:rebuild every 6h"]

    with _daemon(python, before, variables, Path(data["CASE_INDEX"])) as indexer:
        yield Step(
            "before: Granian, 2 workers, a daemon", _loaded(granian, before, variables, options), indexer
        )
        yield Step("one worker of lowmem-serve", _loaded(ours, before, variables, options), indexer)
        eager = _loaded(ours, after, variables, options)
        yield Step("Quart, raw queries, disk cache, isolated report", eager, indexer)
        yield Step("--lazy-imports", _loaded(lazy, after, variables, options), indexer)
    yield Step("the indexer as a job", _loaded([*lazy, *job], after, variables, options), 0.0)
    sleeping = [*lazy, *job, "--sleep-after", "3s"]
    yield Step("asleep", _loaded(sleeping, after, variables, options, asleep=True), 0.0)


@contextlib.contextmanager
def _daemon(python: str, folder: Path, variables: dict[str, str], index: Path) -> Iterator[float]:
    """Run the indexer of the first state, and say what it weighs between two runs."""
    with tempfile.TemporaryFile() as log:
        process = serving.start([python, "indexer.py"], folder, variables, log)
        try:
            _wait(index.exists, process, log)
            time.sleep(REST_SECONDS)
            yield weigh_tree(process.pid).pss / 1024
        finally:
            serving.end(process)


def _loaded(
    words: list[str],
    folder: Path,
    variables: dict[str, str],
    options: argparse.Namespace,
    asleep: bool = False,
) -> float:
    """Serve the site, replay the load, and say what the tree weighs."""
    with serving.reserved_port() as port, tempfile.TemporaryFile() as log:
        process = serving.start([*words, "--port", str(port)], folder, variables, log)
        try:
            _wait(lambda: _ask(port, "GET", "/") == 200, process, log)
            for method, path, body, status in load(options.courses, options.requests):
                if (found := _ask(port, method, path, body)) != status:
                    raise serving.NotServing(f"{method} {path}: {found}{serving.tail(log)}")
            if asleep:
                _wait(lambda: b"Asleep (" in os.pread(log.fileno(), 1 << 20, 0), process, log)
            time.sleep(REST_SECONDS)
            return weigh_tree(process.pid).pss / 1024
        finally:
            serving.end(process)


def load(courses: int, requests: int) -> Iterator[tuple[str, str, str | None, int]]:
    """Method, path, body and status of each request; two reports, the others by chance."""
    chance = random.Random(SEED)
    for number in range(requests):
        user = chance.randint(1, courses * 5)
        kind = chance.choices(["course", "list", "search", "login"], (70, 12, 10, 8))[0]
        if number in (requests // 3, requests * 2 // 3):
            yield "GET", "/report.png", None, 200
        elif kind == "course":
            yield "GET", f"/courses/{chance.randint(1, courses)}", None, 200
        elif kind == "list":
            yield "GET", "/", None, 200
        elif kind == "search":
            yield "GET", f"/search?q={chance.choice('bdfgkl')}a{chance.choice('mnprst')}e", None, 200
        else:
            yield "POST", "/login", f"user={user}&password=secret{user}", 200


def _ask(port: int, method: str, path: str, body: str | None = None) -> int | None:
    """Return the status of the answer; None while nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Connection": "close", "Content-Type": "application/x-www-form-urlencoded"}
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _wait(done, process: subprocess.Popen[bytes], log) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not done():
        if process.poll() is not None or time.monotonic() > deadline:
            raise serving.NotServing(f"not ready{serving.tail(log)}")
        time.sleep(0.05)


def _draw(steps: list[Step], path: Path) -> None:
    """Draw a bar for each step."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3.5))
    names = [step.name for step in steps]
    axes.barh(names, [step.web for step in steps], label="web application")
    axes.barh(names, [step.indexer for step in steps], left=[step.web for step in steps], label="indexer")
    axes.invert_yaxis()
    axes.set(xlabel="MB PSS after the load")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main())
