"""`--isolated-template`: isolated calls that are forked from a process which has imported the modules that were named
(docs/isolated.md).
"""

import json
import os
import re
import signal
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest

from harness import APPS, REPOSITORY, Server, processes, run, scheduling

ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY / "python")}
NAMED = ("--isolated-template", "isolated_functions,decimal")
READY = r"Imported isolated_functions, decimal for isolated calls \[(\d+)\]"
PATIENCE = 60


def call(server: Server, function: str = "surroundings", path: str = "", **query: str):
    query = {"arguments": "[]", "limits": "{}", **query}
    return server.get(f"{path}/{function}?{urlencode(query)}").json()["value"]


def template(server: Server, times: int = 1) -> int:
    return int(server.stderr.wait_for_line(READY, times=times)[1])


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def titles(server: Server) -> list[str]:
    found = []
    for pid in processes.children(server.pid):
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_text().strip("\0"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def start(server, *flags: str, app: str = "isolated_calls_app:app") -> Server:
    return server(app, *NAMED, *flags, env=ENVIRONMENT)


@pytest.mark.parametrize("flags", [(), ("--preload",), ("--lazy-imports", "auto")])
def test_the_first_call_makes_the_template_and_the_next_ones_are_its_children(server, flags) -> None:
    serving = start(server, *flags)
    worker = serving.get("/worker").json()["pid"]
    assert not any("isolated template" in title for title in titles(serving))
    # It is not waited for.
    assert call(serving)["parent"] == worker
    made = template(serving)
    until(lambda: call(serving)["parent"] == made, "calls come from the template")
    own = call(serving)
    assert own["title"] == "lowmem-serve: isolated isolated_functions.surroundings"
    assert own["session"] == own["pid"] and own["input"] == "/dev/null" and own["descriptors"] <= 9
    until(lambda: call(serving, thread="1")["parent"] == made, "calls of a thread do, too")
    assert "lowmem-serve: isolated template isolated_calls_app:app" in titles(serving)


def test_the_template_has_the_named_modules_only(server) -> None:
    serving = start(server)
    call(serving)
    made = template(serving)
    until(lambda: call(serving)["parent"] == made, "calls come from the template")
    modules, _, _ = call(serving, "modules")
    assert {"isolated_functions", "decimal"} <= set(modules) and "isolated_calls_app" not in modules


def test_workers_come_and_go_and_the_template_stays(server) -> None:
    serving = start(server, "--max-requests", "3")
    call(serving)
    made = template(serving)
    workers, parents = set(), set()

    def is_third() -> bool:
        workers.add(serving.get("/worker").json()["pid"])
        parents.add(call(serving)["parent"])
        return len(workers) >= 3

    until(is_third, "the worker is the third")
    until(lambda: call(serving)["parent"] == made, "calls come from the template")

    def workers_so_far() -> set[int]:
        return {int(found[1]) for found in serving.stderr.matches(r"Started server process \[(\d+)\]")}

    until(lambda: parents <= {made, *workers_so_far()}, "calls come from the template or from a worker")
    assert len(serving.stderr.matches(READY)) == 1


def test_sighup_renews_it_and_one_that_is_killed_is_made_again(server) -> None:
    serving = start(server)
    call(serving)
    first = template(serving)
    until(lambda: call(serving)["parent"] == first, "calls come from the template")
    serving.send_signal(signal.SIGHUP)
    second = template(serving, times=2)
    assert processes.wait_for_exit(first, PATIENCE)
    until(lambda: call(serving)["parent"] == second, "calls come from the new one")
    os.kill(second, signal.SIGKILL)
    serving.stderr.wait_for_line(rf"template for isolated calls \(pid {second}\) .* another one made")
    call(serving)
    third = template(serving, times=3)
    until(lambda: call(serving)["parent"] == third, "calls come from the third")


def test_a_change_of_the_source_renews_it(server, tmp_path: Path) -> None:
    (tmp_path / "changing.py").write_text("def value():\n    return 1\n")
    (tmp_path / "main.py").write_text(
        textwrap.dedent(
            """
            import changing
            from lowmem_serve import isolated

            async def app(scope, receive, send):
                if scope["type"] == "http":
                    value = await isolated(changing.value)
                    await send({"type": "http.response.start", "status": 200, "headers": []})
                    await send({"type": "http.response.body", "body": str(value).encode()})
            """
        )
    )
    flags = ("--isolated-template", "changing", "--reload", "--app-dir", str(tmp_path))
    serving = server("main:app", *flags, env=ENVIRONMENT, cwd=tmp_path)
    assert serving.get("/").body == b"1"
    serving.stderr.wait_for_line(r"Imported changing for isolated calls")
    assert serving.get("/").body == b"1"
    (tmp_path / "changing.py").write_text("def value():\n    return 20\n")
    until(lambda: serving.get("/").body == b"20", "the new code runs")
    serving.stderr.wait_for_line(r"Imported changing for isolated calls", times=2)
    for _ in range(5):
        assert serving.get("/").body == b"20"


def test_an_application_that_sleeps_has_none(server) -> None:
    serving = start(server, "--sleep-after", "1s")

    def made() -> set[int]:
        return {int(found[1]) for found in serving.stderr.matches(READY)}

    # Calls go on, so that it does not sleep while a slow machine makes a template.
    until(lambda: call(serving)["parent"] in made(), "calls come from the template")
    first = made()
    for pid in first:
        assert processes.wait_for_exit(pid, PATIENCE)
    until(lambda: not titles(serving), "nothing is left of the application")
    until(lambda: call(serving)["parent"] in made() - first, "calls come from the next one")


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("isolated_functionz", ()),
        ("isolated_functionz", ("--preload",)),
        ("json.decoderz", ()),
        ("isolated_functions.x", ()),
    ],
)
def test_a_module_that_is_not_there_is_a_failed_start(name: str, flags) -> None:
    failed = run("isolated_calls_app:app", "--isolated-template", name, "--port=0", *flags, env=ENVIRONMENT)
    assert failed.returncode == 3
    assert f"--isolated-template: there is no module {name} for the application's Python" in failed.stderr


