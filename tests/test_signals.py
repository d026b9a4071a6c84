"""An application and the signals that stop its worker."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.journal import until

SIMPLE = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        started()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown runs", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
"""

AT_IMPORT = """
import signal

def stopping(number, frame):
    print("told of", signal.Signals(number).name, flush=True)

def started():
    pass

signal.signal(signal.SIGTERM, stopping)
signal.signal(signal.SIGINT, stopping)
"""

AT_STARTUP = """
import asyncio
import signal

def started():
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda number=number: print("told of", number.name, flush=True))
"""

CHAINED = """
import signal
import sys

def stopping(number, frame):
    print("told of", signal.Signals(number).name, flush=True)
    before[number](number, frame)
    sys.exit(1)

def started():
    before[signal.SIGTERM] = signal.signal(signal.SIGTERM, stopping)
    before[signal.SIGINT] = signal.signal(signal.SIGINT, stopping)

before = {}
"""

WATCHING = """
import asyncio
import signal

def started():
    pass

async def app(scope, receive, send):
    assert scope["type"] == "http"
    server = signal.getsignal(signal.SIGTERM).__self__
    kind = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": kind})
    while not server.should_exit:
        await send({"type": "http.response.body", "body": b"data: 1\\n\\n", "more_body": True})
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b"data: over\\n\\n"})
"""

LINGERING = """
import {module}
import threading
import time

def work():
    time.sleep(600)

def started():
    {start}
"""


@pytest.fixture
def serve(server, tmp_path: Path):
    def start(source: str, *flags: str):
        (tmp_path / "signalled.py").write_text(source + (SIMPLE if "async def app" not in source else ""))
        return server("signalled:app", *flags, cwd=tmp_path)

    return start


@pytest.mark.parametrize("loop", ["auto", "asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("source", [AT_IMPORT, AT_STARTUP, CHAINED], ids=["import", "loop", "chained"])
def test_a_handler_of_the_application_is_called_and_the_worker_ends_in_order(
    serve, source: str, number: signal.Signals, loop: str
) -> None:
    started = serve(source, "--loop", loop)
    assert started.get("/").body == b"served"
    started.send_signal(number)
    assert started.wait() == 0
    assert f"told of {number.name}" in started.stdout.wait_for_end()
    assert "shutdown runs" in started.stdout.wait_for_end()


def test_a_handler_does_not_keep_the_worker_from_being_told_directly(serve) -> None:
    started = serve(AT_IMPORT)
    (worker,) = started.worker_pids()
    os.kill(worker, signal.SIGTERM)
    started.stdout.wait_for_line("told of SIGTERM")
    started.stdout.wait_for_line("shutdown runs")
    assert started.get("/").body == b"served"


def test_a_handler_from_a_preloaded_application_is_called(serve) -> None:
    started = serve(AT_IMPORT, "--preload")
    assert started.get("/").body == b"served"
    assert started.terminate() == 0
    assert "told of SIGTERM" in started.stdout.wait_for_end()


def test_the_object_that_streams_look_for_ends_them_at_once(serve) -> None:
    took: list[float] = []
    # More than one where the machine had something else to do at the end.
    while not took or (took[-1] >= 2 and len(took) < 3):
        started = serve(WATCHING)
        with started.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            client.read_head()
            assert client.read_chunk()
            began = time.monotonic()
            started.send_signal(signal.SIGTERM)
            text = b""
            while chunk := client.read_chunk():
                text += chunk
        assert text.endswith(b"data: over\n\n")
        assert started.wait() == 0
        took.append(time.monotonic() - began)
    assert took[-1] < 2, took


@pytest.mark.parametrize(
    ("module", "start", "named"),
    [
        ("threading", "threading.Thread(target=work, name='sleepy').start()", 'thread "sleepy"'),
        (
            "concurrent.futures",
            "concurrent.futures.ThreadPoolExecutor().submit(work)",
            'thread "ThreadPoolExecutor-0_0"',
        ),
        ("atexit", "atexit.register(work)", "the main thread"),
        ("asyncio", "asyncio.get_running_loop().run_in_executor(None, work)", 'thread "asyncio_0"'),
    ],
)
def test_what_outlasts_the_shutdown_has_five_seconds_and_is_named(
    serve, module: str, start: str, named: str
) -> None:
    started = serve(LINGERING.format(module=module, start=start), "--timeout-graceful-shutdown", "60")
    began = time.monotonic()
    assert started.terminate() == 0
    assert 4 < time.monotonic() - began < 30
    said = started.stderr.wait_for_end().splitlines()
    (line,) = [line for line in said if "has not ended 5 s after its shutdown" in line]
    assert named in line
    assert "signalled.py" in line
    assert "(work)" in line


@pytest.mark.parametrize("python", [sys.executable, "/usr/bin/python3"])
def test_processes_say_what_they_are(serve, python: str) -> None:
    if not Path(python).exists():
        pytest.skip(f"there is no {python}")
    started = serve("def started(): pass\n", "--python", python)
    (worker,) = started.worker_pids()

    def title(pid: int) -> str:
        shown = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True)
        return shown.stdout.strip()

    assert title(started.pid) == "lowmem-serve: supervisor signalled:app"
    assert title(worker) == "lowmem-serve: worker signalled:app"
    environment = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
    assert any(variable.startswith(b"PATH=") for variable in environment)


GROUPS = Path("/sys/fs/cgroup/memory")
HUNGRY = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/eat":
        kept = [bytearray(b"x" * (1 << 20)) for _ in range(500)]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
"""


def test_a_worker_that_the_kernel_kills_for_want_of_memory_is_told_so(serve) -> None:
    group = GROUPS / f"lowmem-serve-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(100 << 20))
    except OSError as error:
        pytest.skip(f"no control group of version 1 can be made: {error}")
    own = (Path("/proc/self/cgroup").read_text()).splitlines()
    (before,) = [GROUPS / line.split(":")[2].lstrip("/") for line in own if ":memory:" in line]
    try:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        try:
            started = serve(HUNGRY)
        finally:
            (before / "cgroup.procs").write_text(str(os.getpid()))
        with pytest.raises((OSError, EOFError)):
            started.get("/eat")
        started.stderr.wait_for_line(
            r"killed by the kernel for want of memory \(limit 100 MB; see --max-rss\)"
        )
        assert started.get("/").body == b"served"
        assert started.terminate() == 0
    finally:
        # A process leaves its group a moment after its end.
        until(lambda: removed(group))


def removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    return True
