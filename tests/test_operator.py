"""The operator socket: `lowmem-serve status`, `lowmem-serve ctl`, and what they speak."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness import run
from harness.journal import until

CANNOT = 3
WRONG = 2


@pytest.fixture
def runtime(tmp_path: Path) -> dict[str, str]:
    """The environment of servers whose sockets are this test's own."""
    return {"RUNTIME_DIRECTORY": str(tmp_path)}


def status(target: object) -> dict[str, Any]:
    finished = run("status", "--json", str(target))
    assert finished.returncode == 0, finished
    (server,) = json.loads(finished.stdout)
    return server


def stages(target: object) -> set[str]:
    return {worker["stage"] for worker in status(target)["applications"][0]["workers"]}


def until_ready(started: Any) -> None:
    """The worker's line that it runs comes before the supervisor has heard of it."""
    until(lambda: stages(started.pid) == {"ready"})


def ctl(*arguments: object) -> str:
    finished = run("ctl", *map(str, arguments))
    assert finished.returncode == 0, finished
    return finished.stdout


def ask(path: Path, line: bytes) -> Any:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(20)
        asking.connect(str(path))
        asking.sendall(line)
        answer = b""
        while received := asking.recv(65536):
            answer += received
    return json.loads(answer)


def test_a_server_is_shown_with_its_workers(server, runtime) -> None:
    started = server("hello:app", "--workers", "2", env=runtime)
    # The running line is written when one of them is ready.
    started.stderr.wait_for_line("Application startup complete", times=2)
    until_ready(started)
    shown = status(started.pid)
    assert shown["version"] == 1 and shown["pid"] == started.pid and shown["uptime"] > 0
    (application,) = shown["applications"]
    assert application["name"] == "hello:app" and application["state"] == "serving"
    assert application["places"] == [started.url] and application["workers_wanted"] == 2
    assert {worker["pid"] for worker in application["workers"]} == set(started.worker_pids())
    assert all(worker["memory"] > 1_000_000 for worker in application["workers"])
    page = run("status", str(started.pid)).stdout
    assert "hello:app" in page and started.url in page and str(started.worker_pids()[0]) in page


def test_it_is_found_by_a_worker_by_its_address_and_by_its_socket(server, runtime, tmp_path) -> None:
    started = server("hello:app", env=runtime)
    path = tmp_path / "lowmem-serve" / f"{started.pid}.sock"
    for target in (started.worker_pids()[0], f"localhost:{started.port}", path, f"unix:{path}"):
        assert status(target)["pid"] == started.pid


def test_the_socket_is_the_owners_and_goes_with_the_server(server, runtime, tmp_path) -> None:
    started = server("hello:app", env=runtime)
    directory = tmp_path / "lowmem-serve"
    path = directory / f"{started.pid}.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert started.terminate() == 0
    assert not path.exists()


def test_a_stale_socket_is_removed_by_the_next_server(server, runtime, tmp_path) -> None:
    directory = tmp_path / "lowmem-serve"
    directory.mkdir(mode=0o700)
    stale = directory / "4194305.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(stale))
    server("hello:app", env=runtime)
    assert not stale.exists()


def test_workers_are_recycled_added_and_removed(server, runtime) -> None:
    started = server("hello:app", env=runtime)
    until_ready(started)
    (first,) = started.worker_pids()
    assert ctl("recycle", started.pid) == "recycling 1 worker\n"
    started.stderr.wait_for_line(rf"Recycled worker \(pid {first} ->")
    assert ctl("workers", "+1", started.pid) == "2 workers in place of 1\n"
    started.stderr.wait_for_line("Application startup complete", times=3)
    assert status(started.pid)["applications"][0]["workers_wanted"] == 2
    assert ctl("workers", "-1", started.pid) == "1 worker in place of 2\n"
    refused = run("ctl", "workers", "-1", str(started.pid))
    assert refused.returncode == CANNOT and "the last worker stays" in refused.stderr
    assert started.get("/").status == 200


@pytest.mark.parametrize("path", ["/spin", "/hold"])
def test_it_answers_while_every_worker_hangs(server, runtime, path: str) -> None:
    started = server("hanging:app", "--timeout-graceful-shutdown", "0", env=runtime)
    until_ready(started)
    (worker,) = started.worker_pids()
    with started.connect() as client:
        client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        before = time.monotonic()
        assert status(started.pid)["applications"][0]["workers"][0]["stage"] == "ready"
        # It hangs for minutes.
        assert time.monotonic() - before < 30
        os.kill(worker, signal.SIGKILL)
    started.stderr.wait_for_line("was killed by SIGKILL")


def test_wrong_usage_is_answered(server, runtime) -> None:
    started = server("hello:app", env=runtime)
    for arguments, code, said in (
        (("ctl", "workers", "1", str(started.pid)), WRONG, "a number with its sign"),
        (("ctl", "workers", "+65", str(started.pid)), CANNOT, "not more than 64"),
        (("ctl", "recycle", "app:app"), WRONG, "not a pid"),
        (("ctl", "recycle", "4194305"), CANNOT, "no server with an operator socket behind process 4194305"),
        (("ctl", "recycle", "/nowhere/x.sock"), CANNOT, "/nowhere/x.sock does not answer"),
    ):
        finished = run(*arguments)
        assert finished.returncode == code, finished
        assert said in finished.stderr, finished


