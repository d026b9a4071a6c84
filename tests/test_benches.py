"""What the benches say is so: floors, connections that stall, ports, reports and pictures."""

import contextlib
import errno
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benches"))

from comparison import (
    document,
    floors,
    labels,
    load,
    machine,
    plot,
    report,
    rounds,
    serving,
    stalls,
    summary,
    workloads,
)
from comparison.sample import Sample, Settings
from comparison.servers import Server

WEBSOCKETS = 8

LOAD_SECONDS = 4.0
"""Half of it without an answer is a stall, which a busy machine does not make of a pause."""


def test_the_density_of_applications_is_a_table() -> None:
    command = [sys.executable, REPOSITORY / "benches/density.py", "--python", sys.executable]
    options = ["--counts", "1,2", "--settle", "0.2", "--only", "lowmem-serve"]
    ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=170)
    assert ended.returncode == 0, ended.stderr
    head, _, one, two, _, versions = ended.stdout.splitlines()
    assert head == "| applications | lowmem-serve |"
    assert float(one.split("|")[2]) < float(two.split("|")[2])
    assert versions.startswith("CPython 3.") and "quart" in versions


ECHO = replace(*workloads.named(["websocket"]), connections=WEBSOCKETS)

needs_wrk = pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
needs_inet_diag = pytest.mark.skipif(not stalls.can_be_told(), reason="this kernel has no inet_diag")


def floor(name: str) -> Server:
    found = next(floor for floor in floors.all_floors() if floor.name == name)
    if why := found.missing():
        pytest.skip(why)
    return found


def workload(name: str) -> workloads.Workload:
    return workloads.named([name])[0]


def client(threads: int = 1) -> load.Client:
    return load.Client("free", threads, cpus=None)


@contextlib.contextmanager
def echo_server(echoing: int) -> Iterator[serving.Running]:
    """Accepts every WebSocket, and echoes messages of 32 bytes on so many of them."""

    def converse(connection: socket.socket, echoes: bool) -> None:
        answer = b"\x81\x20" + b"x" * 32
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            while connection.recv(65536):
                if echoes:
                    connection.sendall(answer)

    def accept() -> None:
        for number in range(WEBSOCKETS):
            connection, _ = listener.accept()
            threading.Thread(target=converse, args=(connection, number < echoing), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield serving.Running(os.getpid(), listener.getsockname()[1], ready_seconds=0.0, fault=None)


# --- connections that stall


@needs_inet_diag
@pytest.mark.parametrize("stalled", [0, 3])
def test_connections_without_answers_are_counted(stalled: int) -> None:
    with echo_server(WEBSOCKETS - stalled) as running:
        result = load.apply_load(running, ECHO, client(), LOAD_SECONDS)
    assert result.errors == ({"stalled connections": stalled} if stalled else {})
    assert result.requests_per_second > 0


@needs_inet_diag
def test_a_connection_is_silent_since_it_last_received_something() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), listener.accept()[0]:
            assert stalls.silent(port, 0) == 1
            assert stalls.silent(port, 3600) == 0
        assert stalls.silent(port, 0) == 0


@needs_wrk
@needs_inet_diag
@pytest.mark.parametrize("name", ["upload", "stream"])
def test_clients_that_are_busy_with_bodies_have_not_stalled(name: str) -> None:
    command = floor("floor-python").serve
    with serving.running(lambda port: command(workload(name), port), workload(name)) as running:
        result = load.apply_load(running, workload(name), client(), LOAD_SECONDS)
    assert result.errors == {}


# --- floors


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("floor-epoll", "hello"),
        ("floor-uring", "hello"),
        ("floor-python", "upload"),
        ("floor-python", "stream"),
    ],
)
def test_a_floor_answers_as_a_server_does(name: str, served: str) -> None:
    measured, asked = floor(name), workload(served)
    assert measured.serves(asked)
    with serving.running(lambda port: measured.serve(asked, port), asked) as running:
        assert running.fault is None
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
        with contextlib.closing(connection):
            for _ in range(3):
                connection.request(asked.method, "/", asked.body or None)
                assert connection.getresponse().read() == asked.right_answer


def test_what_cannot_be_compiled_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr(floors, "BUILT", tmp_path)
    broken = tmp_path / "broken.c"
    broken.write_text("#include <no/such/header.h>\n")
    assert "no/such/header.h" in (floors.Source(broken).missing() or "")
    monkeypatch.setenv("PATH", "")
    assert "cc is not on PATH" in (floors.Source(broken).missing() or "")


# --- ports


def test_a_reserved_port_is_left_to_the_server_alone() -> None:
    with serving.reserved_port() as port:
        with socket.socket() as other, pytest.raises(OSError) as refused:
            other.bind(("127.0.0.1", port))
        assert refused.value.errno == errno.EADDRINUSE
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            pass


# --- what a report says


