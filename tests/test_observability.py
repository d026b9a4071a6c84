"""docs/observability.md: its programs, run while workers are replaced."""

import json
import signal
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from harness import Server
from harness.documented import files
from harness.journal import until
from harness.watching import LABEL, SAMPLE

PROGRAMS = files("observability.md")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def recycle(started: Server, times: int) -> None:
    before = len(started.stderr.matches("Recycled worker"))
    started.send_signal(signal.SIGHUP)
    started.stderr.wait_for_line("Recycled worker", 60, times=before + times)


@pytest.mark.parametrize("workers", [1, 2])
def test_prometheus_clients_files_do_not_grow_with_recycled_workers(server, programs, workers) -> None:
    pytest.importorskip("prometheus_client")
    directory = programs / "metrics"
    directory.mkdir()
    env = {"PROMETHEUS_MULTIPROC_DIR": str(directory)}
    started = server("counting:app", "--app-dir", str(programs), "--workers", str(workers), env=env)
    started.stderr.wait_for_line("Application startup complete", times=workers)
    for round in range(1, 13):
        assert started.get("/").status == 200
        recycle(started, workers)
        lines = started.get("/metrics").text.splitlines()
        counts = [SAMPLE.fullmatch(line) for line in lines if line.startswith("shop_answers_total")]
        found = {dict(LABEL.findall(one["labels"]))["path"]: float(one["value"]) for one in counts if one}
        # Nothing goes back, and nothing is lost.
        assert found["/"] == round, lines
        assert [line for line in lines if line.startswith("shop_busy")][-1] in (
            "shop_busy 0.0",
            "shop_busy 1.0",
        )
    # A counter's file and a gauge's, for each place that was ever taken at once.
    places = {file.stem.rsplit("_", 1)[1] for file in directory.iterdir()}
    assert places <= {str(place) for place in range(workers + 1)}
    assert len(list(directory.iterdir())) <= 2 * (workers + 1)


EXPORTER = """
import json
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

class Lines(SpanExporter):
    def export(self, spans):
        with open({file!r}, "a") as file:
            for span in spans:
                place = span.resource.attributes["service.instance.id"]
                file.write(json.dumps([span.name, span.kind.name, place]) + "\\n")
        return SpanExportResult.SUCCESS

exporter = Lines()
"""


def test_no_span_is_lost_when_workers_are_recycled(server, programs) -> None:
    pytest.importorskip("opentelemetry.instrumentation.asgi")
    exported = programs / "spans"
    (programs / "exporter.py").write_text(EXPORTER.format(file=str(exported)))
    started = server("--factory", "traced:app", "--app-dir", str(programs))
    for _ in range(3):
        for _ in range(10):
            assert started.get("/").status == 200
        # What the processor has not sent yet is sent at the worker's end.
        recycle(started, 1)
    assert started.terminate() == 0
    spans = [json.loads(line) for line in exported.read_text().splitlines()]
    assert len([kind for _, kind, _ in spans if kind == "SERVER"]) == 30
    assert len([name for name, _, _ in spans if name == "work"]) == 30
    assert {place for _, _, place in spans} <= {"0", "1"}


class Sink(BaseHTTPRequestHandler):
    """What Sentry's servers are to its library."""

    events: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = zlib.decompress(body, 47)
        self.events.append(body.decode(errors="replace"))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sentry() -> Iterator[str]:
    """A DSN that leads here."""
    Sink.events = []
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://key@127.0.0.1:{listening.server_port}/1"
    finally:
        listening.shutdown()
        listening.server_close()


def test_an_error_is_reported_though_its_worker_ends_right_after(server, programs, sentry) -> None:
    pytest.importorskip("sentry_sdk")
    env = {"SENTRY_DSN": sentry, "NO_PROXY": "127.0.0.1"}
    started = server("reported:app", "--app-dir", str(programs), env=env)
    assert started.get("/").status == 500
    assert started.terminate() == 0
    until(lambda: any("no such article" in event for event in Sink.events))
