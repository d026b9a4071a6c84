"""`--status-bind`: metrics, probes, the page, and what may be ordered there."""

import contextlib
import json
import os
import signal
import socket
import stat
import time
from pathlib import Path

import pytest

from harness import processes, run
from harness.watching import StatusServer

HERE = ("--status-bind", "127.0.0.1:0")
TOKEN = "a token of this test, long enough".replace(" ", "-")


def wait_until(holds, timeout: float = 40) -> None:
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
            started.stderr.wait_for_line(rf"Recycled worker \(pid {worker} ->")
        else:
            os.kill(worker, signal.SIGKILL)
            started.stderr.wait_for_line("Application startup complete", times=round + 1)
        assert status.requests() == 20 * round, round
    wait_until(lambda: status.total("lowmem_recycles_total", reason="SIGHUP") == 2)
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


def test_the_status_counts_requests_though_nothing_happens_to_workers(server) -> None:
    started = server("hello:app", *HERE)
    status = StatusServer(started)
    for expected in (1, 2, 3):
        started.get("/")
        # The supervisor hears of none of them.
        wait_until(
            lambda expected=expected: (
                status.status()["applications"][0]["served"]["requests"] == expected
                and status.status()["applications"][0]["workers"][0]["requests"] == expected
            )
        )


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
    shown = status.status()
    assert shown["memory"] > 1e5 and shown["applications"][0]["pss"] > 1e6


def test_code_that_a_scrape_has_brought_in_is_given_back(server) -> None:
    started = server("hello:app", *HERE)
    status = StatusServer(started)

    def code() -> int:
        """Kilobytes of the executable's code in memory."""
        maps = Path(f"/proc/{started.pid}/smaps").read_text().split("VmFlags:")
        own = next(each for each in maps if "r-xp" in each and "lowmem-serve" in each)
        return int(own.split("Rss:")[1].split()[0])

    wait_until(lambda: status.total("lowmem_workers", stage="ready") == 1)
    with started.connect() as client:
        assert client.get("/").status == 200
    for _ in range(2):
        answering = 0
        # It is given back within a moment: one of several looks sees it before.
        for _ in range(5):
            status.get("/metrics")
            answering = max(answering, code())
        wait_until(lambda before=answering: code() < before / 3)


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
    started.stderr.wait_for_line("was killed by SIGKILL")


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
    # The line that it runs comes before the board has it.
    wait_until(lambda: {status.ask(probe)[0] for probe in ("/startupz", "/readyz", "/livez")} == {200})


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
    # The worker's line that it runs comes before the supervisor has heard of it.
    wait_until(lambda: status.ask("/readyz")[0] == 200)
    assert status.ask("/control/recycle", "POST")[0] == 401
    assert status.ask("/control/recycle", "POST", {"authorization": "Bearer wrong"})[0] == 401
    assert status.ask("/control/recycle", "GET", right)[0] == 405
    assert status.ask("/control/explode", "POST", right)[0] == 404
    assert status.ask("/control/recycle", "POST", right)[0] == 202
    started.stderr.wait_for_line(rf"Recycled worker \(pid {worker} ->")
    assert status.ask("/control/workers/more", "POST", right)[0] == 202
    wait_until(lambda: status.total("lowmem_workers_wanted") == 2)


def test_without_a_token_nothing_can_be_ordered(server) -> None:
    status = StatusServer(server("hello:app", *HERE))
    assert status.ask("/control/recycle", "POST")[0] == 403
    assert status.ask("/metrics", "POST")[0] == 405
    code, _, text = status.ask("/nowhere")
    assert code == 404 and "/metrics" in text


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
        (("--status-bind", ":9090"), 2, "is not like 127.0.0.1:9090"),
        (("--status-bind", "unix:"), 2, "is not like 127.0.0.1:9090"),
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
    wait_until(lambda: len(list(Path(f"/proc/{started.pid}/task").iterdir())) == 1)
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
        started.stderr.wait_for_line("Recycled worker", times=2 * times)
        wait_until(lambda: len(slots()) == 2)
        assert max(slots()) <= 2
    assert processes.children(started.pid)


