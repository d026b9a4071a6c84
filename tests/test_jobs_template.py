"""Runs that are forked from the application's template (`start = "template"`, docs/jobs.md)."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from harness import Server, processes, run
from harness.journal import until
from harness.machine import HELLO

APPLICATION = """
import os, sys
import template_work

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(template_work.VERSION).encode()})
"""

WORK = """
import atexit, os, random, subprocess, sys, threading, time

VERSION = 1
IMPORTED_IN = os.getpid()
TAKEN = bytearray(b"x" * (40 << 20))

def look():
    sockets = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
               if os.path.exists(f"/proc/self/fd/{fd}")]
    print(f"version={VERSION} forked={IMPORTED_IN != os.getpid()} by={IMPORTED_IN} parent={os.getppid()}"
          f" session={os.getsid(0) == os.getpid()} nice={os.nice(0)}"
          f" oom={open('/proc/self/oom_score_adj').read().strip()}"
          f" sockets={sum('socket:' in name for name in sockets)} stdin={os.readlink('/proc/self/fd/0')}"
          f" job={os.environ['LOWMEM_SERVE_JOB']} run={os.environ['LOWMEM_SERVE_RUN']} random={random.random()}",
          flush=True)

def leave():
    atexit.register(print, "at exit")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread over"))).start()
    print("buffered", end="")
    sys.exit(3)

def fail():
    raise ValueError("on purpose")

def brood():
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    print("brood", os.getpid(), flush=True)
    time.sleep(60)

def grow():
    kept = bytearray(b"x" * (120 << 20))
    time.sleep(60)
    del kept

def note(path):
    with open(path, "a") as file:
        file.write(f"{IMPORTED_IN != os.getpid()}\\n")
    return path
