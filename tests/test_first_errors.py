"""Mistakes of a first day, each answered with what is wrong and what to do."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import Start
from harness import APPS, run


def lines(text: str, level: str = "ERROR") -> list[str]:
    return re.findall(rf"^{level}: +(.*)$", text, re.MULTILINE)


def test_a_missing_certificate_is_told_once() -> None:
    ended = run("hello:app", "--port", "0", "--ssl-certfile", "/nowhere.pem")
    assert ended.returncode == 2
    (said,) = lines(ended.stderr)
    assert said.startswith("--ssl-certfile: /nowhere.pem: No such file")


# --- a taken place


def test_the_process_that_has_the_port_is_named() -> None:
    with subprocess.Popen(
        ["holder", "-c", LISTENER], executable=sys.executable, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout
            port = other.stdout.readline().strip()
            ended = run("hello:app", "--port", port)
        finally:
            other.kill()
    assert ended.returncode == 3
    (said,) = lines(ended.stderr)
    assert "address already in use; " in said
    assert f"process {other.pid} (holder -c import socket, time?" in said and said.endswith("listens there")


LISTENER = """import socket, time
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
time.sleep(600)
"""


def test_a_server_that_has_the_port_is_named_by_its_supervisor(server: Start) -> None:
    running = server("hello:app", "--workers", "2")
    for host in ("127.0.0.1", "0.0.0.0"):
        ended = run("hello:app", "--host", host, "--port", str(running.port))
        assert f"process {running.pid} (lowmem-serve: supervisor hello:app) listens there" in ended.stderr


def test_the_process_that_has_a_unix_socket_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        ended = run("hello:app", "--uds", str(path))
    assert ended.returncode == 3
    assert f"address already in use; process {os.getpid()} (" in ended.stderr


# --- a Unix socket's directory


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    ended = run("hello:app", "--uds", str(tmp_path / "Run" / "a.sock"))
    assert ended.returncode == 3
    (said,) = lines(ended.stderr)
    assert f"the directory {tmp_path}/Run does not exist; make it before the server starts" in said


def test_a_directory_that_cannot_be_written_to_is_named() -> None:
    """Not even root makes a file in sysfs."""
    ended = run("hello:app", "--uds", "/sys/a.sock")
    assert ended.returncode == 3
    (said,) = lines(ended.stderr)
    user = rf"cannot be written to by this server's user \({os.geteuid()}\)"
    assert re.search(rf"the directory /sys ({user}|is on a file system that is read-only)$", said)


def test_a_file_in_place_of_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run("hello:app", "--uds", str(tmp_path / "file" / "a.sock"))
    assert f"{tmp_path}/file is no directory" in ended.stderr


# --- --lazy-imports


def test_packages_that_are_nowhere_are_told_once(server: Start) -> None:
    running = server(
        "hello:app", "--lazy-imports", "auto,json,no_such_package,-neither.this", "--workers", "2"
    )
    running.stderr.wait_for_line("Application startup complete", times=2)
    # The first worker says it, after its application's startup: it is not killed before.
    running.stderr.wait_for_line("--lazy-imports: there is no module")
    running.kill_worker()
    running.stderr.wait_for_line("Application startup complete", times=3)
    (said,) = (line for line in lines(running.stderr.text, "WARNING") if "--lazy-imports" in line)
    assert "there is no module or package neither.this, no_such_package" in said


def test_packages_that_are_there_are_not_told(server: Start, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    (tmp_path / "mine" / "part.py").touch()
    (tmp_path / "site_app.py").write_text("import mine\n" + (APPS / "hello.py").read_text())
    words = "auto,site_app,mine.part,mine.*,json.*,-email.message,-unittest"
    running = server("site_app:app", "--lazy-imports", words, "--preload", cwd=tmp_path)
    assert running.get("/").status == 200
    assert not lines(running.stderr.text, "WARNING")


# --- Ctrl-C

SOON = 0.15
"""Seconds; a second Ctrl-C within 0.2 counts as the first."""


def test_a_ctrl_c_that_a_wrapper_passes_on_is_one(server: Start) -> None:
    """The terminal sends it to the whole group, and npm, honcho and scripts send it once more."""
    for _ in range(20):
        running = server("mirror:app")
        begun = time.monotonic()
        running.send_signal(signal.SIGINT)
        running.stderr.wait_for_line("Shutting down")
        running.send_signal(signal.SIGINT)
        took = time.monotonic() - begun
        assert running.wait() == 0
        if took < SOON:
            break
    # On a busy machine the second comes too late now and then, and is another Ctrl-C.
    assert took < SOON
    assert "lifespan shutdown ran" in running.stdout.wait_for_end()


# --- words that are no command


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serv", "hello:app"), "there is no command 'serv'; a similar one is 'serve'"),
        (("start", "hello:app"), "there is no command 'start'; to serve: lowmem-serve hello:app"),
        (("start", "hello:app", "--port", "80"), "there is no command 'start'"),
        (
            ("hello:app", "again:app"),
            "'again:app' is one application too many; docs/apps.md has how to serve several",
        ),
        (("hello:app", "--port", "80", "status"), "the command comes first: lowmem-serve status"),
    ],
)
def test_a_word_that_is_no_command_is_answered_with_what_there_is(words: tuple[str, ...], said: str) -> None:
    ended = run(*words)
    assert ended.returncode == 2
    assert said in ended.stderr
