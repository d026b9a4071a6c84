"""docs/monitoring: rules, a dashboard and a scrape configuration, checked with Prometheus' own tools and by a real one."""

import json
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import run
from harness.server import REPOSITORY
from harness.watching import StatusServer

MONITORING = REPOSITORY / "docs" / "monitoring"
PROMTOOL = shutil.which("promtool")
PROMETHEUS = shutil.which("prometheus")

needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is missing: apt install prometheus")
needs_prometheus = pytest.mark.skipif(not PROMETHEUS, reason="Prometheus is missing: apt install prometheus")

OWN = re.compile(r"\b(?:lowmem|http_server|process)_\w+")

CACHING = """
from lowmem_serve import cache

pages = cache.open("pages", size="4M")

async def app(scope, receive, send):
    if scope["type"] == "http":
        pages.get(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
"""


def promtool(*arguments: str, text: str | None = None, cwd: Path = MONITORING) -> str:
    assert PROMTOOL
    finished = subprocess.run(
        [PROMTOOL, *arguments], input=text, text=True, capture_output=True, cwd=cwd, timeout=60
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture
def busy(server, tmp_path: Path) -> StatusServer:
    """A server with everything that has figures: a cache, jobs, a queue, a limit, recycles and a crash."""
    (tmp_path / "caching.py").write_text(CACHING)
    started = server(
        *("caching:app", "--status-bind", "127.0.0.1:0", "--app-dir", str(tmp_path), "--max-rss", "500M"),
        *("--cache-dir", str(tmp_path / "cache"), "--state-dir", str(tmp_path / "state")),
        *("--queue", "--job", 'good=["true"] every 1h', "--sleep-after", "1h"),
    )
    status = StatusServer(started)
    started.get("/")
    run("jobs", "run", "good", "--wait", str(started.pid))
    started.send_signal(signal.SIGHUP)
    started.stderr.wait_for_line("Recycled worker")
    started.kill_worker()
    started.stderr.wait_for_line("Application startup complete", times=3)
    started.get("/")
    deadline = time.monotonic() + 60
    while not status.total("lowmem_worker_memory_bytes", kind="private"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return status


@needs_promtool
def test_the_metrics_pass_the_check(busy) -> None:
    promtool("check", "metrics", text=busy.get("/metrics"))


@needs_promtool
def test_the_rules_and_the_configuration_are_right() -> None:
    promtool("check", "rules", "alerts.yml")
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "alerts_test.yml")


def expressions() -> list[str]:
    """Those of the dashboard, with its variables filled in."""
    board = json.loads((MONITORING / "dashboard.json").read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(found) > 20
    for name in ("job", "instance", "app"):
        found = [each.replace(f"${name}", ".*") for each in found]
    return [each.replace("$__rate_interval", "1m") for each in found]


def test_what_is_asked_for_is_what_there_is(busy) -> None:
    families = set(re.findall(r"^# TYPE (\w+)", busy.get("/metrics"), re.MULTILINE))
    asked = set(OWN.findall("\n".join(expressions()) + (MONITORING / "alerts.yml").read_text()))
    asked = {re.sub(r"_(bucket|count|sum)$", "", each) for each in asked}
    # That of a WSGI application, and the exported label.
    assert asked - families - {"lowmem_wsgi_threads"} == set()
    documented = (REPOSITORY / "docs" / "status.md").read_text()
    missing = [each for each in families if not each.startswith("process_") and f"`{each}`" not in documented]
    assert not missing


@contextmanager
def prometheus(target: str, directory: Path) -> Iterator[str]:
    """A Prometheus that scrapes this target every second."""
    assert PROMETHEUS
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{chosen.getsockname()[1]}"
    text = (MONITORING / "prometheus.yml").read_text()
    text = text.replace("127.0.0.1:9090", target).replace("15s", "1s\n  evaluation_interval: 1s")
    (directory / "prometheus.yml").write_text(text)
    shutil.copy(MONITORING / "alerts.yml", directory)
    log = (directory / "log").open("w")
    process = subprocess.Popen(
        [
            PROMETHEUS,
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={address}",
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def asked(url: str, path: str, **query: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}{path}?{urllib.parse.urlencode(query)}", timeout=20) as answer:
        return json.load(answer)["data"]


@needs_prometheus
@pytest.mark.timeout(180)
def test_a_real_prometheus_scrapes_it_and_understands_rules_and_dashboard(busy, tmp_path: Path) -> None:
    host, port = busy.address
    own = tmp_path / "prometheus"
    own.mkdir()
    with prometheus(f"{host}:{port}", own) as url:

        def query(expression: str) -> list[Any]:
            return asked(url, "/api/v1/query", query=expression)["result"]

        deadline = time.monotonic() + 60
        while True:
            try:
                # Rates want two scrapes.
                if query('count_over_time(up{job="lowmem-serve"}[1m]) >= 3'):
                    break
            except OSError:
                pass
            assert time.monotonic() < deadline, (own / "log").read_text()
            time.sleep(0.2)
        assert query("up")[0]["value"][1] == "1"
        empty = [each for each in expressions() if not query(each)]
        # No application of this server is WSGI's; nothing was woken, or has a rate yet.
        surprising = [each for each in empty if "wsgi" not in each and "quantile" not in each]
        assert all("/" in each or "wake" in each for each in surprising), surprising
        rules = [rule for group in asked(url, "/api/v1/rules")["groups"] for rule in group["rules"]]
        assert len(rules) == 12 and {rule["health"] for rule in rules} <= {"ok", "unknown"}, rules
        assert not [rule["name"] for rule in rules if rule["state"] == "firing"]