"""


class Templates:
    """Servers of an application whose jobs are forked from its template."""

    def __init__(self, start: Any, directory: Path) -> None:
        self.start, self.directory = start, directory
        self.work(WORK)
        (directory / "template_app.py").write_text(APPLICATION)

    def work(self, text: str) -> None:
        (self.directory / "template_work.py").write_text(text)

    def serve(self, *flags: str, template: bool = True, **env: str) -> Server:
        env = {"RUNTIME_DIRECTORY": str(self.directory), **env}
        state = ("--state-dir", str(self.directory / "state"), "--app-dir", str(self.directory))
        started = self.start("template_app:app", *state, *flags, env=env)
        if template:
            started.stderr.wait_for_line("Imported the application for all workers")
        return started


@pytest.fixture
def templates(server, tmp_path: Path) -> Templates:
    return Templates(server, tmp_path)


def job(function: str, settings: str = "") -> tuple[str, str]:
    return "--job", f"{function}=template_work:{function} start template {settings}"


def run_job(started: Server, name: str, code: int = 0) -> None:
    finished = run("jobs", "run", name, "--wait", str(started.pid))
    assert finished.returncode == code, finished


def looked(started: Server, times: int = 1) -> dict[str, str]:
    line = started.stderr.wait_for_line("version=.*", times=times)
    return dict(re.findall(r"(\w+)=(\S+)", line[0]))


def template(started: Server, times: int = 1) -> int:
    line = started.stderr.wait_for_line(r"Imported the application for all workers \[(\d+)\]", times=times)
    return int(line[1])


def test_a_run_is_a_fork_of_the_template_and_otherwise_as_any_run(templates) -> None:
    started = templates.serve("--preload", *job("look", "nice 5"))
    for times in (1, 2):
        run_job(started, "look")
        found = looked(started, times)
        assert found["by"] == str(template(started)) and found["parent"] == str(started.pid)
        nice = min(os.getpriority(os.PRIO_PROCESS, started.pid) + 5, 19)
        assert (found["version"], found["session"], found["nice"]) == ("1", "True", str(nice))
        own = int(Path(f"/proc/{started.pid}/oom_score_adj").read_text())
        assert found["oom"] == str(min(own + 500, 1000)) and found["stdin"] == "/dev/null"
        assert (found["sockets"], found["job"], found["run"]) == ("0", "look", str(times))
    assert looked(started, 1)["random"] != looked(started, 2)["random"]
    (record, *_) = json.loads(run("jobs", "history", "look", "--json", str(started.pid)).stdout)
    assert record["peak"] < 30 << 20, "the pages of the template are not its own"
    until(lambda: not processes.children(template(started)))
    assert started.terminate() == 0


def test_it_ends_as_a_script_does(templates) -> None:
    started = templates.serve("--preload", *job("leave"), *job("fail"))
    run_job(started, "leave", 5)
    started.stderr.wait_for_line("The run exited with code 3")
    started.stderr.wait_for_line("at exit job=leave")
    assert re.search(r"bufferedthread over job=leave.*\n.*at exit job=leave", started.output), started.output
    run_job(started, "fail", 5)
    started.stderr.wait_for_line("ValueError: on purpose job=fail")
    started.stderr.wait_for_line("The run exited with code 1")


def test_limits_hold_for_its_own_memory_and_for_its_children(templates) -> None:
    started = templates.serve(
        "--preload",
        *job("brood", "timeout 3s"),
        *job("grow", "max-memory 60M"),
        *job("look", "max-memory 30M"),
    )
    run_job(started, "brood", 5)
    pid = int(started.stderr.wait_for_line(r"brood (\d+) job=brood")[1])
    started.stderr.wait_for_line("it took longer than its timeout")
    until(lambda: not processes.in_session(pid))
    run_job(started, "look")
    run_job(started, "grow", 5)
    started.stderr.wait_for_line(r"it had \d+\.\d MB of its own, more than its max-memory")


def test_after_a_reload_the_new_code_runs(templates) -> None:
    started = templates.serve("--preload", *job("look"))
    run_job(started, "look")
    assert looked(started)["version"] == "1"
    templates.work(WORK.replace("VERSION = 1", "VERSION = 22"))
    started.send_signal(signal.SIGHUP)
    # Whether before the new template is ready, or after: never what is outdated.
    run_job(started, "look")
    assert looked(started, 2)["version"] == "22"
    renewed = template(started, 2)
    started.stderr.wait_for_line("Recycled worker")
    run_job(started, "look")
    assert (looked(started, 3)["version"], looked(started, 3)["by"]) == ("22", str(renewed))


def test_a_template_that_stands_still_costs_a_moment_and_runs_nothing_twice(templates) -> None:
    started = templates.serve("--preload", *job("look"))
    forked = template(started)
    os.kill(forked, signal.SIGSTOP)
    try:
        run_job(started, "look")
        assert looked(started)["by"] != str(forked)
        started.stderr.wait_for_line(
            'No template is ready for start = "template"; starting fresh. job=look run=1'
        )
        run_job(started, "look")
    finally:
        os.kill(forked, signal.SIGCONT)
    until(lambda: run_again(started, forked))
    assert started.output.count("No template is ready") == 1, "said once"
    runs = re.findall(r" run=(\d+) random", started.output)
    assert len(runs) == len(set(runs))
    until(lambda: not processes.children(forked))
    os.kill(forked, signal.SIGKILL)
    run_job(started, "look")


def run_again(started: Server, forked: int) -> bool:
    run_job(started, "look")
    return f"by={forked} " in started.output


def test_an_application_that_sleeps_has_its_runs(templates) -> None:
    started = templates.serve("--preload", "--keep-template", "1h", *job("look"))
    until(lambda: run("ctl", "sleep", str(started.pid)).returncode == 0)
    started.stderr.wait_for_line("Asleep")
    run_job(started, "look")
    assert looked(started)["by"] == str(template(started))
    assert started.get("/").text == "1"


def test_without_a_template_it_is_fresh(templates) -> None:
    started = templates.serve(*job("look"), template=False)
    run_job(started, "look")
    assert looked(started)["forked"] == "False"
    started.stderr.wait_for_line("No template is ready")


def test_with_lazy_imports_and_cold_bytecode(templates, tmp_path: Path) -> None:
    flags = ("--preload", "--lazy-imports", "app,template_work")
    cold = {"PYTHONPYCACHEPREFIX": str(tmp_path / "cold")}
    started = templates.serve(*flags, *job("look"), *job("note"), **cold)
    run_job(started, "look")
    assert looked(started)["parent"] == str(started.pid)
    assert "No template is ready" not in started.output


def test_a_task_may_be_a_fork(templates, tmp_path: Path, monkeypatch) -> None:
    from lowmem_serve import jobs

    monkeypatch.setenv(jobs.DIRECTORY_VARIABLE, str(tmp_path / "state" / "queue"))
    templates.serve("--preload", "--queue", "--queue-start", "template")
    note = tmp_path / "note"
    tasks = [jobs.enqueue("template_work:note", str(note)) for _ in range(20)]
    assert {jobs.wait(task, 60) for task in tasks} == {str(note)}
    noted = note.read_text().splitlines()
    # A template that does not answer within half a second is not waited for.
    assert len(noted) == 20 and noted.count("True") > 10


def test_a_server_that_is_killed_takes_them_along(templates) -> None:
    started = templates.serve("--preload", *job("brood"))
    run("jobs", "run", "brood", str(started.pid))
    pid = int(started.stderr.wait_for_line(r"brood (\d+) job=brood")[1])
    assert len(processes.in_session(pid)) == 3
    started.send_signal(signal.SIGKILL)
    started.wait()
    until(lambda: not processes.in_session(pid))


def test_of_several_applications_each_is_forked_into_its_own_place(serve_all, machine) -> None:
    """The template's environment is not theirs: what the kernel shows of a fork is the template's."""
    text = """import asyncio, csv, decimal, json, os
def here():
    began_with = open("/proc/self/environ").read()
    print("here", os.getcwd(), os.environ["MODE"], "fresh" if "MODE=" in began_with else "forked", flush=True)
"""
    names, tables = ("one", "two", "three"), ""
    for name in names:
        (machine.module(name) / f"{name}_work.py").write_text(text)
        (machine.directory / name / f"{name}_app.py").write_text(HELLO.replace("NAME", repr(name)) + text)
        tables += f"[apps.{name}]\n" + machine.table(name, f"env = {{ MODE = 'm-{name}' }}")
        tables += f"[apps.{name}.jobs.here]\nrun = '{name}_work:here'\nstart = 'template'\n"
    started = serve_all(f"state-dir = '{machine.directory / 'state'}'\n{tables}", wait=False)
    for name in names:
        started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)

        def is_forked(name: str = name) -> bool:
            assert run("jobs", "run", f"{name}/here", "--wait", str(started.pid)).returncode == 0
            line = rf"\[{name}\] here (\S+) (\S+) (\w+) job=here"
            started.stderr.wait_for_line(line)
            here = [found.groups() for found in started.stderr.matches(line)]
            assert {own[:2] for own in here} == {(str(machine.directory / name), f"m-{name}")}
            return any(own[2] == "forked" for own in here)

        until(is_forked)
    assert started.terminate() == 0
