"""The log for programs: events in JSON, the journal's priorities, traces."""

import json
import os
import signal
import subprocess
import textwrap
from pathlib import Path

from harness import APPS, Lines, Server, command_line
from harness.server import RUNNING_ON, environment

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


def events(server: Server, name: str) -> list[dict]:
    lines = (json.loads(line) for line in server.stderr.text.splitlines() if line.startswith("{"))
    return [line for line in lines if line.get("event") == name]


def test_a_recycled_worker_is_told_in_fields(server) -> None:
    started: Server = server("hello:app", "--log-format", "json")
    started.get("/")
    before = started.worker_pids()[0]
    started.send_signal(signal.SIGHUP)
    started.stderr.wait_for_line(r"Recycled worker", 40)
    (told,) = events(started, "recycled")
    assert told["worker_pid"] == before and told["successor_pid"] in started.worker_pids()
    assert told["reason"] == "SIGHUP" and told["requests"] >= 1
    assert told["before_bytes"] > 1 << 20 and told["took_s"] > 0 and told["pid"] == started.pid
    assert events(started, "running")[0]["place"].startswith("http://127.0.0.1:")


def test_a_death_is_told_in_fields_and_people_see_none_of_them(server) -> None:
    for format_ in ("json", "human"):
        started: Server = server("hello:app", "--log-format", format_)
        killed = started.kill_worker()
        started.stderr.wait_for_line(r"was killed by SIGKILL")
        if format_ == "json":
            assert [(e["worker_pid"], e["reason"]) for e in events(started, "died")] == [(killed, "signal")]
        assert "worker_pid=" not in started.stderr.text and "event=" not in started.stderr.text


def test_the_journal_is_told_priorities(tmp_path: Path) -> None:
    """What systemd does: the variable names the stream by its device and inode."""
    read, write = os.pipe()
    stat = os.fstat(write)
    variables = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
    arguments = [*command_line(), "hello:app", "--port", "0", "--ws-max-queue", "1"]
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=write,
        cwd=APPS,
        env=environment(variables),
    )
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        lines = Lines(stream)
        try:
            lines.wait_for_line(RUNNING_ON, 40)
            process.terminate()
            assert process.wait(40) == 0
            lines.wait_for_end()
        finally:
            process.kill()
            process.wait()
    told = lines.text.splitlines()
    assert all(line.startswith(("<6>", "<4>")) for line in told), told
    assert any(line.startswith("<4>WARNING:  --ws-max-queue 1 is ignored") for line in told)


def test_another_stream_than_the_journals_has_no_priorities(server) -> None:
    started: Server = server("hello:app", env={"JOURNAL_STREAM": "1:2"})
    assert started.stderr.text.startswith("INFO:")


def test_a_trace_is_in_access_lines(server) -> None:
    started: Server = server("hello:app", "--access-log-format", "json")
    started.get("/", TRACEPARENT)
    started.get("/none", {"traceparent": "00-no-trace-01"})
    started.stdout.wait_for_line(r"/none")
    traced, none = (json.loads(line) for line in started.stdout.text.splitlines())
    assert (traced["trace_id"], traced["span_id"]) == (TRACE, SPAN)
    assert "trace_id" not in none
    started = server("hello:app", "--access-log-format", "%(s)s %(trace_id)s %(span_id)s")
    started.get("/", TRACEPARENT)
    started.stdout.wait_for_line(f"200 {TRACE} {SPAN}")


def test_a_trace_is_in_records_of_pythons_logging(server, tmp_path: Path) -> None:
    (tmp_path / "traced.py").write_text(
        textwrap.dedent("""
        import logging
        import sys

        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(trace_id)s/%(span_id)s %(message)s"))
        logging.getLogger("uvicorn.access").handlers[:] = [handler]

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        """)
    )
    started: Server = server("traced:app", cwd=tmp_path)
    started.get("/with", TRACEPARENT)
    started.get("/without")
    started.stdout.wait_for_line(rf'{TRACE}/{SPAN} .*"GET /with ')
    started.stdout.wait_for_line(r'-/- .*"GET /without ')
