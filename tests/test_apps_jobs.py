"""Jobs and queues of several applications in one settings file (docs/jobs.md)."""

import json
import os
import pwd
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from harness import REPOSITORY, Server, processes, run
from harness.journal import until
from harness.machine import Machine, python_for

CANNOT = 3

WORK = """
import os, sys, time

def look():
    print("here", os.getcwd(), os.environ.get("MODE"), os.getuid(), sys.argv[0] != "", flush=True)

def linger():
    print("lingers", flush=True)
    time.sleep(600)

def mark(text):
    with open(os.environ["MARKS"], "a") as marks:
        marks.write(f"{os.getcwd()} {os.getuid()} {text}\\n")
    return text
"""

ENQUEUES = """
from lowmem_serve import jobs

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    task = jobs.enqueue(f"{NAME}_work:mark", NAME)
    value = await jobs.result(task, timeout=100)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(value).encode()})
"""


class Fleet:
    """A machine whose applications have jobs."""

    def __init__(self, start: Any, machine: Machine) -> None:
        self.start, self.machine = start, machine
        self.state = machine.directory / "state"
        self.marks_file = machine.directory / "marks"
        self.env = {"MARKS": str(self.marks_file), "PYTHONPATH": str(REPOSITORY / "python")}

    def module(self, name: str, *, enqueues: bool = False) -> None:
        own = self.machine.module(name, ENQUEUES) if enqueues else self.machine.module(name)
        (own / f"{name}_work.py").write_text(WORK)

    def serve(self, text: str, *names: str) -> Server:
        started = self.start(f"state-dir = '{self.state}'\n{text}", wait=False, env=self.env)
        for name in names:
            started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
        return started

    def table(self, name: str, more: str = "", jobs: str = "") -> str:
        return f"[apps.{name}]\n{self.machine.table(name, more)}{jobs}\n"

    def jobs(self, *arguments: str) -> str:
        finished = run("jobs", *arguments, str(self.machine.server))
        return finished.stdout + finished.stderr

    def overview(self) -> dict[str, Any]:
        return json.loads(self.jobs("--json"))

    def names(self) -> list[str]:
        return [f"{job['app'] or ''}/{job['name']}" for job in self.overview()["jobs"]]

    def marks(self) -> list[str]:
        return self.marks_file.read_text().splitlines() if self.marks_file.exists() else []


@pytest.fixture
def fleet(serve_all, machine) -> Fleet:
    return Fleet(serve_all, machine)


def job(name: str, run: str, more: str = "", app: str = "") -> str:
    return f"[{f'apps.{app}.' if app else ''}jobs.{name}]\nrun = '{run}'\n{more}\n"


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_job_runs_in_its_applications_directory_and_environment_and_has_its_name(fleet, machine) -> None:
    for name in ("one", "two"):
        fleet.module(name)
    (machine.directory / "own_work.py").write_text(WORK)
    started = fleet.serve(
        job("tidy", "own_work:look")
        + fleet.table("one", "env = { MODE = 'first' }", job("look", "one_work:look", app="one"))
        + fleet.table("two", "env = { MODE = 'second' }", job("look", "two_work:look", app="two"))
        + "[apps.two.jobs.where]\ncommand = ['pwd']\n",
        "one",
        "two",
    )
    assert fleet.names() == ["/tidy", "one/look", "two/look", "two/where"]
    for name, mode in (("one", "first"), ("two", "second")):
        assert "done" in fleet.jobs("run", f"{name}/look", "--wait")
        here = machine.directory / name
        started.stderr.wait_for_line(rf"\[{name}\] here {here} {mode} {os.getuid()} True job=look run=1")
    assert "done" in fleet.jobs("run", "where", "--wait")
    started.stderr.wait_for_line(rf"\[two\] {machine.directory / 'two'} job=where run=1")
    assert "done" in fleet.jobs("run", "tidy", "--wait")
    started.stderr.wait_for_line(rf"INFO: +here {machine.directory} None .* job=tidy")
    assert "done" in fleet.jobs("run", "look", "--app", "two", "--wait")
    assert len(fleet.jobs("history", "two/look").splitlines()) == 3
    assert "there are several: one/look, two/look; name one" in fleet.jobs("run", "look")
    assert "there is no job none/look; there are tidy, one/look" in fleet.jobs("run", "none/look")
    shown = fleet.jobs("--app", "one")
    assert "one/look" in shown and "two/look" not in shown
    assert "no application none has jobs" in fleet.jobs("--app", "none")
    assert (fleet.state / "apps" / "two" / "jobs" / "where.json").exists()
    assert started.terminate() == 0