def measured(name: str, family: str, rates: list[float], errors: dict[str, int] | None = None) -> rounds.Row:
    """A row of the `hello` workload that was measured in as many rounds as there are rates."""
    server = Server(name, family, command=lambda app, port: [name, app, str(port)], note=f"note of {name}")
    row = rounds.Row(server, workload("hello"))
    for rate in rates:
        figures = {"idle_pss_mib": 10.0, "pinned_requests_per_second": rate, "free_requests_per_second": rate}
        row.samples.append(Sample(figures, errors or {}))
    return row


def comparison(*rows: rounds.Row) -> document.Comparison:
    return document.Comparison(
        begun="2026-01-01T00:00:00+00:00",
        machine=machine.describe(),
        versions={"python": "3.11.7"},
        settings=Settings(5, 5, 2000, 1000, free_threads=2),
        rounds=2,
        lines=summary.summarise(list(rows)),
        skipped={"floor-uring": "no liburing"},
        notes=["a note"],
    )


OURS = measured("lowmem-serve", "lowmem-serve", [60.0, 50.0])
PEER = measured("uvicorn", "uvicorn", [20.0, 20.0])
FLOOR = measured("floor-epoll", "floor", [80.0, 100.0])


def test_a_floor_is_in_no_ratio_and_says_that_it_is_no_server() -> None:
    found = comparison(OURS, PEER, FLOOR)
    assert {ratio.peer for ratio in found.ratios} == {"uvicorn"}
    text = report.markdown(found)
    weights, rates = text.split("| requests per second", 1)
    assert "floor-epoll" not in weights and "floor-epoll (no server)" in rates
    assert "floor-epoll is no server, and in no ratio: note of floor-epoll" in rates


def test_the_share_of_the_floor_is_taken_round_by_round() -> None:
    ours = comparison(OURS, PEER, FLOOR).lines[0].figures["pinned_share_of_floor"]
    assert (ours.low, ours.median, ours.high) == (0.5, 0.625, 0.75)


def test_a_failed_floor_is_no_measure() -> None:
    void = measured("floor-epoll", "floor", [80.0, 100.0], {"free: timeouts": 1})
    assert "pinned_share_of_floor" not in comparison(OURS, void).lines[0].figures


def test_a_report_is_made_again_from_its_json(tmp_path: Path) -> None:
    rows = [OURS, PEER, FLOOR]
    found = comparison(*rows)
    kept = tmp_path / "kept.json"
    kept.write_text(document.as_json(found, rows))
    assert document.read(kept) == found
    made = redraw(kept)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "kept.md").read_text() == report.markdown(found)
    assert (tmp_path / "kept.svg").read_text() == plot.memory_against_rate(found.lines)


@pytest.mark.parametrize("content", [None, "{", "{}", '{"rows": 1}', "[]"])
def test_a_file_that_is_no_comparison_is_refused_with_its_name(content: str | None, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    if content is not None:
        kept.write_text(content)
    made = redraw(kept)
    assert made.returncode == 2
    assert "kept.json" in made.stderr and "Traceback" not in made.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == (["kept.json"] if content else [])


def redraw(kept: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, REPOSITORY / "benches" / "compare.py", "--redraw", kept]
    return subprocess.run(command, capture_output=True, text=True)


# --- the picture


def test_a_family_is_one_point_and_a_server_that_does_not_compete_is_none() -> None:
    slower = measured("granian-asyncio", "granian", [30.0])
    faster = measured("granian-rloop", "granian", [40.0])
    void = measured("node", "node", [50.0], {"free: timeouts": 1})
    drawn = names(plot.memory_against_rate(comparison(OURS, slower, faster, void, FLOOR).lines))
    assert "granian-rloop" in drawn and any(name.startswith("lowmem-serve: 10 MiB") for name in drawn)
    assert not {"granian-asyncio", "node", "floor-epoll"} & set(drawn)


def test_nothing_measured_is_a_picture_too() -> None:
    assert names(plot.memory_against_rate([]))


def names(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter() if element.text]


def test_no_name_covers_another_or_a_point() -> None:
    area = labels.Box(0, 0, 400, 300)
    crowd = [labels.Point(150 + 3 * n, 100 + 2 * n, 4, f"server-{n}", 11, bold=n == 0) for n in range(8)]
    placed = labels.place(crowd, area)
    boxes = [label.box for label in placed] + [point.box for point in crowd]
    assert all(area.holds(label.box) for label in placed)
    for number, label in enumerate(placed):
        assert not any(label.box.overlaps(other) for at, other in enumerate(boxes) if at != number)


def test_a_budget_is_measured_and_nothing_fails() -> None:
    pytest.importorskip("quart")
    command = [sys.executable, REPOSITORY / "benches/budget.py", "--applications", "3", "--budget", "70M"]
    command += ["--seconds", "5", "--clients", "2", "--python", sys.executable]
    finished = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=170)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert re.search(r"^[1-9]\d* requests, 0 failed", finished.stdout)
    assert re.search(r"^supervisor: .* descriptors$", finished.stdout, re.MULTILINE)


def test_a_budget_of_applications_that_cannot_be_served_is_not_measured() -> None:
    command = [sys.executable, REPOSITORY / "benches/budget.py", "--python", "/no/such/python"]
    finished = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=170)
    assert finished.returncode == 2 and "budget.py: " in finished.stderr
