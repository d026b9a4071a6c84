"""The queue: tasks that an application enqueues by name, each run in a process that ends (docs/jobs.md)."""

import asyncio
import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness import Server, run
from harness.server import REPOSITORY
from lowmem_serve import jobs

PACKAGE = {"PYTHONPATH": str(REPOSITORY / "python")}


class Queue:
    """A server with a queue, and this process as one that enqueues."""

    def __init__(self, server: Any, directory: Path) -> None:
        self.server = server
        self.state = directory / "state"
        self.place = self.state / "queue"
        self.marks_file = directory / "marks"
        self.env = {"MARKS": str(self.marks_file), "RUNTIME_DIRECTORY": str(directory), **PACKAGE}

    def start(self, *flags: str, app: str = "--jobs-only") -> Server:
        serves = app != "--jobs-only"
        flags = ("--state-dir", str(self.state), "--queue", *flags)
        started = self.server(app, *flags, env=self.env, wait=serves, places=serves)
        started.stderr.wait_for_line("and a queue")
        return started

    def marks(self) -> list[str]:
        text = self.marks_file.read_text() if self.marks_file.exists() else ""
        return [" ".join(line.split()[4:]) for line in text.splitlines()]


@pytest.fixture
def queue(server, tmp_path: Path, monkeypatch) -> Queue:
    made = Queue(server, tmp_path)
    monkeypatch.setenv(jobs.DIRECTORY_VARIABLE, str(made.place))
    return made


def overview(started: Server) -> dict[str, Any]:
    finished = run("jobs", "--json", str(started.pid))
    assert finished.returncode == 0, finished
    return json.loads(finished.stdout)["queue"]


def files(part: Path) -> list[str]:
    return sorted(entry.name for entry in part.iterdir())


def test_a_view_enqueues_and_has_the_result(queue) -> None:
    started = queue.start(app="queue_app:app")
    task = started.get("/?n=4").json()["id"]
    assert started.get(f"/result?id={task}").json() == {"value": 5}
    started.stderr.wait_for_line(rf"Done in .* job=job_functions:add run={task}")
    wait_for(lambda: files(queue.place / "tasks") == [])
    assert queue.marks() == ["4 1"]


def test_a_result_can_be_waited_for_in_either_way(queue) -> None:
    queue.start()
    task = jobs.put("job_functions:add", [1], {"b": 2})
    assert jobs.wait(task, 40) == 3
    assert asyncio.run(jobs.result(task, timeout=40)) == 3
    assert jobs.peek(task) == jobs.Outcome(3)
    odd = jobs.enqueue("job_functions:unwritable")
    with pytest.raises(TypeError, match="returned a object, which is not JSON"):
        jobs.wait(odd, 40)


def test_a_delayed_task_waits_and_a_result_that_does_not_come_times_out(queue) -> None:
    started = queue.start()
    begun = time.monotonic()
    task = jobs.enqueue("job_functions:add", 1, 1, delay="2s")
    with pytest.raises(TimeoutError):
        jobs.wait(task, 0.2)
    assert jobs.wait(task, 40) == 2
    # Due times are those of the clock, in milliseconds.
    assert time.monotonic() - begun > 1.9
    later = jobs.enqueue("job_functions:add", 1, 1, delay="1h")
    wait_for(lambda: overview(started)["waiting"] == 1)
    assert jobs.peek(later) is None


def test_a_key_is_held_while_its_task_waits_or_runs(queue) -> None:
    queue.start()
    first = jobs.enqueue("job_functions:add", 1, 1, delay=3, key="same/../key")
    assert jobs.enqueue("job_functions:add", 2, 2, key="same/../key") == first
    assert jobs.wait(first, 40) == 2
    wait_for(lambda: not files(queue.place / "keys"))
    again = jobs.enqueue("job_functions:add", 3, 3, key="same/../key")
    assert again != first and jobs.wait(again, 40) == 6


def test_a_task_that_keeps_failing_is_a_dead_letter_and_can_be_tried_again(queue) -> None:
    started = queue.start("--queue-retries", "1")
    task = jobs.enqueue("job_functions:fail")
    started.stderr.wait_for_line("it is tried again in 5s")
    with pytest.raises(jobs.TaskFailed, match="on purpose") as raised:
        jobs.wait(task, 60)
    assert raised.value.type == "ValueError"
    (dead,) = wait_for(lambda: overview(started)["dead"])
    assert dead["id"] == task and "on purpose" in dead["why"] and dead["run"] == "job_functions:fail"
    again = run("jobs", "retry", task, str(started.pid))
    assert again.returncode == 0 and overview(started)["dead"] == []
    started.stderr.wait_for_line("ValueError: on purpose", times=3)
    assert run("jobs", "retry", "../x", str(started.pid)).returncode == 3