def test_jobs_follow_the_settings_and_what_runs_goes_on(fleet, machine) -> None:
    fleet.module("one")
    fleet.module("two")
    machine.include("one", job("slow", "one_work:linger") + job("gone", "one_work:look"))
    machine.include("two", job("slow", "two_work:linger", "overlap = 'skip'"))
    started = fleet.serve("include = ['apps/*.toml']", "one", "two")
    for name in ("one", "two"):
        fleet.jobs("run", f"{name}/slow")
        started.stderr.wait_for_line(rf"\[{name}\] lingers")
    machine.include("one", job("new", "one_work:look", "every = '1s'"))
    started.stderr.wait_for_line(r"\[one\] here .* job=new run=2")
    assert fleet.names() == ["one/new", "two/slow"]
    assert "The run was ended" not in started.output
    assert "Its settings have changed" not in started.output, "workers do not know of jobs"
    machine.include("one", job("new", "one_work:look", "every = '1h'") + job("slow", "one_work:linger"))
    until(lambda: "one/slow" in fleet.names())
    (slow,) = (job for job in fleet.overview()["jobs"] if job["app"] == "one" and job["name"] == "slow")
    assert slow["running"]["run"] == "1", "it is the run that goes on, and no second one"
    pid = slow["running"]["pid"]
    # The last of those of each second may still run, and is followed by none for an hour.
    until(lambda: fleet.overview()["jobs"][0]["running"] is None)
    ran = fleet.overview()["jobs"][0]["last"]["run"]
    (machine.directory / "apps" / "two.toml").unlink()
    started.stderr.wait_for_line(r"\[two\] It is no longer in the settings; stopping it")
    until(lambda: "two/slow" not in fleet.names())
    assert alive(pid) and fleet.overview()["jobs"][0]["last"]["run"] == ran
    assert started.terminate() == 0
    assert processes.wait_for_exit(pid, 40)


def test_each_application_has_a_queue_of_its_own(fleet, machine) -> None:
    for name in ("one", "two"):
        fleet.module(name, enqueues=True)
    text = "[queue]\nconcurrent = 1\n" + fleet.table("one")
    text += fleet.table("two", "", "[apps.two.queue]\nconcurrent = 3\n")
    started = fleet.serve(text, "one", "two")
    assert (machine.get("one"), machine.get("two")) == ("one", "two")
    directories = [line.split()[0] for line in fleet.marks()]
    assert directories == [str(machine.directory / name) for name in ("one", "two")]
    queues = fleet.overview()["queues"]
    assert [queue["app"] for queue in queues] == ["one", "two"] and fleet.overview()["queue"] is None
    # A result is there before its process has ended.
    until(lambda: "queue of two: 0 waiting, 0 running, 0 dead" in fleet.jobs())
    machine.file.write_text(
        f"state-dir = '{fleet.state}'\n{fleet.table('one')}{text[text.index('[apps.two]') :]}"
    )
    until(lambda: [own["app"] for own in fleet.overview()["queues"]] == ["two"])
    assert started.terminate() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root serves as other users")
def test_runs_are_their_users_and_what_they_write_is_not_followed(server) -> None:
    user, python = pwd.getpwnam("nobody"), python_for("nobody")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        machine = Machine(Path(directory))
        fleet = Fleet(lambda *names, **options: machine.serve(server, *names, **options), machine)
        fleet.module("one", enqueues=True)
        fleet.marks_file.touch()
        fleet.marks_file.chmod(0o666)
        settings = f"user = 'nobody'\npython = '{python}'"
        jobs = job("look", "one_work:look", app="one")
        started = fleet.serve("queue = true\n" + fleet.table("one", settings, jobs), "one")
        assert "done" in fleet.jobs("run", "look", "--wait")
        started.stderr.wait_for_line(rf"\[one\] here .* {user.pw_uid} True job=look")
        assert machine.get("one") == "one"
        assert fleet.marks() == [f"{machine.directory / 'one'} {user.pw_uid} one"]
        refuses_what_is_planted(fleet, user.pw_uid)
        assert machine.get("one") == "one", "the queue goes on"
        assert started.terminate() == 0