def test_what_is_no_name_is_wrong_usage() -> None:
    failed = run("isolated_calls_app:app", "--isolated-template", "decimal,my-reports")
    assert failed.returncode == 2 and '"my-reports" is no module' in failed.stderr


def test_modules_that_cannot_be_imported_leave_calls_fresh_until_sighup(server, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('on purpose')\n")
    environment = {"PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}:{tmp_path}"}
    serving = server("isolated_calls_app:app", "--isolated-template", "broken", env=environment)
    worker = serving.get("/worker").json()["pid"]
    assert call(serving)["parent"] == worker
    serving.stderr.wait_for_line(r"--isolated-template: cannot import broken")
    serving.stderr.wait_for_line(r"RuntimeError: on purpose")
    serving.stderr.wait_for_line(r"calls start fresh interpreters until the next SIGHUP")
    for _ in range(3):
        assert call(serving)["parent"] == worker
    assert len(re.findall("RuntimeError: on purpose", serving.stderr.text)) == 1
    broken.write_text("")
    serving.send_signal(signal.SIGHUP)
    until(lambda: serving.get("/worker").json()["pid"] != worker, "the worker is another")
    call(serving)
    line = serving.stderr.wait_for_line(r"Imported broken for isolated calls \[(\d+)\]")
    until(lambda: call(serving)["parent"] == int(line[1]), "calls come from the template")


def test_each_of_several_applications_has_its_own(serve_all, machine) -> None:
    functions = (APPS / "isolated_functions.py").read_text()
    for name in ("shop", "plain"):
        own = machine.module(name, (APPS / "isolated_calls_app.py").read_text())
        (own / "isolated_functions.py").write_text(functions)
    named = machine.table("shop", 'isolated-template = ["isolated_functions", "decimal"]')
    tables = f"[apps.shop]\n{named}[apps.plain]\n{machine.table('plain')}"
    serving = serve_all(tables, env=ENVIRONMENT)
    for name in ("shop", "plain"):
        serving.stderr.wait_for_line(rf"\[{name}\] Application startup complete")

    def parent(name: str) -> int:
        asked = json.loads(machine.get(name, path="/surroundings"))
        return asked["value"]["parent"]

    first = parent("shop")
    made = int(serving.stderr.wait_for_line(r"\[shop\] " + READY)[1])
    assert first != made
    until(lambda: parent("shop") == made, "calls of one come from its template")
    assert parent("plain") not in (made, serving.pid)
    assert "lowmem-serve: shop: isolated template" in titles(serving)


def may_change_sessions() -> bool:
    """From processes without CAP_SYS_ADMIN the kernel takes one change in a tenth of a second."""
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> 21 & 1)


@pytest.mark.parametrize(
    ("flags", "nice"), [((), 5), (("--isolated-nice", "0"), 0), (("--isolated-nice", "7"), 7)]
)
@pytest.mark.parametrize("start", [(), ("--preload",)])
def test_requests_go_before_calls(server, flags, nice: int, start) -> None:
    serving = server("isolated_calls_app:app", *flags, *start, env=ENVIRONMENT)
    own = call(serving)
    assert own["niceness"] == os.nice(0) + nice
    above = scheduling.session_niceness(serving.pid)
    if above is not None and may_change_sessions():
        assert own["session_niceness"] == above + nice
    score = int(Path("/proc/self/oom_score_adj").read_text())
    assert own["oom_score"] == min(score + 500, 1000)


@pytest.mark.parametrize("start", [(), ("--preload",)])
def test_a_worker_has_short_turns_on_the_processor_once_it_makes_calls(server, start) -> None:
    usual = scheduling.turn()
    if not usual:
        pytest.skip("the kernel is older than 6.12")
    found = os.pathsep.join(str(REPOSITORY / each) for each in ("python", "tests"))
    serving = server("isolated_calls_app:app", *start, env={"PYTHONPATH": found})
    worker = serving.get("/worker").json()["pid"]
    assert scheduling.turn(worker) == usual
    assert call(serving, "turn") == usual
    assert scheduling.turn(worker) == 100_000


def test_a_thread_of_wsgi_has_it_too(server) -> None:
    serving = start(server, app="isolated_calls_app:wsgi")
    json.loads(serving.get("/").body)
    made = template(serving)
    until(lambda: serving.get("/").json()["parent"] == made, "calls come from the template")
