"""Jobs: functions and commands on a schedule or on demand, each run a process that ends (docs/jobs.md)."""

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness import Server, processes, run, scheduling
from harness.server import REPOSITORY

FAILED, CANNOT, WRONG = 5, 3, 2


class Jobs:
    """Servers with one state directory and one file of marks, which the functions write to."""

    def __init__(self, server: Any, directory: Path) -> None:
        self.server, self.directory = server, directory
        self.state = directory / "state"
        self.marks_file = directory / "marks"
        self.env = {"MARKS": str(self.marks_file), "RUNTIME_DIRECTORY": str(directory)}

    def start(self, *flags: str, app: str = "--jobs-only", **env: str) -> Server:
        flags = ("--state-dir", str(self.state), *flags)
        serves = app != "--jobs-only"
        started = self.server(app, *flags, env={**self.env, **env}, wait=serves, places=serves)
        started.stderr.wait_for_line(r"job.*(and a queue|; next|$)")
        return started

    def marks(self, job: str) -> list[list[str]]:
        """What a job's runs have written: run, pid, time, and more."""
        text = self.marks_file.read_text() if self.marks_file.exists() else ""
        return [line.split()[1:] for line in text.splitlines() if line.split()[0] == job]

    def kept(self, job: str) -> dict[str, Any]:
        return json.loads((self.state / "jobs" / f"{job}.json").read_text())


@pytest.fixture
def jobs(server, tmp_path: Path) -> Jobs:
    return Jobs(server, tmp_path)


def command(started: Server, *arguments: str) -> str:
    finished = run("jobs", *arguments, str(started.pid))
    assert finished.returncode == 0, finished
    return finished.stdout


def wait_for(seen, timeout: float = 60):
    end = time.monotonic() + timeout
    while not (found := seen()):
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)
    return found


def session(pid: int) -> list[int]:
    return processes.in_session(pid)


def test_a_job_runs_by_its_schedule_on_time_and_its_output_is_in_the_log(jobs) -> None:
    started = jobs.start(
        "--job", "tick=job_functions:mark_later every 1s", "--job", 'say=["echo", "a b"] every 1s'
    )
    started.stderr.wait_for_line(r"Done in .* job=tick run=3")
    started.stderr.wait_for_line(r"INFO: +a b job=say run=1")
    kept = jobs.kept("tick")
    late = [seconds(record["started"]) - seconds(record["due"]) for record in kept["records"]]
    # A busy machine keeps one or the other waiting.
    assert 0 <= min(late) < 0.25 and max(late) < 10, kept
    dues = [record["due"] for record in kept["records"]]
    assert len(dues) == len(set(dues))
    overview = json.loads(command(started, "--json"))
    assert [job["name"] for job in overview["jobs"]] == ["tick", "say"]
    assert overview["jobs"][0]["last"]["outcome"] == "done" and overview["version"] == 1


def seconds(timestamp: str) -> float:
    from datetime import datetime

    whole, _, fraction = timestamp.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction or 0}")


def test_a_run_inherits_nothing_of_the_servers_and_has_a_session_of_its_own(jobs) -> None:
    started = jobs.start("--job", "look=job_functions:look_around nice 5", app="hello:app")
    assert "done" in command(started, "run", "look", "--wait")
    own = int(Path(f"/proc/{started.pid}/oom_score_adj").read_text())
    nice = min(niceness(started.pid) + 5, 19)
    looked = rf"sockets=1 oom={min(own + 500, 1000)} own_session=True nice={nice} job=look"
    started.stderr.wait_for_line(looked)
    # The one socket is its own, over which it was told what to run; its other end is closed.