def refuses_what_is_planted(fleet: Fleet, user: int) -> None:
    queue = fleet.state / "apps" / "one" / "queue"
    assert queue.stat().st_uid == 0 and (queue / "tasks").stat().st_uid == user
    secret = fleet.machine.directory / "secret"
    secret.write_text("kept")
    planted = {"id": "a1", "run": "one_work:missing", "key_hash": "../../../../../secret"}
    (queue / "tasks" / "00000000000000-a1-99.json").write_text(json.dumps(planted))
    (queue / "tasks" / "00000000000000-a2-0.json").symlink_to(secret)
    os.mkfifo(queue / "tasks" / "00000000000000-a3-0.json")
    until(lambda: {dead["id"] for dead in fleet.overview()["queues"][0]["dead"]} == {"a1", "a2", "a3"})
    assert secret.read_text() == "kept"


def test_an_application_that_is_stopped_starts_no_runs(fleet, machine) -> None:
    fleet.module("one")
    started = fleet.serve(
        fleet.table("one", "", job("tick", "one_work:look", "every = '1s'", app="one")), "one"
    )
    started.stderr.wait_for_line(r"job=tick run=1")
    machine.ctl("stop", "one")
    until(lambda: fleet.overview()["jobs"][0]["running"] is None)
    before = fleet.overview()["jobs"][0]["last"]["run"]
    time.sleep(2.2)
    assert fleet.overview()["jobs"][0]["last"]["run"] == before
    assert "done" in fleet.jobs("run", "tick", "--wait"), "on demand it does"
    until(lambda: machine.states()["one"] == "stopped")
    machine.ctl("start", "one")
    started.stderr.wait_for_line(rf"job=tick run={int(before) + 2}")
    assert started.terminate() == 0


def test_mistakes_have_their_lines(machine) -> None:
    machine.module("one")
    table = machine.table("one")
    machine.file.write_text(
        f"[apps.one]\n{table}jobs-only = true\n[apps.one.jobs.a]\nrun = 'x'\n[apps.one.queue]\nthreads = 1\n"
    )
    finished = run("--config", str(machine.file), cwd=machine.directory)
    assert finished.returncode == 2
    for part in (
        "fleet.toml:6: jobs-only: this file has applications",
        'fleet.toml:7: jobs.a: "x" is no function',
        "fleet.toml:10: there is no setting queue.threads",
    ):
        assert part in finished.stderr, finished.stderr
    machine.file.write_text(f"[apps.one]\n{table}")
    finished = run("--config", str(machine.file), "--jobs-only", cwd=machine.directory)
    assert finished.returncode == 2 and "has applications" in finished.stderr


def test_a_state_directory_that_is_taken_keeps_an_application_from_its_jobs_only(
    fleet, machine, server, tmp_path: Path
) -> None:
    fleet.module("one")
    taken = tmp_path / "taken"
    flags = ("--job", 'a=["true"]', "--state-dir", str(taken))
    server("--jobs-only", *flags, wait=False, places=False).stderr.wait_for_line("1 job")
    jobs = job("look", "one_work:look", app="one")
    started = fleet.serve(fleet.table("one", f"state-dir = '{taken}'", jobs), "one")
    started.stderr.wait_for_line(r"\[one\] Jobs cannot be run: .* in use by another server")
    assert machine.get("one").startswith("one ")
    assert "no jobs and no queue" in fleet.jobs()


def test_the_table_of_applications_shows_when_their_next_job_is_due(serve_all, machine) -> None:
    fleet = Fleet(serve_all, machine)
    fleet.module("one")
    fleet.module("two")
    jobs = "[apps.one.jobs.later]\nrun = 'one_work:look'\nevery = '3h'\n"
    jobs += "[apps.one.jobs.sooner]\nrun = 'one_work:look'\nevery = '2h'\n"
    fleet.serve(fleet.table("one", jobs=jobs) + fleet.table("two"), "one", "two")
    until(lambda: re.search(r"^one +serving .* 1h5\dm +0  ", machine.ctl(), re.MULTILINE))
    until(lambda: re.search(r"^two +serving .* - +0  ", machine.ctl(), re.MULTILINE))
