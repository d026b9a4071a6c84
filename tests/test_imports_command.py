"""`lowmem-serve imports`: what each import of an application costs, and which of them it uses."""

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness import APPS, Finished, run

APP = APPS / "importing"
MEGABYTE = 1 << 20
CANNOT = 3


def imports(*arguments: str, env: dict[str, str | None] | None = None, cwd: Path = APP) -> Finished:
    return run("imports", "--no-advice", *arguments, env=env, cwd=cwd, timeout=170)


def measured(*arguments: str, cwd: Path = APP) -> dict[str, Any]:
    finished = imports("--json", *arguments, cwd=cwd)
    assert finished.returncode == 0, finished
    return json.loads(finished.stdout)


def by_name(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {module["name"]: module for module in report["modules"]}


def test_each_import_has_what_it_added_with_what_it_imported() -> None:
    report = measured("app:app")
    modules = by_name(report)
    heavy, part = modules["heavy"], modules["part_of_heavy"]
    assert 20 * MEGABYTE <= heavy["bytes"] < 22 * MEGABYTE
    assert 12 * MEGABYTE <= part["bytes"] < 13 * MEGABYTE
    assert modules["useful"]["bytes"] < MEGABYTE
    assert report["modules"][part["importer"]]["name"] == "heavy"
    assert report["modules"][heavy["importer"]]["name"] == "app"
    assert heavy["seconds"] > part["seconds"] > 0
    assert report["after"] - report["before"] == pytest.approx(modules["app"]["bytes"], abs=MEGABYTE)
    assert report["end"] > 20 * MEGABYTE


def test_what_requests_call_is_used_and_what_they_do_not_call_is_not() -> None:
    modules = by_name(measured("app:app"))
    assert modules["app"]["is_used"] is True
    assert modules["useful"]["is_used"] is True
    assert modules["idle"]["is_used"] is False
    assert modules["heavy"]["is_used"] is False
    assert modules["part_of_heavy"]["is_used"] is None, "it has nothing to be called"
    modules = by_name(measured("app:app", "--request", "/heavy"))
    assert modules["heavy"]["is_used"] is True


def test_the_use_of_modules_is_seen_in_each_thread_of_a_wsgi_application(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("def work(): return b'late'\n")
    for name in ("called", "threaded", "quiet"):
        (tmp_path / f"{name}.py").write_text(f"def work(): return b'{name}'\n")
    (tmp_path / "views.py").write_text(
        "import called, quiet, threaded\n"
        "def app(environ, start_response):\n"
        "    import threading\n"
        "    own = threading.Thread(target=threaded.work)\n"
        "    own.start(), own.join()\n"
        "    start_response('200 OK', [])\n"
        "    return [called.work()]\n"
    )
    modules = by_name(measured("views:app", "--count", "2", cwd=tmp_path))
    used = {name: modules[name]["is_used"] for name in ("views", "called", "threaded", "quiet")}
    assert used == {"views": True, "called": True, "threaded": True, "quiet": False}


def test_a_package_of_which_only_a_module_is_called_is_not_unused(tmp_path: Path) -> None:
    package = tmp_path / "parts"
    package.mkdir()
    ballast = "BALLAST = bytearray(b'x' * 3_000_000)\ndef work(): return b'done'\n"
    (package / "__init__.py").write_text(ballast + "from parts import one, other\n")
    for name in ("one", "other"):
        (package / f"{name}.py").write_text(ballast)
    source = (APPS / "hello.py").read_text()
    (tmp_path / "app.py").write_text(
        "from parts import one\n" + source.replace("    if", "    one.work()\n    if", 1)
    )
    page = imports("app:app", cwd=tmp_path).stdout
    assert re.search(r"parts\n", page) and re.search(r"─ parts.other  \(unused\)", page), page
    assert "parts (2 of 3 modules)" in page


def test_a_trial_ends_though_a_forked_helper_holds_its_output(tmp_path: Path) -> None:
    helper = "import os, time\nif not os.fork():\n    time.sleep(8)\n    os._exit(0)\n"
    (tmp_path / "app.py").write_text(helper + (APPS / "hello.py").read_text())
    began = time.monotonic()
    finished = imports("app:app", cwd=tmp_path)
    assert finished.returncode == 0, finished
    # Two starts; each would have been waited for until its helper ends.
    assert time.monotonic() - began < 30
    (tmp_path / "app.py").write_text(helper + "raise SystemExit('no')\n")
    finished = imports("app:app", cwd=tmp_path)
    assert finished.returncode == CANNOT, finished


def test_imports_that_fail_or_come_late_are_told_as_such() -> None:
    modules = by_name(measured("app:app", "--request", "/late", "--count", "2"))
    assert (modules["broken"]["is_there"], modules["idle"]["is_there"]) == (False, True)
    assert (modules["late"]["is_late"], modules["idle"]["is_late"]) == (True, False)
    assert modules["late"]["importer"] is None


def test_the_tree_has_the_largest_first() -> None:
    finished = imports("app:app", "--request", "/", "--count", "3")
    assert finished.returncode == 0, finished
    page = finished.stdout
    assert re.search(r"^app:app, CPython 3\.\d+\.\d+: \d+ modules, imported in \d+ ms$", page, re.M)
    tree = [line[29:] for line in page.splitlines() if re.match(r" +\d+\.\d ", line)]
    assert tree[0] == "app"
    assert tree[1] == "├─ heavy  (unused)"
    assert tree[2].endswith("─ part_of_heavy")
    assert "never called after the import, in GET / (200 ×3)" in page
    assert re.search(r" 8\.\d MB   heavy \(1 module\)", page)
    assert "\x1b" not in page, "colours only on a terminal"


def test_small_modules_and_deep_levels_are_counted() -> None:
    page = imports("app:app", "--at-least", "15").stdout
    assert "heavy" in page and "part_of_heavy" not in page and "more" in page
    flat = imports("app:app", "--depth", "1").stdout
    assert not re.search(r"─ heavy", flat)


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = tmp_path / "imports.html"
    finished = imports("app:app", "--html", str(page))
    assert finished.returncode == 0, finished
    reader = Page()
    reader.feed(page.read_text())
    assert reader.fetched == []
    report = json.loads(reader.scripts[0])
    assert report["app"] == "app:app"
    assert "part_of_heavy" in {module["name"] for module in report["modules"]}


def test_the_flags_reach_the_server(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text("def make():\n    from app import app\n    return app\n")
    (tmp_path / "app.py").write_text((APPS / "hello.py").read_text())
    report = measured("made:make", "--factory", "--app-dir", str(tmp_path), "--", "--loop", "asyncio")
    assert {"made", "app"} <= set(by_name(report))


def test_the_lazy_imports_that_save_most_are_found_by_trying_them() -> None:
    finished = run("imports", "app:app", "--count", "1", "--json", cwd=APP, timeout=170)
    assert finished.returncode == 0, finished
    advice = json.loads(finished.stdout)["advice"]
    assert advice["tried"][0]["value"] == "auto"
    best = next(each for each in advice["tried"] if each["value"] == advice["best"])
    # The request never needs what is heavy.
    assert "app" in advice["best"].split(",")
    assert best["saved"] == advice["without"] - best["with"]
    assert 19 * MEGABYTE < best["saved"] < 25 * MEGABYTE


def test_what_does_not_work_lazily_is_told_and_not_advised(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(BROKEN_WHEN_LAZY)
    (tmp_path / "registering.py").write_text("import builtins\nbuiltins.registered = True\nname = 1\n")
    finished = run("imports", "app:app", "--count", "1", cwd=tmp_path, timeout=170)
    assert finished.returncode == 0, finished
    assert re.search(r" - +auto,app.*: the application failed: GET / \(500 ×1\)", finished.stdout), finished
    assert "saves most" not in finished.stdout


# --- what cannot be measured


def test_an_application_that_does_not_start_shows_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import nothing_of_this_name\n")
    finished = imports("app:app", cwd=tmp_path)
    assert finished.returncode == CANNOT and not finished.stdout
    assert "No module named 'nothing_of_this_name'" in finished.stderr


def test_an_application_that_fails_is_not_measured() -> None:
    finished = imports("weighed:app", "--request", "/broken", cwd=APPS)
    assert finished.returncode == CANNOT and "GET /broken (500 ×10)" in finished.stderr


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    finished = imports("app:app", "--html", str(tmp_path / "nowhere" / "imports.html"))
    assert finished.returncode == CANNOT and "cannot write" in finished.stderr


BROKEN_WHEN_LAZY = """
import builtins
import registering


async def app(scope, receive, send):
    assert scope["type"] == "http"
    status = 200 if hasattr(builtins, "registered") else 500
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body"})


def never():
    return registering.name
"""


class Page(HTMLParser):
    """Its scripts, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.fetched: list[str] = []
        self._is_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value for name, value in attrs if name in ("src", "href") and value]
        self._is_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False

    def handle_data(self, data: str) -> None:
        if self._is_script:
            self.scripts.append(data)
