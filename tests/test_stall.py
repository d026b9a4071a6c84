"""`--timeout-worker-stall`: a stalled worker is logged, or replaced."""

import os
import signal
import time

import pytest

from harness import processes, run
from harness.journal import until
from harness.watching import StatusServer

STALL = ("--timeout-worker-stall", "2", "--status-bind", "127.0.0.1:0")


def ask_and_wait_for_nothing(client, path: str) -> None:
    client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())


def test_the_stack_of_a_view_that_sleeps_is_in_the_log(server) -> None:
    started = server("stalling:app", *STALL)
    status = StatusServer(started)
    (worker,) = started.worker_pids()
    assert started.get("/").status == 200 and status.ask("/livez")[0] == 200
    with started.connect() as client:
        ask_and_wait_for_nothing(client, "/sleep")
        before = time.monotonic()
        started.stderr.wait_for_line(rf"Worker \(pid {worker}\) has been stalled for")
        started.stderr.wait_for_line("in forgetful_view")
        # Within a second of the limit, and as much as a busy machine may take: the view sleeps for a minute.
        assert time.monotonic() - before < 20
        until(lambda: status.ask("/livez")[0] == 503)
        assert f"stalled: worker {worker}" in status.ask("/livez")[2]
        assert status.total("lowmem_worker_stalls_total") == 1
        assert run("health", str(started.pid)).returncode == 3
        assert f"{worker}" in (shown := run("status", str(started.pid)).stdout) and "stalled" in shown
        assert processes.children(started.pid) == [worker], "the default only tells"
        os.kill(worker, signal.SIGKILL)
    started.stderr.wait_for_line("Application startup complete", 40, times=2)
    assert started.get("/").status == 200


def test_a_stalled_worker_is_replaced_where_that_is_asked_for(server) -> None:
    started = server("stalling:app", *STALL, "--stall-action", "recycle", "--timeout-graceful-shutdown", "1")
    (worker,) = started.worker_pids()
    with started.connect() as client:
        ask_and_wait_for_nothing(client, "/sleep")
        started.stderr.wait_for_line("in forgetful_view")
        started.stderr.wait_for_line("Application startup complete", 40, times=2)
        assert started.get("/").status == 200
        started.stderr.wait_for_line(rf"Recycled worker \(pid {worker} -> \d+\): stall", 40)
    status = StatusServer(started)
    until(lambda: status.total("lowmem_recycles_total", reason="stall") == 1)


def test_wsgi_threads_are_stalled_when_none_is_left(server) -> None:
    started = server("stalling_wsgi:app", *STALL, "--wsgi-threads", "2")
    with started.connect() as one, started.connect() as other:
        ask_and_wait_for_nothing(one, "/sleep")
        ask_and_wait_for_nothing(other, "/sleep")
        started.stderr.wait_for_line("has been stalled for")
        started.stderr.wait_for_line("in waiting_view", times=2)
        for worker in started.worker_pids():
            os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("loop", ["auto", "uvloop", "asyncio"])
def test_busy_is_not_stalled(server, loop: str) -> None:
    # Long enough for a worker that a busy machine does not let run for a while.
    started = server("stalling:app", "--timeout-worker-stall", "1.5", "--loop", loop)
    deadline = time.monotonic() + 3
    with started.connect() as idle:
        assert idle.get("/").status == 200
        while time.monotonic() < deadline:
            assert started.get("/").status == 200
    assert "has been stalled" not in started.stderr.text


def test_too_short_a_limit_is_refused() -> None:
    finished = run("hello:app", "--timeout-worker-stall", "0.01")
    assert finished.returncode == 2 and "at least 0.2 seconds" in finished.stderr


def test_an_action_without_a_limit_is_refused() -> None:
    finished = run("hello:app", "--stall-action", "recycle")
    assert finished.returncode == 2 and "needs --timeout-worker-stall" in finished.stderr