def test_one_of_several_has_to_be_named(server, runtime) -> None:
    pids = {server("hello:app", env=runtime).pid for _ in range(2)}
    finished = run("ctl", "recycle")
    assert finished.returncode == CANNOT and "several servers run here; name one" in finished.stderr
    assert all(str(pid) in finished.stderr for pid in pids)
    shown = json.loads(run("status", "--json").stdout)
    assert pids <= {server["pid"] for server in shown}


def test_a_named_socket_is_found_by_the_environment(server, tmp_path) -> None:
    path = tmp_path / "own.sock"
    started = server("hello:app", "--operator-socket", str(path))
    finished = run("status", "--json", env={"LOWMEM_OPERATOR_SOCKET": str(path)})
    assert json.loads(finished.stdout)[0]["pid"] == started.pid


def test_without_a_place_the_server_goes_without_but_not_without_one_that_was_named(server, tmp_path) -> None:
    missing = tmp_path / "missing"
    started = server("hello:app", "--log-level", "debug", env={"RUNTIME_DIRECTORY": str(missing / "deeper")})
    assert f"No operator socket at {missing}" in started.stderr.text
    assert not missing.exists()
    named = server("hello:app", "--operator-socket", str(missing / "x.sock"), wait=False)
    assert named.wait() == CANNOT
    assert f"Cannot open the operator socket {missing}" in named.stderr.wait_for_end()


def test_off_is_off(server, runtime, tmp_path) -> None:
    started = server("hello:app", "--operator-socket", "off", env=runtime)
    assert not (tmp_path / "lowmem-serve").exists()
    assert run("status", str(started.pid)).returncode == CANNOT


def test_a_directory_that_others_may_write_to_is_not_used(server, runtime, tmp_path) -> None:
    (tmp_path / "lowmem-serve").mkdir()
    os.chmod(tmp_path / "lowmem-serve", 0o777)
    server("hello:app", env=runtime)
    assert not list((tmp_path / "lowmem-serve").iterdir())


def test_silent_callers_keep_no_other_out(server, runtime, tmp_path) -> None:
    started = server("hello:app", env=runtime)
    path = tmp_path / "lowmem-serve" / f"{started.pid}.sock"
    with ExitStack() as silent:
        for _ in range(20):
            connected = silent.enter_context(socket.socket(socket.AF_UNIX))
            connected.connect(str(path))
        # The silent ones are dropped after five seconds.
        assert ask(path, b'"status"\n')["status"]["pid"] == started.pid


def test_what_is_no_request_is_refused(server, runtime, tmp_path) -> None:
    started = server("hello:app", env=runtime)
    path = tmp_path / "lowmem-serve" / f"{started.pid}.sock"
    for line in (b"{}\n", b'"explode"\n', b"\xff\n", b"GET / HTTP/1.1\r\n\r\n"):
        assert "no request of this version" in ask(path, line)["refused"]


def test_where_no_directory_can_be_had_the_socket_has_no_file(server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    started = server("hello:app", env={"RUNTIME_DIRECTORY": str(tmp_path / "file")})
    assert status(started.pid)["pid"] == started.pid
    (worker,) = started.worker_pids()
    assert status(worker)["pid"] == started.pid
    assert run("health", str(started.pid)).stdout == "healthy\n"
    assert ctl("recycle", started.pid) == "recycling 1 worker\n"
    names = {line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()}
    # A connection that has been answered may be listed beside the socket that listens.
    (name,) = [each for each in names if re.fullmatch(rf"@lowmem-serve/operator/.*/{started.pid}", each)]
    assert ask_by_name(name, b'"status"\n')["status"]["pid"] == started.pid
    assert started.terminate() == 0
    assert run("status", str(started.pid)).returncode == CANNOT


def ask_by_name(name: str, line: bytes) -> Any:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(20)
        asking.connect("\0" + name.removeprefix("@"))
        asking.sendall(line)
        answer = b""
        while received := asking.recv(65536):
            answer += received
    return json.loads(answer)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_socket_without_a_file_answers_no_other_user(server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    started = server("hello:app", env={"RUNTIME_DIRECTORY": str(tmp_path / "file")})
    namespace = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    name = f"@lowmem-serve/operator/{namespace}/{started.pid}"
    script = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect('\\0' + sys.argv[1][1:]); "
        "s.sendall(b'\"status\"\\n'); print(len(s.recv(100)))"
    )
    asked = subprocess.run([sys.executable, "-c", script, name], capture_output=True, text=True, timeout=60)
    assert asked.stdout.strip() in ("0", ""), asked


def test_a_name_that_another_process_has_taken_is_not_asked(tmp_path: Path) -> None:
    namespace = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    with socket.socket(socket.AF_UNIX) as taken:
        # Not the pid of the process that listens.
        name = f"@lowmem-serve/operator/{namespace}/{os.getppid()}"
        taken.bind("\0" + name[1:])
        taken.listen()
        finished = run("status", str(os.getppid()))
        assert finished.returncode == CANNOT and "another process has taken its name" in finished.stderr
