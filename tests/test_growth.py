"""`--growth` and `lowmem-serve growth`: what has grown in a worker that runs."""

import json
import os
import re
import select
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness import APPS, run

CANNOT = 3


def growth(*arguments: str) -> str:
    finished = run("growth", *arguments)
    assert finished.returncode == 0, finished
    return finished.stdout


def growth_as_json(*arguments: str) -> list[dict[str, Any]]:
    return json.loads(growth("--json", *arguments))


def asking(worker: int) -> socket.socket:
    """Connected to what a worker is asked by, without the command in between."""
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(60)
    connected.connect(f"\0lowmem-serve/growth/{worker}")
    return connected


def by_name(grown: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in grown}


def test_a_leak_is_found_by_type(server) -> None:
    started = server("leaking:app", "--growth")
    pid = str(started.pid)
    growth(pid)
    started.get("/session/1000")
    started.get("/cache/500")
    (worker,) = growth_as_json(pid)
    assert worker["pid"] == started.only_worker()
    types = by_name(worker["types"])
    assert types["leaking.Session"]["objects_grown"] == 1000
    # The collector knows nothing of bytes: they are found through the dict that holds them.
    assert abs(types["bytes"]["objects_grown"] - 500) <= 2
    assert types["bytes"]["bytes_grown"] == pytest.approx(500 * 10_000, rel=0.01)
    assert worker["types"][0]["name"] == "bytes", "what has grown most comes first"
    assert worker["lines"] is None


def test_a_leak_is_found_by_line(server) -> None:
    started = server("leaking:app", "--trace-memory")
    growth(str(started.pid))
    started.get("/cache/500")
    (worker,) = growth_as_json(str(started.pid))
    line = worker["lines"][0]
    assert line["name"] == f"{APPS}/leaking.py:{line_of('cache[number] =')}"
    assert line["objects_grown"] == pytest.approx(500, abs=5)
    assert line["bytes_grown"] == pytest.approx(500 * 10_000, rel=0.02)


def test_a_line_is_shown_with_its_source_and_its_callers(server) -> None:
    started = server("leaking:app", "--trace-memory=2")
    growth(str(started.pid))
    started.get("/cache/500")
    page = growth(str(started.pid))
    allocated = f"leaking.py:{line_of('cache[number] =')}: cache[number] = "
    called = f"leaking.py:{line_of('remember(len(cache))')}: remember(len(cache))"
    assert allocated in page and called in page
    assert page.index(allocated) < page.index(called)


def test_each_look_is_compared_with_the_one_before_or_the_first(server) -> None:
    started = server("leaking:app", "--growth")
    pid = str(started.pid)
    growth(pid)
    started.get("/session/300")
    growth(pid)
    started.get("/session/20")

    def grown(*arguments: str) -> int:
        (worker,) = growth_as_json(pid, *arguments)
        return by_name(worker["types"])["leaking.Session"]["objects_grown"]

    assert grown() == 20
    assert grown("--since", "start") == 320


def test_nothing_but_the_looks_themselves_and_nothing_has_grown(server) -> None:
    started = server("leaking:app", "--growth")
    pid = str(started.pid)
    growth(pid)
    growth(pid)
    (worker,) = growth_as_json(pid)
    assert sum(each["bytes_grown"] for each in worker["types"]) < 10_000


def test_the_history_is_that_of_the_process(server) -> None:
    started = server("leaking:app", "--growth")
    growth(str(started.pid))
    started.get("/cache/1000")
    (worker,) = growth_as_json(str(started.pid))
    first, last = worker["history"][0], worker["history"][-1]
    assert last["at"] > first["at"]
    assert last["anonymous"] - first["anonymous"] > 9 << 20
    assert last["resident"] > last["anonymous"] > 0


