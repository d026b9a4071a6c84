"""The first start where nothing has cached bytecode, not even the standard library: a container's first start."""

import json
import textwrap
import time
from pathlib import Path

import pytest

from conftest import Start
from harness import REPOSITORY, processes, run

EXAMPLES = REPOSITORY / "examples"
ANSWERS = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
"""
# More source than what a worker compiles by itself, so that its compiling process is at work.
HEAVY = "import email.message, http.client, logging.config, multiprocessing, secrets, time\n"
MORE = "import unittest.mock, xml.dom.minidom\n"
FORKS = {
    "a process of multiprocessing": (
        "helper = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,), daemon=True)\n"
        "helper.start()\n"
    ),
    "a fork that keeps all descriptors": (
        "import atexit, os, signal\n"
        "helper = os.fork()\n"
        "if not helper:\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "    time.sleep(60)\n"
        "    os._exit(0)\n"
        "atexit.register(os.kill, helper, signal.SIGTERM)\n"
    ),
}


@pytest.fixture(params=["caching", "PYTHONDONTWRITEBYTECODE"])
def cold(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing is cached yet, or ever."""
    empty = {"PYTHONPYCACHEPREFIX": str(tmp_path / "cold")}
    return empty if request.param == "caching" else {**empty, "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.parametrize("name", sorted(each.parent.name for each in EXAMPLES.glob("*/app.py")))
def test_every_example_starts_cold_with_lazy_imports(
    server: Start, cold: dict[str, str], tmp_path: Path, name: str
) -> None:
    databases = {f"{kind}_DB": str(tmp_path / "database") for kind in ("QUART", "DJANGO")}
    started = server("app:app", "--lazy-imports", "auto,app", cwd=EXAMPLES / name, env={**cold, **databases})
    assert started.get("/").status == 200


@pytest.mark.parametrize("fork", FORKS)
@pytest.mark.parametrize("lazy", ["off", "auto"])
def test_an_application_forks_a_process_while_it_is_imported(
    server: Start, tmp_path: Path, cold: dict[str, str], fork: str, lazy: str
) -> None:
    (tmp_path / "forking.py").write_text(HEAVY + FORKS[fork] + MORE + ANSWERS)
    started = server("forking:app", "--lazy-imports", lazy, cwd=tmp_path, env=cold)
    assert started.get("/").text == "served"


@pytest.mark.parametrize(
    "flags",
    [
        ("--preload", "--workers", "2"),
        ("--reload",),
        ("--growth",),
        ("--workers", "2", "--max-requests", "1", "--recycle", "overlap"),
        ("--interface", "asgi3", "--loop", "asyncio"),
    ],
    ids=" ".join,
)
def test_every_way_of_making_workers_starts_cold(
    server: Start, tmp_path: Path, cold: dict[str, str], flags: tuple[str, ...]
) -> None:
    (tmp_path / "late.py").write_text(HEAVY + MORE + ANSWERS)
    started = server("late:app", "--lazy-imports", "auto,late", *flags, cwd=tmp_path, env=cold)
    for _ in range(4):
        assert started.get("/").text == "served"


def test_a_worker_that_imports_without_progress_says_so(server: Start, tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text("import time\ntime.sleep(13)\n" + ANSWERS)
    started = server("waiting:app", cwd=tmp_path)
    started.stderr.wait_for_line("is not ready after 10s")
    [line] = started.stderr.matches(r"WARNING: +(Worker \(pid \d+\) is not ready after 10s, .*)")
    assert line[1].endswith("the import of the application or its lifespan startup waits for something.")


def test_imports_are_measured_cold(tmp_path: Path, cold: dict[str, str]) -> None:
    (tmp_path / "forking.py").write_text(HEAVY + FORKS["a process of multiprocessing"] + MORE + ANSWERS)
    finished = run("imports", "--no-advice", "--json", "forking:app", cwd=tmp_path, env=cold, timeout=170)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["modules"]


def test_the_compiling_process_is_no_child_of_the_worker_and_ends(server: Start, tmp_path: Path) -> None:
    """An application that waits for any child, while it is imported or later, meets its own only."""
    waits = """
    import os
    def children():
        try:
            return os.waitpid(-1, os.WNOHANG) != (0, 0)
        except ChildProcessError:
            return False
    reaped = children()
    """
    (tmp_path / "waiting.py").write_text(
        HEAVY + textwrap.dedent(waits) + MORE + ANSWERS.replace('b"served"', "str(reaped).encode()")
    )
    env = {"PYTHONPYCACHEPREFIX": str(tmp_path / "cold"), "PYTHONDONTWRITEBYTECODE": "1"}
    started = server("waiting:app", "--lazy-imports", "auto", cwd=tmp_path, env=env)
    assert started.get("/").text == "False"
    deadline = time.monotonic() + 60
    (worker,) = (int(found[1]) for found in started.stderr.matches(r"Started server process \[(\d+)\]"))
    served_by = {started.pid, worker}
    while left := set(processes.in_session(started.pid)) - served_by:
        assert time.monotonic() < deadline, f"{left} still run"
        time.sleep(0.05)
