"""--reload: fresh workers are forked from a template, and only the time that it takes shows it."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from harness import REPOSITORY, Server, processes

SOON = 40.0
"""Seconds after which a reload is taken to hang."""

TEMPLATE = r"Imported the packages that the application uses \[(\d+)\]"

GOAL = 0.3
"""Seconds from saving the Quart example to its first answer, on a machine that is not busy."""

PART_OF_A_START = 0.5
"""On one that is, or is slow: less than this part of what it takes to start Python and import Quart."""

APP = """
import json
import os
import sys
BEFORE
import library

async def app(scope, receive, send):
    assert scope["type"] == "http"
    facts = {
        "edition": "EDITION",
        "pid": os.getpid(),
        "library": library.facts(),
        "process": [sys.argv, sys.path, os.getcwd(), sorted(vars(sys.modules["__main__"]))],
        "modules": sorted(sys.modules),
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(facts).encode()})
"""

LIBRARY = """
import os
import threading
print("library imported", flush=True)
MODE = os.environ.get("LIBRARY_MODE")

def facts():
    return {"mode": MODE, "version": VERSION, "threads": threading.active_count()}

VERSION = 1
"""


class Edited:
    """An application whose source is edited, and a library that lies elsewhere."""

    def __init__(self, directory: Path, library: str = LIBRARY, before: str = "") -> None:
        self.before = before
        self.source = directory / "app" / "edited.py"
        self.library = directory / "lib" / "library.py"
        for file in (self.source, self.library):
            file.parent.mkdir()
        self.library.write_text(library)
        self.save("one")

    def save(self, edition: str) -> None:
        self.source.write_text(APP.replace("EDITION", edition).replace("BEFORE", self.before))

    def start(self, server) -> Server:
        options = {"cwd": self.source.parent, "env": {"PYTHONPATH": str(self.library.parent)}}
        return server("edited:app", "--reload", "--log-level", "debug", **options)

    def reload(self, server: Server, edition: str) -> dict:
        """What the application says once the edition is served."""
        self.save(edition)
        end = time.monotonic() + SOON
        while (facts := server.get("/").json())["edition"] != edition:
            assert time.monotonic() < end, server.output
        return facts


def template(server: Server, times: int = 1) -> int:
    """Its pid, once it is ready."""
    server.stderr.wait_for_line(TEMPLATE, times=times)
    return int(server.stderr.matches(TEMPLATE)[-1][1])


looks = count(1)


def imports(server: Server, of: str = "library") -> int:
    """How often that has been imported: what is written before a request is read before its access line."""
    target = f"/look{next(looks)}"
    assert server.get(target).status == 200
    server.stdout.wait_for_line(f"GET {target} ")
    return len(server.stdout.matches(f"{of} imported"))


def test_what_is_not_the_applications_is_imported_once(server, tmp_path: Path) -> None:
    edited = Edited(tmp_path)
    started = edited.start(server)
    template(started)
    for edition in ("two", "three"):
        edited.reload(started, edition)
    assert imports(started) == 2, "the first worker, and the template"


def test_a_forked_worker_is_as_one_that_was_started(server, tmp_path: Path) -> None:
    edited = Edited(tmp_path)
    started = edited.start(server)
    first = started.get("/").json()
    template(started)
    second = edited.reload(started, "two")
    assert (first["edition"], second["edition"]) == ("one", "two")
    assert first["process"] == second["process"]
    assert first["modules"] == second["modules"]
    assert first["pid"] != second["pid"]
    assert second["pid"] in processes.children(started.pid)


def test_a_library_that_has_changed_is_imported_anew(server, tmp_path: Path) -> None:
    edited = Edited(tmp_path)
    started = edited.start(server)
    template(started)
    edited.library.write_text(LIBRARY.replace("VERSION = 1", "VERSION = 22"))
    assert edited.reload(started, "two")["library"]["version"] == 22
    # And there is another template, which has it.
    template(started, times=2)
    before = imports(started)
    assert edited.reload(started, "three")["library"]["version"] == 22
    assert imports(started) == before


def test_a_library_sees_the_variables_that_the_application_has_set(server, tmp_path: Path) -> None:
    edited = Edited(tmp_path, before="os.environ['LIBRARY_MODE'] = 'fast'")
    started = edited.start(server)
    template(started)
    assert edited.reload(started, "two")["library"]["mode"] == "fast"


@pytest.mark.parametrize(
    "unfit",
    [
        "import time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n",
        "import edited\n",
        "if 'edited' not in __import__('sys').modules: raise RuntimeError('not yet')\n",
    ],
    ids=["starts a thread", "imports the application", "needs the application"],
)
def test_a_library_that_cannot_be_in_a_template_is_left_out(server, tmp_path: Path, unfit: str) -> None:
    edited = Edited(tmp_path, LIBRARY + unfit)
    started = edited.start(server)
    threads = started.get("/").json()["library"]["threads"]
    template(started)
    started.stderr.wait_for_line("Left out of the template: library")
    before = imports(started)
    assert edited.reload(started, "two")["library"]["threads"] == threads
    assert imports(started) == before + 1


def test_what_may_change_other_modules_keeps_a_template_from_being_made(server, tmp_path: Path) -> None:
    edited = Edited(tmp_path, LIBRARY + "import gevent.monkey\n")
    package = edited.library.parent / "gevent"
    package.mkdir()
    for name in ("__init__.py", "monkey.py"):
        (package / name).write_text("")
    started = edited.start(server)
    started.stderr.wait_for_line(r"Each start imports everything: .* gevent\.monkey may change other modules")
    before = imports(started)
    edited.reload(started, "two")
    assert imports(started) == before + 1


def test_a_new_import_is_in_the_next_template(server, tmp_path: Path) -> None:
    edited = Edited(tmp_path)
    edited.library.with_name("other.py").write_text("print('other imported', flush=True)\n")
    started = edited.start(server)
    template(started)
    edited.before = "import other"
    edited.reload(started, "two")
    template(started, times=2)
    edited.reload(started, "three")
    assert imports(started, "other") == 2, "the worker, and the template"


def test_without_its_template_it_reloads_as_well(server, tmp_path: Path) -> None:
    edited = Edited(tmp_path)
    started = edited.start(server)
    os.kill(template(started), signal.SIGKILL)
    edited.reload(started, "two")
    # The next worker that was ready has brought another one.
    template(started, times=2)
    assert started.terminate() == 0


def test_a_hang_up_imports_everything_anew(server, tmp_path: Path) -> None:
    edited = Edited(tmp_path)
    started = edited.start(server)
    old = template(started)
    started.send_signal(signal.SIGHUP)
    assert processes.wait_for_exit(old, SOON)
    template(started, times=2)
    assert imports(started) == 4


def test_nothing_outlives_the_server(server, tmp_path: Path) -> None:
    edited = Edited(tmp_path)
    started = edited.start(server)
    left = [template(started), *started.worker_pids()]
    started.send_signal(signal.SIGKILL)
    assert all(processes.wait_for_exit(pid, SOON) for pid in left)


def test_the_quart_example_is_served_anew_within_a_moment_of_saving(server, tmp_path: Path) -> None:
    pytest.importorskip("quart")
    for file in (REPOSITORY / "examples" / "quart_app").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            copy = tmp_path / file.relative_to(REPOSITORY / "examples" / "quart_app")
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(file.read_bytes())
    source = tmp_path / "app.py"
    original = source.read_text()
    started = server("app:app", "--reload", "--log-level", "debug", cwd=tmp_path)
    template(started)
    took, starts = [], []
    for edition in range(5):
        # Each beside the other: the machine may be busy for a part of the time.
        starts.append(start_of_quart())
        route = f"\n@app.get('/edition{edition}')\nasync def edition():\n    return 'here'\n"
        began = time.monotonic()
        source.write_text(original + route)
        while started.get(f"/edition{edition}").status != 200:
            assert time.monotonic() - began < SOON, started.output
        took.append(time.monotonic() - began)
    limit = max(GOAL, PART_OF_A_START * statistics.median(starts))
    assert statistics.median(took) < limit, json.dumps([took, starts])


def start_of_quart() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import quart"], check=True)
    return time.monotonic() - began