def test_counting_needs_no_asyncio_and_brings_none(server) -> None:
    started = server("leaking:app", "--growth")
    growth(str(started.pid))
    assert started.get("/").text == ""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_any_loop_can_be_asked(server, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    started = server("leaking:app", "--growth", "--loop", loop)
    growth(str(started.pid))
    started.get("/session/100")
    (worker,) = growth_as_json(str(started.pid))
    assert by_name(worker["types"])["leaking.Session"]["objects_grown"] == 100


def test_requests_are_answered_during_a_look(server) -> None:
    started = server("leaking:app", "--growth")
    # Some hundred slices of a count. One without interruption leaves room for two or three requests: before
    # the question is read, and while the answer is on its way.
    started.get("/session/300000")
    answered = 0
    with started.connect() as client, asking(started.only_worker()) as asked:
        assert client.get("/").status == 200
        asked.sendall(b'{"since": "last"}\n')
        while not select.select([asked], [], [], 0)[0]:
            assert client.get("/").status == 200
            answered += 1
        answer = json.loads(b"".join(iter(lambda: asked.recv(65536), b"")))
    assert by_name(answer["types"])["leaking.Session"]["objects"] == 300_000
    assert answered > 5


def test_every_worker_is_asked(server) -> None:
    started = server("leaking:app", "--growth", "--workers", "2")
    workers = growth_as_json(str(started.pid))
    assert {worker["pid"] for worker in workers} == set(started.worker_pids())
    one = str(started.worker_pids()[0])
    assert [str(worker["pid"]) for worker in growth_as_json(one)] == [one]


def test_a_server_is_found_by_its_address(server) -> None:
    started = server("leaking:app", "--growth")
    for address in (started.url, f":{started.port}"):
        assert [worker["pid"] for worker in growth_as_json(address)] == [started.only_worker()]


def test_a_page_says_what_it_shows(server) -> None:
    started = server("leaking:app", "--growth")
    started.get("/session/1000")
    page = growth(str(started.pid), "--top", "1")
    assert f"worker {started.only_worker()}, ready for" in page
    assert re.search(r"resident [▁▂▃▄▅▆▇█]+ \d+\.\d -> \d+\.\d MB", page)
    assert re.search(r"\+\d+\.\d KB +\+1,000 .* leaking\.Session\n", page)
    assert "more\n" in page and "by line: start the server with --trace-memory" in page
    assert "\x1b" not in page, "colours only on a terminal"


NATIVE = """
import ctypes

kept = []


async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/native":
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        for _ in range(20_000):
            kept.append(libc.malloc(1000))
            ctypes.memset(kept[-1], 1, 1000)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""


def test_what_python_does_not_know_is_told_apart(server, tmp_path: Path) -> None:
    (tmp_path / "native.py").write_text(NATIVE)
    started = server("native:app", "--growth", cwd=tmp_path)
    started.get("/")
    growth(str(started.pid))
    started.get("/native")
    (worker,) = growth_as_json(str(started.pid))
    gained = worker["gained"]
    outside = gained["own"] - gained["python"] - gained["free"]
    assert outside == pytest.approx(20 << 20, rel=0.2)
    assert gained["python"] < 4 << 20
    page = growth("--since", "start", str(started.pid))
    assert re.search(
        r"gained in the last .*: \+\d+\.\d MB of its own; objects .*, neither \+\d+\.\d MB", page
    )


# --- who can't be asked


def test_what_is_said_too_slowly_or_by_too_many_is_not_waited_for(server) -> None:
    started = server("leaking:app", "--growth")
    worker = started.only_worker()
    with ExitStack() as stack:
        silent = [stack.enter_context(asking(worker)) for _ in range(20)]
        said = [each.recv(4096) for each in silent]
    # Those that may ask and say nothing are hung up on; the others hear why at once.
    refused = [json.loads(text)["error"] for text in said if text]
    assert refused == ["too many ask at once"] * (20 - 8)
    assert growth_as_json(str(started.pid))


def test_another_user_is_refused_before_a_word(server) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    started = server("leaking:app", "--growth")
    worker = started.only_worker()
    program = (
        "import os, socket; os.setuid(65534); asked = socket.socket(socket.AF_UNIX); asked.settimeout(60);"
        f"asked.connect('\\0lowmem-serve/growth/{worker}'); print(asked.recv(4096).decode(), asked.recv(1))"
    )
    answer = subprocess.run(["/usr/bin/python3", "-c", program], capture_output=True, text=True).stdout
    assert "its own user and root" in answer
    assert answer.rstrip().endswith("b''")


def test_a_server_without_the_switch_says_how_to_start_it(server) -> None:
    started = server("leaking:app")
    for target in (str(started.pid), started.url):
        finished = run("growth", target)
        assert finished.returncode == CANNOT and not finished.stdout
        assert "no worker of it was started with --growth; start the server with --growth" in finished.stderr


def test_no_process_and_no_listener_are_told_apart() -> None:
    assert "there is no process 4194304" in run("growth", "4194304").stderr
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        finished = run("growth", f"127.0.0.1:{unused.getsockname()[1]}")
    assert finished.returncode == CANNOT and "nothing listens on 127.0.0.1:" in finished.stderr
    wrong = run("growth", "app:app")
    assert wrong.returncode == 2 and "not a pid, nor an address" in wrong.stderr


def test_a_socket_that_another_process_holds_is_not_believed() -> None:
    with socket.socket(socket.AF_UNIX) as impostor:
        # Process 1 is no server of ours.
        impostor.bind("\0lowmem-serve/growth/1")
        impostor.listen()
        finished = run("growth", "1")
    assert finished.returncode == CANNOT
    assert f"belongs to process {os.getpid()}, which is not asked" in finished.stderr


def test_a_question_that_is_none_is_refused(server) -> None:
    started = server("leaking:app", "--growth")
    with asking(started.only_worker()) as asked:
        asked.sendall(b"what?\n")
        answer = b"".join(iter(lambda: asked.recv(65536), b""))
    assert "does not understand" in json.loads(answer)["error"]
    assert started.get("/").status == 200


def test_the_variables_work_as_the_flags_do(server) -> None:
    started = server("leaking:app", env={"LOWMEM_TRACE_MEMORY": "1"})
    (worker,) = growth_as_json(str(started.pid))
    assert worker["lines"] is not None


def test_the_successor_of_a_worker_can_be_asked(server) -> None:
    started = server("leaking:app", "--growth")
    before = started.only_worker()
    started.kill_worker()
    started.stderr.wait_for_line(r"Started server process", times=2)
    started.get("/session/5")
    (worker,) = growth_as_json(str(started.pid), "--since", "start")
    assert worker["pid"] == started.only_worker() != before


def line_of(part: str) -> int:
    lines = (APPS / "leaking.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if part in line)
