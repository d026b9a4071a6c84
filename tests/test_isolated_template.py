"""Isolated calls that start from a template (docs/isolated.md)."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest

from harness import REPOSITORY, Server, processes
from harness.raw_client import encode_request

ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY / "python")}
PATIENCE = 60


def template(server: Server, times: int = 1) -> int:
    line = server.stderr.wait_for_line(r"Imported the application for all workers \[(\d+)\]", times=times)
    return int(line[1])


def call(server: Server, function: str, *arguments: object, thread: bool = False, **limits: object):
    query = {"arguments": json.dumps(arguments), "limits": json.dumps(limits)} | (
        {"thread": "1"} if thread else {}
    )
    answered = server.get(f"/{function}?{urlencode(query)}").json()
    return answered["value"], answered["took"]


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def descriptors(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(re.sub(r"\d+", "", os.readlink(link)))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return sorted(found)


def settled(tree: list[int]) -> list[list[str]]:
    """Their descriptors, once the worker has closed the connections of the requests so far."""
    looks = [[descriptors(pid) for pid in tree]]
    while len(looks) < 5 or any(look != looks[-1] for look in looks[-5:]):
        time.sleep(0.05)
        looks.append([descriptors(pid) for pid in tree])
    return looks[-1]


def descendants(pid: int) -> set[int]:
    """All of them, zombies included."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = {pid}
    while more := {own for own, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def anonymous(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Private_Dirty:\s+(\d+) kB", rollup)[1])  # type: ignore[index]


@pytest.fixture
def preloaded(server) -> Server:
    return server("isolated_calls_app:app", "--preload", env=ENVIRONMENT)


def worker(server: Server) -> int:
    return server.get("/worker").json()["pid"]


@pytest.mark.parametrize("thread", [False, True])
def test_a_call_is_a_child_of_the_template_in_a_session_of_its_own(preloaded, thread: bool) -> None:
    own, _ = call(preloaded, "surroundings", thread=thread)
    assert own["parent"] == template(preloaded)
    assert own["session"] == own["pid"] and own["input"] == "/dev/null"
    assert own["title"] == "lowmem-serve: isolated isolated_functions.surroundings"
    other, _ = call(preloaded, "surroundings", thread=thread)
    assert other["number"] != own["number"] and other["pid"] != own["pid"]
    # stdin, stdout, stderr, the connection, the lifeline, and what reads /proc; not the template's sockets.
    assert own["descriptors"] <= 9


def test_a_call_has_the_name_that_was_chosen_for_processes(server) -> None:
    named = server("isolated_calls_app:app", "--preload", "--process-name", "shop", env=ENVIRONMENT)
    own, _ = call(named, "surroundings")
    assert own["title"] == "shop: isolated isolated_functions.surroundings"


def test_a_call_has_the_surroundings_of_its_caller(preloaded) -> None:
    assert call(preloaded, "surroundings")[0]["noted"] is None
    preloaded.get("/note")
    own, _ = call(preloaded, "surroundings")
    assert own["parent"] == template(preloaded)
    assert own["noted"] == "by the worker" and own["directory"] == "/"


@pytest.mark.parametrize("thread", [False, True])
def test_values_exceptions_limits_and_ends(preloaded, thread: bool) -> None:
    def value(function: str, *arguments: object, **limits: object):
        return call(preloaded, function, *arguments, thread=thread, **limits)[0]

    assert value("add", 1, 2) == 3
    assert value("add_later", 1, 2) == 3
    assert value("raise_key_error", "k")["raised"] == "KeyError"
    assert value("sleep", 30, timeout=0.3)["raised"] == "Timeout"
    died = value("end_by", int(signal.SIGSEGV))
    assert (died["raised"], died["signal"], died["code"]) == ("Died", signal.SIGSEGV, None)
    died = value("leave", 4)
    assert (died["raised"], died["signal"], died["code"]) == ("Died", None, 4)
    if not thread:
        assert preloaded.get("/stream?count=20").json() == list(range(20))


def test_memory_is_counted_beyond_what_the_template_has(server) -> None:
    serving = server("isolated_calls_app:app", "--preload", env={**ENVIRONMENT, "TAKES": "1"})
    assert call(serving, "sleep", 0.5, max_memory="40M")[0] == 0.5
    assert call(serving, "grow", 100 << 20, max_memory="40M")[0]["raised"] == "OutOfMemory"


def test_a_template_that_stands_still_costs_a_second_and_runs_nothing_later(
    preloaded, tmp_path: Path
) -> None:
    forked = template(preloaded)
    call(preloaded, "add", 1)
    note = tmp_path / "note"
    os.kill(forked, signal.SIGSTOP)
    try:
        own, took = call(preloaded, "surroundings")
        assert own["parent"] == worker(preloaded) and 0.9 < took < 30
        call(preloaded, "note_of", str(note))
    finally:
        os.kill(forked, signal.SIGCONT)
    until(lambda: call(preloaded, "surroundings")[0]["parent"] == forked, "the template forks again")
    until(lambda: not processes.children(forked), "nothing is left of what was given up")
    assert note.read_text() == "once\n"


def test_without_its_template_a_call_goes_on_and_others_start_fresh(preloaded) -> None:
    forked = template(preloaded)
    with preloaded.connect() as client:
        client.send(encode_request("GET", "/sleep?arguments=%5B4%5D"))
        until(lambda: processes.children(forked), "the call runs")
        os.kill(forked, signal.SIGKILL)
        assert processes.wait_for_exit(forked, PATIENCE)
        own, _ = call(preloaded, "surroundings")
        assert own["parent"] == worker(preloaded)
        assert client.read_response().json()["value"] == 4
    (child,) = (call(preloaded, "surroundings")[0]["pid"],)
    assert processes.wait_for_exit(child, PATIENCE)


def test_a_renewed_template_takes_the_calls_and_what_runs_ends_in_peace(preloaded) -> None:
    first = template(preloaded)
    with preloaded.connect() as client:
        client.send(encode_request("GET", "/sleep?arguments=%5B4%5D"))
        until(lambda: processes.children(first), "the call runs")
        preloaded.send_signal(signal.SIGHUP)
        second = template(preloaded, times=2)
        until(lambda: call(preloaded, "surroundings")[0]["parent"] == second, "the new template forks")
        assert client.read_response().json()["value"] == 4


def test_cancellations_and_kills_leave_nothing(preloaded) -> None:
    supervisor = preloaded.pid
    call(preloaded, "add", 1)
    call(preloaded, "end_by", int(signal.SIGKILL))
    preloaded.get("/cancel?count=2")
    tree = [supervisor, template(preloaded), worker(preloaded)]
    until(lambda: descendants(supervisor) == set(tree), "no process of the first calls is left")
    before = settled(tree)
    assert preloaded.request("GET", "/cancel?count=100", timeout=150).json() == 100
    for _ in range(50):
        assert call(preloaded, "end_by", int(signal.SIGKILL))[0]["signal"] == signal.SIGKILL
    until(lambda: descendants(supervisor) == set(tree), "no process is left, no zombie either")
    until(lambda: [descriptors(pid) for pid in tree] == before, "no descriptor is left")


def test_calls_that_take_memory_leave_the_worker_as_it_was(preloaded) -> None:
    for _ in range(3):
        call(preloaded, "take", 100 << 20)
    own = worker(preloaded)
    before = anonymous(own)
    for _ in range(30):
        assert call(preloaded, "take", 100 << 20)[0] == 100 << 20
    assert anonymous(own) - before <= 512


def test_a_learned_template_takes_the_calls_of_workers_that_it_has_forked(server, tmp_path: Path) -> None:
    watched = ("--reload", "--reload-dir", str(tmp_path), "--log-level", "debug")
    serving = server("isolated_calls_app:app", *watched, env=ENVIRONMENT)
    first = worker(serving)
    assert call(serving, "surroundings")[0]["parent"] == first
    learned = r"Imported the packages that the application uses \[(\d+)\]"
    serving.stderr.wait_for_line(learned)
    (tmp_path / "changed.py").write_text("")
    until(lambda: worker(serving) != first, "the worker is another")

    def is_of_the_template() -> bool:
        parent, made = call(serving, "surroundings")[0]["parent"], serving.stderr.matches(learned)
        return parent in {int(found[1]) for found in made}

    until(is_of_the_template, "calls come from the template")


def test_a_thread_of_wsgi_has_the_template_too(server) -> None:
    serving = server("isolated_calls_app:wsgi", "--preload", env=ENVIRONMENT)
    assert serving.get("/").json()["parent"] == template(serving)