# --- jobs, the queue, caches


def test_runs_of_jobs_are_counted_by_their_result(server, tmp_path: Path) -> None:
    started = server(
        *("hello:app", *HERE, "--state-dir", str(tmp_path / "state")),
        *("--job", 'good=["true"]', "--job", 'bad=["false"]', "--job", 'slow=["sleep", "60"] timeout 1s'),
    )
    status = StatusServer(started)
    # Before a job has run there is nothing of its last run.
    assert not [one for one in status.samples() if one.name == "lowmem_job_peak_memory_bytes"]
    for job in ("good", "good", "bad", "slow"):
        run("jobs", "run", job, "--wait", str(started.pid))
    began = time.time()
    for job, result, count in (("good", "done", 2), ("bad", "failed", 1), ("slow", "timeout", 1)):
        wait_until(
            lambda job=job, result=result, count=count: (
                status.total("lowmem_job_runs_total", job=job, result=result) == count
            )
        )
    assert status.total("lowmem_job_runs_total") == 4
    assert status.total("lowmem_job_last_run_duration_seconds", job="slow") >= 1
    assert status.total("lowmem_job_peak_memory_bytes", job="slow") > 1e4
    assert abs(status.total("lowmem_job_last_success_timestamp_seconds", job="good") - began) < 60
    assert {one.labels["job"] for one in status.samples() if one.name == "lowmem_job_running"} == {
        "good",
        "bad",
        "slow",
    }
    shown = {job["name"]: job for job in status.status()["jobs"]}
    assert shown["good"]["runs"] == {"done": 2} and shown["bad"]["last"]["result"] == "failed"
    assert shown["bad"]["last_success"] is None and shown["slow"]["schedule"] == "on demand"