def niceness(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


@pytest.mark.parametrize("nice", [7, 19])
def test_a_run_is_nicer_than_its_server_which_may_be_nice_itself(jobs, nice: int) -> None:
    started = jobs.start("--job", f"wait=job_functions:linger nice {nice}")
    above = min(niceness(started.pid) + 3, 19)
    os.setpriority(os.PRIO_PROCESS, started.pid, above)
    assert "has been started" in command(started, "run", "wait")
    [(_, pid, *_)] = wait_for(lambda: jobs.marks("wait"))
    assert niceness(int(pid)) == min(above + nice, 19)


@pytest.mark.skipif(scheduling.session_niceness() is None, reason="the kernel has no autogroup")
@pytest.mark.parametrize("start", ["fresh", "template"])
def test_the_session_of_a_run_is_as_nice_as_the_run(jobs, start: str) -> None:
    """The kernel may schedule sessions against each other; then a niceness counts within one."""
    web = ("--preload",) if start == "template" else ()
    started = jobs.start("--job", f"wait=job_functions:linger nice 7 start {start}", *web, app="hello:app")
    assert "has been started" in command(started, "run", "wait")
    [(_, pid, *_)] = wait_for(lambda: jobs.marks("wait"))

    above = scheduling.session_niceness(started.pid)
    wait_for(lambda: scheduling.session_niceness(pid) == above + 7)
    assert scheduling.session_niceness(started.worker_pids()[0]) == above


def test_a_job_runs_on_demand_and_its_end_is_the_commands(jobs) -> None:
    started = jobs.start("--job", "good=job_functions:mark", "--job", "bad=job_functions:fail")
    assert "Run 1 of good has been started" in command(started, "run", "good")
    started.stderr.wait_for_line("Done in .* job=good run=1")
    failed = run("jobs", "run", "bad", "--wait", str(started.pid))
    assert failed.returncode == FAILED and "exited with code 1" in failed.stdout
    started.stderr.wait_for_line("ValueError: on purpose job=bad run=1")
    history = command(started, "history", "bad")
    assert history.splitlines()[0].split() == ["RUN", "STARTED", "TOOK", "PEAK", "MB", "ATTEMPT", "RESULT"]
    unknown = run("jobs", "run", "nope", str(started.pid))
    assert unknown.returncode == CANNOT and "there are good, bad" in unknown.stderr


def test_a_job_that_runs_is_not_run_beside_itself(jobs) -> None:
    started = jobs.start("--job", "long=job_functions:linger every 1s")
    started.stderr.wait_for_line("still runs, so its time .* is skipped", times=2)
    wait_for(lambda: jobs.marks("long"))
    assert len(jobs.marks("long")) == 1
    refused = run("jobs", "run", "long", str(started.pid))
    assert refused.returncode == CANNOT and "runs already (run 1)" in refused.stderr
    assert "asked to end" in command(started, "stop", "long")
    started.stderr.wait_for_line("was ended: an operator stopped it")


def test_a_run_that_fails_is_tried_again(jobs) -> None:
    started = jobs.start("--job", "flaky=job_functions:fail_first retries 1")
    command(started, "run", "flaky")
    started.stderr.wait_for_line("The job flaky is tried again in 5s")
    started.stderr.wait_for_line("Done in .* job=flaky run=2")
    assert [record["attempt"] for record in jobs.kept("flaky")["records"]] == [1, 2]


def test_a_job_that_keeps_dying_does_no_more_than_fail(jobs) -> None:
    started = jobs.start("--job", "dies=job_functions:die every 1s", app="hello:app")
    started.stderr.wait_for_line("was killed by SIGSEGV", times=3)
    assert started.get("/").status == 200


def test_a_run_that_takes_too_long_ends_with_all_its_children(jobs) -> None:
    started = jobs.start("--job", "brood=job_functions:brood timeout 6s")
    command(started, "run", "brood")
    run_, pid, _, *children = wait_for(lambda: jobs.marks("brood"))[0]
    assert len(session(int(pid))) == 3
    # Both ignore SIGTERM, so that only SIGKILL ends them, ten seconds later.
    found = started.stderr.wait_for_line(r"The run was ended: it took longer than its timeout after (\d+)\.")
    assert int(found[1]) >= 16
    wait_for(lambda: not session(int(pid)))
    assert len(children) == 2
    assert run_ == "1"


def test_a_run_that_takes_too_much_memory_is_killed_and_the_figure_is_told(jobs) -> None:
    started = jobs.start("--job", "fat=job_functions:grow max-memory 60M")
    failed = run("jobs", "run", "fat", "--wait", str(started.pid))
    assert failed.returncode == FAILED
    found = started.stderr.wait_for_line(
        r"was ended: it had (\d+)\.\d MB of its own, more than its max-memory"
    )
    assert int(found[1]) > 60
    assert jobs.kept("fat")["records"][0]["peak"] > 60 << 20


def test_a_server_that_is_killed_takes_its_runs_along_and_the_next_makes_up_for_them(jobs) -> None:
    started = jobs.start("--job", "brood=job_functions:brood every 1h")
    command(started, "run", "brood")
    _, pid, _, *children = wait_for(lambda: jobs.marks("brood"))[0]
    started.send_signal(signal.SIGKILL)
    started.wait()
    wait_for(lambda: not session(int(pid)))
    assert len(children) == 2
    again = jobs.start("--job", "brood=job_functions:mark every 1h")
    again.stderr.wait_for_line("Done in .* job=brood run=2")
    records = jobs.kept("brood")["records"]
    assert [record["outcome"] for record in records] == ["interrupted", "done"]


def test_a_stop_lets_a_run_end_and_asks_one_that_does_not(jobs) -> None:
    job = ("--job", "long=job_functions:linger every 1h")
    flags = ("--timeout-graceful-shutdown", "4", *job)
    started = jobs.start("--timeout-graceful-shutdown", "30", *job, LINGER="1.5")
    command(started, "run", "long")
    wait_for(lambda: jobs.marks("long"))
    assert started.terminate() == 0
    assert jobs.marks("long")[-1][-1] == "ended"
    again = jobs.start(*flags, app="hello:app", LINGER="600")
    command(again, "run", "long")
    wait_for(lambda: len(jobs.marks("long")) == 3)
    begun = time.monotonic()
    assert again.terminate() == 0 and 2 < time.monotonic() - begun < 40
    again.stderr.wait_for_line("was ended: the server ends")
    third = jobs.start(*flags, LINGER="0")
    third.stderr.wait_for_line("Done in .* job=long run=3")


def test_times_without_a_server_are_made_up_for_once(jobs) -> None:
    flags = (
        "--job",
        "once=job_functions:mark every 1s",
        "--job",
        "none=job_functions:mark every 1s missed none",
    )
    jobs.start(*flags).terminate()
    earlier = {job: len(jobs.kept(job)["records"]) for job in ("once", "none")}
    for job in ("once", "none"):
        kept = jobs.kept(job)
        for field in ("anchor", "next", "seen"):
            kept[field] = "2026-01-01T00:00:00.5Z"
        (jobs.state / "jobs" / f"{job}.json").write_text(json.dumps(kept))
    started = jobs.start(*flags)
    started.stderr.wait_for_line("Done in .* job=none")
    started.terminate()
    records = {job: jobs.kept(job)["records"][number:] for job, number in earlier.items()}
    first = {job: own[0] for job, own in records.items()}
    assert first["once"]["due"].startswith("2026-01-01T00:00:00.5") and "T" in first["none"]["due"]
    assert not first["none"]["due"].startswith("2026-01-01")
    assert [record["due"][:10] for record in records["once"]].count("2026-01-01") == 1, "no burst"


def test_there_is_one_schedule_whatever_the_number_of_workers_and_their_recycles(jobs) -> None:
    started = jobs.start("--workers", "2", "--job", "tick=job_functions:mark every 1s", app="hello:app")
    for times in range(1, 4):
        started.send_signal(signal.SIGHUP)
        started.stderr.wait_for_line("Done in .* job=tick", times=times)
    dues = [record["due"] for record in jobs.kept("tick")["records"]]
    assert len(dues) == len(set(dues)) >= 3
    assert started.terminate() == 0


def test_jobs_are_tables_of_the_settings_file(jobs, tmp_path: Path) -> None:
    file = tmp_path / "lowmem-serve.toml"
    file.write_text('[jobs.hello]\nrun = "job_functions:mark"\nevery = "1s"\n[queue]\nconcurrent = 1\n')
    started = jobs.start("--config", str(file))
    started.stderr.wait_for_line("Done in .* job=hello run=1")
    assert "queue: 0 waiting, 0 running, 0 dead" in command(started)


def test_a_state_directory_has_one_server(jobs) -> None:
    started = jobs.start("--job", "a=job_functions:mark")
    second = run("--jobs-only", "--job", "a=job_functions:mark", "--state-dir", str(jobs.state))
    assert second.returncode == CANNOT
    assert f"in use by another server (pid {started.pid})" in second.stderr and "--state-dir" in second.stderr


def test_a_state_directory_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    place = "/proc/state" if os.geteuid() == 0 else str(tmp_path / "x")
    if place != "/proc/state":
        tmp_path.chmod(0o500)
    refused = run("--jobs-only", "--job", "a=job_functions:mark", "--state-dir", place)
    assert refused.returncode == CANNOT and "cannot be written to" in refused.stderr
    assert "name another one with --state-dir" in refused.stderr


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--job", "a=b"), "is no function like"),
        (("--job", "a=b:c every 1h", "--job", "a=b:d"), "two jobs with the name a"),
        ((), "there is no job and no queue"),
        (("--job", "a=b:c cron 61 * * * *"), "is no cron pattern"),
        (("--job", "a=b:c cron * * * * * timezone Mars/Base"), 'there is no "Mars/Base"'),
    ],
)
def test_mistakes_are_told_before_anything_runs(flags, told: str, tmp_path: Path) -> None:
    refused = run("--jobs-only", *flags, "--state-dir", str(tmp_path))
    assert refused.returncode == WRONG and told in refused.stderr