def test_a_file_that_is_no_task_is_put_aside(queue) -> None:
    started = queue.start()
    (queue.place / "tasks" / "00000000000001-bad-0.json").write_text("{")
    started.stderr.wait_for_line("The task bad cannot be run")
    assert jobs.wait(jobs.enqueue("job_functions:add", 1, 1), 40) == 2
    wait_for(lambda: [dead["id"] for dead in overview(started)["dead"]] == ["bad"])


def test_a_stop_puts_what_runs_back_and_the_next_server_runs_it(queue) -> None:
    started = queue.start("--timeout-graceful-shutdown", "2")
    task = jobs.enqueue("job_functions:linger")
    wait_for(lambda: queue.marks() == ["begun"])
    started.terminate()
    (name,) = files(queue.place / "tasks")
    assert name.endswith(f"{task}-0.json"), "the attempt does not count"
    queue.env["LINGER"] = "0"
    queue.start()
    assert jobs.wait(task, 40) is None
    assert queue.marks() == ["begun", "begun", "ended"]


def test_a_key_whose_task_never_came_into_the_queue_is_mended(queue) -> None:
    """As if the process that enqueued it was killed between two steps."""
    queue.start().terminate()
    task = jobs.enqueue("job_functions:add", 1, 1, key="k")
    (queue.place / "tasks" / files(queue.place / "tasks")[0]).unlink()
    queue.start()
    assert jobs.wait(task, 40) == 2


def test_tasks_are_neither_lost_nor_doubled_by_recycles_and_a_restart(queue) -> None:
    """A small size of what `benches/jobs.py` does with 10,000 tasks and 20 recycles."""
    count = 120
    started = queue.start("--queue-concurrent", "4", app="queue_app:app")
    keyed = [f"k{number % 10}" for number in range(20)]

    def enqueue() -> None:
        for number in range(count):
            jobs.enqueue("job_functions:add", number, 0, key=f"unique-{number}" if number % 2 else None)
        for key in keyed:
            jobs.enqueue("job_functions:add", 1_000, int(key[1:]), key=key, delay="4s")

    producer = threading.Thread(target=enqueue)
    producer.start()
    for _ in range(3):
        started.send_signal(signal.SIGHUP)
        time.sleep(0.3)
    started.terminate()
    started = queue.start("--queue-concurrent", "4", app="queue_app:app")
    producer.join()
    # What runs is not among the tasks, and has made its mark when the last has ended.
    wait_for(lambda: not files(queue.place / "tasks") and not overview(started)["running"], 150)
    seen = Counter(queue.marks())
    assert all(seen[f"{number} 0"] >= 1 for number in range(count))
    assert sum(seen[f"{number} 0"] for number in range(count)) <= count + 8
    assert [seen[f"1000 {number}"] for number in range(10)] == [1] * 10


def test_without_a_queue_the_error_says_what_to_do(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv(jobs.DIRECTORY_VARIABLE, raising=False)
    monkeypatch.setenv("LOWMEM_STATE_DIR", str(tmp_path))
    with pytest.raises(jobs.NoQueue, match="--queue"):
        jobs.enqueue("a:b")


def test_what_is_no_task_is_refused_at_once(queue) -> None:
    with pytest.raises(ValueError, match="no function like"):
        jobs.enqueue("myapp.mail")
    with pytest.raises(TypeError, match="are JSON"):
        jobs.enqueue("a:b", object())
    with pytest.raises(ValueError, match="no time like"):
        jobs.enqueue("a:b", delay="5 minutes")
    assert [jobs.seconds(text) for text in ("90s", "5m", "1h30m", 2, None)] == [90, 300, 5400, 2, 0]


def wait_for(seen, timeout: float = 30):
    end = time.monotonic() + timeout
    while not (found := seen()):
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)
    return found


def test_tasks_are_for_their_owner_only(queue) -> None:
    queue.start()
    jobs.enqueue("job_functions:add", 1, 1, delay="1h")
    (task,) = (queue.place / "tasks").iterdir()
    assert task.stat().st_mode & 0o777 == 0o600 and queue.place.stat().st_mode & 0o777 == 0o700
    assert os.geteuid() == task.stat().st_uid
