"""Isolated calls beside what else the server does: replaced workers, other protocols, other servers."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from hyperframe.frame import RstStreamFrame

from harness import APPS, REPOSITORY, Server, processes
from harness.http2_client import Http2Client
from harness.raw_client import encode_request

ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY / "python")}
PATIENCE = 40
WAYS = [(), ("--preload",), ("--isolated-template", "isolated_functions")]


def until(condition: Callable[[], object], what: str) -> object:
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


def calls(server: Server) -> list[int]:
    """The processes of calls, whosever children they are."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
            if b"isolated_functions.sleep" in words and own_server(int(entry.name)) == server.pid:
                found.append(int(entry.name))
        except (ValueError, OSError):
            continue
    return found


def own_server(pid: int) -> int:
    """The supervisor above a process."""
    above = pid
    while above > 1:
        pid, above = above, int(Path(f"/proc/{above}/stat").read_text().rpartition(")")[2].split()[1])
        if above and b"supervisor" in Path(f"/proc/{above}/cmdline").read_bytes():
            return above
    return pid


def prepared(server, way, *flags: str) -> Server:
    """A server whose calls come from a template by now, if there is one."""
    serving = server("isolated_calls_app:app", *way, *flags, env=ENVIRONMENT)
    assert serving.get("/add?arguments=%5B1%5D").json()["value"] == 2
    if "--isolated-template" in way:
        serving.stderr.wait_for_line("Imported isolated_functions for isolated calls")
        serving.get("/add?arguments=%5B1%5D")
    return serving


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("recycle", ["sequential", "overlap"])
def test_a_call_outlasts_a_recycle_of_its_worker(server, way, recycle: str) -> None:
    serving = prepared(server, way, "--recycle", recycle)
    first = serving.get("/worker").json()["pid"]
    with serving.connect() as client:
        client.send(encode_request("GET", "/sleep?arguments=%5B2.5%5D"))
        until(lambda: calls(serving), "the call runs")
        serving.send_signal(signal.SIGHUP)
        assert client.read_response().json()["value"] == 2.5
    until(lambda: serving.get("/worker").json()["pid"] != first, "the worker is another")
    until(lambda: not calls(serving), "nothing is left of the call")


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_of_http2_that_is_reset_ends_its_call(server, connect, way) -> None:
    serving = prepared(server, way)
    client: Http2Client = connect(serving)
    stream = client.request("GET", "/until_disconnect")
    until(lambda: calls(serving), "the call runs")
    client.send(RstStreamFrame(stream, error_code=8))
    until(lambda: not calls(serving), "the call is ended")


@pytest.mark.parametrize("way", WAYS)
def test_a_supervisor_that_is_killed_takes_calls_and_templates_along(server, way) -> None:
    serving = prepared(server, way)
    with serving.connect() as client:
        client.send(encode_request("GET", "/sleep?arguments=%5B300%5D"))
        running = until(lambda: calls(serving), "the call runs")
        os.kill(serving.pid, signal.SIGKILL)
        for pid in running:
            assert processes.wait_for_exit(pid, PATIENCE)
    assert serving.left_behind() == []


def test_a_template_is_made_without_bytecode_files(server, tmp_path: Path) -> None:
    (tmp_path / "cold.py").write_text("def value():\n    return 1\n")
    environment = {
        "PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}:{tmp_path}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    serving = server(
        "isolated_calls_app:app", "--isolated-template", "cold,isolated_functions", env=environment
    )
    serving.get("/add?arguments=%5B1%5D")
    serving.stderr.wait_for_line(r"Imported cold, isolated_functions for isolated calls")
    assert serving.get("/add?arguments=%5B1%5D").json()["value"] == 2
    assert not (tmp_path / "__pycache__").exists()


def test_under_another_server_calls_are_fresh() -> None:
    words = ["-m", "uvicorn", "isolated_calls_app:app", "--log-level", "error", "--fd"]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port, number = listening.getsockname()[1], listening.fileno()
        uvicorn = subprocess.Popen(
            [sys.executable, *words, str(number)],
            cwd=APPS,
            env={**os.environ, **ENVIRONMENT},
            pass_fds=(number,),
        )
    try:

        def answer() -> dict | None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/surroundings", timeout=PATIENCE) as got:
                    return json.load(got)["value"]
            except OSError:
                return None

        assert until(answer, "it serves")["parent"] == uvicorn.pid
    finally:
        uvicorn.terminate()
        uvicorn.wait(PATIENCE)
