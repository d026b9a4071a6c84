"""`--status-bind`: metrics, probes, the page, and what may be ordered there."""

import json
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from harness import processes, run
from harness.watching import StatusServer

HERE = ("--status-bind", "127.0.0.1:0")
TOKEN = "a token of this test, long enough".replace(" ", "-")


def wait_until(holds, timeout: float = 20) -> None:
    """The kernel, not the server, says when: there is no event to wait for."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_requests_are_counted_by_what_they_are(server) -> None:
    started = server("http_script:app", *HERE)
    status = StatusServer(started)
    for _ in range(3):
        started.get("/")
    started.request("HEAD", "/")
    started.request("BREW", "/")
    # A response is read before it is counted.
    wait_until(lambda: status.requests() == 5)
    assert status.requests(http_request_method="GET", url_scheme="http") == 3
    assert status.requests(http_request_method="HEAD") == 1
    assert status.requests(http_request_method="_OTHER") == 1
    assert status.requests(network_protocol_version="1.1") == 5
    buckets = [each for each in status.samples() if each.name.endswith("_duration_seconds_bucket")]
    assert {"0.005", "10.0", "+Inf"} <= {each.labels["le"] for each in buckets}


def test_http2_and_tls_are_told_apart(server, connect, authority) -> None:
    started = server("hello:app", *HERE)
    client = connect(started)
    for _ in range(4):
        assert client.get("/").status == 200
    status = StatusServer(started)
    wait_until(lambda: status.requests(network_protocol_version="2", url_scheme="http") == 4)


def test_counts_survive_workers_that_are_recycled_and_killed(server) -> None:
    started = server("hello:app", *HERE)
    status = StatusServer(started)
    for round in range(1, 4):
        for _ in range(20):
            assert started.get("/").status == 200
        # A response is read before it is counted, and a killed worker would not come to it.
        wait_until(lambda expected=20 * round: status.requests() == expected)
        (worker,) = started.worker_pids()
        if round % 2:
            started.send_signal(signal.SIGHUP)
            started.stderr.wait_for_line(rf"Recycled worker \(pid {worker} ->", 30)
        else:
            os.kill(worker, signal.SIGKILL)
            started.stderr.wait_for_line("Application startup complete", 30, times=round + 1)
        assert status.requests() == 20 * round, round
    assert status.total("lowmem_recycles_total", reason="SIGHUP") == 2
    assert status.total("lowmem_recycle_duration_seconds_count") == 2
    assert status.total("lowmem_worker_crashes_total", signal="SIGKILL") == 1
    served = status.status()["applications"][0]["served"]
    assert (served["requests"], served["recycles"], served["crashes"]) == (60, 2, 1)


@pytest.mark.parametrize("flags", [("--preload",), ("--workers", "2")])
def test_workers_count_wherever_they_come_from(server, flags) -> None:
    started = server("hello:app", *HERE, *flags)
    for _ in range(10):
        started.get("/")
    status = StatusServer(started)
    wait_until(lambda: status.requests() == 10)


def test_openmetrics_is_written_where_it_is_accepted(server) -> None:
    status = StatusServer(server("hello:app", *HERE))
    _, kind, text = status.ask("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"})
    assert kind.startswith("application/openmetrics-text; version=1.0.0") and text.endswith("# EOF\n")
    assert "# TYPE lowmem_handed_over counter" in text
    _, kind, text = status.ask("/metrics")
    assert kind.startswith("text/plain; version=0.0.4") and "# TYPE lowmem_handed_over_total counter" in text


def test_both_formats_are_read_by_prometheus_own_parser(server) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    openmetrics = pytest.importorskip("prometheus_client.openmetrics.parser")
    started = server("hello:app", *HERE)
    started.get("/")
    status = StatusServer(started)
    families = list(parser.text_string_to_metric_families(status.get("/metrics")))
    _, _, text = status.ask("/metrics", headers={"accept": "application/openmetrics-text"})
    strict = list(openmetrics.text_string_to_metric_families(text))
    assert {each.name for each in families} == {each.name for each in strict}


def test_the_process_and_its_memory_are_shown(server) -> None:
    status = StatusServer(server("hello:app", *HERE, "--workers", "2", "--max-rss", "500M"))
    wait_until(lambda: status.total("lowmem_workers", stage="ready") == 2)
    for worker in ("0", "1"):
        # The first sample may be of a worker that has just begun; the next follows after ten seconds.
        wait_until(
            lambda: status.total("lowmem_worker_memory_bytes", worker=worker, kind="private") > 1e6  # noqa: B023
        )
        assert status.total("lowmem_worker_memory_bytes", worker=worker, kind="limit") == 500 << 20
        assert status.total("process_open_fds", worker=worker) > 3
    assert status.total("process_resident_memory_bytes", worker="supervisor") > 1e5
    assert status.total("lowmem_accept_queue_max") > 0


@pytest.mark.parametrize("path", ["/spin", "/hold"])
def test_it_answers_while_every_worker_hangs(server, path: str) -> None:
    started = server("hanging:app", *HERE)
    status = StatusServer(started)
    (worker,) = started.worker_pids()
    with started.connect() as client:
        client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        wait_until(lambda: status.total("http_server_active_requests") == 1)
        for target in ("/livez", "/readyz", "/metrics", "/status", "/"):
            status.get(target)
        os.kill(worker, signal.SIGKILL)
    started.stderr.wait_for_line("was killed by SIGKILL", 20)


def test_probes_tell_starting_ready_and_stopping(server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "slow.py").write_text(f"open({str(gate)!r}).read()\nfrom hello import app\n")
    apps = str(Path(__file__).parent / "apps")
    started = server("slow:app", *HERE, "--app-dir", str(tmp_path), env={"PYTHONPATH": apps}, wait=False)
    status = StatusServer(started)
    assert status.ask("/livez")[0] == 200
    for probe in ("/startupz", "/readyz"):
        code, _, text = status.ask(probe)
        assert code == 503 and ("starting" in text or "no worker" in text)
    gate.write_text("")
    started.wait_until_running()
    assert {status.ask(probe)[0] for probe in ("/startupz", "/readyz", "/livez")} == {200}


def test_readiness_ends_with_the_last_worker(server) -> None:
    started = server("hello:app", *HERE, env={"PYTHONDONTWRITEBYTECODE": "1"})
    status = StatusServer(started)
    # The worker's line that it runs comes before the supervisor has heard of it.
    wait_until(lambda: status.ask("/readyz")[0] == 200)
    started.kill_worker()
    # The next one is imported first.
    assert status.ask("/livez")[0] == 200
    wait_until(lambda: status.ask("/readyz")[0] == 200)


def test_orders_need_the_token(server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    started = server("hello:app", *HERE, "--status-control", str(tmp_path / "token"))
    status = StatusServer(started)
    (worker,) = started.worker_pids()
    right = {"authorization": f"Bearer {TOKEN}"}
    assert status.ask("/control/recycle", "POST")[0] == 401
    assert status.ask("/control/recycle", "POST", {"authorization": "Bearer wrong"})[0] == 401
    assert status.ask("/control/recycle", "GET", right)[0] == 405
    assert status.ask("/control/explode", "POST", right)[0] == 404
    assert status.ask("/control/recycle", "POST", right)[0] == 202
    started.stderr.wait_for_line(rf"Recycled worker \(pid {worker} ->", 30)
    assert status.ask("/control/workers/more", "POST", right)[0] == 202
    wait_until(lambda: status.total("lowmem_workers_wanted") == 2)


def test_without_a_token_nothing_can_be_ordered(server) -> None:
    status = StatusServer(server("hello:app", *HERE))
    assert status.ask("/control/recycle", "POST")[0] == 403
    assert status.ask("/metrics", "POST")[0] == 405
    assert status.ask("/nowhere")[0] == 404


def test_the_page_gets_events(server) -> None:
    import http.client

    started = server("hello:app", *HERE)
    status = StatusServer(started)
    assert "<title>lowmem-serve</title>" in status.get("/")
    assert status.address
    connection = http.client.HTTPConnection(*status.address, timeout=20)
    connection.request("GET", "/events")
    response = connection.getresponse()
    assert response.getheader("content-type") == "text/event-stream"
    event = json.loads(response.fp.readline().split(b":", 1)[1] if not response.chunked else _line(response))
    assert event["status"]["applications"][0]["name"] == "hello:app"
    assert {"pace", "history", "marks", "until"} <= event.keys()
    connection.close()


def _line(response) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += response.read(1)
    return line.split(b":", 1)[1]


def test_a_unix_socket_is_the_owners(server, tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    started = server("hello:app", "--status-bind", f"unix:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert StatusServer(started).get("/livez") == "ok\n"
    assert started.terminate() == 0
    assert not path.exists()


def test_wrong_places_are_told(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("short")
    for flags, code, said in (
        (("--status-bind", "nowhere"), 2, "is not like 127.0.0.1:9090"),
        (("--status-control", "x"), 2, "needs --status-bind"),
        (("--status-bind", "127.0.0.1:0", "--status-control", str(short)), 3, "at least 16"),
        (("--status-bind", "127.0.0.1:0", "--status-control", "/nowhere/x"), 3, "cannot read"),
        (("--status-bind", "192.0.2.1:9"), 3, "Cannot open the status server on 192.0.2.1:9"),
    ):
        finished = run("hello:app", "--port", "0", *flags)
        assert finished.returncode == code and said in finished.stderr, finished


def test_off_there_is_no_thread_and_no_page(server) -> None:
    started = server("hello:app")
    (worker,) = started.worker_pids()
    assert len(list(Path(f"/proc/{started.pid}/task").iterdir())) == 1
    for pid in (started.pid, worker):
        assert "lowmem-counters" not in Path(f"/proc/{pid}/maps").read_text()


def test_workers_have_a_number_that_their_successors_share(server) -> None:
    started = server("hello:app", *HERE, "--workers", "2")
    status = StatusServer(started)

    def slots() -> list[int]:
        return sorted(each["slot"] for each in status.status()["applications"][0]["workers"])

    wait_until(lambda: status.total("lowmem_workers", stage="ready") == 2)
    assert slots() == [0, 1]
    for times in (1, 2, 3):
        started.send_signal(signal.SIGHUP)
        started.stderr.wait_for_line("Recycled worker", 30, times=2 * times)
        wait_until(lambda: len(slots()) == 2)
        assert max(slots()) <= 2
    assert processes.children(started.pid)