def test_a_job_that_runs_is_shown_so_and_the_queue_with_its_tasks(server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    started = server(
        *("queue_app:app", *HERE, "--queue", "--state-dir", str(tmp_path / "state")),
        *("--job", f'waits=["cat", "{gate}"]'),
    )
    status = StatusServer(started)
    run("jobs", "run", "waits", str(started.pid))
    wait_until(lambda: status.total("lowmem_job_running", job="waits") == 1)
    assert status.status()["jobs"][0]["running_since"] is not None
    gate.write_text("")
    wait_until(lambda: status.total("lowmem_job_running", job="waits") == 0)
    assert status.total("lowmem_queue_tasks", state="running") == 0
    # Waiting and dead tasks are counted from time to time.
    wait_until(lambda: len([1 for one in status.samples() if one.name == "lowmem_queue_tasks"]) == 3)
    assert status.status()["queue"]["dead"] == 0


CACHING = """
from lowmem_serve import cache

pages = cache.open("pages", size="4M")

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    found = pages.get(scope["path"])
    if found is None:
        pages.set(scope["path"], "x" * 4000)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hit" if found else b"miss"})
"""


@pytest.mark.parametrize("flags", [(), ("--preload",)])
def test_caches_are_counted_over_all_workers(server, tmp_path: Path, flags) -> None:
    (tmp_path / "caching.py").write_text(CACHING)
    started = server(
        *("caching:app", *HERE, "--app-dir", str(tmp_path), "--cache-dir", str(tmp_path / "cache"), *flags)
    )
    status = StatusServer(started)
    for path in ("/a", "/b", "/a", "/b", "/a"):
        assert started.get(path).status == 200
    assert status.total("lowmem_cache_hits_total", cache="pages") == 3
    assert status.total("lowmem_cache_misses_total", cache="pages") == 2
    started.send_signal(signal.SIGHUP)
    started.stderr.wait_for_line("Recycled worker")
    # The values are still there, and so are the counts.
    assert started.get("/a").text == "hit"
    assert status.total("lowmem_cache_hits_total", cache="pages") == 4
    assert status.total("lowmem_cache_sets_total", cache="pages") == 2
    assert 8_000 < status.total("lowmem_cache_bytes", cache="pages") <= 4 << 20
    assert status.total("lowmem_cache_bytes_max", cache="pages") == 4 << 20
    (shown,) = status.status()["applications"][0]["caches"]
    assert (shown["name"], shown["hits"], shown["limit"]) == ("pages", 4, 4 << 20)


def test_an_application_without_jobs_and_caches_has_no_metrics_of_them(server) -> None:
    text = StatusServer(server("hello:app", *HERE)).get("/metrics")
    for family in ("lowmem_job", "lowmem_queue", "lowmem_cache"):
        assert family not in text


# --- several applications


JOB = """[apps.{app}.jobs.{job}]
command = ["{command}"]
"""


def test_jobs_and_queues_of_several_applications_have_their_label(serve_all, machine) -> None:
    tables = ""
    for app, command in (("one", "true"), ("two", "false")):
        machine.module(app)
        tables += f"[apps.{app}]\n{machine.table(app, 'queue = true')}"
        tables += JOB.format(app=app, job="tidy", command=command)
    tables += '[jobs.all]\ncommand = ["true"]\n'
    text = f'status-bind = "127.0.0.1:0"\nshare = "off"\nstate-dir = "{machine.directory / "state"}"\n'
    started = serve_all(text + tables)
    for app in ("one", "two"):
        started.stderr.wait_for_line(rf"\[{app}\] Application startup complete", 60)
    status = StatusServer(started)
    for job in ("one/tidy", "two/tidy", "all"):
        run("jobs", "run", job, "--wait", str(started.pid))
    wait_until(lambda: status.total("lowmem_job_runs_total") == 3)
    assert status.total("lowmem_job_runs_total", app="one", job="tidy", result="done") == 1
    assert status.total("lowmem_job_runs_total", app="two", job="tidy", result="failed") == 1
    for family in ("lowmem_job_running", "lowmem_job_peak_memory_bytes"):
        labels = [one.labels for one in status.samples() if one.name == family]
        assert sorted((own.get("app", ""), own["job"]) for own in labels) == [
            ("", "all"),
            ("one", "tidy"),
            ("two", "tidy"),
        ]
    # Waiting and dead tasks are counted from time to time.
    wait_until(lambda: len([1 for one in status.samples() if one.name == "lowmem_queue_tasks"]) == 6)
    queues = {one.labels["app"] for one in status.samples() if one.name == "lowmem_queue_tasks"}
    assert queues == {"one", "two"}
    shown = {job["name"]: job["app"] for job in status.status()["jobs"]}
    assert shown == {"one/tidy": "one", "two/tidy": "two", "all": None}


def test_the_memory_budget_is_shown_beside_what_all_processes_take(serve_all, machine) -> None:
    text = 'memory-budget = "300M"\nshare = "off"\nstatus-bind = "127.0.0.1:0"'
    started = serve_all(text, "one", "two")
    status = StatusServer(started)
    for name in ("one", "two"):
        machine.get(name)

    def budget(kind: str) -> float:
        return status.total("lowmem_memory_budget_bytes", kind=kind)

    def weighed() -> int:
        weight = 0
        for pid in [started.pid, *processes.children(started.pid)]:
            # What has ended since it was listed weighs nothing.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                weight += int(rollup.split("Pss:")[1].split()[0]) * 1024
        return weight

    assert budget("limit") == 300 << 20
    # Weighed every second. What is shared with other processes of the machine may change meanwhile.
    wait_until(lambda: abs(budget("used") - weighed()) < weighed() * 0.2)
    assert budget("used") < budget("limit")


def test_without_a_budget_there_is_none_to_show(server) -> None:
    assert "lowmem_memory_budget" not in StatusServer(server("hello:app", *HERE)).get("/metrics")


def test_each_application_of_several_has_its_label_also_where_one_is_left(serve_all, machine) -> None:
    machine.module("one")
    machine.module("two")
    machine.include("one", 'share = "off"')
    machine.include("two", 'share = "off"\nmax-rss = "300M"')
    text = 'include = ["apps/*.toml"]\nstatus-bind = "127.0.0.1:0"'
    started = serve_all(text, "main", more='share = "off"')
    status = StatusServer(started)
    for name in ("one", "two"):
        started.stderr.wait_for_line(rf"\[{name}\] Application startup complete", 60)
        for _ in range(3):
            machine.get(name)
    wait_until(lambda: status.requests(app="one") == 3 and status.requests(app="two") == 3)
    assert status.requests() == 6
    apps = {"main", "one", "two"}
    assert {one["name"] for one in status.status()["applications"]} == apps
    unlabelled = [one for one in status.samples() if one.labels.get("app") not in apps]
    assert {one.labels.get("worker") for one in unlabelled} == {"supervisor"}
    wait_until(lambda: status.total("lowmem_worker_memory_bytes", app="two", kind="limit") == 300 << 20)
    for name in ("one", "two"):
        (machine.directory / "apps" / f"{name}.toml").unlink()
    wait_until(lambda: {one.labels.get("app") for one in status.samples()} == {"main", None})
    # One that is added later is counted from its first worker on.
    machine.include("one", 'share = "off"')
    started.stderr.wait_for_line(r"\[one\] It is new in the settings")
    started.stderr.wait_for_line(r"\[one\] Application startup complete", 60, times=2)
    machine.get("one")
    wait_until(lambda: status.requests(app="one") == 1)


def test_a_place_that_is_closed_is_not_kept_open_by_the_status_server(serve_all, machine) -> None:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    machine.module("one")
    machine.include("one", 'share = "off"\n')
    table = machine.directory / "apps" / "one.toml"
    table.write_text(table.read_text().replace('bind = ["', f'bind = ["127.0.0.1:{port}", "'))
    started = serve_all('include = ["apps/*.toml"]\nstatus-bind = "127.0.0.1:0"', "main")
    started.stderr.wait_for_line(r"\[one\] Application startup complete", 60)
    status = StatusServer(started)
    assert status.total("lowmem_accept_queue_max", app="one", listener=f"127.0.0.1:{port}") > 0
    table.unlink()
    wait_until(lambda: not [one for one in status.samples() if one.labels.get("app") == "one"])

    def is_refused() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return True
        return False

    # Its worker has the listening socket until it has ended.
    wait_until(is_refused)


def test_applications_are_ordered_by_name(serve_all, machine, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    text = f'status-bind = "127.0.0.1:0"\nstatus-control = "{tmp_path / "token"}"'
    started = serve_all(text, "one", "two", more='share = "off"')
    status = StatusServer(started)
    right = {"authorization": f"Bearer {TOKEN}"}
    assert status.ask("/control/apps/nobody/stop", "POST", right)[0] == 404
    assert status.ask("/control/apps/one/explode", "POST", right)[0] == 404
    assert status.ask("/control/workers/more", "POST", right)[0] == 404
    assert status.ask("/control/apps/one/stop", "POST", right)[0] == 202
    wait_until(lambda: machine.states() == {"one": "stopped", "two": "serving"})
    # One that was stopped by order is as it should be.
    wait_until(lambda: status.ask("/readyz")[0] == 200)
    assert status.ask("/control/apps/one/start", "POST", right)[0] == 202
    wait_until(lambda: machine.states()["one"] == "serving")
    assert status.ask("/control/recycle", "POST", right)[0] == 202
    started.stderr.wait_for_line(r"\[two\] Recycled worker", 60)


def test_the_status_server_is_the_whole_servers(machine) -> None:
    machine.module("one")
    machine.file.write_text(f"[apps.one]\n{machine.table('one')}status-bind = '127.0.0.1:0'\n")
    finished = run("--config", str(machine.file), cwd=machine.directory)
    assert finished.returncode == 2 and "status-bind is the whole server's" in finished.stderr