def test_a_job_that_cannot_be_started_is_told_and_the_server_goes_on(jobs) -> None:
    started = jobs.start("--job", 'none=["/nowhere/program"]', "--job", "missing=no_such_module:run")
    assert run("jobs", "run", "none", "--wait", str(started.pid)).returncode == FAILED
    started.stderr.wait_for_line("The job none cannot be started: No such file")
    assert run("jobs", "run", "missing", "--wait", str(started.pid)).returncode == FAILED
    started.stderr.wait_for_line("ModuleNotFoundError: No module named 'no_such_module'")


def test_what_a_run_writes_is_in_the_log_whatever_the_level_is(jobs) -> None:
    flags = ("--job", 'heard=["echo", "here"] every 1s', "--log-level", "warning")
    started = jobs.server(
        "--jobs-only", "--state-dir", str(jobs.state), *flags, env=jobs.env, wait=False, places=False
    )
    started.stderr.wait_for_line("here job=heard run=1")


def test_between_runs_nothing_is_there_but_the_supervisor(jobs) -> None:
    started = jobs.start("--job", "work=job_functions:mark")
    command(started, "run", "work", "--wait")
    wait_for(lambda: started.worker_pids() == [])
    before = own_memory(started.pid)
    for _ in range(20):
        command(started, "run", "work", "--wait")
    assert own_memory(started.pid) - before < 200 << 10, "what twenty runs leave"


def own_memory(pid: int) -> int:
    """What the process has written to that is no file's: a build's pages may not be on the disk yet."""
    smaps = Path(f"/proc/{pid}/smaps_rollup").read_text()
    (anonymous,) = (line.split()[1] for line in smaps.splitlines() if line.startswith("Anonymous:"))
    return int(anonymous) << 10


def test_the_settings_of_the_documentation_are_possible(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "jobs.md").read_text()
    tables = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "lowmem-serve.toml"
    file.write_text("\n".join(tables))
    shown = run("config", "--config", str(file))
    assert shown.returncode == 0, shown
    assert "myapp.search:reindex" in shown.stdout and "queue-concurrent = 2" in shown.stdout
