"""What a parent, an administrator or a container may leave to the server: signals, limits, variables, odd names."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness import APPS, REPOSITORY, processes
from harness.ports import free_port
from harness.raw_client import RawClient
from harness.server import command_line, environment

PACKAGE = {"PYTHONPATH": f"{APPS}:{REPOSITORY / 'python'}"}

BLOCKING = (
    "import os, signal, sys; signal.pthread_sigmask(0, {1, 2, 15, 17}); os.execv(sys.argv[1], sys.argv[1:])"
)

ODD = r"""
raised = RuntimeError("no file \udcff")

async def requests(scope, receive, send):
    if scope["type"] == "http":
        raise raised

async def raises(scope, receive, send):
    raise raised

async def fails(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no file \udcff"})
"""


def limited(limit: str) -> list[str]:
    """The server, started by a shell that has set a limit."""
    return ["sh", "-c", f'ulimit {limit}; exec "$@"', "sh", *command_line()]


@pytest.mark.skipif(len(command_line()) > 1, reason="the server is a command of several words")
def test_signals_that_the_parent_blocks_are_heard(server) -> None:
    serving = server("hello:app", command=[sys.executable, "-c", BLOCKING, *command_line()])
    worker = serving.only_worker()
    serving.kill_worker()
    assert processes.is_reaped(worker, 40)
    assert serving.get("/").status == 200
    assert serving.terminate() == 0


def test_a_log_that_may_not_grow_ends_nothing(server, tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    log.write_bytes(b"x" * 8192)
    command = ["sh", "-c", f'ulimit -f 4; exec "$@" 2>>{log}', "sh", *command_line()]
    serving = server("hello:app", "--port", str(port), command=command, wait=False)
    serving.address = ("127.0.0.1", port)
    until_open(port)
    assert [serving.get("/").status for _ in range(3)] == [200] * 3
    assert serving.terminate() == 0


def test_a_reader_of_the_log_that_pauses_does_not_stop_the_supervisor() -> None:
    reading, writing = os.pipe()
    command = [
        *command_line(),
        "hello:app",
        "--port",
        "0",
        "--workers",
        "2",
        "--timeout-graceful-shutdown",
        "1",
    ]
    with subprocess.Popen(
        command, cwd=APPS, env=environment(None), stdout=writing, stderr=writing, start_new_session=True
    ) as serving:
        try:
            os.close(writing)
            # The read end opened for writing: the same pipe, of which only this process's writes do not wait.
            filling = os.open(f"/proc/self/fd/{reading}", os.O_WRONLY | os.O_NONBLOCK)
            text = b""
            while b"running on" not in text:
                text += os.read(reading, 4096)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(filling, b"x" * 4096)
            serving.terminate()
            assert serving.wait(60) == 0
            os.close(filling)
        finally:
            serving.kill()
            os.close(reading)


def until_open(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the server does not listen")


def test_a_worker_with_few_descriptors_holds_more_than_one_connection(server) -> None:
    serving = server("hello:app", command=limited("-n 64"))
    with ExitStack() as open_ones:
        clients: list[RawClient] = [open_ones.enter_context(serving.connect()) for _ in range(12)]
        for _ in range(2):
            # The second time on the same connections: none was closed to make room.
            assert [client.request("GET", "/").status for client in clients] == [200] * 12
    assert "Connection limit" not in serving.stderr.text


@pytest.mark.parametrize(
    ("application", "status"),
    [("missing.odd:requests", 1), ("odd:raises", 3), ("odd:fails", 3)],
)
def test_characters_that_utf8_has_not_are_told_escaped_at_the_start(
    server, tmp_path: Path, application: str, status: int
) -> None:
    (tmp_path / "odd.py").write_text(ODD)
    (tmp_path / "missing").mkdir()
    (tmp_path / "missing" / "odd.py").write_text(ODD + "raise raised\n")
    serving = server(application, "--lifespan", "on", cwd=tmp_path, wait=False)
    assert serving.wait() == status
    assert r"no file \udcff" in serving.stderr.text


def test_an_error_with_such_characters_has_its_traceback(server, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(ODD)
    serving = server("odd:requests", cwd=tmp_path)
    assert serving.get("/").status == 500
    serving.stderr.wait_for_line(r"RuntimeError: no file \\udcff")
    serving.stderr.wait_for_line("in requests")


def script(text: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-c", text],
        env=environment(PACKAGE),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_a_result_that_no_memory_file_may_hold_is_an_error_with_its_reason() -> None:
    done = script("""
import json, resource
import isolated_functions
from lowmem_serve import isolated
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    isolated.sync(isolated_functions.large, 3 << 20, timeout=60)
except BaseException as error:
    print(json.dumps([type(error).__name__, getattr(error, "errno", None)]))
""")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["OSError", 27]


def test_a_result_for_which_there_is_no_descriptor_is_an_error_with_its_reason() -> None:
    done = script("""
import errno, os, socket
from lowmem_serve.isolated import wire
ours, theirs = socket.socketpair()
wire.send(theirs, b"R", bytes(2 << 20))
text = ours.recv(1 << 16)
reader = wire.Reader(ours)
reader._bytes += text
try:
    reader.take()
except OSError as error:
    print(errno.errorcode[error.errno])
""")
    assert (done.stdout, done.stderr) == ("EMFILE\n", "")


@pytest.mark.parametrize("flags", [("-X", "dev"), ("-W", "error")])
def test_a_call_warns_of_nothing_of_ours(flags: tuple[str, ...]) -> None:
    text = "import isolated_functions; from lowmem_serve import isolated; print(isolated.sync(isolated_functions.add, 1))"
    done = script(text, *flags)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_a_call_from_a_template_warns_of_nothing_of_ours(server) -> None:
    environment = {"PYTHONPATH": str(REPOSITORY / "python"), "PYTHONDEVMODE": "1"}
    serving = server("isolated_calls_app:app", "--preload", env=environment)
    assert [serving.get("/add?arguments=%5B1%5D").json()["value"] for _ in range(3)] == [2] * 3
    assert serving.terminate() == 0
    assert "ResourceWarning" not in serving.stderr.wait_for_end()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may unmount /proc")
def test_a_missing_proc_is_named(server) -> None:
    hide = 'mount --make-rprivate / && mount -t tmpfs none /proc && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", hide, "sh"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    serving = server("hello:app", command=[*command, *command_line()], wait=False)
    assert serving.wait() == 3
    assert "/proc is not mounted" in serving.stderr.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_left_without_halves_of_tasks(tmp_path: Path) -> None:
    done = script_on_a_full_disk(
        f"""
import os
from lowmem_serve import jobs, running
os.environ["LOWMEM_SERVE_QUEUE"] = place = {str(tmp_path)!r}
for name in ("tasks", "keys", "tmp", "results"):
    os.mkdir(f"{{place}}/{{name}}")
with open(f"{{place}}/fill", "wb", buffering=0) as fill:
    try:
        while True:
            fill.write(b"x" * 4096)
    except OSError:
        pass
for refused in (lambda: jobs.enqueue("a:b"), lambda: running._write(f"{{place}}/results/1.json", {{"value": "x" * 9000}})):
    try:
        refused()
    except OSError as error:
        print(error.errno, sorted(os.listdir(f"{{place}}/tmp")), sorted(os.listdir(f"{{place}}/results")))
""",
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("28 [] []\n28 [] []\n", "")


def script_on_a_full_disk(text: str, place: Path) -> subprocess.CompletedProcess[str]:
    mount = f'mount --make-rprivate / && mount -t tmpfs -o size=64k none {place} && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    command += [sys.executable, "-c", text]
    surroundings = environment(PACKAGE)
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=90, check=False)


def test_a_call_without_a_pidfd_leaves_no_process_behind() -> None:
    done = script("""
import isolated_functions, os
from lowmem_serve import isolated
def refuse(pid, flags=0):
    raise PermissionError(1, "refused")
os.pidfd_open = refuse
before = len(os.listdir("/proc/self/fd"))
for _ in range(3):
    try:
        isolated.sync(isolated_functions.sleep, 60)
    except PermissionError:
        pass
try:
    left = os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    left = None
print(left, len(os.listdir("/proc/self/fd")) - before)
""")
    assert (done.stdout, done.stderr) == ("None 0\n", "")
